"""Read traces (R.1111-43): the patient's of everybody, a professional's of himself; searched, page by page."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action
from services.consent.domain.traces import CLOCKS_DIFFER_MS, Questions, Reader, Wanted, as_asked, wanted_agent
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

    To a professional, an entry is what he asked, without a verdict; of equal questions in one window, the first.
    """

    reader: Reader
    entries: tuple[Entry, ...] = ()
    following: str | None = None


class ReadTraces:
    """Searches the streams of a journal that are open to the reader, in the journal's order; each search is a flow.

    `window_ms` is how long refusals that repeat are told by their number.
    """

    def __init__(self, flows: OwnFlows, ledger: Ledger, journal: Journal, clock: Clock, window_ms: int) -> None:
        self._flows, self._ledger, self._journal, self._clock = flows, ledger, journal, clock
        self._window_ms = window_ms

    async def __call__(self, asking: Asking, wanted: Wanted) -> Traces:
        """Return a page; raise Refused, RecordUnknown or NoSuchCursor."""
        reader = await self._permitted(asking)
        before = await self._behind(reader, asking.record, wanted.after) if wanted.after else None
        look = self._his if reader.own_only else self._hers
        return await look(reader, asking.record, before, wanted)

    async def one(self, asking: Asking, cause: str) -> Traces:
        """Return the entry of a cause, where it is one for this reader; raise Refused or RecordUnknown."""
        reader = await self._permitted(asking)
        entry = await self._named(reader, asking.record, cause)
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

    async def _hers(self, reader: Reader, record: str, before: int | None, wanted: Wanted) -> Traces:
        found: list[Entry] = []
        looked_at, last = 0, None
        # What is closed to her is not even fetched: neither as a cursor nor by the time it takes may it be told.
        async for entry in self._back(record, before, wanted, reader.streams):
            if looked_at == MOST_LOOKED_AT:
                return Traces(reader, tuple(found), last)
            looked_at, last = looked_at + 1, entry.cause
            if not wanted_agent(entry, wanted.agents):
                continue
            if len(found) == wanted.count:
                return Traces(reader, tuple(found), found[-1].cause)
            found.append(entry)
        return Traces(reader, tuple(found))

    async def _his(self, reader: Reader, record: str, before: int | None, wanted: Wanted) -> Traces:
        """Return a page of his own: it ends where he has no more, and never because others did much."""
        found: list[Entry] = []
        async for asked in self._asked(reader, record, before, wanted):
            if len(found) == wanted.count:
                return Traces(reader, tuple(found), found[-1].cause)
            found.append(asked)
        return Traces(reader, tuple(found))

    async def _asked(self, reader: Reader, record: str, before: int | None, wanted: Wanted) -> AsyncIterator[Entry]:
        """Yield what he asked; where a period begins within a window, what came first there is looked for before it."""
        questions = Questions(self._window_ms)
        since = wanted.since or 0
        parts: list[Entry] = []
        async for entry in self._back(record, before, replace(wanted, since=None), None):
            for asked in questions.settled(entry.at):
                if asked.at >= since:
                    yield asked
            if entry.at < questions.begin(since) - CLOCKS_DIFFER_MS:
                break
            if reader.knows(entry) and wanted_agent(entry, wanted.agents):
                parts.append(entry)  # they stand together, the first of them last in this order
                if (whole := as_asked(parts)) is not None:
                    questions.hold(whole)
                    parts = []
        for asked in questions.settled():
            if asked.at >= since:
                yield asked

    async def _named(self, reader: Reader, record: str, cause: str) -> Entry | None:
        """Return the entry of a cause as this reader is shown it; None where a search would not show it.

        A part of a verdict has a cause of its own. A professional who tried one would learn what is kept from her.
        """
        entry = await self._journal.by_cause(record, cause)
        if entry is None or not reader.knows(entry):
            return None
        if not reader.own_only:
            return entry
        near = self._asked(reader, record, entry.version + _MOST_PARTS + 1, Wanted(since=entry.at))
        return next((each for each in [asked async for asked in near] if each.cause == cause), None)

    async def _behind(self, reader: Reader, record: str, cause: str) -> int:
        entry = await self._named(reader, record, cause)
        if entry is None:
            raise NoSuchCursor
        return entry.version

    async def _back(
        self, record: str, before: int | None, wanted: Wanted, streams: frozenset[str] | None
    ) -> AsyncIterator[Entry]:
        while True:
            page = await self._journal.page(record, before, _PAGE, wanted.since, wanted.until, streams)
            for entry in page:
                yield entry
            if len(page) < _PAGE:
                return
            before = page[-1].version
