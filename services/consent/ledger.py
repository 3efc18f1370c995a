"""Records as the journal tells them, remembered: the insert of the next entry validates what is remembered."""

import random
from collections import OrderedDict

from prometheus_client import Counter

from chassis import logs
from services.consent.domain.entry import Entry
from services.consent.domain.record import Record
from services.consent.ports import Journal, Snapshots

_REMEMBERED = 20_000
# A fold from the beginning that read more than this leaves a snapshot for the next process that begins.
SNAPSHOT_AFTER = 200
_CHECKED = 0.02
SNAPSHOTS = Counter("carnet_consent_snapshots_total", "Snapshots of long journals, by end.", ["end"])
_log = logs.get("ledger")


class Ledger:
    """The states of the records judged lately, one object a record, changed only between awaits.

    A snapshot is the journal's own fold, encrypted and bound to its record and version. One in fifty that is loaded is
    held against a fold from the first entry; one that differs is dropped, and the journal is believed.
    """

    def __init__(self, journal: Journal, snapshots: Snapshots, checked: float = _CHECKED) -> None:
        self._journal, self._snapshots, self._checked = journal, snapshots, checked
        self._records: OrderedDict[str, Record] = OrderedDict()

    async def current(self, record: str) -> Record | None:
        """Return a state that may be behind; whoever inserts upon it will learn so. None: never opened."""
        known = self._records.get(record)
        if known is not None:
            self._records.move_to_end(record)
            return known
        return await self.folded(record)

    async def folded(self, record: str) -> Record | None:
        """Return the state at the journal's newest entry, as of this call."""
        known = self._records.get(record)
        head = await self._journal.head(record)
        if head is None:
            return None
        version, n = head
        if known is None:
            known = await self._begun(record, version)
        entries = await self._journal.changing(record, known.version, version) if version > known.version else []
        # Nothing is awaited from here on. Another task may have folded meanwhile: take in only what is newer.
        state = self._records.setdefault(record, known)
        if state.version < known.version:
            # Forgotten and folded anew meanwhile, not as far: the entries between would be passed over.
            state = self._records[record] = known
        for entry in entries:
            if entry.version > state.version:
                state.apply(entry)
        if version >= state.version:
            # The newest that changes anything may stand beside the main stream, whose newest was passed over.
            state.advance(version, n)
        while len(self._records) > _REMEMBERED:
            self._records.popitem(last=False)
        if len(entries) > SNAPSHOT_AFTER:
            SNAPSHOTS.labels("saved").inc()
            await self._snapshots.save(state)
        return state

    def appended(self, entry: Entry) -> None:
        """Take in an entry that this process inserted, if it is the next one."""
        state = self._records.get(entry.record)
        if state is not None and state.version == entry.version - 1:
            state.apply(entry)

    async def _begun(self, record: str, version: int) -> Record:
        """Return where a fold may begin: the snapshot, or nothing."""
        found = await self._snapshots.load(record)
        if found is None or found.version > version:
            return Record(record)
        if random.random() < self._checked and not await self._holds(found):  # noqa: S311 - a sample, not a secret
            SNAPSHOTS.labels("dropped").inc()
            _log.error("snapshot differs from its journal", version=found.version)
            await self._snapshots.drop(record)
            return Record(record)
        SNAPSHOTS.labels("loaded").inc()
        return found

    async def _holds(self, found: Record) -> bool:
        again = Record(found.id)
        for entry in await self._journal.changing(found.id, 0, found.version):
            again.apply(entry)
        again.advance(found.version, found.n)
        return again == found
