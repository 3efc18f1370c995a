"""FHIR over HTTP: searches of the patient's journal and directives; a professional finds himself alone, or nobody."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.operationoutcome import OperationOutcome

from chassis.tokens import patient_digest
from services.consent.domain.flow import Action, Actor
from services.consent.domain.rules import POLICIES, Rules
from services.consent.use_cases import read_traces
from tests.unit.chassis.asgi import Answer, ask
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    COLLEAGUE,
    DAY,
    INSURER,
    MOREAU,
    OTHER_RECORD,
    PETIT,
    RECORD,
    flow,
    paper,
)
from tests.unit.consent.viewing import Viewing

BLOCK = {"kind": "block", "professional": "99700000001"}
# What a professional's own traces need of the rules; see `ReadTraces.reads`.
OWN_TRACES = """
@id("own-traces")
@law("règlement (UE) 2025/327, article 9")
@fr("Un professionnel relit ce qu'il a lui-même demandé, sans la réponse.")
permit (principal is Professional, action == Action::"read-journal", resource)
when { context.purpose == "TREAT" && context.application_kind == "care-software" };
"""


@pytest.fixture
def consent() -> Viewing:
    """Open one record's interface, under the rules as they stand."""
    return Viewing()


@pytest.fixture
def permitting(tmp_path: Path) -> Viewing:
    """Open one where a rule permits professionals their own traces."""
    folder = copytree(POLICIES, tmp_path / "policies")
    with (folder / "legal_basis.cedar").open("a", encoding="utf-8") as rules:
        rules.write(OWN_TRACES)
    return Viewing(Rules(folder))


def refused(answer: Answer, status: int, slug: str) -> None:
    """Expect one OperationOutcome with a stable code and a sentence."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/fhir+json"), answer
    said = orjson.loads(answer.body)
    OperationOutcome.model_validate(said)
    assert said["issue"][0]["details"]["coding"][0]["code"] == slug
    assert len(said["issue"][0]["diagnostics"]) > 20


def resources(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a searchset's resources; it is a Bundle that R4 allows, and has no total."""
    Bundle.model_validate(orjson.loads(orjson.dumps(bundle)))
    assert (bundle["type"], "total" in bundle) == ("searchset", False)
    return [each["resource"] for each in bundle.get("entry", [])]


async def found(consent: Viewing, path: str, **more: Any) -> list[dict[str, Any]]:
    """Return what a search finds."""
    return resources(await consent.told("GET", f"/fhir/{path}", **more))


async def pages(consent: Viewing, path: str, **more: Any) -> list[list[dict[str, Any]]]:
    """Follow the links of a search to its end."""
    read: list[list[dict[str, Any]]] = []
    while path:
        bundle = await consent.told("GET", f"/fhir/{path}", **more)
        read.append(resources(bundle))
        links = {each["relation"]: each["url"] for each in bundle["link"]}
        path = links.get("next", "").removeprefix("https://carnet.test/consent/fhir/")
    return read


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


async def test_a_reserved_stream_is_in_no_search(consent: Viewing) -> None:
    """What may not be known yet is not found, not by its id, and no link leads from it."""
    await consent.decide.one(flow(MOREAU, Action.LIST))
    secret = consent.journal.entries[RECORD].pop()
    consent.journal.entries[RECORD].append(replace(secret, stream="reserved"))
    assert {each["subtype"][-1]["code"] for each in await found(consent, "AuditEvent")} == {"read-journal", "opened"}
    refused(await consent.call("GET", f"/fhir/AuditEvent/{secret.cause}"), 404, "not-found")
    refused(await consent.call("GET", f"/fhir/AuditEvent?_after={secret.cause}"), 400, "after-unknown")


