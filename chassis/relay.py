"""The outbox's publisher: one at a time by lease, every row that stands, gone once the broker has it."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from chassis import kafka, logs
from chassis.mongo import DuplicateKey, Mongo
from chassis.outbox import COLLECTION
from chassis.settings import KafkaSettings

LEASES = "leases"
_LEASE_SECONDS, _RENEW_SECONDS, _BATCH = 10, 3.0, 500
PUBLISHED = Counter("carnet_outbox_published_total", "Facts that the broker has acknowledged.")
_log = logs.get("relay")


class Relay:
    """Publishes at least once. Readers tell a repeat by its event id."""

    def __init__(self, mongo: Mongo, settings: KafkaSettings, instance: str) -> None:
        self._mongo, self._settings, self._instance = mongo, settings, instance

    async def prepare(self) -> None:
        """Create the collection of leases."""
        await self._mongo.ensure(LEASES)

    async def run(self) -> None:
        """Publish until cancelled; what fails passes, and is tried again."""
        while True:
            try:
                if not await self._leased():
                    await asyncio.sleep(_RENEW_SECONDS)
                    continue
                async with (
                    kafka.started(kafka.producer(self._settings)) as producer,
                    self._mongo.changes(COLLECTION, "insert") as changed,
                ):
                    while await self._leased():
                        # A full batch means that more may stand: do not wait for a change then.
                        while await self._publish(producer) == _BATCH:
                            pass
                        await changed(_RENEW_SECONDS)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - an outage: the rows stand, the next round sends them
                _log.warning("interrupted", error=type(error).__name__, where=logs.where(error.__traceback__))
                await asyncio.sleep(1)

    async def _publish(self, producer: AIOKafkaProducer) -> int:
        # Whatever stands is unsent. A cursor by id or time would pass over what commits late.
        rows = await self._mongo[COLLECTION].find({}).sort("created_at", 1).limit(_BATCH).to_list(_BATCH)
        if not rows:
            return 0
        sent = [await self._send(producer, row) for row in rows]
        results = await asyncio.gather(*sent, return_exceptions=True)
        done = [row["_id"] for row, result in zip(rows, results, strict=True) if not isinstance(result, BaseException)]
        await self._mongo[COLLECTION].delete_many({"_id": {"$in": done}})
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
        free = {"$or": [{"$eq": ["$owner", self._instance]}, {"$lt": ["$until", "$$NOW"]}]}
        until = {"$dateAdd": {"startDate": "$$NOW", "unit": "second", "amount": _LEASE_SECONDS}}
        try:
            await self._mongo[LEASES].update_one(
                {"_id": "relay", "$expr": free},
                [{"$set": {"owner": self._instance, "until": until}}],
                upsert=True,
            )
        except DuplicateKey:
            return False
        return True
