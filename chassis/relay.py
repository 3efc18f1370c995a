"""The outbox's publisher: one at a time by lease, every row that stands, gone once the broker has it."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError
from prometheus_client import Counter

from chassis import faults, kafka, logs
from chassis.mongo import DuplicateKey, Mongo
from chassis.outbox import COLLECTION
from chassis.settings import KafkaSettings

LEASES = "leases"
_LEASE_SECONDS, _RENEW_SECONDS, _BATCH = 10, 3.0, 500
_GATHER_SECONDS = 0.04  # under load one look serves many rows
# What is said of a row's own size, topic, partition, key or headers: no retry mends it. Anything else may pass.
_NEVER = (MessageSizeTooLargeError, UnknownTopicOrPartitionError, AssertionError, TypeError, ValueError)
PUBLISHED = Counter("carnet_outbox_published_total", "Facts that the broker has acknowledged.")
REFUSED = Counter("carnet_outbox_refused_total", "Facts set aside because they cannot be published as they are.")
_log = logs.get("relay")


class Relay:
    """Publishes at least once. Readers tell a repeat by its event id.

    A row that can never be published holds nobody up: it stays, with the error's class under `refused`, and is tried
    again once an operator has mended the cause and unset the mark.
    """

    def __init__(self, mongo: Mongo, settings: KafkaSettings, instance: str) -> None:
        self._mongo, self._settings, self._instance = mongo, settings, instance

    async def prepare(self) -> None:
        """Create the lease, held by nobody."""
        await self._mongo.ensure(LEASES)
        nobody = {"_id": "relay", "owner": "", "until": datetime.fromtimestamp(0, UTC)}
        with contextlib.suppress(DuplicateKey):
            await self._mongo[LEASES].insert_one(nobody)

    async def run(self) -> None:
        """Publish until cancelled; what fails passes, and is tried again."""
        while True:
            try:
                if not await self._leased():
                    await asyncio.sleep(_RENEW_SECONDS)
                    continue
                async with kafka.started(kafka.producer(self._settings)) as producer:
                    while await self._leased():
                        await self._publish_until_new(producer)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - an outage: the rows stand, the next round sends them
                _log.warning("interrupted", error=type(error).__name__, where=logs.where(error.__traceback__))
                await asyncio.sleep(1)

    async def _publish_until_new(self, producer: AIOKafkaProducer) -> None:
        """Publish all that stands, then wait for more, until the lease wants renewing."""
        # The watch begins before the look, so nothing falls between; a fresh one each time has no backlog of changes.
        async with self._mongo.changes(COLLECTION, "insert") as changed:
            end = time.monotonic() + _RENEW_SECONDS
            while found := await self._publish(producer):
                if time.monotonic() > end:
                    return
                await asyncio.sleep(0 if found == _BATCH else _GATHER_SECONDS)
            await changed(_RENEW_SECONDS)

    async def _publish(self, producer: AIOKafkaProducer) -> int:
        # Whatever stands is unsent. A cursor by id or time would pass over what commits late.
        waiting = self._mongo[COLLECTION].find({"refused": None}).sort("created_at", 1)
        rows = await waiting.limit(_BATCH).to_list(_BATCH)
        if not rows:
            return 0
        faults.point("relay.found")
        sent = await self._handed_over(producer, rows)
        faults.point("relay.sent")
        results = dict(zip(sent, await asyncio.gather(*sent.values(), return_exceptions=True), strict=True))
        done = [row for row, result in results.items() if not isinstance(result, BaseException)]
        faults.point("relay.published")
        await self._mongo[COLLECTION].delete_many({"_id": {"$in": done}})
        faults.point("relay.removed")
        PUBLISHED.inc(len(done))
        for row, result in results.items():
            if isinstance(result, MessageSizeTooLargeError):  # the topic's limit is below the producer's
                await self._set_aside(row, result)
        if len(done) < len(sent):
            # The broker refused a batch: this producer's sequence is broken for good (see kafka's idempotence).
            raise KafkaError("refused")
        return len(rows)

    async def _handed_over(
        self, producer: AIOKafkaProducer, rows: list[dict[str, Any]]
    ) -> "dict[str, asyncio.Future[Any]]":
        """Return by row id what the producer took; set aside what it can never take."""
        sent: dict[str, asyncio.Future[Any]] = {}
        missing = {topic for topic in {row["topic"] for row in rows} if await self._missing(producer, topic)}
        for row in rows:
            try:
                if row["topic"] in missing:
                    raise UnknownTopicOrPartitionError
                sent[row["_id"]] = await self._send(producer, row)
            except _NEVER as error:
                await self._set_aside(row["_id"], error)
        return sent

    @staticmethod
    async def _missing(producer: AIOKafkaProducer, topic: str) -> bool:
        """Say whether the broker answers, and knows no such topic."""
        # The producer by itself would look for 40 s, and say the same of a silent broker.
        with contextlib.suppress(TimeoutError, UnknownTopicOrPartitionError):
            async with asyncio.timeout(_RENEW_SECONDS):
                await producer.partitions_for(topic)
        if producer.client.cluster.partitions_for_topic(topic) is not None:
            return False
        if not await producer.client.force_metadata_update():
            raise KafkaError("silent")
        return producer.client.cluster.partitions_for_topic(topic) is None

    async def _set_aside(self, row: str, error: BaseException) -> None:
        await self._mongo[COLLECTION].update_one({"_id": row}, {"$set": {"refused": type(error).__name__}})
        _log.error("refused", event_id=row, error=type(error).__name__)
        REFUSED.inc()

    @staticmethod
    async def _send(producer: AIOKafkaProducer, row: dict[str, Any]) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = await producer.send(
            row["topic"],
            row["value"],
            key=row["key"],
            partition=row["partition"],
            headers=[(name, bytes(value)) for name, value in row["headers"]],
        )
        return future

    async def _leased(self) -> bool:
        """Take or renew the lease by the server's clock."""
        # A lease that never stood has no `until`, which is less than any time.
        free = {"$or": [{"$eq": ["$owner", self._instance]}, {"$lt": ["$until", "$$NOW"]}]}
        until = {"$dateAdd": {"startDate": "$$NOW", "unit": "second", "amount": _LEASE_SECONDS}}
        taken = {"owner": {"$cond": [free, self._instance, "$owner"]}, "until": {"$cond": [free, until, "$until"]}}
        try:
            lease = await self._mongo[LEASES].find_one_and_update(
                {"_id": "relay"}, [{"$set": taken}], upsert=True, return_document=True
            )
        except DuplicateKey:  # two at once made the first lease
            return False
        return bool(lease["owner"] == self._instance)
