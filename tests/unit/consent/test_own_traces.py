"""A professional reads what he asked himself: always, and never what came of it, nor that anybody else was there."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
import pytest

from services.consent.domain.entry import MAIN, Entry, Reviewing
from services.consent.domain.flow import Action, Actor, Care
from services.consent.domain.representation import Representation
from services.consent.use_cases import read_traces
from tests.unit.consent.people import (
    ABSENT,
    COLLEAGUE,
    DAY,
    INSURER,
    MOREAU,
    PETIT,
    RECORD,
    flow,
    paper,
)
from tests.unit.consent.searching import found, links, pages, refused
from tests.unit.consent.viewing import WINDOW_MS, Viewing

RPPS, MINUTE = "99700000001", 60_000
SECRET = paper("secret", visibility=("INVISIBLE_PATIENT",))


@pytest.fixture
def consent() -> Viewing:
    """Open one record's interface, a minute after a window of the clock began."""
    opened = Viewing()
    opened.ahead = MINUTE - opened.clock() % WINDOW_MS
    return opened


def codes(events: list[dict[str, Any]]) -> list[str]:
    """Return what each event was."""
    return [each["subtype"][-1]["code"] for each in events]


def documents(event: dict[str, Any]) -> list[str]:
    """Return the documents that an event names."""
    named = [each["what"].get("reference", "") for each in event["entity"]]
    return [each.rpartition("-")[2] for each in named if each]


async def test_he_finds_what_he_asked_and_nobody_else(consent: Viewing) -> None:
    """His own flows and this very look, the newest first; each by its id; and nobody else's by any way."""
    await consent.deposit(paper(), by=COLLEAGUE)
    for actor in (MOREAU, PETIT, MOREAU):
        consent.ahead += WINDOW_MS
        await consent.decide.one(flow(actor, Action.LIST))
    told = await found(consent, "AuditEvent", actor=MOREAU)
    assert codes(told) == ["read-own-traces", "list", "list"]
    assert {each["agent"][0]["who"]["identifier"]["value"] for each in told} == {MOREAU.id}
    assert told[0]["outcomeDesc"] == "Vous avez relu vos propres demandes à ce dossier."
    assert await consent.told("GET", f"/fhir/AuditEvent/{told[1]['id']}", actor=MOREAU) == told[1]
    theirs = next(each for each in consent.journal.entries[RECORD] if each.flow and each.flow.actor == PETIT)
    refused(await consent.call("GET", f"/fhir/AuditEvent/{theirs.cause}", actor=MOREAU), 404, "not-found")
    for cause in (theirs.cause, f"opened-{RECORD}", ABSENT):
        refused(await consent.call("GET", f"/fhir/AuditEvent?_after={cause}", actor=MOREAU), 400, "after-unknown")


async def test_a_search_narrows_what_is_his(consent: Viewing) -> None:
    """By agent, himself or where he works; whom else he names, there is nothing. By date, as for anybody."""
    consent.ahead = -40 * DAY
    await consent.decide.one(flow(MOREAU, Action.LIST))
    consent.ahead = 0
    await consent.decide.one(flow(replace(MOREAU, organisation=PETIT.organisation), Action.LIST))
    await consent.decide.one(flow(PETIT, Action.LIST))
    assert len(await found(consent, f"AuditEvent?agent={RPPS}", actor=MOREAU)) == 3
    for other in (PETIT.id, RECORD, "99700000009"):
        assert await found(consent, f"AuditEvent?agent={other}", actor=MOREAU) == []
    there = await found(consent, f"AuditEvent?agent={PETIT.organisation}", actor=MOREAU)
    assert codes(there) == ["list"]
    old = (await found(consent, "AuditEvent", actor=MOREAU))[-1]
    assert await found(consent, f"AuditEvent?date=le{old['recorded']}", actor=MOREAU) == [old]
    assert old not in await found(consent, f"AuditEvent?date=gt{old['recorded']}", actor=MOREAU)


Said = Callable[[Viewing], Any]


def _says(*bodies: dict[str, Any]) -> Said:
    async def said(consent: Viewing) -> None:
        for body in bodies:
            await consent.told("POST", "/directives", body)

    return said


