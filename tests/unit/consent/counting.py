"""Deciders that count refusals which repeat, and sweepers that tell the number, over ports in memory."""

from dataclasses import dataclass, field
from typing import Any

from services.consent.domain.entry import Entry, Repeated
from services.consent.domain.flow import Action, Actor
from services.consent.domain.repeating import over_at
from services.consent.domain.rules import Rules
from services.consent.inscribing import Inscribe
from services.consent.ledger import Ledger
from services.consent.ports import Clock
from services.consent.repeats import Repeats
from services.consent.use_cases.close_windows import SETTLED_MS, CloseWindows
from services.consent.use_cases.decide import Decide, Decided
from tests.unit.consent.memory import MemoryJournal, MemoryKeys, MemorySnapshots, MemoryWindows, Unchanging
from tests.unit.consent.people import (
    ABSENT,
    MOREAU,
    NOW,
    RECORD,
    RULES,
    flow,
    opening,
)

LASTS = 600_000


@dataclass
class Bench:
    """Deciders and sweepers, each of its own memory, over one journal and its windows."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    now: int = NOW // LASTS * LASTS  # a window has just begun

    def __post_init__(self) -> None:
        self.windows = MemoryWindows(self.journal)
        self.journal.entries[RECORD] = [opening()]
        self.decide = self.decider()

    def decider(self, rules: Rules = RULES, clock: Clock | None = None) -> Decide:
        """Return another decider."""
        ledger = Ledger(self.journal, MemorySnapshots())
        repeats = Repeats(self.windows, LASTS)
        return Decide(ledger, self.journal, self.keys, Unchanging(rules), clock or self.clock, repeats=repeats)

    def sweeper(self, journal: MemoryJournal | None = None) -> CloseWindows:
        """Return another sweeper."""
        own = journal or self.journal
        ledger = Ledger(own, MemorySnapshots())
        return CloseWindows(self.windows, own, Inscribe(ledger, own, Unchanging(RULES), self.clock), self.clock)

    def clock(self) -> int:
        """Return the time that the test set."""
        return self.now

    async def ask(self, actor: Actor = MOREAU, action: Action = Action.READ, *documents: str, **said: Any) -> Decided:
        """Ask, and find an answer."""
        named = documents or ((ABSENT,) if action is Action.READ else ())
        return await self.decide.one(flow(actor, action, *named, **said))

    async def closed(self) -> list[Repeated]:
        """Let the window pass, close it, and return what closing entries say."""
        self.now = over_at(self.now, LASTS) + SETTLED_MS + 1
        await self.sweeper()()
        return [each.repeated for each in self.entries if each.repeated]

    @property
    def entries(self) -> list[Entry]:
        """The journal after its opening."""
        return self.journal.entries[RECORD][1:]
