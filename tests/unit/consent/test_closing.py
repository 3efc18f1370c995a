"""The number of a window of refusals is told once, when it is final, in an entry that everybody can read."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from services.consent.domain.entry import MAIN, Entry, Repeated
from services.consent.domain.flow import Action
from services.consent.domain.record import Record
from services.consent.domain.repeating import over_at
from services.consent.fhir.audit_events import audit_event
from services.consent.french.phrases import entry_view
from services.consent.ports import Fate, OutcomeUnknown
from services.consent.use_cases.close_windows import SETTLED_MS
from tests.unit.consent.counting import LASTS, Bench
from tests.unit.consent.memory import MemoryJournal
from tests.unit.consent.people import (
    ABSENT,
    INSURER,
    MOREAU,
    PETIT,
    RECORD,
    RULES,
    flow,
    opening,
)


@pytest.fixture
def bench() -> Bench:
    """Return deciders of an open record, which has authorised nobody."""
    return Bench()


@pytest.mark.parametrize("dies", ["ended", "told"])
async def test_a_closing_that_dies_is_finished_and_told_once(bench: Bench, dies: str) -> None:
    """Between the last count and the entry, or between the entry and the row: the next sweeper tells it, once."""

    class Dying(MemoryJournal):
        async def append(self, entries: Sequence[Entry]) -> list[Fate]:
            if dies == "told":
                await bench.journal.append(entries)
            raise ConnectionError

    for _ in range(3):
        await bench.ask()
    bench.now = over_at(bench.now, LASTS) + SETTLED_MS + 1
    dying = Dying()
    dying.entries = bench.journal.entries
    with pytest.raises(ConnectionError):
        await bench.sweeper(dying)()
    assert len(bench.windows.rows) == 1
    assert [each.times for each in await bench.closed()] == [2]
    assert await bench.sweeper()() == 0


async def test_the_number_is_final_before_it_is_told(bench: Bench) -> None:
    """A decider whose clock is behind counts while the window is closed: too late, so it is an entry."""
    await bench.ask()
    await bench.ask()
    then, behind = bench.now, bench.decider(clock=lambda: then)

    class Meanwhile(MemoryJournal):
        async def caused(self, record: str, causes: Collection[str]) -> set[str]:
            await behind.one(flow(MOREAU, Action.READ, ABSENT))
            return await super().caused(record, causes)

    bench.now = over_at(bench.now, LASTS) + SETTLED_MS + 1
    meanwhile = Meanwhile()
    meanwhile.entries = bench.journal.entries
    await bench.sweeper(meanwhile)()
    assert [each.repeated.times if each.repeated else 0 for each in bench.entries] == [0, 0, 1]


async def test_many_sweepers_tell_it_once(bench: Bench) -> None:
    """Any number at once: one closing entry a window."""
    for actor in (MOREAU, PETIT, INSURER):
        for _ in range(2):
            await bench.ask(actor, Action.LIST)
    bench.now = over_at(bench.now, LASTS) + SETTLED_MS + 1
    await asyncio.gather(*(bench.sweeper()() for _ in range(4)))
    assert [each.times for each in await bench.closed()] == [1, 1, 1]


async def test_a_window_is_not_closed_before_all_that_was_asked_in_it_is_settled(bench: Bench) -> None:
    """For some seconds after its end a flow of it may still be heard again."""
    await bench.ask()
    await bench.ask()
    bench.now = over_at(bench.now, LASTS) + SETTLED_MS
    assert await bench.sweeper()() == 0
    bench.now += 1
    assert await bench.sweeper()() == 1


async def test_one_window_that_cannot_be_closed_silences_no_other(bench: Bench) -> None:
    """The rest is told, and that one is tried again."""

    class Torn(MemoryJournal):
        async def caused(self, record: str, causes: Collection[str]) -> set[str]:
            if record == RECORD:
                raise OutcomeUnknown
            return await super().caused(record, causes)

    other = "carnetexamplerecordzzzz234"
    bench.journal.entries[other] = [opening(other)]
    for record in (RECORD, other):
        for _ in range(2):
            await bench.ask(record=record)
    bench.now = over_at(bench.now, LASTS) + SETTLED_MS + 1
    torn = Torn()
    torn.entries = bench.journal.entries
    assert await bench.sweeper(torn)() == 1
    assert [each.record for each in bench.windows.rows.values()] == [RECORD]
    assert [each.times for each in await bench.closed()] == [1]


# -- what the patient reads of it


def _closing(**said: Any) -> Entry:
    at = 1_796_000_000_000  # 30 November 2026
    repeated = Repeated("f" * 32, MOREAU, Action.READ, "TREAT", "refused", 4, at, at + 240_000)
    return Entry(
        RECORD, 3, f"{'f' * 32}.repeated", MAIN, 3, at + 600_000, RULES.digest, "request", "repeated",
        repeated=replace(repeated, **said),
    )  # fmt: skip


def test_she_reads_how_often_and_until_when() -> None:
    """In French: who, how often, until when, and that it was refused each time; the first one is cited by its time."""
    view = entry_view(_closing(), RULES)
    assert view["phrase"] == (
        "Après sa demande du 30 novembre 2026 à 01:53:20, Dr Moreau (Cabinet Moreau, logiciel Logiciel Moreau) "
        "a redemandé 4 fois la même chose, jusqu'au 30 novembre 2026 à 01:57:20 ; refusé à chaque fois."
    )
    assert (view["kind"], view["flow"], view["times"], view["action"]) == ("repeated", "f" * 32, 4, "read")
    assert (view["outcome"], view["who"]["id"]) == ("refused", MOREAU.id)
    red = entry_view(_closing(verdict="red-line", by=INSURER), RULES)["phrase"]
    assert red.endswith(" ; refusé à chaque fois, et aucun accord ne peut le permettre.")


def test_a_closing_entry_is_an_audit_event() -> None:
    """FHIR's form of it is valid, and says the sentence."""
    found = audit_event(_closing(), "https://carnet.test", RULES)
    AuditEvent.model_validate(orjson.loads(orjson.dumps(found)))
    assert "a redemandé 4 fois" in found["outcomeDesc"]


def test_a_closing_entry_changes_no_state() -> None:
    """Replay and fold pass over it: it is no verdict."""
    record, entry = Record(RECORD), opening()
    record.apply(entry)
    before = replace(record)
    record.apply(replace(_closing(), version=2, n=2))
    assert (record.version, record.n) == (2, 2)
    assert replace(record, version=1, n=1) == before
