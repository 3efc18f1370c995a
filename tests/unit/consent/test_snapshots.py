"""A snapshot saves time and is never believed against the journal."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from chassis.sealing import canonical
from services.consent import ledger as ledger_module
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Care
from services.consent.domain.record import Record
from services.consent.domain.snapshot import dump, load
from services.consent.ledger import Ledger
from tests.unit.consent.memory import MemoryJournal, MemorySnapshots
from tests.unit.consent.people import DAY, MOREAU, NOW, PERSON, RECORD, Book, flow, paper
from tests.unit.consent.test_judging import _STEPS, _lived


class Counting(MemoryJournal):
    """A journal that counts what is read of it."""

    read = 0

    async def changing(self, record: str, after: int, to: int) -> list[Entry]:
        """Count."""
        found = await super().changing(record, after, to)
        self.read += len(found)
        return found


@settings(max_examples=60, deadline=None)
@given(_STEPS)
def test_a_state_comes_back_whole(steps: list[tuple[Any, ...]]) -> None:
    """Through canonical JSON a state is the same, whatever the record lived through."""
    state = _lived(steps).record
    assert load(state.id, orjson.loads(canonical(dump(state)))) == state


def test_relations_codes_and_presets_come_back() -> None:
    """What the random lives above do not reach."""
    book = Book()
    code = "c" * 43
    book.say("code", until=NOW + DAY, members=(code,))
    book.ask(flow(MOREAU, Action.DECLARE_CARE, care=Care("code", NOW + DAY, code)))
    book.say("preset", "closed")
    book.say("authorise", "team", members=(PERSON,))
    assert book.record.care
    assert book.record.spent == {code}
    assert load(RECORD, orjson.loads(canonical(dump(book.record)))) == book.record


def test_another_form_is_not_read() -> None:
    """After a change of what a fold means, old snapshots are passed over."""
    assert load(RECORD, dump(Book().record) | {"form": 0}) is None


def _long(count: int) -> tuple[Counting, Record]:
    book, journal = Book(), Counting()
    for number in range(count):
        book.deposit(paper(f"paper {number}"))
    journal.entries[RECORD] = list(book.entries)
    return journal, book.record


async def test_a_long_journal_is_folded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next process begins at the snapshot, and reads what came since only."""
    monkeypatch.setattr(ledger_module, "SNAPSHOT_AFTER", 20)
    journal, state = _long(30)
    snapshots = MemorySnapshots()
    assert await Ledger(journal, snapshots, checked=0).folded(RECORD) == state
    journal.read = 0
    assert await Ledger(journal, snapshots, checked=0).folded(RECORD) == state
    assert journal.read == 0


async def test_a_short_journal_leaves_none() -> None:
    """What is read at once anyway is not stored twice."""
    journal, _ = _long(30)
    snapshots = MemorySnapshots()
    await Ledger(journal, snapshots).folded(RECORD)
    assert snapshots.held == {}


async def test_a_snapshot_that_differs_is_found_and_dropped() -> None:
    """Held against the journal, a false one is not believed, and is gone."""
    journal, state = _long(30)
    snapshots = MemorySnapshots()
    snapshots.held[RECORD] = dump(state) | {"documents": []}
    assert await Ledger(journal, snapshots, checked=1).folded(RECORD) == state
    assert snapshots.held == {}


async def test_a_snapshot_ahead_of_its_journal_is_not_believed() -> None:
    """A journal that was restored from a backup is the truth, not what was seen before."""
    journal, state = _long(30)
    snapshots = MemorySnapshots()
    snapshots.held[RECORD] = dump(state)
    journal.entries[RECORD] = journal.entries[RECORD][:10]
    found = await Ledger(journal, snapshots, checked=0).folded(RECORD)
    assert found is not None
    assert (found.version, len(found.documents)) == (10, 9)
