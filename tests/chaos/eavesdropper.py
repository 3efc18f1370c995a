"""Anyone on the broker: hears the flows' topics, and sends what it has heard again."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from chassis import kafka
from chassis.flows import DECISIONS, REQUESTS
from chassis.settings import KafkaSettings
from contracts.consent import FlowDecided, FlowRequested
from contracts.registry import catalogue, decode


def question_of(record: ConsumerRecord) -> FlowRequested:
    """Return the question of a message on the requests' topic."""
    _, fact = decode(record.headers, record.value)
    assert isinstance(fact, FlowRequested)
    return fact


class Eavesdropper:
    """Holds no key: it sees headers, record ids and ciphertext."""

    def __init__(self, producer: Any, requests: Any, decisions: Any) -> None:
        self._producer, self._requests, self._decisions = producer, requests, decisions
        self._answers: Counter[str] = Counter()

    async def request(self, patience: float = 5.0) -> ConsumerRecord:
        """Return the next question as it stands on the topic."""
        async with asyncio.timeout(patience):
            return await self._requests.getone()

    async def send(self, record: ConsumerRecord, value: bytes | None = None) -> None:
        """Send a message again, byte for byte, or with another value."""
        await self._producer.send_and_wait(
            REQUESTS, value or record.value, key=record.key, partition=record.partition, headers=list(record.headers)
        )

    async def answers(self, request: ConsumerRecord, wanted: int, patience: float = 3.0) -> int:
        """Return how many answers to a question were heard, once there are so many or patience is over."""
        flow, end = question_of(request).header.flow, time.monotonic() + patience
        while self._answers[flow] < wanted and (left := end - time.monotonic()) > 0:
            for batch in (await self._decisions.getmany(timeout_ms=int(left * 1000))).values():
                for each in batch:
                    _, fact = decode(each.headers, each.value)
                    assert isinstance(fact, FlowDecided)
                    self._answers[fact.flow] += 1
        return self._answers[flow]


@asynccontextmanager
async def eavesdropping(settings: KafkaSettings) -> AsyncIterator[Eavesdropper]:
    """Listen from now on, while the block runs."""
    async with AsyncExitStack() as opened:
        producer = await opened.enter_async_context(kafka.started(kafka.producer(settings)))
        readers = []
        for topic in (REQUESTS, DECISIONS):
            reader = await opened.enter_async_context(kafka.started(kafka.consumer(settings)))
            places = [TopicPartition(topic, number) for number in range(catalogue()[topic].partitions)]
            reader.assign(places)
            await reader.seek_to_end(*places)
            for place in places:
                await reader.position(place)
            readers.append(reader)
        yield Eavesdropper(producer, *readers)
