"""Taking facts in: decode, handle, commit. The only place with an acknowledgement policy, a retry or a dead letter.

FastStream runs the loop; its own policies either lose messages or redeliver without rest, so this file acknowledges
by hand. Handlers must be idempotent (a unique index that names the event, a version): an event may come again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.message import FAKE_CONSUMER
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge

from chassis import faults, kafka, logs, mongo, telemetry
from chassis.dead_letters import DeadLetters, Letter, key_of
from chassis.settings import KafkaSettings
from contracts.fact import Fact
from contracts.registry import Envelope, Undecodable, decode

Handler = Callable[[Envelope, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands."""

    topic: str
    partition: int
    offset: int


HERE: ContextVar[Place] = ContextVar("here")  # of the event in hand, for a handler that needs to know

_BACK_OFF_SECONDS = (0.1, 0.5, 2.0)
_PAUSE_SECONDS = 5.0
_COMMIT_SECONDS = 0.2  # one commit for many events: a crash brings back what came since, and handlers are idempotent
HANDLED = Counter("carnet_events_handled_total", "Events by their end.", ["consumer", "type", "end"])
PAUSED = Gauge("carnet_consumer_paused", "1 while a dependency cannot be reached.", ["consumer"])
_log = logs.get("consuming")


class DependencyUnreachable(Exception):
    """Raised by a handler: what it needs is away; the event waits, however long."""


class _Left(BaseException):
    """The process ends while an event waits: it is not committed, so it comes again."""


_Errors = type[Exception] | tuple[type[Exception], ...]
_AWAY: _Errors = (DependencyUnreachable, *mongo.Unreachable, *kafka.Unreachable)


