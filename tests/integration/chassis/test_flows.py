"""Both ends of a flow over a real broker: who is answered, by whom, within what time; and who never is."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import orjson
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from chassis.asking import Asker, ConsentUnreachable
from chassis.flows import DECISIONS, REQUESTS, partition_of, request_digest
from chassis.sealing import b64, seal_to, unb64
from chassis.trust import Authority, InstanceIdentity
from contracts.consent import FlowAnswer, FlowDecided, FlowRequested
from contracts.registry import Envelope, decode, encode
from tests.integration.conftest import Engines
from tests.integration.deciding import ALLOWED, QUESTION, Decider, World, new_record, signed
from tests.integration.observing import Tap, counted, eventually

Open = Callable[[str], Awaitable[Tap]]
Forge = Callable[["World", FlowRequested], FlowRequested]


@pytest.fixture(scope="module")
async def shared_decider(world: World) -> AsyncIterator[Decider]:
    """Join once for all tests: a group takes seconds to form on a busy machine."""
    async with world.deciding("consent-1") as decider:
        yield decider


@pytest.fixture
def decider(shared_decider: Decider) -> Iterator[Decider]:
    """Give the decider as new: it answers, and remembers nothing."""
    shared_decider.heard.clear()
    yield shared_decider
    if shared_decider.stopped:
        shared_decider.go_on()


async def resend(producer: AIOKafkaProducer, request: FlowRequested) -> None:
    """Put a question on its topic."""
    record = request.record_id
    envelope = Envelope(source="carnet/test", type=request.TYPE, subject=record, correlation_id="test")
    await producer.send_and_wait(
        REQUESTS, encode(request), key=record.encode(), partition=partition_of(record), headers=envelope.to_headers()
    )


async def warmed(asker: Asker, record: str) -> FlowAnswer:
    """Ask until somebody answers: one who has just joined may have missed it, one who left holds partitions 10 s."""
    for _ in range(8):
        try:
            return await asker.ask(record, QUESTION)
        except ConsentUnreachable:
            continue
    raise AssertionError("nobody answers")


async def test_without_a_decider_the_asker_gives_up_at_two_seconds(world: World) -> None:
    """Nobody answers: ConsentUnreachable, no sooner than the deadline and no later than 2 s."""
    asker = world.asker(world.identity("documents-1"))
    async with asker.running():
        started = time.monotonic()
        with pytest.raises(ConsentUnreachable):
            await asker.ask(new_record(), QUESTION)
        assert 1.5 <= time.monotonic() - started < 2.3


async def test_a_decider_that_hangs_still_leaves(world: World) -> None:
    """A judge that never returns does not hold the process up for longer than an asker waits."""
    asker = world.asker(world.identity("documents-1"))
    async with asker.running():
        async with world.deciding("consent-1") as decider:
            await warmed(asker, new_record())
            decider.stopped = True
            with pytest.raises(ConsentUnreachable):
                await asker.ask(new_record(), QUESTION)
            started = time.monotonic()
        assert time.monotonic() - started < 10


FORGERIES: dict[str, tuple[str, Forge]] = {
    "another reply partition": (
        "InvalidSignature",
        lambda _, request: request.model_copy(
            update={"header": request.header.model_copy(update={"reply_partition": 7})}
        ),
    ),
    "another record": (
        "InvalidSignature",
        lambda _, request: request.model_copy(
            update={"header": request.header.model_copy(update={"record": new_record()})}
        ),
    ),
    "another flow id": (
        "InvalidSignature",
        lambda _, request: request.model_copy(
            update={"header": request.header.model_copy(update={"flow": secrets.token_hex(16)})}
        ),
    ),
    "a later deadline": (
        "InvalidSignature",
        lambda _, request: request.model_copy(
            update={"header": request.header.model_copy(update={"deadline_ms": request.header.deadline_ms + 300})}
        ),
    ),
    "another instance's certificate": (
        "InvalidSignature",
        lambda world, request: request.model_copy(
            update={"certificate": world.identity("documents-9").certificate}
        ),
    ),
    "another instance's certificate and signature": (
        "reply-partition",
        lambda world, request: signed(request, world.identity("documents-9", partitions=(9,))),
    ),
    "a foreign root's certificate and signature": (
        "InvalidSignature",
        lambda world, request: signed(
            request, world.identity("documents-1", authority=Authority(world.folder / "foreign"))
        ),
    ),
    "an expired certificate": ("expired", lambda world, request: signed(request, world.identity("old", days=-1))),
    "a certificate that ends now": ("expired", lambda world, request: signed(request, world.identity("old", days=0))),
    "an instance that shares the reply partition": (
        "Unsealable",
        lambda world, request: signed(request, world.identity("documents-9")),
    ),
    "a tampered sealed part": (
        "InvalidSignature",
        lambda _, request: request.model_copy(update={"sealed": flipped(request.sealed)}),
    ),
    "a tampered sealed part, signed again": (
        "Unsealable",
        lambda world, request: signed(
            request.model_copy(update={"sealed": flipped(request.sealed)}), world.identity("documents-1")
        ),
    ),
    "another header, signed again": (
        "Unsealable",
        lambda world, request: signed(
            request.model_copy(update={"header": request.header.model_copy(update={"record": new_record()})}),
            world.identity("documents-1"),
        ),
    ),
    "no signature": ("InvalidSignature", lambda _, request: request.model_copy(update={"signature": ""})),
}  # fmt: skip


def flipped(sealed: str) -> str:
    """Change one bit of the ciphertext."""
    data = bytearray(unb64(sealed))
    data[-1] ^= 1
    return b64(bytes(data))


async def test_a_question_is_answered_and_proved(world: World, decider: Decider, tap: Open) -> None:
    """The answer is the judge's, the judge heard what was asked, and nothing readable passed through Kafka."""
    requests, decisions = await tap(REQUESTS), await tap(DECISIONS)
    asker, record = world.asker(world.identity("documents-1", partitions=(0, 5))), new_record()
    async with asker.running():
        assert await warmed(asker, record) == ALLOWED
    heard = decider.heard[-1]
    assert (heard.record, heard.question, heard.certificate.instance) == (record, QUESTION, "documents-1")
    assert heard.reply_partition in {0, 5}
    passed = [each for topic in (requests, decisions) for each in await topic.take(50, seconds=1)]
    assert {each.topic for each in passed} == {REQUESTS, DECISIONS}
    for each in passed:
        clear = repr((each.key, each.value, each.headers))
        assert record in clear
        assert "a.token" not in clear
        assert "planted" not in clear