async def test_no_link_names_a_reserved_entry(consent: Viewing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a search stops looking at such an entry, its link names another, and once."""
    for _ in range(4):
        await consent.decide.one(flow(MOREAU, Action.LIST))
    entries = consent.journal.entries[RECORD]
    entries[3] = secret = replace(entries[3], stream="reserved")
    for most in range(1, 6):
        monkeypatch.setattr(read_traces, "MOST_LOOKED_AT", most)
        bundle = await consent.told("GET", f"/fhir/AuditEvent?agent={PETIT.id}&_after={entries[-1].cause}")
        assert secret.cause not in str(bundle)
        assert bundle["link"][-1]["url"].count("_after=") == 1


@pytest.mark.parametrize("path", ["AuditEvent", "AuditEvent/none", "Consent", f"Consent/{ABSENT}"])
async def test_others_read_neither_choices_nor_traces(consent: Viewing, path: str) -> None:
    """A professional and an insurer are refused by the rules as they stand, and stand in the journal."""
    refused(await consent.call("GET", f"/fhir/{path}", actor=MOREAU), 403, "not-for-you")
    refused(await consent.call("GET", f"/fhir/{path}", actor=INSURER), 403, "red-line")
    asked = [each.outcome.verdict for each in consent.journal.entries[RECORD] if each.outcome]
    assert asked == ["refused", "red-line"]


async def test_a_professional_finds_what_he_asked_and_nobody_else(permitting: Viewing) -> None:
    """Whomever he names: his own flows, by himself, and never what came of them."""
    await permitting.deposit(paper(), by=COLLEAGUE)
    for actor in (MOREAU, PETIT, MOREAU):
        await permitting.decide.one(flow(actor, Action.LIST))
    for query in ("", f"?agent={PETIT.id}", f"?agent={MOREAU.id}"):
        told = await found(permitting, f"AuditEvent{query}", actor=MOREAU)
        assert {each["agent"][0]["who"]["identifier"]["value"] for each in told} == {MOREAU.id}
        assert [each["subtype"][-1]["code"] for each in told][-2:] == ["list", "list"]
        assert not any("outcome" in each for each in told)
    theirs = next(each for each in permitting.journal.entries[RECORD] if each.flow and each.flow.actor == PETIT)
    refused(await permitting.call("GET", f"/fhir/AuditEvent/{theirs.cause}", actor=MOREAU), 404, "not-found")
    after = await permitting.call("GET", f"/fhir/AuditEvent?_after={theirs.cause}", actor=MOREAU)
    refused(after, 400, "after-unknown")


async def test_a_professional_cannot_tell_a_refusal_by_his_traces(permitting: Viewing) -> None:
    """An allowed list, a blocked one and a read of a hidden document leave the same traces, but for id and time."""
    document = await permitting.deposit(paper(), by=COLLEAGUE)
    await permitting.told("POST", "/directives", {"kind": "authorise", "professional": "99700000001"})
    told: list[list[bytes]] = []
    for change in (None, {"kind": "hide", "document": document}, BLOCK):
        if change:
            await permitting.told("POST", "/directives", change)
        for asked in (flow(MOREAU, Action.LIST), flow(MOREAU, Action.READ, document)):
            await permitting.decide.one(asked)
        _, read, listed = (await found(permitting, "AuditEvent?_count=3", actor=MOREAU))[:3]
        told.append([orjson.dumps({**each, "id": "", "recorded": ""}) for each in (read, listed)])
    verdicts = [e.outcome.verdict for e in permitting.journal.entries[RECORD] if e.outcome and e.flow
                and e.flow.actor == MOREAU and e.flow.action in {Action.LIST, Action.READ}]  # fmt: skip
    assert verdicts == ["allowed"] * 2 + ["refused"] * 4
    assert told[0] == told[1] == told[2]


async def test_a_professional_s_link_does_not_count_others(
    permitting: Viewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much others did, his page has a link only where there is more of his own."""
    monkeypatch.setattr(read_traces, "MOST_LOOKED_AT", 4)
    await permitting.decide.one(flow(MOREAU, Action.LIST))
    for _ in range(9):
        await permitting.decide.one(flow(PETIT, Action.LIST))
    bundle = await permitting.told("GET", "/fhir/AuditEvent", actor=MOREAU)
    assert [each["relation"] for each in bundle["link"]] == ["self"]


def _flows_of(consent: Viewing, actor: Actor) -> Iterator[Action]:
    return (e.flow.action for e in consent.journal.entries[RECORD] if e.flow and e.flow.actor.id == actor.id)


async def test_another_action_may_be_asked_of_professionals() -> None:
    """Under which action a professional reads his traces is said in one place."""
    consent = Viewing(reads={"professional": Action.READ_DIRECTIVES})
    await consent.call("GET", "/fhir/AuditEvent", actor=MOREAU)
    await consent.call("GET", "/fhir/AuditEvent")
    assert list(_flows_of(consent, MOREAU)) == [Action.READ_DIRECTIVES]
    assert list(_flows_of(consent, CAMILLE)) == [Action.READ_JOURNAL]
