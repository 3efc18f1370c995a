"""Searches of a journal and its streams: what opened is found in its place, what did not leaves no trace at all."""

from typing import Any

import pytest

from chassis.tokens import Representative
from services.consent.domain.entry import MAIN
from services.consent.domain.flow import Action
from services.consent.use_cases import read_traces
from tests.unit.consent.people import COLLEAGUE, DAY, MOREAU, NOTICES, PARENT, PETIT, RECORD, flow, paper
from tests.unit.consent.searching import found, links, pages, refused, resources
from tests.unit.consent.test_representing_api import Family
from tests.unit.consent.viewing import Viewing

SECRET = paper("secret", visibility=("INVISIBLE_PATIENT",))
HIDDEN = paper("hidden", visibility=("INVISIBLE_REPRESENTANTS_LEGAUX",))
ACTING: dict[str, Any] = {
    "actor": PARENT, "purpose": "PATRQT", "representative": Representative(holder=PARENT.id, role="parent"),
}  # fmt: skip


@pytest.fixture
def consent() -> Viewing:
    """Open one record's interface."""
    return Viewing()


def codes(events: list[dict[str, Any]]) -> list[str]:
    """Return what each event was, but for looks at the journal."""
    return [each for each in (one["subtype"][-1]["code"] for one in events) if each != "read-journal"]


async def _lived(consent: Viewing, *, secretly: bool) -> str:
    """Have things happen, and between them others about a result that is not announced; return it."""
    secret = await consent.deposit(SECRET, by=COLLEAGUE) if secretly else ""
    for number in range(4):
        await consent.decide.one(flow(PETIT, Action.LIST))
        if secretly:
            await consent.decide.one(
                flow((MOREAU, NOTICES)[number % 2], (Action.READ, Action.NOTIFY)[number % 2], secret)
            )
    return secret


@pytest.mark.parametrize("end", ["announced", "a month"])
async def test_an_announced_result_is_there_with_all_that_was_done_about_it(consent: Viewing, end: str) -> None:
    """In the order in which it happened, page by page, by its agent, by its date and by its id."""
    if end == "a month":
        consent.ahead = -31 * DAY  # no month is longer
    secret = await _lived(consent, secretly=True)
    assert "read" not in codes(await found(consent, "AuditEvent"))
    inside = next(each for each in consent.journal.entries[RECORD] if each.stream != MAIN)
    refused(await consent.call("GET", f"/fhir/AuditEvent/{inside.cause}"), 404, "not-found")
    consent.ahead = 0
    if end == "announced":
        await consent.decide.one(flow(COLLEAGUE, Action.ANNOUNCE, secret))
    told = await found(consent, "AuditEvent")
    assert codes(told)[::-1] == [
        "opened", "deposit", *("list", "read", "list", "notify") * 2,
        *(["announce"] if end == "announced" else []),
    ]  # fmt: skip
    for size in (1, 2, 3, 7):
        read = [each["id"] for page in await pages(consent, f"AuditEvent?_count={size}") for each in page]
        assert read[-len(told) + 1 :] == [each["id"] for each in told[1:]]
    assert codes(await found(consent, f"AuditEvent?agent={MOREAU.id}")) == ["read", "read"]
    one = (await found(consent, f"AuditEvent?agent={COLLEAGUE.id}"))[-1]
    assert one["id"] in [each["id"] for each in await found(consent, f"AuditEvent?date={one['recorded']}")]
    assert await consent.told("GET", f"/fhir/AuditEvent/{inside.cause}") == one


async def test_with_and_without_a_secret_her_searches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages, their sizes, their links and where they end: nothing tells that something stands between."""
    monkeypatch.setattr(read_traces, "_PAGE", 3)
    for most in range(1, 8):
        monkeypatch.setattr(read_traces, "MOST_LOOKED_AT", most)
        told = []
        for secretly in (False, True):
            consent = Viewing()
            await _lived(consent, secretly=secretly)
            places = {each.cause: each.n for each in consent.journal.entries[RECORD] if each.stream == MAIN}
            read = []
            for query in ("_count=1", "_count=3", f"agent={PETIT.id}", f"agent={MOREAU.id}&_count=2"):
                path = f"AuditEvent?{query}"
                while path:
                    bundle = await consent.told("GET", f"/fhir/{path}")
                    path = links(bundle).get("next", "")
                    places |= {each.cause: each.n for each in consent.journal.entries[RECORD] if each.stream == MAIN}
                    after = path.partition("_after=")[2]
                    read.append(([places[each["id"]] for each in resources(bundle)], after and places[after]))
            told.append(read)
        assert told[0] == told[1]


async def test_a_cursor_into_a_closed_stream_is_none(consent: Viewing) -> None:
    """It is refused as one that never was, and so is its id."""
    await _lived(consent, secretly=True)
    for secret in [each for each in consent.journal.entries[RECORD] if each.stream != MAIN]:
        refused(await consent.call("GET", f"/fhir/AuditEvent?_after={secret.cause}"), 400, "after-unknown")
        refused(await consent.call("GET", f"/fhir/AuditEvent/{secret.cause}"), 404, "not-found")


async def test_a_parent_searches_what_is_open_to_parents() -> None:
    """What a minor keeps from them is in her search and in none of theirs, nor is any cursor of it."""
    family = Family()
    consent = family.consent
    hidden = await consent.deposit(HIDDEN, by=COLLEAGUE)
    await consent.decide.one(flow(COLLEAGUE, Action.LIST))
    await consent.decide.one(flow(COLLEAGUE, Action.READ, hidden))
    theirs = await found(consent, f"AuditEvent?agent={COLLEAGUE.id}", **ACTING)
    assert codes(theirs) == ["list"]
    assert hidden not in str(theirs)
    assert codes(await found(consent, f"AuditEvent?agent={COLLEAGUE.id}")) == ["read", "list", "list", "deposit"]
    inside = [each for each in consent.journal.entries[RECORD] if each.stream != MAIN]
    for each in inside:
        refused(await consent.call("GET", f"/fhir/AuditEvent/{each.cause}", **ACTING), 404, "not-found")
        refused(await consent.call("GET", f"/fhir/AuditEvent?_after={each.cause}", **ACTING), 400, "after-unknown")
    # A look in secret at his own traces is hers to know of, as all that is done in secret.
    answer = await consent.call("GET", "/fhir/AuditEvent", actor=MOREAU, secret=True)
    assert answer.status == 200, answer
    told = [await found(consent, f"AuditEvent?agent={MOREAU.id}", **by) for by in ({}, ACTING)]
    assert [codes(each) for each in told] == [["read-own-traces"], []]
    named = (await found(consent, "AuditEvent", **ACTING))[0]["agent"][0]["who"]
    assert (named["type"], named["identifier"]["value"]) == ("RelatedPerson", PARENT.id)
