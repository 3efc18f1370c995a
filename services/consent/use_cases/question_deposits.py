"""Question deposits: those approved a day ago, of which documents has said nothing, and rows without an entry."""

from collections.abc import Awaitable, Callable

from chassis import logs
from chassis.sealing import Unsealable
from services.consent.ledger import Ledger
from services.consent.ports import Clock, DocumentKeys, RecordUnknown, Unconfirmed

UNCONFIRMED_MS = 24 * 3_600_000
_BATCH = 100
_log = logs.get("question")


class QuestionDeposits:
    """Asks documents about each; nothing is destroyed before it has answered, but for keys no entry ever named."""

    def __init__(
        self, ledger: Ledger, keys: DocumentKeys, ask: Callable[[Unconfirmed], Awaitable[None]], clock: Clock,
        after_ms: int = UNCONFIRMED_MS,
    ) -> None:  # fmt: skip
        self._ledger, self._keys, self._ask, self._clock, self._after = ledger, keys, ask, clock, after_ms

    async def __call__(self) -> int:
        """Question one batch; return how many rows it dealt with."""
        done = 0
        for row in await self._keys.pending_since(self._clock() - self._after, _BATCH):
            try:
                state = await self._ledger.folded(row.record)
            except (RecordUnknown, Unsealable) as error:
                # One record that cannot be read must not keep the others waiting, and destroys nothing.
                _log.error("not questioned", error=type(error).__name__)
                continue
            # A day after a two-second deadline no decider can still be about to insert the entry.
            if state is not None and row.document in state.documents:
                await self._ask(row)
            else:
                await self._keys.destroy(row.record, row.document, row.version)
            done += 1
        return done