async def test_with_a_silent_broker_the_asker_gives_up_at_two_seconds(
    world: World, decider: Decider, engines: Engines
) -> None:
    """The broker is stopped: the same, and once it is back nothing of that flow is decided."""
    asker, record = world.asker(world.identity("documents-1")), new_record()
    async with asker.running():
        await warmed(asker, record)
        before = len(decider.heard)
        with engines.kafka_paused():
            started = time.monotonic()
            with pytest.raises(ConsentUnreachable):
                await asker.ask(record, QUESTION)
            assert 1.5 <= time.monotonic() - started < 2.3
        await asyncio.sleep(2)  # the producer's batches never expire: they arrive now, late
        assert len(decider.heard) == before
        assert await warmed(asker, record) == ALLOWED


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_captured_question_is_worth_nothing_once_changed(
    world: World, decider: Decider, producer: AIOKafkaProducer, tap: Open, forgery: str
) -> None:
    """Whoever reads the topic and sends a question again, changed, is not judged and not answered; it is counted."""
    reason, forge = FORGERIES[forgery]
    requests, decisions = await tap(REQUESTS), await tap(DECISIONS)
    asker, record = world.asker(world.identity("documents-1")), new_record()

    def dropped() -> float:
        return counted("carnet_flows_dropped_total", reason=reason)

    async with asker.running():
        await warmed(asker, record)
        for _ in range(10):
            captured = await captured_question(asker, requests, record)
            forged, known, before = forge(world, captured), decider.knows(captured.header.flow), dropped()
            await resend(producer, forged)
            await resend(producer, captured)  # the control: unchanged bytes do reach the judge
            for _ in range(40):
                await asyncio.sleep(0.05)
                if decider.knows(captured.header.flow) > known and dropped() > before:
                    break
            else:
                continue  # this machine was too slow for the deadline: that is another test
            break
        else:
            pytest.fail("the forgery was not counted, or the control did not pass")
        flows = {captured.header.flow, forged.header.flow}
        assert {each.digest for each in decider.heard if each.flow in flows} == {b64(request_digest(captured))}
        answered = {orjson.loads(each.value)["flow"] for each in await decisions.take(100, seconds=0.5)}
        assert answered & flows == {captured.header.flow}


