"""A month after its deposit a result that nobody announced is the patient's: one entry says so, whatever happens."""

import asyncio
from dataclasses import dataclass, field

import pytest

from chassis.sealing import Unsealable
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Action
from services.consent.domain.record import Record
from services.consent.inscribing import Inscribe
from services.consent.ledger import Ledger
from services.consent.ports import Fate, OutcomeUnknown, Unconfirmed
from services.consent.use_cases.decide import Decide
from services.consent.use_cases.question_deposits import QuestionDeposits
from services.consent.use_cases.reveal_documents import RevealDocuments
from tests.unit.consent.memory import MemoryJournal, MemoryKeys, MemorySnapshots, Unchanging
from tests.unit.consent.people import MONTH, MOREAU, NOW, OTHER_RECORD, RECORD, RULES, flow, folded, opening, paper

SECRET = paper("secret", visibility=("INVISIBLE_PATIENT",))
IN_FORCE = Unchanging(RULES)


class Damaged(Ledger):
    """A ledger of a journal in which one record's entries open no more."""

    async def folded(self, record: str) -> Record | None:
        """Return a state."""
        if record == OTHER_RECORD:
            raise Unsealable
        return await super().folded(record)


@dataclass
class House:
    """Records, keys and a clock that tests move."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    now: int = NOW

    def clock(self) -> int:
        """Return the time."""
        return self.now

    async def deposit(self, record: str = RECORD) -> str:
        """Open a record and deposit a result in it that the patient may not know of; return the document."""
        self.journal.entries[record] = [opening(record)]
        asked = flow(MOREAU, Action.DEPOSIT, record=record, deposit=SECRET)
        return (await self.decide.one(asked)).documents[0].id

    @property
    def decide(self) -> Decide:
        """Return the decision of a fresh process."""
        return Decide(self.ledger(), self.journal, self.keys, IN_FORCE, self.clock)

    def ledger(self, kind: type[Ledger] = Ledger) -> Ledger:
        """Return a fresh process's ledger."""
        return kind(self.journal, MemorySnapshots())

    def reveal(self, kind: type[Ledger] = Ledger) -> RevealDocuments:
        """Return a fresh process's sweep."""
        ledger = self.ledger(kind)
        return RevealDocuments(ledger, Inscribe(ledger, self.journal, IN_FORCE, self.clock), self.keys, self.clock)

    def revealed(self, record: str = RECORD) -> list[Entry]:
        """Return the entries that tell."""
        return [each for each in self.journal.entries[record] if each.kind == "revealed"]


@pytest.fixture
def house() -> House:
    """Begin with nothing."""
    return House()


async def test_a_result_is_revealed_once_its_month_is_over(house: House) -> None:
    """Not a moment before; then by one entry of the main stream, which opens the document's own stream."""
    document = await house.deposit()
    house.now = NOW + MONTH - 1
    assert await house.reveal()() == 0
    assert house.revealed() == []
    house.now += 1
    assert await house.reveal()() == 1
    (told,) = house.revealed()
    assert (told.stream, told.n, told.about, told.leaf_class, told.at) == (MAIN, 2, document, "other", house.now)
    assert folded(house.journal.entries[RECORD]).documents[document].announced
    assert await house.reveal()() == 0


async def test_processes_that_sweep_at_once_tell_it_once(house: House) -> None:
    """The journal takes one entry of the cause; the others find the mark gone."""
    await house.deposit()
    house.now += MONTH
    await asyncio.gather(*(house.reveal()() for _ in range(8)))
    assert len(house.revealed()) == 1
    assert house.keys.visible_at == {}


async def test_what_a_professional_announced_is_not_told_again(house: House) -> None:
    """Only the mark goes."""
    document = await house.deposit()
    announced = await house.decide.one(flow(MOREAU, Action.ANNOUNCE, document))
    assert announced.outcome is not None
    assert announced.outcome.verdict == "allowed"
    house.now += MONTH
    await house.reveal()()
    assert house.revealed() == []
    assert house.keys.visible_at == {}


async def test_a_process_that_died_before_the_mark_went_writes_no_second_entry(house: House) -> None:
    """The entry stands; whoever comes after it only takes the mark."""
    document = await house.deposit()
    house.now += MONTH
    await house.reveal()()
    house.keys.visible_at[RECORD, document] = house.now
    await house.reveal()()
    assert len(house.revealed()) == 1
    assert house.keys.visible_at == {}


async def test_a_row_whose_clock_was_another_s_waits_and_is_not_counted(house: House) -> None:
    """The rules would still hide the document: nothing is told, and the sweep takes its pause."""
    document = await house.deposit()
    house.keys.visible_at[RECORD, document] = NOW
    assert await house.reveal()() == 0
    assert house.revealed() == []
    house.now += MONTH
    assert await house.reveal()() == 1


async def test_a_record_that_cannot_be_read_silences_no_other(house: House) -> None:
    """Its document stays due, the error is said, and the next record's is revealed."""
    damaged = await house.deposit(OTHER_RECORD)
    await house.deposit()
    house.now += MONTH
    assert await house.reveal(Damaged)() == 1
    assert len(house.revealed()) == 1
    assert list(house.keys.visible_at) == [(OTHER_RECORD, damaged)]


async def test_an_insert_of_which_the_database_said_nothing_is_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep goes on, and the next round finds the entry that stood after all."""
    await house.deposit()
    house.now += MONTH
    append = house.journal.append

    async def silent(entries: list[Entry]) -> list[Fate]:
        await append(entries)
        raise OutcomeUnknown

    with monkeypatch.context() as failing:
        failing.setattr(house.journal, "append", silent)
        assert await house.reveal()() == 0
    assert house.keys.visible_at != {}
    await house.reveal()()
    assert len(house.revealed()) == 1
    assert house.keys.visible_at == {}


async def test_a_question_about_one_deposit_does_not_wait_for_a_record_that_cannot_be_read(house: House) -> None:
    """Its row is left as it is, and documents is asked about the others."""
    damaged = await house.deposit(OTHER_RECORD)
    document = await house.deposit()
    asked: list[Unconfirmed] = []

    async def ask(each: Unconfirmed) -> None:
        asked.append(each)

    question = QuestionDeposits(house.ledger(Damaged), house.keys, ask, house.clock)
    assert await question() == 1
    assert [each.document for each in asked] == [document]
    assert (OTHER_RECORD, damaged, 1) in house.keys.rows
