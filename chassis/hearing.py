"""Hearing questions: drop what is late or not proved, have the rest judged, answer the instance that asked."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chassis import faults, kafka, logs
from chassis.flows import (
    DEADLINE_SECONDS,
    DECISIONS,
    DROPPED,
    GIVE_UP_SECONDS,
    PROMISE,
    REQUESTS,
    header_info,
    request_digest,
)
from chassis.sealing import Unsealable, b64, digest, seal_to, unb64, unseal
from chassis.settings import KafkaSettings
from chassis.trust import Certificate, InstanceIdentity, Trust, Untrusted, sign
from contracts.consent import MAX_DEADLINE_MS, FlowAnswer, FlowDecided, FlowQuestion, FlowRequested
from contracts.registry import Envelope, Undecodable, decode, encode

_AT_ONCE = 256
_log = logs.get("hearing")


def in_time(deadline_ms: int) -> bool:
    """Say whether a question may still be answered: its end is ahead, and no further than the protocol allows."""
    return 0 < deadline_ms - time.time() * 1000 <= MAX_DEADLINE_MS


@dataclass(frozen=True, slots=True)
class Heard:
    """A question whose instance is proved; the caller's token is still to be judged."""

    flow: str
    record: str
    reply_partition: int
    digest: str
    deadline_ms: int
    question: FlowQuestion
    certificate: Certificate
    correlation_id: str
    traceparent: str | None

    def late(self) -> bool:
        """Say whether the time to answer is over, or was never allowed."""
        return not in_time(self.deadline_ms)


@dataclass(frozen=True, slots=True)
class Judged:
    """The answer to a question, and what the promise says of the journal's entry."""

    answer: FlowAnswer
    receipt: dict[str, Any]


Judge = Callable[[Heard], Awaitable[Judged | None]]