async def captured_question(asker: Asker, requests: Tap, record: str) -> FlowRequested:
    """Ask, and return what a reader of the topic saw of it."""
    await requests.take(50, seconds=0.2)
    await asker.ask(record, QUESTION)
    (seen,) = await requests.take(1)
    _, fact = decode(seen.headers, seen.value)
    assert isinstance(fact, FlowRequested)
    return fact


@pytest.mark.parametrize(("seconds", "reason"), [(-0.01, "late"), (-3600.0, "late"), (2.5, "late"), (3600.0, "late")])
async def test_a_deadline_must_be_ahead_and_near(
    world: World, decider: Decider, producer: AIOKafkaProducer, seconds: float, reason: str
) -> None:
    """A question that is late, or that would be good for more than 2 s, is dropped before it is judged."""
    me = world.identity("documents-1")
    async with world.asker(me).running():
        await reached(world, producer, decider, me)
        dropped, record = counted("carnet_flows_dropped_total", reason=reason), new_record()
        await resend(producer, world.question(me, record, seconds=seconds))

        async def refused() -> bool:
            return counted("carnet_flows_dropped_total", reason=reason) > dropped

        await eventually(refused)
        assert record not in {each.record for each in decider.heard}


async def test_an_action_must_be_in_the_certificate(world: World, decider: Decider, producer: AIOKafkaProducer) -> None:
    """An instance asks for what it was enrolled for: its own sound question about anything else is dropped."""
    me, other = world.identity("documents-1"), world.identity("documents-2", actions=("list",))
    await reached(world, producer, decider, me)
    before, refused_record = counted("carnet_flows_dropped_total", reason="action"), new_record()

    async def refused() -> bool:
        await resend(producer, world.question(other, refused_record))
        return counted("carnet_flows_dropped_total", reason="action") > before

    await eventually(refused)
    assert refused_record not in {each.record for each in decider.heard}


async def test_a_certificate_ends_though_it_was_believed_before(
    world: World, decider: Decider, producer: AIOKafkaProducer
) -> None:
    """What was verified once is remembered, and still not believed after its end."""
    me = world.identity("documents-1", days=8 / 86_400)
    await reached(world, producer, decider, me)
    before = counted("carnet_flows_dropped_total", reason="expired")

    async def refused() -> bool:
        await resend(producer, world.question(me, new_record()))
        return counted("carnet_flows_dropped_total", reason="expired") > before

    await eventually(refused, 30)


async def reached(
    world: World, producer: AIOKafkaProducer, decider: Decider, identity: InstanceIdentity
) -> None:  # fmt: skip
    """Send sound questions until one was judged: the decider hears, and `World.question` makes what it believes."""

    async def heard() -> bool:
        await resend(producer, world.question(identity, new_record()))
        await asyncio.sleep(0.2)
        return bool(decider.heard)

    await eventually(heard)


