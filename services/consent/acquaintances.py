"""The professionals whom a record has met lately, as its journal names them."""

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Actor
from services.consent.domain.viewers import met
from services.consent.ports import Journal

MOST_ENTRIES, _PAGE = 500, 100


class Acquaintances:
    """Looks through the newest entries of a journal, page by page: what is further back was a while ago."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def __call__(self, record: str) -> list[Actor]:
        """Return the professionals of the newest `MOST_ENTRIES` entries, the latest first; raise RecordUnknown."""
        entries: list[Entry] = []
        before: int | None = None
        while len(entries) < MOST_ENTRIES:
            page = await self._journal.page(record, before, _PAGE)
            # Whoever was met only about what is not announced yet is nobody she knows.
            entries += [each for each in page if each.stream == MAIN]
            if len(page) < _PAGE:
                break
            before = page[-1].version
        return met(entries)
