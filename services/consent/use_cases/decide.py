"""Decide flows: fold, judge, insert the entry; only then release keys. The insert is the lock (ADR 0002).

A refusal that only repeats one of a window is counted in the place of its entry (ADR 0011). The insert would have
shown that the state was behind; here the journal's head does, read after the flow came: the refusal is right as of
then, so no grant that was acknowledged before is missed. A change that comes between that and the count can only make
it too strict, as if the flow had come a moment earlier; it lets nothing out, so it can miss no withdrawal. Rules that
are in force no more count nothing, by the database's own check, as they insert nothing.
"""

import asyncio
import random
from base64 import b32encode
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import urandom
from weakref import WeakValueDictionary

from chassis import faults
from chassis.batching import Batching
from services.consent.domain.document import Document
from services.consent.domain.entry import MAIN, Entry, Outcome
from services.consent.domain.flow import Action, Flow
from services.consent.domain.judging import Verdict, judge
from services.consent.domain.record import Record
from services.consent.domain.repeating import alike, gives_nothing, repeatable
from services.consent.domain.writing import entries_of
from services.consent.in_force import PUBLIC
from services.consent.ledger import Ledger
from services.consent.ports import Clock, Counted, DocumentKeys, Fate, Held, InForce, Journal
from services.consent.repeats import Repeats

_MOST_NUMBERS = 20_000
_MOST_TURNS = 200
_TURN_SECONDS, _MOST_PAUSE_TURNS = 0.002, 5
_KEYLESS = {Action.NOTIFY, Action.READ_JOURNAL, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES}


class Contended(Exception):
    """The record's journal was always a step ahead: nothing was decided."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict that stands in the journal, and the keys that it released. No entry: the record is unknown here.

    Of a refusal that was counted, the entry has the place of the first one of its window, under which it will be told.
    """

    flow: Flow
    entry: Entry | None
    documents: tuple[Document, ...] = ()
    released: tuple[Held, ...] = ()
    answer: Outcome | None = None  # where streams hold parts of it

    @property
    def outcome(self) -> Outcome | None:
        """The outcome as the asker is told."""
        return self.answer or (self.entry.outcome if self.entry else None)


@dataclass(frozen=True, slots=True)
class _Told:
    """What is said of a flow that needs no entry to come; None: nothing, it is dropped.

    `apart`: its parts in streams of their own stand, and the main one is still to be written.
    """

    decided: Decided | None
    apart: tuple[Entry, ...] = ()


