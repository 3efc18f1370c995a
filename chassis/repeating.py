"""What is done again and again; an outage passes. Facts said so (keys, heartbeats) heal themselves: none is stored."""

import asyncio
from collections.abc import Awaitable, Callable

from chassis import kafka, logs
from chassis.mongo import DatabaseError
from chassis.settings import KafkaSettings
from contracts.fact import Fact
from contracts.registry import Envelope, encode, topic_of

EVERY_SECONDS = 2.0
Repeated = tuple[Fact, int | None]  # a fact, and its partition where it is not its key's
_log = logs.get("repeating")


async def repeat(settings: KafkaSettings, service: str, said: Callable[[], Awaitable[list[Repeated]]]) -> None:
    """Publish what `said` returns, every 2 s, until cancelled; an outage passes, and the next round is sent."""
    while True:
        try:
            async with kafka.started(kafka.producer(settings)) as producer:
                while True:
                    for fact, partition in await said():
                        headers = Envelope(
                            source=f"carnet/{service}",
                            type=fact.TYPE,
                            subject=fact.record_id,
                            correlation_id="beat",
                        ).to_headers()
                        await producer.send_and_wait(
                            topic_of(type(fact)),
                            encode(fact),
                            key=fact.record_id.encode(),
                            partition=partition,
                            headers=headers,
                        )
                    await asyncio.sleep(EVERY_SECONDS)
        except Exception as error:  # noqa: BLE001 - a new producer and a new round, whatever it was
            _log.warning("interrupted", error=type(error).__name__, where=logs.where(error.__traceback__))
            await asyncio.sleep(1)


async def sweep(work: Callable[[], Awaitable[float]]) -> None:
    """Run `work` again and again until cancelled, each time after the seconds that it returned."""
    while True:
        try:
            pause = await work()
        except DatabaseError as error:
            _log.warning("interrupted", error=type(error).__name__, where=logs.where(error.__traceback__))
            pause = 1
        await asyncio.sleep(pause)
