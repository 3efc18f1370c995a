"""Represent a record: write into its journal whom it obeys, as identity says it; never an older state over a newer."""

import asyncio

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.representation import Representation
from services.consent.ledger import Ledger
from services.consent.ports import Clock, Fate, InForce, Journal, RecordUnknown


class RepresentRecord:
    """Journals each state once, however often its event comes: flows that are decided after it are judged by it."""

    def __init__(self, ledger: Ledger, journal: Journal, in_force: InForce, clock: Clock) -> None:
        self._ledger, self._journal, self._in_force, self._clock = ledger, journal, in_force, clock

    async def __call__(self, record: str, said: Representation, event_id: str) -> None:
        """Write the entry unless the journal knows this state or a newer one; raise RecordUnknown, OutcomeUnknown."""
        while True:
            state = await self._ledger.folded(record)
            if state is None:
                raise RecordUnknown
            if state.represented is not None and state.represented.version >= said.version:
                return
            rules = self._in_force.rules
            entry = Entry(
                record=record,
                version=state.version + 1,
                cause=event_id,
                stream=MAIN,
                n=state.n + 1,
                at=self._clock(),
                policies=rules.digest,
                leaf_class="other",
                kind="represented",
                representation=said,
            )
            fate = (await self._journal.append([entry]))[0]
            if fate is Fate.OUTDATED:
                await self._in_force.renew(rules)
                continue
            if fate is Fate.STANDS:
                self._ledger.appended(entry)
                return
            # Another process is at the same record, perhaps with this very event: look again.
            await asyncio.sleep(0.01)
