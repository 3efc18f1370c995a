"""Represent a record: write into its journal whom it obeys, as identity says it; never an older state over a newer."""

from services.consent.domain.record import Record
from services.consent.domain.representation import Representation
from services.consent.inscribing import Inscribe


class RepresentRecord:
    """Journals each state once, however often its event comes: flows that are decided after it are judged by it."""

    def __init__(self, inscribe: Inscribe) -> None:
        self._inscribe = inscribe

    async def __call__(self, record: str, said: Representation, event_id: str) -> None:
        """Write the entry unless the journal knows this state or a newer one.

        Raises RecordUnknown, Contended or OutcomeUnknown.
        """

        def newer(state: Record) -> bool:
            return state.represented is None or state.represented.version < said.version

        await self._inscribe(record, event_id, "represented", representation=said, wanted=newer)