class Consuming:
    """The facts that one service takes in, under one consumer group."""

    def __init__(
        self, service: str, settings: KafkaSettings, letters: DeadLetters, instance: str | None = None
    ) -> None:  # fmt: skip
        self.consumer, self._instance = f"carnet.{service}", instance
        self._settings, self._letters = settings, letters
        self._handlers: dict[str, Handler] = {}
        self._topics: list[str] = []
        self._subscriber: Any = None
        self._leaving = asyncio.Event()
        self._done: dict[TopicPartition, int] = {}

    @property
    def subscriptions(self) -> dict[str, list[str]]:
        """The topics and fact types taken in: what the catalogue is compared with."""
        return {"topics": sorted(self._topics), "types": sorted(self._handlers)}

    def on(self, topic: str, *facts: tuple[type[Fact], Handler]) -> None:
        """Take in a topic; each fact type has one handler, and a type without one is passed over."""
        self._topics.append(topic)
        self._handlers |= {fact.TYPE: handler for fact, handler in facts}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume while the block runs; leaving it finishes the event in hand, commits and closes."""
        broker = KafkaBroker(
            self._settings.bootstrap,
            apply_types=False,
            allow_auto_create_topics=False,  # it would make them with one partition; the catalogue knows better
            graceful_timeout=10,
            logger=None,
            **_security(self._settings),
        )
        self._subscriber = broker.subscriber(
            *self._topics,
            group_id=self.consumer,
            # A static member takes its partitions back at once when it is started again after a kill.
            group_instance_id=self._instance,
            ack_policy=AckPolicy.MANUAL,
            listener=_Rebalanced(self._commit, self._letters.forget),
            auto_offset_reset="earliest",
            parser=_as_it_came,
            decoder=_undecoded,
        )
        self._subscriber(self._take)
        self._leaving = asyncio.Event()
        committing = asyncio.create_task(self._committing())
        try:
            await broker.start()
            yield
        finally:
            self._leaving.set()
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)
            await self._commit()
            await broker.stop()

    async def replay(self, only: str | None = None) -> AsyncIterator[tuple[Letter, str]]:
        """Handle letters again, in order; yield each with `healed`, `gone` (from its topic) or the error's class.

        The first that fails keeps its key blocked. `only` is a letter's id; the letters before it of its key go first.
        """
        letters = await self._letters.all()
        keys = dict.fromkeys(each.key for each in letters if only is None or each.id == only)
        if not keys:
            return  # aiokafka cannot stop a reader that was started and asked for nothing
        reader = kafka.consumer(self._settings, auto_offset_reset="earliest")
        await reader.start()
        try:
            for key in keys:
                # Read again after each: the consumer may park behind us meanwhile.
                while letter := await self._letters.first(key):
                    end = await self._again(reader, letter)
                    yield letter, end
                    if end not in {"healed", "gone"}:
                        break
                    await self._letters.remove(letter)
        finally:
            await reader.stop()

    async def _again(self, reader: Any, letter: Letter) -> str:
        place = TopicPartition(letter.topic, letter.partition)
        reader.assign([place])
        first, end = await reader.beginning_offsets([place]), await reader.end_offsets([place])
        if not first[place] <= letter.offset < end[place]:
            return "gone"
        reader.seek(place, letter.offset)
        record = await reader.getone()
        if record.offset != letter.offset:
            return "gone"
        try:
            await self._handle(record)
        except Exception as error:  # noqa: BLE001 - the operator is told its class
            return type(error).__name__
        return "healed"

    async def _take(self, record: ConsumerRecord) -> None:
        """Bring one event to its end, whatever that is, then move on; what is left at the end comes again."""
        if self._leaving.is_set():
            return
        try:
            await self._ended(record)
        except _Left:
            return
        faults.point("consuming.ended")
        self._done[TopicPartition(record.topic, record.partition)] = record.offset + 1
        if self._leaving.is_set():
            await self._commit()

    async def _ended(self, record: ConsumerRecord) -> None:
        # FastStream passes over an exception and the next commit would cover this event: a letter waits for its
        # database whatever the error is.
        key = key_of(record)
        if await self._patiently(lambda: self._letters.blocked(key), Exception):
            await self._patiently(lambda: self._letters.add(record, None), Exception)
            await self._unless_alone(key, record)
            return
        faults.point("consuming.taken")
        if (error := await self._tried(record)) is not None:
            await self._patiently(lambda: self._letters.add(record, error), Exception)
            _log.error(
                "set aside",
                consumer=self.consumer,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=type(error).__name__,
                where=logs.where(error.__traceback__),
            )

    async def _unless_alone(self, key: str, record: ConsumerRecord) -> None:
        """Handle what was just parked if a replay emptied the queue before it meanwhile: nobody else would."""
        first = await self._patiently(lambda: self._letters.first(key), Exception)
        if first and (first.topic, first.partition, first.offset) == (record.topic, record.partition, record.offset):
            if (error := await self._tried(record)) is None:
                await self._patiently(lambda: self._letters.remove(first), Exception)
            else:
                _log.error("set aside", consumer=self.consumer, topic=record.topic, error=type(error).__name__)

    async def _tried(self, record: ConsumerRecord) -> BaseException | None:
        """Handle with bounded back-off; return the error that stayed."""
        for pause in (*_BACK_OFF_SECONDS, None):
            try:
                await self._patiently(lambda: self._handle(record))
            except Undecodable as error:
                return error
            except Exception as error:  # noqa: BLE001 - whatever stays becomes a dead letter
                if pause is None:
                    return error
                await asyncio.sleep(pause)
            else:
                return None
        return None

    async def _patiently(self, attempt: Callable[[], Awaitable[Any]], away: _Errors = _AWAY) -> Any:
        """Await what may be away: it is not the event's fault, so wait as long as it takes, or until we leave."""
        pause = 0.2
        while True:
            try:
                result = await attempt()
            except away as error:
                PAUSED.labels(self.consumer).set(1)
                _log.warning("waiting", consumer=self.consumer, error=type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._leaving.wait(), pause)
                    raise _Left from None
                pause = min(pause * 2, _PAUSE_SECONDS)
            else:
                PAUSED.labels(self.consumer).set(0)
                return result

    async def _handle(self, record: ConsumerRecord) -> None:
        envelope, fact = decode(record.headers, record.value)
        handler = self._handlers.get(envelope.type)
        if handler is None:
            return
        HERE.set(Place(record.topic, record.partition, record.offset))
        with telemetry.span(
            f"take {envelope.type}",
            SpanKind.CONSUMER,
            parent=envelope.traceparent,
            attributes={"messaging.destination.name": record.topic, "messaging.message.id": envelope.id},
        ):
            try:
                await handler(envelope, fact)
            except Exception as error:
                HANDLED.labels(self.consumer, envelope.type, type(error).__name__).inc()
                raise
        HANDLED.labels(self.consumer, envelope.type, "handled").inc()

    async def _committing(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self._commit()

    async def _commit(self) -> None:
        """Commit what was brought to its end, where this member still has the partition."""
        consumer = self._subscriber.consumer
        mine = consumer.assignment() if consumer else set()
        done = {place: offset for place, offset in self._done.items() if place in mine}
        self._done = {}
        if not done:
            return
        try:
            await consumer.commit(done)
        except (IllegalStateError, KafkaError) as error:
            # Away, or another member took a partition over: it will see the events again, and know them.
            self._done = done | self._done
            _log.warning("not committed", consumer=self.consumer, error=type(error).__name__)
            return
        faults.point("consuming.committed")


class _Rebalanced(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Lets partitions go with what was done of them, and looks anew at what is set aside of those that come."""

    def __init__(self, commit: Callable[[], Awaitable[None]], forget: Callable[[], None]) -> None:
        self._commit, self._forget = commit, forget

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's signature
        """Commit."""
        await self._commit()

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's signature
        """Forget."""
        self._forget()


async def _as_it_came(record: ConsumerRecord) -> KafkaMessage:
    """Keep the raw record: FastStream's own parser fails on a header that is not UTF-8, before any handler."""
    return KafkaMessage(
        body=record.value or b"",
        headers={},
        raw_message=record,
        message_id=f"{record.partition}-{record.offset}",
        consumer=FAKE_CONSUMER,  # nobody acknowledges through the message
    )


async def _undecoded(message: KafkaMessage) -> ConsumerRecord:
    return message.raw_message


def _security(settings: KafkaSettings) -> dict[str, Any]:
    if settings.security_protocol == "PLAINTEXT":
        return {}
    import ssl  # noqa: PLC0415 - only a deployment with TLS needs it

    from faststream.security import BaseSecurity  # noqa: PLC0415

    return {"security": BaseSecurity(ssl_context=ssl.create_default_context())}
