"""Open a record: its key first, durably, then the first entry of its journal."""

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.rules import Rules
from services.consent.ports import Clock, Journal, RecordKeys


class OpenRecord:
    """Opens each record once, however often its event comes."""

    def __init__(self, journal: Journal, keys: RecordKeys, rules: Rules, clock: Clock) -> None:
        self._journal, self._keys, self._rules, self._clock = journal, keys, rules, clock

    async def __call__(self, record: str, event_id: str) -> None:
        """Create key and first entry; what stands stays."""
        await self._keys.create(record)
        if await self._journal.head(record) is not None:
            return
        first = Entry(
            record=record,
            version=1,
            cause=event_id,
            stream=MAIN,
            n=1,
            at=self._clock(),
            policies=self._rules.digest,
            leaf_class="other",
            kind="opened",
        )
        await self._journal.append([first])
