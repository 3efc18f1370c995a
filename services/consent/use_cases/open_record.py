"""Open a record: its key first, durably, then the first entry of its journal."""

from services.consent.domain.entry import MAIN, Entry
from services.consent.ports import Clock, Fate, InForce, Journal, RecordKeys


class OpenRecord:
    """Opens each record once, however often its event comes."""

    def __init__(self, journal: Journal, keys: RecordKeys, in_force: InForce, clock: Clock) -> None:
        self._journal, self._keys, self._in_force, self._clock = journal, keys, in_force, clock

    async def __call__(self, record: str, event_id: str) -> None:
        """Create key and first entry; what stands stays."""
        await self._keys.create(record)
        while await self._journal.head(record) is None:
            rules = self._in_force.rules
            first = Entry(
                record=record,
                version=1,
                cause=event_id,
                stream=MAIN,
                n=1,
                at=self._clock(),
                policies=rules.digest,
                leaf_class="other",
                kind="opened",
            )
            if (await self._journal.append([first]))[0] is not Fate.OUTDATED:
                return
            await self._in_force.renew(rules)
