"""FHIR over HTTP: the patient's journal and directives, searched, paged and read by id."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree
from urllib.parse import urlencode

import orjson
import pytest

from chassis.tokens import patient_digest
from services.consent.domain.bundle import Bundle
from services.consent.domain.flow import Action
from services.consent.domain.rules import POLICIES
from services.consent.ports import Kept
from services.consent.use_cases import read_traces
from tests.unit.chassis.asgi import ask
from tests.unit.consent.people import (
    ABSENT,
    DAY,
    INSURER,
    MOREAU,
    OTHER_RECORD,
    PETIT,
    RECORD,
    RULES,
    flow,
    opening,
    paper,
)
from tests.unit.consent.searching import found, pages, refused
from tests.unit.consent.viewing import Viewing

BLOCK = {"kind": "block", "professional": "99700000001"}


@pytest.fixture
def consent() -> Viewing:
    """Open one record's interface, under the rules as they stand."""
    return Viewing()


async def test_directives_in_force_are_consents(consent: Viewing) -> None:
    """What is said is found and read until it is ended; each call is a flow."""
    begun = (await consent.told("POST", "/directives", BLOCK))["id"]
    (told,) = await found(consent, "Consent?status=active")
    assert (told["id"], told["provision"]["type"]) == (begun, "deny")
    assert (await consent.told("GET", f"/fhir/Consent/{begun}")) == told
    await consent.told("DELETE", f"/directives/{begun}")
    assert await found(consent, "Consent") == []
    refused(await consent.call("GET", f"/fhir/Consent/{begun}"), 404, "not-found")
    asked = [each.flow.action for each in consent.journal.entries[RECORD] if each.flow]
    assert asked.count(Action.READ_DIRECTIVES) == 4


async def test_what_is_over_by_itself_is_no_consent(consent: Viewing) -> None:
    """A directive ends at its end."""
    await consent.told("POST", "/directives", BLOCK | {"until": "2199-01-01T00:00:00Z"})
    consent.ahead = 200 * 366 * DAY
    assert await found(consent, "Consent", seconds=10**10) == []


async def test_the_journal_is_audit_events(consent: Viewing) -> None:
    """The newest entry first, the search itself included; each can be read by its id."""
    await consent.deposit(paper(), by=MOREAU)
    first, second, third = await found(consent, "AuditEvent")
    assert [each["subtype"][-1]["code"] for each in (first, second, third)] == ["read-journal", "deposit", "opened"]
    assert await consent.told("GET", f"/fhir/AuditEvent/{second['id']}") == second
    refused(await consent.call("GET", "/fhir/AuditEvent/none"), 404, "not-found")


async def test_pages_follow_each_other(consent: Viewing) -> None:
    """Links lead through every entry once, whatever is written meanwhile, and end."""
    for _ in range(7):
        await consent.told("GET", "/directives")
    read = await pages(consent, "AuditEvent?_count=3")
    assert [len(each) for each in read] == [3, 3, 3]
    ids = [each["id"] for page in read for each in page]
    assert len(set(ids)) == 9
    assert read[-1][-1]["subtype"][-1]["code"] == "opened"


async def test_an_agent_is_searched(consent: Viewing) -> None:
    """Only what this professional did, page by page, and the link repeats the search."""
    for actor in (MOREAU, PETIT, MOREAU, PETIT, MOREAU):
        await consent.decide.one(flow(actor, Action.LIST))
    read = await pages(consent, "AuditEvent?agent=99700000001&_count=2")
    assert [len(each) for each in read] == [2, 1]
    assert {each["agent"][0]["name"] for page in read for each in page} == {"Dr Moreau"}


async def test_a_period_is_searched(consent: Viewing) -> None:
    """From one time to another, both by their precision."""
    consent.ahead = -40 * DAY
    await consent.decide.one(flow(MOREAU, Action.LIST))
    old = consent.journal.entries[RECORD][-1]
    consent.ahead = 0
    await consent.decide.one(flow(PETIT, Action.LIST))
    (recorded,) = [each["recorded"] for each in await found(consent, "AuditEvent?agent=99700000001")]
    (told,) = await found(consent, f"AuditEvent?date={recorded}")
    assert told["id"] == old.cause
    assert all(each["id"] != old.cause for each in await found(consent, f"AuditEvent?date=gt{recorded}"))
    assert (await found(consent, f"AuditEvent?date=le{recorded}"))[0]["id"] == old.cause
    assert await found(consent, f"AuditEvent?date=ge{recorded}&date=lt{recorded}") == []


