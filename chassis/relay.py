"""The outbox's publisher: one at a time by lease, every row that stands, gone once the broker has it."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from chassis import faults, kafka, logs
from chassis.mongo import DuplicateKey, Mongo
from chassis.outbox import COLLECTION
from chassis.settings import KafkaSettings

LEASES = "leases"
_LEASE_SECONDS, _RENEW_SECONDS, _BATCH = 10, 3.0, 500
_GATHER_SECONDS = 0.04  # under load one look serves many rows
PUBLISHED = Counter("carnet_outbox_published_total", "Facts that the broker has acknowledged.")
_log = logs.get("relay")


class Relay:
    """Publishes at least once. Readers tell a repeat by its event id."""

    def __init__(self, mongo: Mongo, settings: KafkaSettings, instance: str) -> None:
        self._mongo, self._settings, self._instance = mongo, settings, instance
        self._renew_at = 0.0

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
        rows = await self._mongo[COLLECTION].find({}).sort("created_at", 1).limit(_BATCH).to_list(_BATCH)
        if not rows:
            return 0
        faults.point("relay.found")
        sent = [await self._send(producer, row) for row in rows]
        faults.point("relay.sent")
        results = await asyncio.gather(*sent, return_exceptions=True)
        done = [row["_id"] for row, result in zip(rows, results, strict=True) if not isinstance(result, BaseException)]
        faults.point("relay.published")
        await self._mongo[COLLECTION].delete_many({"_id": {"$in": done}})
        faults.point("relay.removed")
        PUBLISHED.inc(len(done))
        if len(done) < len(rows):
            # The broker refused a batch: this producer's sequence is broken for good (see kafka's idempotence).
            raise KafkaError("refused")
        return len(rows)

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