async def _dies(consent: Viewing) -> None:
    standing = consent.journal.entries[RECORD]
    standing.append(
        replace(standing[0], version=len(standing) + 1, n=len(standing) + 1, cause="died", kind="represented",
                representation=Representation(1, False, True, ()))
    )  # fmt: skip


_CHOICES: dict[str, Said] = {
    "never met": _says(),
    "authorised": _says({"kind": "authorise", "professional": RPPS}),
    "blocked": _says({"kind": "authorise", "professional": RPPS}, {"kind": "block", "professional": RPPS}),
    "his structure blocked": _says({"kind": "block", "organisation": MOREAU.organisation}),
    "opposed": _says({"kind": "oppose"}),
    "closed": _says({"kind": "preset", "preset": "closed"}),
    "hidden": _says({"kind": "authorise", "professional": RPPS}, {"kind": "hide", "type": "11502-2"}),
    "deceased": _dies,
}


async def test_he_cannot_tell_what_she_chose_by_his_traces() -> None:
    """Whatever she said, the same questions leave the same answer: status, headers, and bytes but for ids and times."""
    told: dict[str, Any] = {}
    for name, choice in _CHOICES.items():
        consent = Viewing()
        document = await consent.deposit(paper(), by=COLLEAGUE)
        await choice(consent)
        for asked in (
            flow(MOREAU, Action.LIST), flow(MOREAU, Action.READ, document), flow(MOREAU, Action.READ, document, ABSENT),
            flow(MOREAU, Action.ANNOUNCE, document), flow(MOREAU, Action.DEPOSIT, deposit=paper("his")),
            flow(MOREAU, Action.DECLARE_CARE, care=Care("declared", consent.clock() + DAY)),
            flow(MOREAU, Action.LIST, purpose="BTG"), flow(MOREAU, Action.READ_DIRECTIVES),
        ):  # fmt: skip
            await consent.decide.one(asked)
        answer = await consent.call("GET", "/fhir/AuditEvent", actor=MOREAU)
        bundle = orjson.loads(answer.body.replace(document.encode(), b"document"))
        for each in bundle["entry"]:
            each["fullUrl"] = each["resource"]["id"] = each["resource"]["recorded"] = ""
            each["resource"]["entity"].sort(key=str)  # documents stand in the order of their ids, which are drawn
        told[name] = (answer.status, answer.headers, len(answer.body), bundle)
    assert told["never met"][0] == 200
    assert {name for name, each in told.items() if each != told["never met"]} == set()


@pytest.mark.parametrize("authorised", [True, False])
async def test_a_result_that_is_not_announced_parts_none_of_his_traces(consent: Viewing, *, authorised: bool) -> None:
    """What he asked in one go is one trace, in however many streams: else a stranger learned of a secret."""
    known = await consent.deposit(paper("known"), by=COLLEAGUE)
    if authorised:
        await consent.told("POST", "/directives", {"kind": "authorise", "professional": RPPS})
    secrets = [await consent.deposit(replace(SECRET, master_identifier=each), by=COLLEAGUE) for each in "ab"]
    asked = [
        flow(MOREAU, Action.READ, known, secrets[0]), flow(MOREAU, Action.READ, known, ABSENT),
        flow(MOREAU, Action.READ, *secrets), flow(MOREAU, Action.LIST, secrets[0], known), flow(MOREAU, Action.LIST),
    ]  # fmt: skip
    for each in asked:
        await consent.decide.one(each)
    told = (await found(consent, "AuditEvent", actor=MOREAU))[1:]
    assert [each["id"] for each in told] == [each.id for each in asked[::-1]]
    assert [documents(each) for each in told] == [sorted(each.documents) for each in asked[::-1]]
    for event in told:
        assert await consent.told("GET", f"/fhir/AuditEvent/{event['id']}", actor=MOREAU) == event
    stood = [each for each in consent.journal.entries[RECORD] if each.flow is not None]
    parts = [each.cause for each in stood if each.flow is not None and each.cause != each.flow.id]
    assert len(parts) == (5 if authorised else 3)
    for part in (*parts, f"{asked[1].id}.1"):
        refused(await consent.call("GET", f"/fhir/AuditEvent/{part}", actor=MOREAU), 404, "not-found")
        refused(await consent.call("GET", f"/fhir/AuditEvent?_after={part}", actor=MOREAU), 400, "after-unknown")
    read = await pages(consent, "AuditEvent?_count=1&date=lt2999", actor=MOREAU)
    assert [event["id"] for page in read for event in page][-len(asked) :] == [each.id for each in asked[::-1]]


