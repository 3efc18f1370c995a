"""Reveal documents that nobody announced for a month (R.1111-53): an entry opens each one's own stream."""

from chassis import logs
from chassis.sealing import Unsealable
from services.consent.domain.entry import MAIN
from services.consent.domain.record import Record
from services.consent.inscribing import Inscribe
from services.consent.ledger import Ledger
from services.consent.ports import Clock, DocumentKeys, OutcomeUnknown, RecordUnknown, RulesUnsettled
from services.consent.use_cases.decide import Contended

_BATCH = 100
_log = logs.get("reveal")


class RevealDocuments:
    """Writes what the clock has already decided: the rules look at each decision, this tells."""

    def __init__(self, ledger: Ledger, inscribe: Inscribe, keys: DocumentKeys, clock: Clock) -> None:
        self._ledger, self._inscribe, self._keys, self._clock = ledger, inscribe, keys, clock

    async def __call__(self) -> int:
        """Reveal one batch; return how many are due no longer. One that cannot be revealed silences no other."""
        now, done = self._clock(), 0
        for record, document in await self._keys.unannounced_since(now, _BATCH):
            try:
                done += await self._revealed(record, document, now)
            except (RecordUnknown, Unsealable, Contended, OutcomeUnknown, RulesUnsettled) as error:
                _log.error("not revealed", error=type(error).__name__)
        return done

    async def _revealed(self, record: str, document: str, now: int) -> bool:
        """Reveal one; say whether it is due no longer."""

        def hidden(state: Record) -> bool:
            return document in state.documents and not state.documents[document].announced

        state = await self._ledger.folded(record)
        if state is not None and hidden(state):
            held = state.documents[document]
            if held.unannounced(now):
                return False  # the row's clock was another's: later
            # What stays hidden from those who represent the patient opens for her alone.
            stream = held.stream if held.secret else MAIN
            cause = f"revealed-{document}"
            await self._inscribe(record, cause, "revealed", about=document, stream=stream, wanted=hidden)
        await self._keys.told(record, document)
        return True