@pytest.mark.parametrize(
    "value",
    [b"", b"{", b"[]", b"null", b'{"header": 1}', b"\xff", orjson.dumps({"header": {"deadline_ms": 1}})],
)
@pytest.mark.usefixtures("decider")
async def test_garbage_on_the_questions_topic_stops_nobody(
    world: World, producer: AIOKafkaProducer, value: bytes
) -> None:
    """Bytes that are no question, with or without headers, are passed over; the next question is answered."""
    asker, record = world.asker(world.identity("documents-1")), new_record()
    envelope = Envelope(source="x", type=FlowRequested.TYPE, subject=record, correlation_id="x").to_headers()
    async with asker.running():
        for headers in (envelope, [], [("ce_type", b"\xff")]):
            await producer.send_and_wait(REQUESTS, value, partition=partition_of(record), headers=headers)
        assert await warmed(asker, record) == ALLOWED


@pytest.mark.usefixtures("decider")
async def test_an_absurd_deadline_stops_nobody(world: World, producer: AIOKafkaProducer) -> None:
    """A number that no clock holds is dropped like any other forgery."""
    asker, me, record = world.asker(world.identity("documents-1")), world.identity("documents-1"), new_record()
    async with asker.running():
        for absurd in (10**30, 10**400, -(10**30)):
            sound = orjson.loads(encode(world.question(me, record)))
            text = orjson.dumps(sound).replace(str(sound["header"]["deadline_ms"]).encode(), str(absurd).encode())
            headers = Envelope(source="x", type=FlowRequested.TYPE, subject=record, correlation_id="x").to_headers()
            await producer.send_and_wait(REQUESTS, text, partition=partition_of(record), headers=headers)
        assert await warmed(asker, record) == ALLOWED


@pytest.mark.usefixtures("decider")
async def test_an_answer_to_an_unknown_flow_is_dropped(world: World, producer: AIOKafkaProducer, tap: Open) -> None:
    """Partitions may be shared: what others asked, and what came too late, disturbs nobody."""
    decisions = await tap(DECISIONS)
    asker, record = world.asker(world.identity("documents-1")), new_record()
    async with asker.running():
        await warmed(asker, record)
        (answer, *_) = await decisions.take(1)
        for flow in ("f" * 32, orjson.loads(answer.value)["flow"]):
            value = orjson.dumps(orjson.loads(answer.value) | {"flow": flow})
            await producer.send_and_wait(DECISIONS, value, partition=0, headers=list(answer.headers), key=answer.key)
        assert await asker.ask(record, QUESTION) == ALLOWED
        assert await asker.ready()


async def test_an_answer_sealed_by_anybody_makes_nobody_deaf(
    world: World, decider: Decider, producer: AIOKafkaProducer, tap: Open
) -> None:
    """HPKE has no sender: whoever saw a question can seal to the asker. It hears the true answers after such ones."""
    requests, me = await tap(REQUESTS), world.identity("documents-1")
    asker, record = world.asker(me), new_record()
    async with asker.running():
        await warmed(asker, record)
        await requests.take(50, seconds=0.2)
        decider.stopped = True
        asked = asyncio.create_task(asker.ask(record, QUESTION))
        (seen,) = await requests.take(1)
        _, request = decode(seen.headers, seen.value)
        assert isinstance(request, FlowRequested)
        before = counted("carnet_flows_dropped_total", reason="answer-Unsealable")
        for clear in (b"{}", b"[]", b"null", b"1", b'{"answer": 1, "promise": 2}', b"\xff"):
            await reply(producer, request, seal_to(me.sealing_key.public_key(), clear, request_digest(request)))
        await reply(producer, request, b"not sealed at all")
        with pytest.raises(ConsentUnreachable):
            await asked
        assert counted("carnet_flows_dropped_total", reason="answer-Unsealable") == before + 1
        decider.go_on()
        assert await warmed(asker, record) == ALLOWED


async def reply(producer: AIOKafkaProducer, request: FlowRequested, sealed: bytes) -> None:
    """Answer a question with any sealed bytes."""
    fact = FlowDecided(flow=request.header.flow, record=request.record_id, decider="anybody", sealed=b64(sealed))
    envelope = Envelope(source="x", type=fact.TYPE, subject=fact.record, correlation_id="x")
    await producer.send_and_wait(
        DECISIONS, encode(fact), partition=request.header.reply_partition, headers=envelope.to_headers()
    )


