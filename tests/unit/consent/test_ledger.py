"""What a process remembers of records is never more than the journal says, and skips nothing of it."""

import asyncio
from dataclasses import dataclass, field

import pytest

from services.consent import ledger as ledger_module
from services.consent.domain.entry import Entry, Outcome
from services.consent.domain.flow import Action, Change
from services.consent.domain.record import Record
from services.consent.ledger import Ledger
from tests.unit.consent.memory import MemoryJournal, MemorySnapshots
from tests.unit.consent.people import (
    CAMILLE,
    MOREAU,
    NOW,
    OTHER_RECORD,
    PERSON,
    RECORD,
    Book,
    entry,
    flow,
    folded,
    opening,
    paper,
)


def _next(journal: MemoryJournal, action: Action, change: Change | None = None) -> Entry:
    """Write the next entry of the record."""
    record = folded(journal.entries[RECORD])
    outcome = Outcome("allowed", "patient-own-record")
    written = entry(record, flow(CAMILLE, action, change=change), outcome, NOW)
    journal.entries[RECORD].append(written)
    return written


@dataclass
class Gated(MemoryJournal):
    """A journal whose answers about changes wait for a sign, in the order of the questions."""

    gates: list[asyncio.Event] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    async def changing(self, record: str, after: int, to: int) -> list[Entry]:
        """Read now, answer when let."""
        found = await super().changing(record, after, to)
        if self.closed:
            self.gates.append(asyncio.Event())
            await self.gates[-1].wait()
        return found


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_fold_takes_in_what_is_new() -> None:
    """A remembered state may be behind; folding brings it to the newest entry, requests included."""
    journal = MemoryJournal()
    journal.entries[RECORD] = [opening()]
    ledger = Ledger(journal, MemorySnapshots())
    assert await ledger.folded(RECORD) == folded(journal.entries[RECORD])
    _next(journal, Action.CHANGE_DIRECTIVES, Change("block", PERSON))
    _next(journal, Action.LIST)
    behind = await ledger.current(RECORD)
    assert behind is not None
    assert behind.version == 1
    assert await ledger.folded(RECORD) == folded(journal.entries[RECORD])


async def test_an_unknown_record_is_not_remembered() -> None:
    """A record without entries is none, and takes no room."""
    ledger = Ledger(MemoryJournal(), MemorySnapshots())
    assert await ledger.current(RECORD) is None
    assert await ledger.folded(RECORD) is None
    assert not ledger._records


async def test_an_entry_of_this_process_is_taken_in_only_if_it_is_next() -> None:
    """After a gap the entry waits for a fold: nothing is skipped."""
    journal = MemoryJournal()
    journal.entries[RECORD] = [opening()]
    ledger = Ledger(journal, MemorySnapshots())
    await ledger.folded(RECORD)
    first = _next(journal, Action.CHANGE_DIRECTIVES, Change("authorise", PERSON))
    second = _next(journal, Action.CHANGE_DIRECTIVES, Change("block", PERSON))
    ledger.appended(second)
    state = await ledger.current(RECORD)
    assert state is not None
    assert state.version == 1
    ledger.appended(first)
    ledger.appended(second)
    assert await ledger.current(RECORD) == folded(journal.entries[RECORD])


async def test_folds_at_the_same_time_give_one_state() -> None:
    """Several folds that read at different moments end at the newest of them, whatever order they come back in."""
    book = Book()
    for _ in range(4):
        book.say("end", ends=book.say("authorise", PERSON))
        book.deposit(paper())
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        journal = Gated(closed=True)
        ledger, tasks = Ledger(journal, MemorySnapshots()), []
        for upto in (3, 7, len(book.entries)):
            journal.entries[RECORD] = book.entries[:upto]
            tasks.append(asyncio.create_task(ledger.folded(RECORD)))
            await _turns()
        for position in order:
            journal.gates[position].set()
            await _turns()
        await asyncio.gather(*tasks)
        assert ledger._records[RECORD] == book.record


async def test_forgetting_between_two_folds_skips_no_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that was forgotten and folded anew by a slow reader is not moved past entries that it never saw."""
    monkeypatch.setattr(ledger_module, "_REMEMBERED", 1)
    journal = Gated()
    journal.entries[RECORD] = [opening()]
    journal.entries[OTHER_RECORD] = [opening(OTHER_RECORD)]
    ledger = Ledger(journal, MemorySnapshots())
    _next(journal, Action.CHANGE_DIRECTIVES, Change("authorise", PERSON))
    journal.closed = True
    slow = asyncio.create_task(ledger.folded(RECORD))  # reads up to the authorisation
    await _turns()
    journal.closed = False
    _next(journal, Action.CHANGE_DIRECTIVES, Change("block", PERSON))
    await ledger.folded(RECORD)  # knows the block
    journal.closed = True
    _next(journal, Action.CHANGE_DIRECTIVES, Change("oppose"))
    late = asyncio.create_task(ledger.folded(RECORD))  # reads what comes after the block
    await _turns()
    journal.closed = False
    await ledger.folded(OTHER_RECORD)  # the record is forgotten
    for gate in journal.gates:
        gate.set()
        await _turns()
    await asyncio.gather(slow, late)
    state = await ledger.folded(RECORD)
    assert state == folded(journal.entries[RECORD])
    assert isinstance(state, Record)
    assert state.blocked(MOREAU, NOW)
    assert state.evidence(MOREAU, NOW) == ""


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many records the latest judged are remembered."""
    monkeypatch.setattr(ledger_module, "_REMEMBERED", 2)
    journal = MemoryJournal()
    names = [f"record-{number}" for number in range(5)]
    for name in names:
        journal.entries[name] = [opening(name)]
    ledger = Ledger(journal, MemorySnapshots())
    for name in names:
        await ledger.current(name)
        await ledger.current(names[0])
    assert set(ledger._records) == {names[0], names[-1]}
