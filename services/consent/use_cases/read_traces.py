"""Read traces (R.1111-43): the patient's of everybody, a professional's of himself; searched, page by page."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Action, ActorKind
from services.consent.domain.traces import Reader, Wanted
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Journal

# How many entries one search opens at most: who did something stands in ciphertext only.
MOST_LOOKED_AT, _PAGE = 2_000, 100


class NoSuchCursor(LookupError):
    """The entry behind which the search would go on is none that its reader knows."""


@dataclass(frozen=True, slots=True)
class Traces:
    """A page of entries, the newest first, and who reads it; `following` is the cause behind which there is more."""

    reader: Reader
    entries: tuple[Entry, ...] = ()
    following: str | None = None


class ReadTraces:
    """Searches the main stream of a journal; each search is a flow.

    `reads` says under which action a kind of actor reads, where that is not `read-journal`: the rules permit it.
    """

    def __init__(self, flows: OwnFlows, journal: Journal, reads: Mapping[ActorKind, Action] | None = None) -> None:
        self._flows, self._journal, self._reads = flows, journal, reads or {}

    async def __call__(self, asking: Asking, wanted: Wanted) -> Traces:
        """Return a page; raise Refused, or NoSuchCursor."""
        reader = await self._permitted(asking)
        before = await self._behind(reader, asking.record, wanted.after) if wanted.after else None
        found: list[Entry] = []
        looked_at, last = 0, None
        async for entry in self._from(asking.record, before, wanted):
            if looked_at == MOST_LOOKED_AT:
                # The patient goes on from here. Anybody else would learn how much others do.
                return Traces(reader, tuple(found), None if reader.own_only else last)
            looked_at, last = looked_at + 1, entry.cause
            if not reader.finds(entry, wanted.agent):
                continue
            if len(found) == wanted.count:
                return Traces(reader, tuple(found), found[-1].cause)
            found.append(entry)
        return Traces(reader, tuple(found))

    async def one(self, asking: Asking, cause: str) -> Traces:
        """Return the entry of a cause, where it is one for this reader; raise Refused."""
        reader = await self._permitted(asking)
        entry = await self._journal.by_cause(asking.record, cause)
        return Traces(reader, (entry,) if entry is not None and reader.finds(entry) else ())

    async def _permitted(self, asking: Asking) -> Reader:
        """Have the reading judged and journalled."""
        await self._flows(asking, self._reads.get(asking.actor.kind, Action.READ_JOURNAL))
        return Reader(asking.actor)

    async def _behind(self, reader: Reader, record: str, cause: str) -> int:
        entry = await self._journal.by_cause(record, cause)
        if entry is None or not reader.finds(entry):
            raise NoSuchCursor
        return entry.version

    async def _from(self, record: str, before: int | None, wanted: Wanted) -> AsyncIterator[Entry]:
        while True:
            page = await self._journal.page(record, before, _PAGE, wanted.since, wanted.until)
            for entry in page:
                if entry.stream == MAIN:  # not even as a cursor may another be told
                    yield entry
            if len(page) < _PAGE:
                return
            before = page[-1].version
