"""A record with a busy reader on another decider: what the patient says gets its place in the journal all the same."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from services.consent.domain.entry import MAIN, Entry, Outcome, leaf_class
from services.consent.domain.flow import Action, Change
from services.consent.ledger import Ledger
from services.consent.ports import Fate
from services.consent.use_cases.decide import Decide
from tests.unit.consent.memory import MemoryJournal, MemoryKeys, MemorySnapshots, Unchanging
from tests.unit.consent.people import CAMILLE, MOREAU, NOW, PERSON, RECORD, RULES, flow, opening


class Busy(MemoryJournal):
    """Another decider's reads come in after every look, unless the insert follows the look without a pause."""

    def __init__(self) -> None:
        super().__init__()
        self.entries[RECORD], self.inserts = [opening()], 0
        self._next: asyncio.TimerHandle | None = None

    async def head(self, record: str) -> tuple[int, int] | None:
        """Look, and let a read come in."""
        found = await super().head(record)
        self._expect_a_read()
        return found

    async def changing(self, record: str, after: int, to: int) -> list[Entry]:
        """Look on: the read comes in after this."""
        self._expect_none()
        found = await super().changing(record, after, to)
        self._expect_a_read()
        return found

    async def append(self, entries: Sequence[Entry]) -> list[Fate]:
        """Insert before the read, if it has not come in yet."""
        self._expect_none()
        self.inserts += 1
        return [self._append(each) for each in entries]

    def read(self) -> None:
        """Insert a read."""
        last = self.entries[RECORD][-1]
        asked, outcome = flow(MOREAU, Action.LIST), Outcome("refused", "no-directive")
        assert self._append(
            Entry(RECORD, last.version + 1, uuid4().hex, MAIN, last.n + 1, NOW, RULES.digest,
                  leaf_class(asked, outcome), "decision", flow=asked, outcome=outcome)
        )  # fmt: skip

    def _expect_a_read(self) -> None:
        self._expect_none()
        # The loop runs what is ready before a timer that is due: who goes on from a look to the insert comes first,
        # and who lets the loop turn in between, be it by `sleep(0)`, does not.
        self._next = asyncio.get_running_loop().call_later(0, self.read)

    def _expect_none(self) -> None:
        if self._next is not None:
            self._next.cancel()


async def test_a_withdrawal_does_not_lose_every_race_against_a_busy_reader() -> None:
    """Once overtaken, a decider waits before it looks and inserts at once after it: its second insert stands."""
    journal = Busy()
    ledger = Ledger(journal, MemorySnapshots())
    decide = Decide(ledger, journal, MemoryKeys(), Unchanging(RULES), lambda: NOW)
    await decide.one(flow(CAMILLE, Action.LIST))  # it knows the record from now on,
    journal.read()  # and is behind
    before = journal.inserts
    block = await decide.one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("block", PERSON)))
    assert block.outcome is not None
    assert block.outcome.verdict == "allowed"
    assert block.entry in journal.entries[RECORD]
    assert journal.inserts - before == 2
