"""Read the journal (R.1111-43): the patient sees every decision, this reading included."""

from collections.abc import Sequence

from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Journal


class ReadJournal:
    """Returns entries, the newest first."""

    def __init__(self, flows: OwnFlows, journal: Journal) -> None:
        self._flows, self._journal = flows, journal

    async def __call__(self, asking: Asking, before: int | None, limit: int) -> Sequence[Entry]:
        """Return at most `limit` entries from below a version; raise Refused."""
        await self._flows(asking, Action.READ_JOURNAL)
        return await self._journal.page(asking.record, before, limit)
