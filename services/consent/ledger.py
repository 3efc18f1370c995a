"""Records as the journal tells them, remembered: the insert of the next entry validates what is remembered."""

from collections import OrderedDict

from services.consent.domain.entry import Entry
from services.consent.domain.record import Record
from services.consent.ports import Journal

_REMEMBERED = 20_000


class Ledger:
    """The states of the records judged lately, one object a record, changed only between awaits."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
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
        known = self._records.get(record) or Record(record)
        head = await self._journal.head(record)
        if head is None:
            return None
        version, n = head
        entries = await self._journal.changing(record, known.version, version) if version > known.version else []
        # Nothing is awaited from here on. Another task may have folded meanwhile: take in only what is newer.
        state = self._records.setdefault(record, known)
        if state.version < known.version:
            # Forgotten and folded anew meanwhile, not as far: the entries between would be passed over.
            state = self._records[record] = known
        for entry in entries:
            if entry.version > state.version:
                state.apply(entry)
        if version > state.version:
            state.advance(version, n)
        while len(self._records) > _REMEMBERED:
            self._records.popitem(last=False)
        return state

    def appended(self, entry: Entry) -> None:
        """Take in an entry that this process inserted, if it is the next one."""
        state = self._records.get(entry.record)
        if state is not None and state.version == entry.version - 1:
            state.apply(entry)