async def test_what_he_did_about_a_result_is_his_at_once_and_hers_once_it_is_announced(consent: Viewing) -> None:
    """He knows of it by himself; to her it is not there, and then is, with all that was done about it."""
    secret = await consent.deposit(SECRET, by=MOREAU)
    await consent.decide.one(flow(MOREAU, Action.READ, secret))
    assert codes(await found(consent, "AuditEvent", actor=MOREAU)) == ["read-own-traces", "read", "deposit"]
    assert "read" not in codes(await found(consent, "AuditEvent"))
    await consent.decide.one(flow(MOREAU, Action.ANNOUNCE, secret))
    assert codes(await found(consent, f"AuditEvent?agent={RPPS}"))[::-1] == [
        "deposit", "read", "read-own-traces", "announce",
    ]  # fmt: skip


async def test_however_much_others_did_nothing_counts_them(consent: Viewing, monkeypatch: pytest.MonkeyPatch) -> None:
    """What he did long ago is found behind all the others' acts, and a link is there only for more of his own."""
    monkeypatch.setattr(read_traces, "MOST_LOOKED_AT", 4)
    monkeypatch.setattr(read_traces, "_PAGE", 3)
    for actor in (MOREAU, *[PETIT] * 9, MOREAU, *[PETIT] * 9):
        consent.ahead += WINDOW_MS * (actor is MOREAU)
        await consent.decide.one(flow(actor, Action.LIST))
    bundle = await consent.told("GET", "/fhir/AuditEvent", actor=MOREAU)
    assert ([each["resource"]["subtype"][-1]["code"] for each in bundle["entry"]], list(links(bundle))) == (
        ["read-own-traces", "list", "list"], ["self"],
    )  # fmt: skip
    assert [len(each) for each in await pages(consent, "AuditEvent?_count=2&agent=" + RPPS, actor=MOREAU)] == [2, 1]


