"""Read traces (R.1111-43): the patient's of everybody, a professional's of himself; searched, page by page."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action
from services.consent.domain.traces import Reader, Wanted, as_asked, wanted_agent
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Clock, Journal, RecordUnknown

# How many entries one search of hers opens at most: who did something stands in ciphertext only.
MOST_LOOKED_AT, _PAGE = 2_000, 100
_MOST_PARTS = 100  # of a verdict about documents that were named, beside its first


class NoSuchCursor(LookupError):
    """The entry behind which the search would go on is none that its reader knows."""


@dataclass(frozen=True, slots=True)
class Traces:
    """A page of entries, the newest first, and who reads it; `following` is the cause behind which there is more.

    To a professional, an entry is what he asked, without a verdict.
    """

    reader: Reader
    entries: tuple[Entry, ...] = ()
    following: str | None = None


class ReadTraces:
    """Searches the streams of a journal that are open to the reader, in the journal's order; each search is a flow."""

    def __init__(self, flows: OwnFlows, ledger: Ledger, journal: Journal, clock: Clock) -> None:
        self._flows, self._ledger, self._journal, self._clock = flows, ledger, journal, clock

    async def __call__(self, asking: Asking, wanted: Wanted) -> Traces:
        """Return a page; raise Refused, RecordUnknown or NoSuchCursor."""
        reader = await self._permitted(asking)
        before = await self._behind(reader, asking.record, wanted.after) if wanted.after else None
        look = self._own if reader.own_only else self._everybodys
        return await look(reader, self._from(reader, asking.record, before, wanted), wanted)

    async def one(self, asking: Asking, cause: str) -> Traces:
        """Return the entry of a cause, where it is one for this reader; raise Refused or RecordUnknown."""
        reader = await self._permitted(asking)
        entry = await self._journal.by_cause(asking.record, cause)
        if entry is None or not reader.may_name(entry):
            return Traces(reader)
        if reader.own_only:
            # Where nothing stands apart, as many entries are looked at: time tells no more than the answer.
            near = await self._journal.page(asking.record, entry.version + _MOST_PARTS + 1, _MOST_PARTS + 1)
            parts = [each for each in near if each.flow and entry.flow and each.flow.id == entry.flow.id]
            entry = as_asked(parts)
        return Traces(reader, (entry,) if entry else ())

    async def _permitted(self, asking: Asking) -> Reader:
        """Have the reading judged and journalled."""
        if asking.actor.kind == "professional":
            await self._flows(asking, Action.READ_OWN_TRACES)
            return Reader(asking.actor)
        await self._flows(asking, Action.READ_JOURNAL)
        state = await self._ledger.folded(asking.record)
        if state is None:
            raise RecordUnknown
        return Reader(asking.actor, frozenset(state.open_streams(self._clock(), asking.actor.kind)))

    @staticmethod
    async def _everybodys(reader: Reader, entries: AsyncIterator[Entry], wanted: Wanted) -> Traces:
        found: list[Entry] = []
        looked_at, last = 0, None
        async for entry in entries:
            if looked_at == MOST_LOOKED_AT:
                return Traces(reader, tuple(found), last)
            looked_at, last = looked_at + 1, entry.cause
            if not wanted_agent(entry, wanted.agents):
                continue
            if len(found) == wanted.count:
                return Traces(reader, tuple(found), found[-1].cause)
            found.append(entry)
        return Traces(reader, tuple(found))

    @staticmethod
    async def _own(reader: Reader, entries: AsyncIterator[Entry], wanted: Wanted) -> Traces:
        """Return a page of his own: it ends where he has no more, and never because others did much."""
        found: list[Entry] = []
        parts: list[Entry] = []
        async for entry in entries:
            if not reader.knows(entry) or not wanted_agent(entry, wanted.agents):
                continue
            parts.append(entry)  # they stand together, the first of them last in this order
            if (asked := as_asked(parts)) is None:
                continue
            if len(found) == wanted.count:
                return Traces(reader, tuple(found), found[-1].cause)
            found.append(asked)
            parts = []
        return Traces(reader, tuple(found))

    async def _behind(self, reader: Reader, record: str, cause: str) -> int:
        entry = await self._journal.by_cause(record, cause)
        if entry is None or not reader.may_name(entry):
            raise NoSuchCursor
        return entry.version

    async def _from(self, reader: Reader, record: str, before: int | None, wanted: Wanted) -> AsyncIterator[Entry]:
        # What is closed to her is not even fetched: neither as a cursor nor by the time it takes may it be told.
        streams = None if reader.own_only else reader.streams
        while True:
            page = await self._journal.page(record, before, _PAGE, wanted.since, wanted.until, streams)
            for entry in page:
                yield entry
            if len(page) < _PAGE:
                return
            before = page[-1].version
