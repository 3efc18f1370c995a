"""Read the journal (R.1111-43): the patient sees every decision, this reading included."""

from collections.abc import Sequence

from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Clock, Journal, RecordUnknown


class ReadJournal:
    """Returns entries, the newest first."""

    def __init__(self, flows: OwnFlows, ledger: Ledger, journal: Journal, clock: Clock) -> None:
        self._flows, self._ledger, self._journal, self._clock = flows, ledger, journal, clock

    async def __call__(self, asking: Asking, before: int | None, limit: int) -> Sequence[Entry]:
        """Return `limit` entries of the main stream from below a number of it; raise Refused.

        Between them stand those of the streams that are open to the patient by now.
        """
        await self._flows(asking, Action.READ_JOURNAL)
        state = await self._ledger.folded(asking.record)
        if state is None:
            raise RecordUnknown
        return await self._journal.seen(
            asking.record, state.open_streams(self._clock(), asking.actor.kind), before, limit
        )
