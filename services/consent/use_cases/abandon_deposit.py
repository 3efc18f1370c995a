"""Abandon a deposit: documents says that it never stored it. The entry first, then the key is destroyed."""

import asyncio

from chassis import faults
from services.consent.domain.entry import MAIN, Entry
from services.consent.ledger import Ledger
from services.consent.ports import Clock, DocumentKeys, Fate, InForce, Journal


class AbandonDeposit:
    """Destroys the key of what was never stored, and of nothing else."""

    def __init__(self, ledger: Ledger, journal: Journal, keys: DocumentKeys, in_force: InForce, clock: Clock) -> None:
        self._ledger, self._journal, self._keys = ledger, journal, keys
        self._in_force, self._clock = in_force, clock

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
            after, now, rules = state.version, self._clock(), self._in_force.rules
            # The end of what somebody does not know of yet is told where its beginning is.
            stream = state.documents[document].stream if state.documents[document].reserved(now) else MAIN
            entry = Entry(
                record=record,
                version=after + 1,
                cause=event_id,
                stream=stream,
                n=await self._journal.last(record, stream) + 1,
                at=now,
                policies=rules.digest,
                leaf_class="other",
                kind="abandoned",
                about=document,
            )
            fate = (await self._journal.append([entry]))[0]
            if fate is Fate.STANDS:
                self._ledger.appended(entry)
                faults.point("consent.abandon.appended")
                break
            if fate is Fate.OUTDATED:
                await self._in_force.renew(rules)
                continue
            if await self._journal.by_cause(record, event_id) is not None:
                break  # this event came before, and the process died between its entry and the key
            await asyncio.sleep(0.01)
        await self._keys.destroy(record, document, version)
        faults.point("consent.abandon.destroyed")