@pytest.mark.parametrize("who", ["documents", "foreign"])
async def test_an_answer_that_consent_did_not_sign_is_refused(
    world: World, decider: Decider, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decider whose certificate is not consent's, or not of this root, answers in vain: the flow stays unanswered."""
    asker, record = world.asker(world.identity("documents-1")), new_record()
    foreign = Authority(world.folder / "foreign")
    impostor = (
        world.identity("impostor", "documents", actions=())
        if who == "documents"
        else world.identity("impostor", "consent", actions=(), authority=foreign)
    )
    async with asker.running():
        await warmed(asker, record)
        monkeypatch.setattr(decider.hearer, "_identity", impostor)
        dropped = counted("carnet_flows_dropped_total", reason="answer-Untrusted")
        with pytest.raises(ConsentUnreachable):
            await asker.ask(record, QUESTION)
        assert counted("carnet_flows_dropped_total", reason="answer-Untrusted") > dropped


async def test_no_other_role_may_decide(world: World) -> None:
    """A hearer with another role's certificate does not even start."""
    with pytest.raises(ValueError, match="role"):
        async with world.deciding("x", world.identity("documents-1")):
            pytest.fail("it started")


async def test_an_answer_to_another_question_is_refused(
    world: World, decider: Decider, producer: AIOKafkaProducer, tap: Open
) -> None:
    """A true answer cannot be used for another question of the same asker: it was sealed under the first's digest."""
    decisions, requests = await tap(DECISIONS), await tap(REQUESTS)
    asker, record = world.asker(world.identity("documents-1")), new_record()
    async with asker.running():
        await warmed(asker, record)
        old: ConsumerRecord = (await decisions.take(50, seconds=0.5))[-1]
        await requests.take(50, seconds=0.2)
        decider.stopped = True
        asked = asyncio.create_task(asker.ask(record, QUESTION))
        (seen,) = await requests.take(1)
        flow = orjson.loads(seen.value)["header"]["flow"]
        value = orjson.dumps(orjson.loads(old.value) | {"flow": flow})
        await producer.send_and_wait(DECISIONS, value, partition=0, headers=list(old.headers), key=old.key)
        with pytest.raises(ConsentUnreachable):
            await asked


async def test_many_questions_at_once_are_all_answered(world: World, decider: Decider) -> None:
    """Batches form under load, and each asker gets the answer to its own question."""
    asker = world.asker(world.identity("documents-1", partitions=(0, 1, 2)))
    async with asker.running():
        await warmed(asker, new_record())
        records = [new_record() for _ in range(40)]
        assert await asyncio.gather(*(asker.ask(each, QUESTION) for each in records)) == [ALLOWED] * 40
    assert set(records) <= {each.record for each in decider.heard}


async def test_a_hedge_reaches_a_decider_that_lives(world: World, decider: Decider) -> None:
    """One of two deciders stops: each question of its records is answered by the other within the deadline."""
    asker = world.asker(world.identity("documents-1"))
    one = decider
    async with world.deciding("consent-2") as two, asker.running():

        async def shared() -> bool:
            await asyncio.gather(*(asker.ask(new_record(), QUESTION) for _ in range(24)), return_exceptions=True)
            return bool(one.heard and two.heard)

        await eventually(shared, 30)
        record = new_record()

        async def settled() -> Decider | None:
            """Return who answers for this record, once it takes no second try."""
            one.heard.clear()
            two.heard.clear()
            await warmed(asker, record)
            answered = [each for each in (one, two) if each.heard]
            return answered[0] if len(answered) == 1 and len(answered[0].heard) == 1 else None

        silent = await eventually(settled, 30)
        assert silent
        living = two if silent is one else one
        silent.stopped = True
        for _ in range(6):
            started = time.monotonic()
            assert await asker.ask(record, QUESTION) == ALLOWED
            assert 0.4 <= time.monotonic() - started < 1.5
        assert len(living.heard) >= 6
        assert len(silent.heard) == 1