class _FromWhatIsInTime(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Begins each partition that this decider takes over at the oldest question that may still be answered.

    Nothing is committed: a question that two deciders hear is told apart by its cause, and a late one is dropped.
    """

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Let go: what is being judged is finished all the same."""

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Seek."""
        since = int(time.time() * 1000) - MAX_DEADLINE_MS
        found = await self._reader.offsets_for_times(dict.fromkeys(assigned, since))
        for place, offset in found.items():
            if offset is not None:
                self._reader.seek(place, offset.offset)
            else:
                await self._reader.seek_to_end(place)


class Hearer:
    """A decider's ear and mouth: it hears questions and answers each to the instance that asked."""

    GROUP = "carnet.consent.decide"

    def __init__(
        self, settings: KafkaSettings, identity: InstanceIdentity, trust: Trust,
        sealing_keys: list[X25519PrivateKey], judge: Judge,
    ) -> None:  # fmt: skip
        self._settings, self._identity, self._trust = settings, identity, trust
        self._me = trust.certificate(identity.role_certificate, identity.certificate, role="consent")
        self._keys, self._judge = sealing_keys, judge
        self._running = self._assigned = False

    async def ready(self) -> bool:
        """Say whether questions reach this decider; true of a process that decides nothing."""
        return self._assigned or not self._running

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear and answer while the block runs."""
        self._running = True
        async with AsyncExitStack() as stack:
            producer = await stack.enter_async_context(kafka.started(kafka.producer(self._settings)))
            reader = kafka.consumer(
                self._settings,
                group_id=self.GROUP,
                # A static member: a decider that is killed and started again takes its partitions back at once.
                # Else the group would wait for the dead one's session to end, and no decider would hear meanwhile.
                group_instance_id=self._me.instance,
                auto_offset_reset="latest",
                session_timeout_ms=10_000,
                max_poll_records=128,
            )
            await stack.enter_async_context(kafka.started(reader))
            reader.subscribe([REQUESTS], listener=_FromWhatIsInTime(reader))
            hearing = asyncio.create_task(self._hear(reader, producer))
            try:
                yield
            finally:
                self._running = self._assigned = False
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def _hear(self, reader: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                try:
                    batches = await reader.getmany(timeout_ms=500)
                    self._assigned = bool(reader.assignment())
                except Exception as error:  # noqa: BLE001 - a deaf process would look ready
                    _log.warning("interrupted", error=type(error).__name__)
                    await asyncio.sleep(0.2)
                    continue
                if batches:
                    faults.point("hearing.heard")
                for record in (each for batch in batches.values() for each in batch):
                    if (heard := self._proved(record)) is not None:
                        task = asyncio.create_task(self._judged(heard, producer))
                        running.add(task)
                        task.add_done_callback(running.discard)
                while len(running) > _AT_ONCE:
                    # What waits in the topic meanwhile may be late when it is read: it is dropped then, unjudged.
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if running:
                # Finish what is judged; whoever asked what still hangs then has given up.
                _, hanging = await asyncio.wait(running, timeout=GIVE_UP_SECONDS)
                for task in hanging:
                    task.cancel()
                await asyncio.gather(*hanging, return_exceptions=True)

    async def _judged(self, heard: Heard, producer: AIOKafkaProducer) -> None:
        try:
            judged = await self._judge(heard)
            faults.point("hearing.judged")
            if judged is not None:
                await self._answer(heard, judged, producer)
                faults.point("hearing.answered")
        except Exception as error:  # noqa: BLE001 - nobody is answered: the asker fails closed
            _log.error("not judged", error=type(error).__name__, where=logs.where(error.__traceback__))
            DROPPED.labels("failed").inc()

    def _proved(self, record: ConsumerRecord) -> Heard | None:
        """Return a question that is in time, certified, signed and sealed to us; drop any other, and count why."""
        try:
            envelope, fact = decode(record.headers, record.value)
            if not isinstance(fact, FlowRequested):
                raise Undecodable("type")
            return self._opened(envelope, fact)
        except Exception as error:  # noqa: BLE001 - one bad question must not take its batch with it
            reason = str(error) if isinstance(error, Untrusted) else type(error).__name__
            DROPPED.labels(reason[:32]).inc()
            return None

    def _opened(self, envelope: Envelope, fact: FlowRequested) -> Heard:
        header, bound = fact.header, request_digest(fact)
        if not in_time(header.deadline_ms):
            raise Untrusted("late")
        certificate = self._trust.certificate(fact.role_certificate, fact.certificate)
        certificate.signature_key.verify(unb64(fact.signature), bound)
        if header.reply_partition not in certificate.reply_partitions:
            raise Untrusted("reply-partition")
        question = FlowQuestion.model_validate_json(self._unsealed(fact))
        if question.action not in certificate.actions:
            raise Untrusted("action")
        return Heard(
            flow=header.flow,
            record=header.record,
            reply_partition=header.reply_partition,
            digest=b64(bound),
            deadline_ms=header.deadline_ms,
            question=question,
            certificate=certificate,
            correlation_id=envelope.correlation_id,
            traceparent=envelope.traceparent,
        )

    def _unsealed(self, fact: FlowRequested) -> bytes:
        sealed, info = unb64(fact.sealed), header_info(fact.header, fact.certificate)
        for key in self._keys[:-1]:
            try:
                return unseal(key, sealed, info)
            except Unsealable:
                continue
        return unseal(self._keys[-1], sealed, info)

    async def _answer(self, question: Heard, judged: Judged, producer: AIOKafkaProducer) -> None:
        bound, answer = unb64(question.digest), judged.answer.model_dump_json(exclude_none=True)
        promise = sign(
            {
                "request": question.digest,
                "recipient": question.certificate.instance,
                "answer": digest(answer.encode()),
                "receipt": judged.receipt,
                "exp": question.deadline_ms / 1000 + (GIVE_UP_SECONDS - DEADLINE_SECONDS),
            },
            self._identity.signing_key,
            PROMISE,
        )
        sealed = orjson.dumps(
            {
                "answer": answer,
                "promise": promise,
                "role_certificate": self._identity.role_certificate,
                "certificate": self._identity.certificate,
            }
        )
        fact = FlowDecided(
            flow=question.flow,
            record=question.record,
            decider=self._me.instance,
            sealed=b64(seal_to(question.certificate.sealing_key, sealed, bound)),
        )
        envelope = Envelope(
            source="carnet/consent",
            type=FlowDecided.TYPE,
            subject=question.record,
            correlation_id=question.correlation_id,
            causation_id=question.flow,
            traceparent=question.traceparent,
        )
        value = encode(fact)
        if len(value) >= kafka.MAX_MESSAGE_BYTES:
            # The broker would refuse it, and this producer would never recover its sequence.
            DROPPED.labels("answer-too-large").inc()
            return
        sent = await producer.send(
            DECISIONS,
            value,
            key=question.record.encode(),
            partition=question.reply_partition,
            headers=envelope.to_headers(),
        )
        sent.add_done_callback(kafka.read_error)
