"""Abandon a deposit: documents says that it never stored it. The entry first, then the key is destroyed."""

import asyncio

from chassis import faults
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.rules import Rules
from services.consent.ledger import Ledger
from services.consent.ports import Clock, DocumentKeys, Journal


class AbandonDeposit:
    """Destroys the key of what was never stored, and of nothing else."""

    def __init__(self, ledger: Ledger, journal: Journal, keys: DocumentKeys, rules: Rules, clock: Clock) -> None:
        self._ledger, self._journal, self._keys = ledger, journal, keys
        self._rules, self._clock = rules, clock

    async def __call__(self, record: str, document: str, version: int, event_id: str) -> None:
        """Write the entry and destroy the key of a pending version; a live one is left alone."""
        while True:
            state = await self._ledger.folded(record)
            if state is None:
                return
            if document not in state.documents:
                break
            (held,) = await self._keys.release([(record, [state.documents[document]])])
            if any(each.state == "live" for each in held):
                return
            entry = Entry(
                record=record,
                version=state.version + 1,
                cause=event_id,
                stream=MAIN,
                n=state.n + 1,
                at=self._clock(),
                policies=self._rules.digest,
                leaf_class="other",
                kind="abandoned",
                about=document,
            )
            if (await self._journal.append([entry]))[0]:
                self._ledger.appended(entry)
                faults.point("consent.abandon.appended")
                break
            if await self._journal.by_cause(record, event_id) is not None:
                break  # this event came before, and the process died between its entry and the key
            await asyncio.sleep(0.01)
        await self._keys.destroy(record, document, version)
        faults.point("consent.abandon.destroyed")
