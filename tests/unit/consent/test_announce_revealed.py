"""What was kept from the patient and is hers now is told once, by a fact that notifications asks about."""

import asyncio
from dataclasses import dataclass

import pytest

from chassis.sealing import Unsealable
from services.consent.domain.entry import Entry, Outcome
from services.consent.domain.flow import Action, Actor, Amendment, Change
from services.consent.domain.record import Record
from services.consent.ports import RecordUnknown
from services.consent.use_cases.announce import Announce
from tests.unit.consent.memory import MemoryJournal, MemoryNotices, MemoryReviews
from tests.unit.consent.people import CAMILLE, MONTH, MOREAU, NOTICES, NOW, PETIT, RECORD, entry, flow, paper
from tests.unit.consent.test_reveal import House


@dataclass
class Told(House):
    """A house whose entries are announced."""

    @property
    def notices(self) -> MemoryNotices:
        """What is due and what was told; one for the house."""
        return self._notices

    def __post_init__(self) -> None:
        """Begin with nothing told."""
        self._notices = MemoryNotices(self.journal, MemoryReviews())

    def announce(self) -> Announce:
        """Return a fresh process's announcer."""
        return Announce(self.notices, self.journal, self.ledger(), self.clock)

    async def ends(self) -> list[str]:
        """Announce what is due, and return the ends."""
        return [await self.announce()(each) for each in await self.notices.due(100)]

    async def announced(self, *documents: str, by: Actor = MOREAU) -> str:
        """Have a professional announce documents; return the flow."""
        asked = flow(by, Action.ANNOUNCE, *documents)
        await self.decide.one(asked)
        return asked.id


@pytest.fixture
def told() -> Told:
    """Begin with nothing."""
    return Told()


async def test_what_a_professional_announces_is_told(told: Told) -> None:
    """Nothing is due before; then the document and the time are told, once, and it is no emergency: no review."""
    document = await told.deposit()
    assert await told.notices.due(10) == []
    told.now += 5_000
    cause = await told.announced(document)
    (due,) = await told.notices.due(10)
    assert (due.kind, due.flow, due.at) == ("revealed", cause, NOW + 5_000)
    assert await told.ends() == ["told"]
    assert told.notices.revealed == [(RECORD, document)]
    assert told.notices.told == []
    assert await told.notices.due(10) == []


async def test_what_its_label_announces_is_told(told: Told) -> None:
    """Taking INVISIBLE_PATIENT away is the same announcement: the same fact, and none more for the other labels."""
    document = await told.deposit()
    labels = ("INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX", "MASQUE_PS")
    (depositor,) = {each.depositor for each in (await told.ledger().folded(RECORD)).documents.values()}  # type: ignore[union-attr]
    by = next(each for each in (MOREAU, PETIT) if each.id == depositor)
    for _ in range(2):
        await told.decide.one(flow(by, Action.AMEND, document, amendment=Amendment((), labels)))
    plain = (await told.decide.one(flow(MOREAU, Action.DEPOSIT, deposit=paper("plain")))).documents[0].id
    await told.decide.one(flow(MOREAU, Action.AMEND, plain, amendment=Amendment((), labels)))
    assert await told.ends() == ["told", "told", "nothing-new"]
    assert set(told.notices.revealed) == {(RECORD, document)}


async def test_what_a_month_reveals_is_told(told: Told) -> None:
    """The sweep's entry is the occasion, and there is none before it."""
    document = await told.deposit()
    told.now += MONTH
    assert await told.ends() == []
    await told.reveal()()
    assert await told.ends() == ["told"]
    assert told.notices.revealed == [(RECORD, document)]


async def test_two_announcers_tell_it_once(told: Told) -> None:
    """One of them finds that it is told."""
    document = await told.deposit()
    await told.announced(document)
    (due,) = await told.notices.due(10)
    ends = await asyncio.gather(*(told.announce()(due) for _ in range(3)))
    assert sorted(ends) == ["told", "told-before", "told-before"]
    assert told.notices.revealed == [(RECORD, document)]


async def test_what_was_no_secret_is_not_told_anew(told: Told) -> None:
    """A document that was told of at its deposit opens nothing: its announcement is due no longer, without a fact."""
    await told.deposit()
    plain = (await told.decide.one(flow(MOREAU, Action.DEPOSIT, deposit=paper("plain")))).documents[0].id
    await told.announced(plain)
    assert await told.ends() == ["nothing-new"]
    assert told.notices.revealed == []


async def test_what_was_announced_twice_is_one_document(told: Told) -> None:
    """Each entry is told of, and both tell the same: to their readers it is one event."""
    document = await told.deposit()
    for _ in range(2):
        await told.announced(document)
    assert await told.ends() == ["told", "told"]
    assert set(told.notices.revealed) == {(RECORD, document)}


async def test_a_stranger_s_announcement_tells_nothing(told: Told) -> None:
    """It was refused, whatever its answer said."""
    await told.announced(await told.deposit(), by=PETIT)
    assert await told.notices.due(10) == []


async def test_what_was_given_up_meanwhile_is_not_told(told: Told) -> None:
    """A deposit that never stood is no new element."""
    document = await told.deposit()
    await told.announced(document)
    last = told.journal.entries[RECORD][-1]
    gone = Entry(RECORD, last.version + 1, "gone", "main", last.n + 1, NOW, last.policies, "other", "abandoned",
                 about=document)  # fmt: skip
    told.journal.entries[RECORD].append(gone)
    assert await told.ends() == ["nothing-new"]
    assert told.notices.revealed == []


@pytest.mark.parametrize("error", [Unsealable(), RecordUnknown()])
async def test_what_cannot_be_read_is_not_asked_about_for_ever(error: Exception) -> None:
    """Nobody could judge such a notice: it is due no longer, and operators count it."""

    class Broken(MemoryJournal):
        async def by_cause(self, record: str, cause: str) -> Entry | None:  # noqa: ARG002 - the port's
            raise error

    told = Told(Broken())
    document = await told.deposit()
    written = entry(Record(RECORD, 2, 1), flow(MOREAU, Action.ANNOUNCE, document), Outcome("allowed", "rule"), NOW)
    told.journal.entries[RECORD].append(written)
    assert await told.ends() == ["unreadable"]
    assert await told.notices.due(10) == []


async def test_consent_may_refuse_the_notice(told: Told) -> None:
    """It is an ordinary flow: allowed once the document is hers, refused in a record that she opposed."""
    document = await told.deposit()
    verdicts = []

    async def asked() -> None:
        outcome = (await told.decide.one(flow(NOTICES, Action.NOTIFY, document))).outcome
        verdicts.append((outcome.verdict, outcome.rule) if outcome else None)

    await asked()
    await told.announced(document)
    await asked()
    await told.decide.one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("oppose")))
    await asked()
    assert verdicts == [
        ("refused", "no-notice-before-announcement"), ("allowed", "notice-without-content"),
        ("refused", "opposed"),
    ]  # fmt: skip
