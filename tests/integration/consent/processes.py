"""Consent's use cases on a real database, as one process has them: several over one database are several deciders."""

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from chassis.mongo import Mongo
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Actor, Change, Flow
from services.consent.keys import FileRoot, MongoRecordKeys
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import OutcomeUnknown
from services.consent.store import MongoDocumentKeys, MongoJournal
from services.consent.use_cases.abandon_deposit import AbandonDeposit
from services.consent.use_cases.change_directives import ChangeDirectives
from services.consent.use_cases.decide import Decide, Decided
from services.consent.use_cases.open_record import OpenRecord
from tests.unit.consent.people import CAMILLE, RECORD, RULES, flow

DEADLINE_MS = 1_500


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Process:
    """One process of consent: its own memory, the shared database."""

    def __init__(self, mongo: Mongo, root: Path, journal: type[MongoJournal] = MongoJournal) -> None:
        self.mongo = mongo
        self.record_keys = MongoRecordKeys(mongo, FileRoot(root))
        self.journal, self.keys = journal(mongo, self.record_keys), MongoDocumentKeys(mongo, self.record_keys)
        self.ledger = Ledger(self.journal)
        self.decide = Decide(self.ledger, self.journal, self.keys, RULES, now_ms)
        self.change = ChangeDirectives(OwnFlows(self.decide), self.ledger, now_ms)
        self.open = OpenRecord(self.journal, self.record_keys, RULES, now_ms)
        self.abandon = AbandonDeposit(self.ledger, self.journal, self.keys, RULES, now_ms)

    async def prepare(self) -> None:
        """Create the collections and their indexes."""
        for each in (self.record_keys, self.journal, self.keys):
            await each.prepare()

    async def say(self, change: Change, record: str = RECORD) -> str:
        """Have Camille begin or end a directive."""
        return (await self.change(Asking(record, CAMILLE, "PATRQT"), change)).flow.id

    async def ask(self, actor: Actor, action: Action, *documents: str, **more: object) -> Decided | None:
        """Have a flow with the protocol's deadline decided."""
        return await self.decide(asked(actor, action, *documents, **more))

    async def entries(self, record: str = RECORD) -> list[Entry]:
        """Return the journal from its first entry on."""
        return list(reversed(await self.journal.page(record, None, 1_000_000)))


def asked(actor: Actor, action: Action, *documents: str, **more: object) -> Flow:
    """Return a flow with the protocol's deadline."""
    return flow(actor, action, *documents, **{"deadline_ms": now_ms() + DEADLINE_MS, **more})


class Laggard(MongoJournal):
    """A journal that is slow at random, and that at times does not hear what the database said."""

    lots = random.Random(7)
    deaf = 0.0

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Insert, sooner or later."""
        await asyncio.sleep(self.lots.random() * 0.004)
        stands = await super().append(entries)
        await asyncio.sleep(self.lots.random() * 0.004)
        if self.lots.random() < self.deaf:
            raise OutcomeUnknown
        return stands


class Deaf(MongoJournal):
    """A journal that inserts and then does not know whether it did, as long as it is told so."""

    deaf = False

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Insert, and say nothing if deaf."""
        stands = await super().append(entries)
        if self.deaf:
            raise OutcomeUnknown
        return stands


def fresh_record() -> str:
    """Return the id of a record that nobody used before."""
    return uuid4().hex[:26].translate(str.maketrans("0189", "abcd"))
