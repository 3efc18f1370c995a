"""Decide flows: fold, judge, insert the entry; only then release keys. The insert is the lock (ADR 0002)."""

import asyncio
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import urandom

from chassis import faults
from services.consent.domain.entry import MAIN, Entry, Outcome, leaf_class
from services.consent.domain.flow import Action, Flow
from services.consent.domain.judging import Verdict, judge
from services.consent.domain.record import Document, Record
from services.consent.domain.rules import Rules
from services.consent.ledger import Ledger
from services.consent.ports import Clock, DocumentKeys, Held, Journal

_MOST_ROUNDS = 60
_ROUND_SECONDS = 0.002
_KEYLESS = {Action.NOTIFY, Action.READ_JOURNAL, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES}


class Contended(Exception):
    """The record's journal was always a step ahead: nothing was decided."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict that stands in the journal, and the keys that it released. No entry: the record is unknown here."""

    flow: Flow
    entry: Entry | None
    released: tuple[Held, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """The outcome as the entry has it."""
        return self.entry.outcome if self.entry else None


@dataclass(slots=True)
class _Try:
    flow: Flow
    entry: Entry
    verdict: Verdict


@dataclass(slots=True)
class _Case:
    """One flow on its way: its deposit's new document keeps its id, and its key row, through every round."""

    flow: Flow
    document: str = ""
    held: bool = False
    decided: Decided | None = None


class Decide:
    """Judges batches of flows, each record's one after the other, whatever other deciders do meanwhile."""

    def __init__(self, ledger: Ledger, journal: Journal, keys: DocumentKeys, rules: Rules, clock: Clock) -> None:
        self._ledger, self._journal, self._keys = ledger, journal, keys
        self._rules, self._clock = rules, clock

    async def __call__(self, flows: Sequence[Flow]) -> list[Decided | None]:
        """Return a decision for each flow; None where it came too late, or asks again for what changed since.

        Raises OutcomeUnknown when the database did not say whether the entries stand: nobody may be answered then.
        """
        cases = [_Case(flow) for flow in flows]
        waiting = cases
        for turn in range(_MOST_ROUNDS):
            waiting = await self._round(waiting)
            if not waiting:
                break
            if turn:  # another decider is at the same record
                await asyncio.sleep(_ROUND_SECONDS * turn)
        else:
            raise Contended
        return await self._released([case.decided for case in cases])

    async def one(self, flow: Flow) -> Decided:
        """Decide a flow of consent's own interface; raise Contended if it could not be."""
        decided = (await self([flow]))[0]
        if decided is None:
            raise Contended
        return decided

    async def _round(self, waiting: list[_Case]) -> list[_Case]:
        """Try one flow of each record; return those that must be judged (again)."""
        chosen: dict[str, _Case] = {}
        later = [case for case in waiting if chosen.setdefault(case.flow.record, case) is not case]
        tries = [(case, tried) for case in chosen.values() if (tried := await self._judged(case)) is not None]
        await self._hold([(case, tried) for case, tried in tries if tried.verdict.outcome.document == case.document])
        faults.point("consent.decide.held")
        tries = [(case, tried) for case, tried in tries if not self._late(tried.flow)]
        if not tries:
            return later
        stands = await self._journal.append([tried.entry for _, tried in tries])
        faults.point("consent.decide.appended")
        for (case, tried), stood in zip(tries, stands, strict=True):
            if stood:
                self._ledger.appended(tried.entry)
                case.decided = _decided(tried)
            elif (existing := await self._journal.by_cause(case.flow.record, case.flow.id)) is not None:
                case.decided = await self._again(case.flow, existing)
            else:
                await self._ledger.folded(case.flow.record)
                later.append(case)
        return later

    async def _judged(self, case: _Case) -> _Try | None:
        record = await self._ledger.current(case.flow.record)
        if record is None:
            case.decided = Decided(case.flow, None)
            return None
        now = self._clock()
        if self._late(case.flow):
            return None
        if case.flow.action is Action.DEPOSIT and not case.document:
            case.document = b32encode(urandom(16)).decode().rstrip("=").lower()
        # From the state to the entry nothing is awaited: the version belongs to what was judged.
        verdict = judge(record, case.flow, now, self._rules, case.document)
        return _Try(case.flow, self._entry(record, case.flow, now, verdict.outcome), verdict)

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

    async def _hold(self, tries: list[tuple[_Case, _Try]]) -> None:
        """Make the keys of new documents durable before their entries; a row without an entry is swept."""
        new = [(case, _new(tried.entry)) for case, tried in tries if case.document and not case.held]
        if new:
            await self._keys.hold([(case.flow.record, document) for case, document in new])
        for case, _ in new:
            case.held = True

    async def _again(self, flow: Flow, existing: Entry) -> Decided | None:
        """Answer a repeat only if it is the same request, in time, and nothing since could change the verdict."""
        said, outcome = existing.flow, existing.outcome
        if said is None or outcome is None or said.digest != flow.digest or self._late(flow):
            return None
        record = await self._ledger.folded(flow.record)
        if record is None or record.last_change > existing.version:
            return None
        if outcome.verdict != "allowed":
            return Decided(flow, existing)
        if flow.action is Action.LIST:
            before = {name: each for name, each in record.documents.items() if each.entry < existing.version}
            verdict = judge(replace(record, documents=before), flow, existing.at, self._rules)
            return _decided(_Try(flow, existing, verdict))
        names = (outcome.document,) if outcome.document else outcome.allowed
        documents = tuple(record.documents[name] for name in names if name in record.documents)
        return _decided(_Try(flow, existing, Verdict(outcome, documents)))

    async def _released(self, decided: list[Decided | None]) -> list[Decided | None]:
        """Fetch the keys of everything that the batch allowed, in one read."""
        wanted = [
            (each.flow.record, held.document)
            for each in decided
            if each is not None
            for held in each.released
            if each.flow.action not in _KEYLESS
        ]
        rows = await self._keys.release(wanted)
        return [
            each
            and replace(each, released=tuple(rows[held.document.id] for held in each.released
                                             if held.document.id in rows))
            for each in decided
        ]  # fmt: skip

    def _late(self, flow: Flow) -> bool:
        return flow.deadline_ms is not None and self._clock() >= flow.deadline_ms


def _new(entry: Entry) -> Document:
    """Return the document that an allowed deposit's entry brings: what its fold will say."""
    record = Record(entry.record, version=entry.version - 1)
    record.apply(entry)
    return next(iter(record.documents.values()))


def _decided(tried: _Try) -> Decided:
    documents = tried.verdict.released
    outcome = tried.verdict.outcome
    if tried.flow.action is Action.DEPOSIT and outcome.verdict == "allowed" and not documents:
        documents = (_new(tried.entry),)
    # Keys come in one read for the whole batch: until then a document stands for its key.
    return Decided(tried.flow, tried.entry, tuple(Held(document, b"", "pending") for document in documents))
