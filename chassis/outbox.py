"""Facts to publish, stored in the transaction that made them true: no session, no fact."""

from datetime import UTC, datetime
from uuid import uuid4

from chassis import telemetry
from chassis.mongo import Mongo, Session
from contracts.fact import Fact
from contracts.registry import Envelope, encode, topic_of

COLLECTION = "outbox"


class Outbox:
    """A row stands exactly as long as its fact is unsent."""

    def __init__(self, mongo: Mongo, service: str) -> None:
        self._mongo, self._service = mongo, service

    async def prepare(self) -> None:
        """Create the collection."""
        await self._mongo.ensure(COLLECTION)

    async def add(
        self, fact: Fact, session: Session, *, correlation_id: str, causation_id: str | None = None,
        event_id: str | None = None, partition: int | None = None,
    ) -> str:  # fmt: skip
        """Store a fact for the relay, in the caller's transaction; return its event id.

        An `event_id` that the caller gives makes a repeat the same event to its readers.
        """
        envelope = Envelope(
            source=f"carnet/{self._service}",
            type=fact.TYPE,
            subject=fact.record_id,
            correlation_id=correlation_id,
            causation_id=causation_id,
            traceparent=telemetry.traceparent(),
            id=event_id or uuid4().hex,
        )
        row = {
            "_id": envelope.id,
            "topic": topic_of(type(fact)),
            "key": fact.record_id.encode(),
            "partition": partition,
            "headers": [[name, value] for name, value in envelope.to_headers()],
            "value": encode(fact),
            "created_at": datetime.now(UTC),
        }
        await self._mongo[COLLECTION].insert_one(row, session=session)
        return envelope.id

    async def holds(self, event_id: str, session: Session) -> bool:
        """Say whether an event stands here unsent."""
        return await self._mongo[COLLECTION].find_one({"_id": event_id}, session=session) is not None
