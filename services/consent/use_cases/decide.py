"""Decide flows: fold, judge, insert the entry; only then release keys. The insert is the lock (ADR 0002)."""

import asyncio
import random
from base64 import b32encode
from dataclasses import dataclass, replace
from os import urandom
from weakref import WeakValueDictionary

from chassis import faults
from chassis.batching import Batching
from services.consent.domain.entry import MAIN, Entry, Outcome, leaf_class
from services.consent.domain.flow import Action, Flow
from services.consent.domain.judging import judge
from services.consent.domain.record import Document, Record
from services.consent.domain.rules import Rules
from services.consent.ledger import Ledger
from services.consent.ports import Clock, DocumentKeys, Held, Journal

_MOST_TURNS = 200
_TURN_SECONDS, _MOST_PAUSE_TURNS = 0.002, 5
_KEYLESS = {Action.NOTIFY, Action.READ_JOURNAL, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES}


class Contended(Exception):
    """The record's journal was always a step ahead: nothing was decided."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict that stands in the journal, and the keys that it released. No entry: the record is unknown here."""

    flow: Flow
    entry: Entry | None
    documents: tuple[Document, ...] = ()
    released: tuple[Held, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """The outcome as the entry has it."""
        return self.entry.outcome if self.entry else None


class Decide:
    """Judges flows: those of one record one after the other, those of all records together in few writes."""

    def __init__(self, ledger: Ledger, journal: Journal, keys: DocumentKeys, rules: Rules, clock: Clock) -> None:
        self._ledger, self._journal, self._rules, self._clock = ledger, journal, rules, clock
        self._append = Batching(journal.append)
        self._hold = Batching(keys.hold)
        self._release = Batching(keys.release)
        self._lanes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, flow: Flow) -> Decided | None:
        """Return a decision; None where the flow came too late, or asks again for what changed since.

        Raises OutcomeUnknown when the database did not say whether the entry stands: nobody may be answered then.
        """
        # Within a process a record's flows queue here; between processes the journal's insert orders them.
        lane = self._lanes.setdefault(flow.record, asyncio.Lock())
        async with lane:
            decided = await self._decided(flow)
        if decided is None or decided.released or flow.action in _KEYLESS or not decided.documents:
            return decided
        released = await self._release((flow.record, decided.documents))
        faults.point("consent.decide.released")
        return replace(decided, released=released)

    async def one(self, flow: Flow) -> Decided:
        """Decide a flow of consent's own interface; raise Contended if it could not be."""
        decided = await self(flow)
        if decided is None:
            raise Contended
        return decided

    async def _decided(self, flow: Flow) -> Decided | None:
        document, held = "", None
        for turn in range(_MOST_TURNS):
            record = await self._ledger.current(flow.record)
            faults.point("consent.decide.folded")
            if record is None:
                return Decided(flow, None)
            if self._late(flow):
                return None
            if flow.action is Action.DEPOSIT and not document:
                document = b32encode(urandom(16)).decode().rstrip("=").lower()
            # From the state to the entry nothing is awaited: the version belongs to what was judged.
            now = self._clock()
            verdict = judge(record, flow, now, self._rules, document)
            entry = self._entry(record, flow, now, verdict.outcome)
            new = _new(entry) if document and verdict.outcome.document == document else None
            if new and not held:
                # The key is durable before the entry that names it; a row without an entry is swept.
                held = await self._hold((flow.record, new))
                faults.point("consent.decide.held")
            if self._late(flow):
                return None
            stands = await self._append(entry)
            faults.point("consent.decide.appended")
            if stands:
                self._ledger.appended(entry)
                if new and held:
                    return Decided(flow, entry, (new,), (replace(held, document=new),))
                return Decided(flow, entry, verdict.released)
            if (existing := await self._journal.by_cause(flow.record, flow.id)) is not None:
                return await self._again(flow, existing)
            # Another decider is at the same record: wait a little, then look and insert at once. Waiting after the look
            # would make it stale, and a withdrawal could lose every race against a busy reader.
            await asyncio.sleep(random.uniform(0, _TURN_SECONDS * min(turn, _MOST_PAUSE_TURNS)))  # noqa: S311
            await self._ledger.folded(flow.record)
            faults.point("consent.decide.overtaken")
        raise Contended

    def _entry(self, record: Record, flow: Flow, now: int, outcome: Outcome) -> Entry:
        return Entry(
            record=record.id,
            version=record.version + 1,
            cause=flow.id,
            stream=MAIN,
            n=record.n + 1,
            at=now,
            policies=self._rules.digest,
            leaf_class=leaf_class(flow.action),
            kind="decision",
            flow=flow,
            outcome=outcome,
        )

    async def _again(self, flow: Flow, existing: Entry) -> Decided | None:
        """Answer a repeat only if it is the same request, in time, and nothing since could change the verdict."""
        faults.point("consent.decide.repeated")
        said, outcome = existing.flow, existing.outcome
        if said is None or outcome is None or said.digest != flow.digest or self._late(flow):
            return None
        if existing.policies != self._rules.digest:
            return None  # other rules judged it: what they allowed is not ours to release
        record = await self._ledger.folded(flow.record)
        if record is None or record.last_change > existing.version:
            return None
        if outcome.verdict != "allowed":
            return Decided(flow, existing)
        if flow.action is Action.LIST:
            before = {name: each for name, each in record.documents.items() if each.entry < existing.version}
            verdict = judge(replace(record, documents=before), flow, existing.at, self._rules)
            return Decided(flow, existing, verdict.released)
        names = (outcome.document,) if outcome.document else outcome.allowed
        return Decided(flow, existing, tuple(record.documents[name] for name in names if name in record.documents))

    def _late(self, flow: Flow) -> bool:
        return flow.deadline_ms is not None and self._clock() >= flow.deadline_ms


def _new(entry: Entry) -> Document:
    """Return the document that an allowed deposit's entry brings: what its fold will say."""
    record = Record(entry.record, version=entry.version - 1)
    record.apply(entry)
    return next(iter(record.documents.values()))
