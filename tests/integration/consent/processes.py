"""Consent's use cases on a real database, as one process has them: several over one database are several deciders."""

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from chassis.mongo import Mongo
from services.consent.bootstrap import begin_rules
from services.consent.bundles import MongoBundles
from services.consent.domain.bundle import Bundle
from services.consent.domain.cosigning import Cosigning
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Actor, Change, Flow
from services.consent.in_force import Activations, Archive, RulesInForce
from services.consent.keys import FileRoot, MongoRecordKeys
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Fate, OutcomeUnknown
from services.consent.store import MongoDocumentKeys, MongoJournal, MongoSnapshots
from services.consent.use_cases.abandon_deposit import AbandonDeposit
from services.consent.use_cases.activate_rules import ActivateRules
from services.consent.use_cases.change_directives import ChangeDirectives
from services.consent.use_cases.decide import Decide, Decided
from services.consent.use_cases.open_record import OpenRecord
from tests.unit.consent.memory import MemoryProjection
from tests.unit.consent.people import CAMILLE, RECORD, RULES, flow

DEADLINE_MS = 1_500


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Process:
    """One process of consent: its own memory, the shared database. `own` are the rules that its package came with."""

    def __init__(
        self, mongo: Mongo, root: Path, journal: type[MongoJournal] = MongoJournal, own: Bundle = RULES.bundle
    ) -> None:  # fmt: skip
        self.mongo = mongo
        self.record_keys = MongoRecordKeys(mongo, FileRoot(root))
        self.journal, self.keys = journal(mongo, self.record_keys), MongoDocumentKeys(mongo, self.record_keys)
        self.bundles, self.own = MongoBundles(mongo, self.record_keys), own
        self.activations, self.archive = Activations(self.journal, self.bundles), Archive(self.bundles)
        self.in_force = RulesInForce(self.activations, self.archive)
        self.activate = ActivateRules(self.journal, self.bundles, self.record_keys, Cosigning(), now_ms)
        self.snapshots = MongoSnapshots(mongo, self.record_keys)
        self.ledger = Ledger(self.journal, self.snapshots)
        self.decide = Decide(self.ledger, self.journal, self.keys, self.in_force, now_ms)
        self.change = ChangeDirectives(OwnFlows(self.decide, MemoryProjection()), self.ledger, self.in_force, now_ms)
        self.open = OpenRecord(self.journal, self.record_keys, self.in_force, now_ms)
        self.abandon = AbandonDeposit(self.ledger, self.journal, self.keys, self.in_force, now_ms)

    async def prepare(self) -> None:
        """Create the collections and their indexes, and know which rules are in force."""
        for each in (self.record_keys, self.journal, self.snapshots, self.keys, self.bundles):
            await each.prepare()
        await begin_rules(self.in_force, self.activations, self.activate, self.own)

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

    async def append(self, entries: Sequence[Entry]) -> list[Fate]:
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

    async def append(self, entries: Sequence[Entry]) -> list[Fate]:
        """Insert, and say nothing if deaf."""
        stands = await super().append(entries)
        if self.deaf:
            raise OutcomeUnknown
        return stands


def fresh_record() -> str:
    """Return the id of a record that nobody used before."""
    return uuid4().hex[:26].translate(str.maketrans("0189", "abcd"))