def _counted(entries: list[Entry]) -> list[Entry]:
    """Return a journal in which refusals that repeat are told by a number: equal ones of a window have one entry."""
    met: set[Any] = set()
    kept = []
    for each in entries:
        if each.flow is not None and each.flow.actor == MOREAU:
            asked = (each.at // WINDOW_MS, each.flow.action, each.flow.documents, each.flow.purpose)
            if asked in met:
                continue
            met.add(asked)
        kept.append(each)
    return kept


@pytest.mark.parametrize("seed", range(4))
async def test_refusals_that_are_counted_leave_the_traces_that_answers_leave(consent: Viewing, seed: int) -> None:
    """Of equal questions in a window he is shown the first, whether the others have entries or were counted.

    However he searches: by periods that begin anywhere, in pages of any size, by ids that he was shown.
    """
    drawn, now = Random(seed), consent.ahead
    times = sorted(drawn.sample(range(90), 25))
    for minute in times:
        consent.ahead = now - DAY + minute * MINUTE
        await consent.decide.one(flow(MOREAU, Action.READ, drawn.choice([ABSENT, "b" * 26])))
    consent.ahead = now
    whole = consent.journal.entries[RECORD]
    fewer = _counted(whole)
    assert len(fewer) < len(whole)
    edges = [datetime.fromtimestamp((consent.clock() - DAY + each * MINUTE) / 1000, UTC) for each in times[::4]]
    for query in ("", *(f"&date={sign}{at:%Y-%m-%dT%H:%M:%SZ}" for at in edges for sign in ("ge", "gt", "le", "eq"))):
        path = f"AuditEvent?_count={drawn.choice([1, 2, 5, 50])}&date=lt{_hour_ago(consent)}{query}"
        told = []
        for entries in (whole, fewer):
            consent.journal.entries[RECORD] = list(entries)
            told.append(await pages(consent, path, actor=MOREAU))
        assert told[0] == told[1], query
    shown = {each["id"] for page in await pages(consent, "AuditEvent", actor=MOREAU) for each in page}
    consent.journal.entries[RECORD] = list(whole)
    for each in whole[1:]:
        answer = await consent.call("GET", f"/fhir/AuditEvent/{each.cause}", actor=MOREAU)
        assert answer.status == (200 if each.cause in shown else 404)
        answer = await consent.call("GET", f"/fhir/AuditEvent?_after={each.cause}", actor=MOREAU)
        assert answer.status == (200 if each.cause in shown else 400)


def _hour_ago(consent: Viewing) -> str:
    """Return an hour ago, so that a search is about what came before all these looks."""
    return f"{datetime.fromtimestamp(consent.clock() / 1000 - 3_600, UTC):%Y-%m-%dT%H:%M:%SZ}"


async def test_a_blocked_one_finds_as_many_traces_as_one_who_is_let_in() -> None:
    """With refusals counted as they are: asking again and again, he finds the same, each at the same time."""
    told = []
    for choice in ("authorised", "blocked"):
        consent = Viewing(counting=True)
        document = await consent.deposit(paper(), by=COLLEAGUE)
        await _CHOICES[choice](consent)
        begins = -consent.clock() % WINDOW_MS - DAY
        for minute in (0, 1, 3, 9, 10, 12, 27, 29, 29, 31):
            consent.ahead = begins + minute * MINUTE
            for asked in (flow(MOREAU, Action.READ, document), flow(MOREAU, Action.LIST)):
                await consent.decide.one(asked)
        entries = [each for each in consent.journal.entries[RECORD] if each.flow and each.flow.actor == MOREAU]
        assert len(entries) == (20 if choice == "authorised" else 8)
        consent.ahead = begins + DAY
        events = [each for page in await pages(consent, "AuditEvent?_count=3", actor=MOREAU) for each in page]
        told.append([(each["subtype"][-1]["code"], each["recorded"][14:16]) for each in events[1:]])
    assert told[0] == told[1]


async def test_she_reads_that_he_did(consent: Viewing) -> None:
    """His look is an entry like any other, and says by which rule."""
    await found(consent, "AuditEvent", actor=MOREAU)
    told = next(each for each in (await consent.told("GET", "/journal"))["entries"] if "who" in each
                and each["who"]["id"] == MOREAU.id)  # fmt: skip
    assert "Dr Moreau (Cabinet Moreau, logiciel Logiciel Moreau) a relu ses propres demandes" in told["phrase"]
    assert (told["action"], told["rule"]["id"]) == ("read-own-traces", "read-own-traces")


@pytest.mark.parametrize("path", ["/fhir/Consent", f"/fhir/Consent/{ABSENT}", "/journal", "/directives"])
async def test_nothing_else_of_the_record_is_opened_by_it(consent: Viewing, path: str) -> None:
    """Neither what she chose nor her journal."""
    answer = await consent.call("GET", path, actor=MOREAU)
    assert (answer.status, b"not-for-you" in answer.body) == (403, True)


@pytest.mark.parametrize(
    ("actor", "purpose", "slug"),
    [
        (replace(MOREAU, application_kind="patient-frontend"), "TREAT", "not-for-you"),
        (MOREAU, "PATRQT", "not-for-you"),
        (INSURER, "TREAT", "red-line"),
        (replace(INSURER, application_kind="care-software"), "TREAT", "not-for-you"),
    ],
)
async def test_only_care_software_and_care_lead_there(consent: Viewing, actor: Actor, purpose: str, slug: str) -> None:
    """Another purpose, other software, software without a person: 403, and an entry."""
    refused(await consent.call("GET", "/fhir/AuditEvent", actor=actor, purpose=purpose), 403, slug)
    assert consent.journal.entries[RECORD][-1].outcome is not None


async def test_what_has_no_flow_is_nobody_s_trace(consent: Viewing) -> None:
    """An officer of the same number reads in the journal of reviews what he did, not here."""
    access = await consent.decide.one(flow(MOREAU, Action.LIST))
    assert access.entry is not None
    seen = Entry(RECORD, 3, "looked", MAIN, 3, consent.clock(), access.entry.policies, "other", "looked-at-review",
                 reviewing=Reviewing(access.flow.id, access.entry.at, MOREAU))  # fmt: skip
    consent.journal.entries[RECORD].append(seen)
    assert codes(await found(consent, "AuditEvent", actor=MOREAU)) == ["read-own-traces", "list"]
