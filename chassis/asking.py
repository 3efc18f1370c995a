"""Asking consent: seal and sign a question, send it, send it again to another decider, fail closed at 2 s."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge, Histogram

from chassis import faults, kafka, logs, telemetry
from chassis.flows import (
    DEADLINE_SECONDS,
    DECISIONS,
    DROPPED,
    GIVE_UP_SECONDS,
    PROMISE,
    REQUESTS,
    header_info,
    partition_of,
    request_digest,
)
from chassis.sealing import b64, digest, seal_to, unb64, unseal
from chassis.settings import KafkaSettings
from chassis.trust import InstanceIdentity, Statement, Trust, Untrusted, verify
from contracts.consent import FlowAnswer, FlowDecided, FlowHeader, FlowQuestion, FlowRequested
from contracts.registry import Envelope, catalogue, decode, encode

_HEDGE_AFTER_SECONDS, _HEDGE_EVERY_SECONDS = 0.4, 0.3
_IN_FLIGHT = 256

ASKED = Counter("carnet_flows_asked_total", "Flows by action and end.", ["action", "end"])
ASK_SECONDS = Histogram("carnet_flow_seconds", "From the question to the verified answer.", ["action"])
IN_FLIGHT = Gauge("carnet_flows_in_flight", "Questions without an answer yet.")
_log = logs.get("asking")


class ConsentUnreachable(Exception):
    """No valid answer in time: nothing was approved, so nothing may move."""


class FlowsShed(ConsentUnreachable):
    """Too many flows wait already: this one was not even asked."""


@dataclass(slots=True)
class _Waiting:
    record: str
    request: bytes
    answered: "asyncio.Future[FlowAnswer]"
    hedged: bool = False


class Asker:
    """One instance's way to consent; questions and answers are matched by flow id."""

    def __init__(self, settings: KafkaSettings, service: str, identity: InstanceIdentity, trust: Trust) -> None:
        self._settings, self._service, self._identity, self._trust = settings, service, identity, trust
        self._me = trust.certificate(identity.role_certificate, identity.certificate)
        self._waiting: dict[str, _Waiting] = {}
        self._decider_of: dict[int, str] = {}
        self._sealing_key: X25519PublicKey | None = None
        self._producer: AIOKafkaProducer | None = None
        self._positioned = asyncio.Event()

    def use(self, statement: Statement) -> None:
        """Seal questions to the newest of consent's announced keys."""
        self._sealing_key = X25519PublicKey.from_public_bytes(unb64(statement.keys[0]["x"]))

    async def ready(self) -> bool:
        """Say whether an answer could come back: the reply partitions' ends are known, and consent's key too."""
        return self._positioned.is_set() and self._sealing_key is not None

    async def ask(self, record: str, question: FlowQuestion, *, correlation_id: str | None = None) -> FlowAnswer:
        """Return consent's verified answer; raise ConsentUnreachable after 2 s, FlowsShed when too many wait."""
        if len(self._waiting) >= _IN_FLIGHT:
            ASKED.labels(question.action, "shed").inc()
            raise FlowsShed
        if self._producer is None or self._sealing_key is None:
            ASKED.labels(question.action, "unreachable").inc()
            raise ConsentUnreachable
        started = time.monotonic()
        with telemetry.span(f"flow {question.action}", SpanKind.PRODUCER) as span:
            request = self._signed(record, question, self._sealing_key)
            flow = request.header.flow
            # Without the record: the decision's log line names the flow, and the rule that ended it.
            span.set_attributes({"carnet.flow": flow, "carnet.action": question.action})
            answered: asyncio.Future[FlowAnswer] = asyncio.get_running_loop().create_future()
            self._waiting[flow] = _Waiting(record, request_digest(request), answered)
            IN_FLIGHT.set(len(self._waiting))
            try:
                answer = await self._answered(request, correlation_id or flow, answered, started)
            except TimeoutError:
                ASKED.labels(question.action, "unreachable").inc()
                raise ConsentUnreachable from None
            finally:
                self._waiting.pop(flow, None)
                IN_FLIGHT.set(len(self._waiting))
        faults.point("asking.answered")
        ASKED.labels(question.action, answer.outcome).inc()
        ASK_SECONDS.labels(question.action).observe(time.monotonic() - started)
        return answer

    async def _answered(
        self, request: FlowRequested, correlation_id: str, answered: "asyncio.Future[FlowAnswer]", started: float
    ) -> FlowAnswer:  # fmt: skip
        value = encode(request)
        headers = Envelope(
            source=f"carnet/{self._service}",
            type=FlowRequested.TYPE,
            subject=request.record_id,
            correlation_id=correlation_id,
            traceparent=telemetry.traceparent(),
        ).to_headers()
        first = partition = partition_of(request.record_id)
        again = _HEDGE_AFTER_SECONDS
        while True:
            left = GIVE_UP_SECONDS - (time.monotonic() - started)
            async with asyncio.timeout(left):
                await self._send(partition, request.record_id, value, headers)
            faults.point("asking.sent")
            due = min(again - (time.monotonic() - started), left)
            try:
                # shield: a hedge that is due must not cancel the answer.
                return await asyncio.wait_for(asyncio.shield(answered), max(0, due))
            except TimeoutError:
                if again >= DEADLINE_SECONDS:
                    left = GIVE_UP_SECONDS - (time.monotonic() - started)
                    return await asyncio.wait_for(answered, max(0, left))
            again += _HEDGE_EVERY_SECONDS
            partition = self._another(first)
            self._waiting[request.header.flow].hedged = True

    def _another(self, first: int) -> int:
        """Return a partition that a different decider answered last; any other one while none is known."""
        silent = self._decider_of.get(first)
        others = [at for at, decider in self._decider_of.items() if decider != silent and at != first]
        others = others or [at for at in range(catalogue()[REQUESTS].partitions) if at != first]
        return random.choice(others)  # noqa: S311 - a load balancer, not a secret

    def _signed(self, record: str, question: FlowQuestion, key: X25519PublicKey) -> FlowRequested:
        header = FlowHeader(
            flow=uuid4().hex,
            record=record,
            reply_partition=random.choice(tuple(self._me.reply_partitions)),  # noqa: S311 - they are all ours
            deadline_ms=int((time.time() + DEADLINE_SECONDS) * 1000),
        )
        clear = question.model_dump_json(exclude_none=True).encode()
        unsigned = FlowRequested(
            header=header,
            role_certificate=self._identity.role_certificate,
            certificate=self._identity.certificate,
            sealed=b64(seal_to(key, clear, header_info(header, self._identity.certificate))),
            signature="",
        )
        return unsigned.model_copy(update={"signature": b64(self._identity.signing_key.sign(request_digest(unsigned)))})

    async def _send(self, partition: int, record: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        if self._producer is None:
            raise TimeoutError
        try:
            sent = await self._producer.send(REQUESTS, value, key=record.encode(), partition=partition, headers=headers)
        except KafkaError:
            return  # the next round may pass; the deadline decides
        sent.add_done_callback(kafka.read_error)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask and hear answers while the block runs."""
        async with AsyncExitStack() as stack:
            self._producer = await stack.enter_async_context(kafka.started(kafka.producer(self._settings)))
            reader = await stack.enter_async_context(kafka.started(kafka.consumer(self._settings)))
            places = [TopicPartition(DECISIONS, number) for number in sorted(self._me.reply_partitions)]
            reader.assign(places)
            # Without the position, answers that come before the first fetch would be lost.
            await reader.seek_to_end(*places)
            for place in places:
                await reader.position(place)
            self._positioned.set()
            hearing = asyncio.create_task(self._hear(reader))
            try:
                yield
            finally:
                self._positioned.clear()
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
                self._producer = None

    async def _hear(self, reader: AIOKafkaConsumer) -> None:
        while True:
            try:
                batches = await reader.getmany(timeout_ms=1_000)
            except Exception as error:  # noqa: BLE001 - a deaf process would look ready
                _log.warning("interrupted", error=type(error).__name__)
                await asyncio.sleep(0.2)
                continue
            for record in (each for batch in batches.values() for each in batch):
                self._receive(record)

    def _receive(self, record: ConsumerRecord) -> None:
        """Give a waiting question its answer; anything unknown, late or unproved is dropped."""
        try:
            _, fact = decode(record.headers, record.value)
            if not isinstance(fact, FlowDecided) or (waiting := self._waiting.get(fact.flow)) is None:
                return
            answer = self._opened(fact, waiting)
        except Exception as error:  # noqa: BLE001 - whoever may write here must not make us deaf
            DROPPED.labels(f"answer-{type(error).__name__}").inc()
            return
        if not waiting.hedged:
            # After a second try the answer may have come by either partition: it does not tell whose the first one is.
            self._decider_of[partition_of(waiting.record)] = fact.decider
        if not waiting.answered.done():
            waiting.answered.set_result(answer)

    def _opened(self, fact: FlowDecided, waiting: _Waiting) -> FlowAnswer:
        clear = orjson.loads(unseal(self._identity.sealing_key, unb64(fact.sealed), waiting.request))
        decider = self._trust.certificate(clear["role_certificate"], clear["certificate"], role="consent")
        promise = verify(clear["promise"], decider.signature_key, PROMISE)
        said = (promise.get("request"), promise.get("recipient"), promise.get("answer"))
        if said != (b64(waiting.request), self._me.instance, digest(clear["answer"].encode())):
            raise Untrusted("promise")
        return FlowAnswer.model_validate_json(clear["answer"])