class Decide:
    """Judges flows: those of one record one after the other, those of all records together in few writes."""

    def __init__(
        self, ledger: Ledger, journal: Journal, keys: DocumentKeys, in_force: InForce, clock: Clock, *,
        repeats: Repeats | None = None,
    ) -> None:  # fmt: skip
        self._repeats = repeats  # None: every refusal is an entry
        self._ledger, self._journal, self._in_force, self._clock = ledger, journal, in_force, clock
        self._append = Batching(journal.append)
        self._hold = Batching(keys.hold)
        self._release = Batching(keys.release)
        self._numbers: OrderedDict[tuple[str, str], int] = OrderedDict()  # the newest of streams beside the main one
        self._lanes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, flow: Flow) -> Decided | None:
        """Return a decision; None where the flow came too late, or asks again for what changed since.

        Raises OutcomeUnknown when the database did not say whether the entry stands: nobody may be answered then.
        """
        if flow.record == PUBLIC:
            return Decided(flow, None)  # what concerns everybody is nobody's record
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

    async def _decided(self, flow: Flow) -> Decided | None:  # noqa: C901 - one loop: from the state to the entry
        document, held = _document_id(flow), None
        apart: tuple[Entry, ...] = ()
        for turn in range(_MOST_TURNS):
            record = await self._ledger.current(flow.record)
            faults.point("consent.decide.folded")
            if record is None:
                return Decided(flow, None)
            if self._late(flow):
                return None
            # From the state to the entry nothing is awaited: the version belongs to what was judged.
            now, rules = self._clock(), self._in_force.rules
            verdict = judge(record, flow, now, rules, document)
            entries = entries_of(record, flow, now, verdict, rules.digest)
            first = entries[0]
            if turn == 0 and (told := await self._told(flow, verdict, entries)) is not None:
                if not told.apart:
                    return told.decided
                apart = told.apart
                continue
            # What came since the parts were written would be given away without an entry.
            other = bool(apart) and not _same_parts(entries[1:], apart)
            entries = entries[:1] if apart else entries
            new = _new(first) if document and verdict.outcome.document == document else None
            if new and not held:
                # The key is durable before the entry that names it; a row without an entry is swept.
                held = await self._hold((flow.record, new))
                faults.point("consent.decide.held")
            if self._late(flow) or other:
                return None
            fate = await self._inserted(entries)
            if fate is Fate.STANDS:
                released = (replace(held, document=new),) if new and held else ()
                return Decided(flow, first, (new,) if new else verdict.released, released, verdict.outcome)
            if fate is Fate.OUTDATED:
                await self._in_force.renew(rules)
                continue
            if (existing := await self._journal.by_cause(flow.record, flow.id)) is not None:
                return await self._again(flow, existing)
            # Another decider is at the same record: wait a little, then look and insert at once. Waiting after the look
            # would make it stale, and a withdrawal could lose every race against a busy reader.
            await asyncio.sleep(random.uniform(0, _TURN_SECONDS * min(turn, _MOST_PAUSE_TURNS)))  # noqa: S311
            await self._ledger.folded(flow.record)
            faults.point("consent.decide.overtaken")
        raise Contended

    async def _told(  # noqa: PLR0911 - each way out is one of ADR 0011
        self, flow: Flow, given: Verdict, entries: list[Entry]
    ) -> _Told | None:
        """Tell a flow by an entry that stands: its own, or the first one of its window; None: by an entry to come."""
        if self._repeats is None or not (repeatable(entries[0]) if len(entries) > 1 else gives_nothing(flow, given)):
            return None
        like = entries[0]
        window, existing, record = await asyncio.gather(
            self._repeats.look(like), self._journal.by_cause(flow.record, flow.id), self._ledger.folded(flow.record)
        )
        if existing is not None:
            return _Told(await self._again(flow, existing))
        if window is None or record is None or self._late(flow) or record.counts_word(flow, like.at):
            return None
        rules = self._in_force.rules
        if record.version >= like.version:
            # Something came that this process had not seen: judged on what stands since the flow came (see above).
            given = judge(record, flow, self._clock(), rules)
            entries = entries_of(record, flow, like.at, given, rules.digest)
            if alike(entries[0]) != alike(like):
                return None
        # What is about a secret is an entry whatever becomes of the rest, which must be told as it is without a secret.
        others = tuple(entries[1:])
        if others and (stands := await self._stand(flow, record, others)) is not True:
            return None if stands is None else _Told(None)
        counted = await self._repeats.count(window, flow, like.at)
        if counted is Counted.COUNTED:
            place = {name: window.first[name] for name in ("version", "cause", "n", "at")}
            return _Told(Decided(flow, replace(like, **place), given.released, answer=given.outcome))
        if counted is Counted.OUTDATED:
            await self._in_force.renew(rules)
        if counted is Counted.OTHER:
            return _Told(None)
        return _Told(None, apart=others) if others else None

    async def _stand(self, flow: Flow, record: Record, others: tuple[Entry, ...]) -> bool | None:
        """Insert the parts of a verdict beside a main one that is counted; say whether these very parts stand.

        None: they do not yet, because somebody else wrote into the record.
        """
        found = await asyncio.gather(*(self._journal.by_cause(flow.record, each.cause) for each in others))
        if stood := [each for each in found if each is not None]:  # this question was heard before
            mine = all(each.flow is not None and each.flow.digest == flow.digest for each in stood)
            return mine and _same_parts(others, stood) and record.last_change <= stood[0].version
        parts = [replace(each, version=record.version + 1 + at) for at, each in enumerate(others)]
        if await self._in_streams(parts) is not Fate.STANDS:
            return None
        for each in parts:
            self._ledger.appended(each)
        return True

    async def _inserted(self, entries: list[Entry]) -> Fate:
        """Insert the entries of one verdict, and know them where they stand."""
        first, *others = entries
        fate = await (self._append(first) if not others and first.stream == MAIN else self._in_streams(entries))
        faults.point("consent.decide.appended")
        if fate is Fate.STANDS:
            for each in entries:
                self._ledger.appended(each)
            if self._repeats is not None and repeatable(first):
                self._repeats.begin(first)
        return fate

    async def _in_streams(self, entries: list[Entry]) -> Fate:
        """Insert the entries of one verdict, all or none, each under its stream's next number.

        One alone goes in like one of the main stream, and the numbers are remembered: a slower way would tell who has a
        watch that there is something. The insert finds out a number that another decider has taken.
        """
        numbered = [each if each.stream == MAIN else replace(each, n=await self._next(each)) for each in entries]
        alone = len(numbered) == 1
        fate = await (self._append(numbered[0]) if alone else self._journal.append_together(numbered))
        for each in numbered:
            if fate is Fate.STANDS:
                self._numbers[each.record, each.stream] = each.n
            else:
                self._numbers.pop((each.record, each.stream), None)
        while len(self._numbers) > _MOST_NUMBERS:
            self._numbers.popitem(last=False)
        return fate

    async def _next(self, entry: Entry) -> int:
        known = self._numbers.get((entry.record, entry.stream))
        return (await self._journal.last(entry.record, entry.stream) if known is None else known) + 1

    async def _again(self, flow: Flow, existing: Entry) -> Decided | None:
        """Answer a repeat only if it is the same request, in time, and nothing since could change the verdict."""
        faults.point("consent.decide.repeated")
        said, outcome, rules = existing.flow, existing.outcome, self._in_force.rules
        if said is None or outcome is None or said.digest != flow.digest or self._late(flow):
            return None
        if existing.policies != rules.digest:
            return None  # other rules judged it: what they allowed is not ours to release
        record = await self._ledger.folded(flow.record)
        if record is None or record.last_change > existing.version:
            return None
        if outcome.document:
            names = (outcome.document,) if outcome.verdict == "allowed" else ()
            return Decided(flow, existing, tuple(record.documents[name] for name in names if name in record.documents))
        # Nothing since could change the verdict: given again over what stood then, it releases the same.
        before = {name: each for name, each in record.documents.items() if each.entry < existing.version}
        verdict = judge(replace(record, documents=before), flow, existing.at, rules)
        return Decided(flow, existing, verdict.released, answer=verdict.outcome)

    def _late(self, flow: Flow) -> bool:
        return flow.deadline_ms is not None and self._clock() >= flow.deadline_ms


def _same_parts(ones: Sequence[Entry], others: Sequence[Entry]) -> bool:
    """Say whether two sets of parts are the same, each with the same outcome: whose keys it gives is in it."""
    return [(each.cause, each.outcome) for each in ones] == [(each.cause, each.outcome) for each in others]


def _document_id(flow: Flow) -> str:
    """Return a fresh id for what a deposit may bring; empty for any other flow."""
    return b32encode(urandom(16)).decode().rstrip("=").lower() if flow.action is Action.DEPOSIT else ""


def _new(entry: Entry) -> Document:
    """Return the document that an allowed deposit's entry brings: what its fold will say."""
    record = Record(entry.record, version=entry.version - 1)
    record.apply(entry)
    return next(iter(record.documents.values()))
