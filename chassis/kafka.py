"""Connections to Kafka, with the settings that correctness needs."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NotLeaderForPartitionError,
    RequestTimedOutError,
)
from aiokafka.partitioner import DefaultPartitioner
from prometheus_client import Counter

from chassis.settings import KafkaSettings

UNSENT = Counter("carnet_kafka_unsent_total", "Questions and answers that the broker did not take.")
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_PARTITIONER = DefaultPartitioner()
# What passes by itself once the broker is back.
Unreachable = (
    KafkaConnectionError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NotLeaderForPartitionError,
    RequestTimedOutError,
)


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments that every client shares."""
    shared: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol != "PLAINTEXT":
        shared["ssl_context"] = ssl.create_default_context()
    return shared


def producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """Return an idempotent producer that waits for all replicas and delays nothing."""
    return AIOKafkaProducer(
        **connection(settings),
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        partitioner=_PARTITIONER,
        max_request_size=MAX_MESSAGE_BYTES,
    )


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition in which our producers put a key, on a topic of so many."""
    return int(_PARTITIONER(key, list(range(partitions)), []))


def consumer(settings: KafkaSettings, **options: Any) -> AIOKafkaConsumer:
    """Return a consumer; the caller says how it assigns and commits."""
    return AIOKafkaConsumer(
        **connection(settings),
        enable_auto_commit=False,
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        fetch_max_wait_ms=250,
        **options,
    )


@asynccontextmanager
async def started(client: Any) -> AsyncIterator[Any]:
    """Start a client, give it, stop it: one that found no broker has opened something too."""
    try:
        await client.start()
        yield client
    finally:
        await client.stop()


def read_error(future: "asyncio.Future[Any]") -> None:
    """Read a send's error where a deadline has the last word, so that asyncio does not complain."""
    if not future.cancelled() and future.exception() is not None:
        UNSENT.inc()
