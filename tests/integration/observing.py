"""What a test sees from outside: a topic's messages as they come, and a condition that comes true."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from prometheus_client import REGISTRY

T = TypeVar("T")


class Tap:
    """What a topic received since the tap was opened, as any holder of Kafka's credentials sees it."""

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader

    async def take(self, count: int, seconds: float = 10.0) -> list[ConsumerRecord]:
        """Return the next `count` records, or those that came in time."""
        taken: list[ConsumerRecord] = []
        end = time.monotonic() + seconds
        while len(taken) < count and (left := end - time.monotonic()) > 0:
            wait_ms = int(min(left, 0.5) * 1000)
            batches = await self._reader.getmany(timeout_ms=wait_ms, max_records=count - len(taken))
            taken += [each for batch in batches.values() for each in batch]
        return taken


async def eventually(look: Callable[[], Awaitable[T | None]], seconds: float = 15.0) -> T:
    """Return what `look` gives once it is true; fail when it is not in time."""
    end = time.monotonic() + seconds
    while not (seen := await look()):
        assert time.monotonic() < end, f"not true within {seconds} s"
        await asyncio.sleep(0.05)
    return seen


def counted(name: str, **labels: str) -> float:
    """Return a metric's present value, 0 when nothing was counted yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
