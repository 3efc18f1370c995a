"""What is repeated goes out whole at each round, and an outage passes."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from chassis import repeating
from chassis.repeating import Repeated, repeat
from chassis.settings import KafkaSettings
from contracts.identity import BeatSent, RecordOpened
from contracts.registry import decode, topic_of


class Producer:
    """Takes messages; the first one ever fails."""

    def __init__(self, sent: list[dict[str, Any]], ends: asyncio.Event) -> None:
        self._sent, self._ends = sent, ends

    async def start(self) -> None:
        """Start."""

    async def stop(self) -> None:
        """Stop."""

    async def send_and_wait(self, topic: str, value: bytes, **rest: Any) -> None:
        """Take a message, or fail."""
        self._sent.append({"topic": topic, "value": value} | rest)
        if len(self._sent) == 1:
            raise KafkaConnectionError
        if len(self._sent) >= 5:
            self._ends.set()


async def test_a_round_goes_out_whole_and_again_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round asks anew what to say, and says it on the fact's topic, in the partition that was named."""
    sent: list[dict[str, Any]] = []
    ends, rounds = asyncio.Event(), 0
    monkeypatch.setattr(repeating, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr("chassis.kafka.producer", lambda _: Producer(sent, ends))

    async def said() -> list[Repeated]:
        nonlocal rounds
        rounds += 1
        return [(BeatSent(partition=0), 0), (BeatSent(partition=1), 1)]

    task = asyncio.create_task(repeat(KafkaSettings(), "identity", said))
    await asyncio.wait_for(ends.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [message["partition"] for message in sent[:5]] == [0, 0, 1, 0, 1]
    assert {message["topic"] for message in sent} == {topic_of(RecordOpened)}
    assert rounds >= 3
    envelope, fact = decode(sent[2]["headers"], sent[2]["value"])
    assert (envelope.source, fact, sent[2]["key"]) == ("carnet/identity", BeatSent(partition=1), b"public")