async def test_a_search_looks_at_so_many_entries_and_leads_on(
    consent: Viewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who did something is ciphertext: a page may be empty, and its link goes on where it stopped looking."""
    monkeypatch.setattr(read_traces, "MOST_LOOKED_AT", 4)
    await consent.decide.one(flow(PETIT, Action.LIST))
    for _ in range(9):
        await consent.decide.one(flow(MOREAU, Action.LIST))
    read = await pages(consent, f"AuditEvent?agent={PETIT.id}")
    assert read[0] == []
    assert [each["agent"][0]["name"] for page in read for each in page] == ["Dr Petit"]


async def test_a_form_searches_too(consent: Viewing) -> None:
    """An INS belongs into no URL; it is compared with the token's, and no link repeats it."""
    system, ins = "urn:oid:1.2.250.1.213.1.4.10", "279035121518989"
    digest = patient_digest(system, ins, RECORD)
    form = urlencode({"patient.identifier": f"{system}|{ins}", "_count": "1"})
    for path in ("AuditEvent", "Consent"):
        sent = form if path == "AuditEvent" else form.partition("&")[0]
        answer = await consent.call("POST", f"/fhir/{path}/_search", form=sent, patient=digest)
        assert answer.status == 200, answer
        assert ins.encode() not in answer.body
    other = urlencode({"patient.identifier": f"{system}|284058832102532"})
    refused(await consent.call("POST", "/fhir/AuditEvent/_search", form=other, patient=digest), 403, "patient-mismatch")
    refused(await consent.call("POST", "/fhir/Consent/_search", form=other, patient=digest), 403, "patient-mismatch")


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        (f"AuditEvent?patient={OTHER_RECORD}", 403, "patient-mismatch"),
        ("AuditEvent?_after=none", 400, "after-unknown"),
        ("AuditEvent?date=today", 400, "date-form"),
        ("AuditEvent?outcome=4", 400, "parameter-unknown"),
        ("AuditEvent?_format=xml", 406, "format-unsupported"),
        ("Consent?agent=99700000001", 400, "parameter-unknown"),
        ("Patient", 404, "not-found"),
    ],
)
async def test_what_cannot_be_searched_is_an_outcome(consent: Viewing, path: str, status: int, slug: str) -> None:
    """Each error is an OperationOutcome that tells the way out."""
    refused(await consent.call("GET", f"/fhir/{path}"), status, slug)


async def test_errors_speak_the_dialect_of_their_path(consent: Viewing) -> None:
    """No token, another method, a form that is too large: FHIR here, problem documents beside it."""
    refused(await ask(consent.app, "GET", "/consent/fhir/AuditEvent"), 401, "token-missing")
    refused(await consent.call("DELETE", "/fhir/AuditEvent"), 405, "method-not-allowed")
    refused(await consent.call("POST", "/fhir/AuditEvent/_search", form="a" * 20_000), 413, "form-too-large")
    beside = await ask(consent.app, "GET", "/consent/journal")
    assert beside.headers["content-type"] == "application/problem+json"


async def test_the_record_is_named_or_not(consent: Viewing) -> None:
    """The token names it already; naming it again is allowed."""
    for said in ("", f"?patient={RECORD}", f"?patient=Patient/{RECORD}"):
        assert len(await found(consent, f"AuditEvent{said}")) > 0


async def test_nothing_of_a_record_is_cached(consent: Viewing) -> None:
    """Answers and errors alike."""
    for path in ("AuditEvent", "Consent", "AuditEvent/none", "metadata"):
        assert (await consent.call("GET", f"/fhir/{path}")).headers["cache-control"] == "no-store"


async def test_the_capabilities_need_no_token(consent: Viewing) -> None:
    """Software learns what it may ask before it asks."""
    answer = await ask(consent.app, "GET", "/consent/fhir/metadata")
    assert (answer.status, orjson.loads(answer.body)["resourceType"]) == (200, "CapabilityStatement")


@pytest.mark.parametrize("path", ["AuditEvent", "AuditEvent/none", "Consent", f"Consent/{ABSENT}"])
async def test_an_insurer_reads_neither_choices_nor_traces(consent: Viewing, path: str) -> None:
    """He is refused by the rules, and stands in the journal."""
    refused(await consent.call("GET", f"/fhir/{path}", actor=INSURER), 403, "red-line")
    assert [each.outcome.verdict for each in consent.journal.entries[RECORD] if each.outcome] == ["red-line"]


async def test_an_entry_is_told_by_the_rules_that_judged_it(consent: Viewing, tmp_path: Path) -> None:
    """A rule that was written anew since speaks its old sentence about what it decided then."""
    folder = copytree(POLICIES, tmp_path / "policies")
    file = folder / "legal_basis.cedar"
    sentence = RULES["not-authorised"].sentence
    file.write_text(file.read_text(encoding="utf-8").replace(sentence, "Ancienne phrase."), encoding="utf-8")
    old = Bundle.read(folder)
    await consent.bundles.keep(Kept(old, (), opening()))
    await consent.decide.one(flow(PETIT, Action.LIST))
    before = consent.journal.entries[RECORD].pop()
    consent.journal.entries[RECORD].append(replace(before, policies=old.digest))
    told = (await found(consent, f"AuditEvent?agent={PETIT.id}"))[0]
    assert told["outcomeDesc"].endswith("Refusé. Ancienne phrase.")
    rule = told["entity"][-1]
    assert (rule["description"], rule["detail"][0]["valueString"]) == ("Ancienne phrase.", old.digest)
    assert await consent.told("GET", f"/fhir/AuditEvent/{told['id']}") == told
