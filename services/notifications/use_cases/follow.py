"""Follow an inbox as it grows: one watcher a process wakes those who listen to the record that changed."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Gauge

from services.notifications.domain import Item
from services.notifications.ports import Items

_BATCH = 50
LISTENERS = Gauge("carnet_notifications_listeners", "Open streams.")


class Follow:
    """The listeners of this process, by record."""

    def __init__(self, items: Items, *, look_again_seconds: float = 30.0) -> None:
        self._items, self._look_again_seconds = items, look_again_seconds
        self._awaited: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._closed = False

    def wake(self, record: str | None = None) -> None:
        """Have the listeners of a record look again; those of every record when None."""
        for each in [record] if record else list(self._awaited):
            for woken in self._awaited.get(each, ()):
                woken.set()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self.wake()

    async def __call__(self, record: str, after: int | None, until: float) -> AsyncIterator[Item]:
        """Yield the items above a number, or what comes from now on when None; end at `until` (Unix time, seconds).

        Whatever the watcher misses is found by looking again every 30 s.
        """
        with_last = await self._items.last(record) if after is None else after
        async with self._listening(record) as woken:
            while not self._closed and (left := until - time.time()) > 0:
                # Cleared before looking: what is stored while we look wakes us again.
                woken.clear()
                found = await self._items.after(record, with_last, _BATCH)
                for item in found:
                    with_last = item.number
                    yield item
                if len(found) == _BATCH:
                    continue
                try:
                    await asyncio.wait_for(woken.wait(), min(left, self._look_again_seconds))
                except TimeoutError:
                    continue

    @asynccontextmanager
    async def _listening(self, record: str) -> AsyncIterator[asyncio.Event]:
        woken = asyncio.Event()
        self._awaited[record].add(woken)
        LISTENERS.inc()
        try:
            yield woken
        finally:
            LISTENERS.dec()
            self._awaited[record].discard(woken)
            if not self._awaited[record]:
                del self._awaited[record]
