"""Both ends of a flow, without a broker: what altered, late, foreign or replayed bytes are worth (nothing)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import ConsumerRecord
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chassis import asking
from chassis.asking import Asker, ConsentUnreachable, FlowsShed
from chassis.flows import DECISIONS, PROMISE, REQUESTS, partition_of, request_digest
from chassis.hearing import Heard, Hearer, Judged, in_time
from chassis.sealing import b64, digest, seal_to, unb64, unseal
from chassis.settings import KafkaSettings
from chassis.trust import AnnouncedKeys, Authority, InstanceIdentity, Trust, sign
from contracts.consent import MAX_RESOURCES, Action, FlowAnswer, FlowDecided, FlowQuestion, FlowRequested, Grant
from contracts.registry import Envelope, catalogue, encode

RECORD, OTHER = "carnetexamplerecordaaaa234", "carnetexamplerecordbbbb234"
DOCUMENT = "carnetexampledocumentaa567"
CANARY = "a.canary.token"
QUESTION = FlowQuestion(action=Action.READ, token=CANARY, documents=(DOCUMENT,))
ALLOWED = FlowAnswer(
    outcome="allowed",
    grants=(
        Grant(document=DOCUMENT, version=1, visibility=(), metadata_key=b64(bytes(32)), content_key=b64(b"k" * 32)),
    ),
)
Reply = Callable[["Sent"], Awaitable[None]]


@dataclass
class Sent:
    """A message as it went to the broker."""

    topic: str
    value: bytes
    key: bytes
    partition: int
    headers: list[tuple[str, bytes]]

    def record(self, **changed: Any) -> ConsumerRecord[bytes, bytes]:
        """Return it as a consumer would get it."""
        said: dict[str, Any] = {"value": self.value, "headers": self.headers} | changed
        return ConsumerRecord(
            topic=self.topic, partition=self.partition, offset=0, timestamp=0, timestamp_type=0, key=self.key,
            checksum=None, serialized_key_size=0, serialized_value_size=0,
            value=said["value"], headers=said["headers"],
        )  # fmt: skip

    def changed(self, **fields: Any) -> ConsumerRecord[bytes, bytes]:
        """Return it with top-level fields of its value replaced."""
        return self.record(value=orjson.dumps(orjson.loads(self.value) | fields))


@dataclass
class Broker:
    """Takes what is sent, and may have it answered."""

    sent: list[Sent] = field(default_factory=list)
    reply: Reply | None = None

    async def send(self, topic: str, value: bytes, **rest: Any) -> "asyncio.Future[None]":
        """Take a message."""
        self.sent.append(Sent(topic, value, **rest))
        if self.reply is not None:
            await self.reply(self.sent[-1])
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@dataclass
class Ends:
    """An asker and a hearer that trust the same root."""

    asker: Asker
    hearer: Hearer
    broker: Broker
    authority: Authority
    folder: Path
    keys: AnnouncedKeys

    async def asked(self, question: FlowQuestion = QUESTION, record: str = RECORD) -> Sent:
        """Return a question as it went out."""
        with pytest.raises(ConsentUnreachable):
            await self.asker.ask(record, question)
        return self.broker.sent[0]

    def heard(self, record: ConsumerRecord[bytes, bytes]) -> Heard | None:
        """Return what the hearer makes of a message."""
        return self.hearer._proved(record)

    def identity(self, role: str, *, days: float = 90, authority: Authority | None = None) -> InstanceIdentity:
        """Return a further instance's identity."""
        out = self.folder / f"{role}-{time.monotonic_ns()}.json"
        (authority or self.authority).instance(
            role=role, instance=f"{role}-2", actions=["read"], reply_partitions=[3], out=out, days=days
        )
        return InstanceIdentity.load(out)

    def hearer_of(self, identity: InstanceIdentity) -> Hearer:
        """Return a decider of another identity."""
        return Hearer(KafkaSettings(), identity, Trust(self.authority.root_public), _private(self.keys), _allows)


async def _allows(_: Heard) -> Judged | None:
    return Judged(ALLOWED, {"version": 7})


def _private(keys: AnnouncedKeys) -> list[X25519PrivateKey]:
    return [X25519PrivateKey.from_private_bytes(private) for _, private in keys.private]


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ends:
    """Return both ends; nobody answers yet, and giving up takes a twentieth of a second."""
    monkeypatch.setattr(asking, "GIVE_UP_SECONDS", 0.05)
    authority = Authority(tmp_path / "authority")
    out = {role: tmp_path / f"{role}.json" for role in ("documents", "consent", "sealing")}
    authority.instance(
        role="documents", instance="documents-1", actions=["read"], reply_partitions=[3], out=out["documents"]
    )
    authority.instance(role="consent", instance="consent-1", actions=[], reply_partitions=[], out=out["consent"])
    authority.consent_keys(out=out["sealing"])
    keys, trust = AnnouncedKeys.load(out["sealing"]), Trust(authority.root_public)
    asker = Asker(KafkaSettings(), "documents", InstanceIdentity.load(out["documents"]), trust)
    asker.use(trust.statement(keys.role_certificate, keys.statement, "consent", "sealing"))
    broker = Broker()
    asker._producer = broker
    hearer = Hearer(
        KafkaSettings(), InstanceIdentity.load(out["consent"]), Trust(authority.root_public), _private(keys), _allows
    )
    return Ends(asker, hearer, broker, authority, tmp_path, keys)


def answering(ends: Ends, hearer: Hearer | None = None, change: Callable[[Sent], Any] | None = None) -> Broker:
    """Have each question answered at once, by a hearer; `change` may alter the answer on its way."""
    mouth = Broker()

    async def reply(question: Sent) -> None:
        heard = (hearer or ends.hearer)._proved(question.record())
        if heard is not None:
            await (hearer or ends.hearer)._judged(heard, mouth)
            answer = mouth.sent[-1]
            ends.asker._receive(change(answer) if change else answer.record())

    ends.broker.reply = reply
    return mouth


async def test_a_question_is_answered(ends: Ends) -> None:
    """The answer that consent sealed is the answer that the asker gets, with its keys."""
    mouth = answering(ends)
    assert await ends.asker.ask(RECORD, QUESTION) == ALLOWED
    (question,), (answer,) = ends.broker.sent, mouth.sent
    assert (question.topic, question.key, question.partition) == (REQUESTS, RECORD.encode(), partition_of(RECORD))
    assert (answer.topic, answer.key, answer.partition) == (DECISIONS, RECORD.encode(), 3)


async def test_the_hearer_learns_what_was_asked_and_by_whom(ends: Ends) -> None:
    """Record, question and proved instance reach the judge; the deadline is the protocol's."""
    heard = ends.heard((await ends.asked()).record())
    assert heard is not None
    assert (heard.record, heard.question, heard.reply_partition) == (RECORD, QUESTION, 3)
    assert (heard.certificate.instance, heard.certificate.role) == ("documents-1", "documents")
    assert not heard.late()
    assert 0 < heard.deadline_ms - time.time() * 1000 <= 1_500


async def test_nothing_readable_is_on_the_wire(ends: Ends) -> None:
    """Neither the token nor the action nor a key stands in a message, its key or its headers."""
    mouth = answering(ends)
    await ends.asker.ask(RECORD, QUESTION)
    for message in (*ends.broker.sent, *mouth.sent):
        said = message.value + message.key + b"".join(value for _, value in message.headers)
        assert CANARY.encode() not in said
        assert DOCUMENT.encode() not in said
        assert b64(b"k" * 32).encode() not in said


@pytest.mark.parametrize(
    "field",
    [
        {"record": OTHER}, {"reply_partition": 4}, {"deadline_ms": 1}, {"flow": "f" * 32},
    ],
)  # fmt: skip
async def test_a_question_with_another_header_is_dropped(ends: Ends, field: dict[str, Any]) -> None:
    """Another record, reply partition, deadline or flow under the captured signature: not heard."""
    sent = await ends.asked()
    header = orjson.loads(sent.value)["header"] | field
    if "deadline_ms" in field:
        header["deadline_ms"] = int(time.time() * 1000) + 1_000
    headers = [(name, header["record"].encode() if name == "ce_subject" else value) for name, value in sent.headers]
    value = orjson.dumps(orjson.loads(sent.value) | {"header": header})
    assert ends.heard(sent.record(value=value, headers=headers)) is None
    assert ends.heard(sent.record()) is not None


async def test_a_question_under_another_certificate_is_dropped(ends: Ends) -> None:
    """A captured question with another instance's certificate (another reply key) is not heard."""
    sent, thief = await ends.asked(), ends.identity("documents")
    assert ends.heard(sent.changed(certificate=thief.certificate)) is None
    request = FlowRequested.model_validate_json(sent.value).model_copy(update={"certificate": thief.certificate})
    resigned = request.model_copy(update={"signature": b64(thief.signing_key.sign(request_digest(request)))})
    # Signed anew by a certified thief, so that the answer would be sealed to him: the sealed part does not open.
    assert ends.heard(sent.record(value=encode(resigned))) is None
    assert ends.heard(sent.record()) is not None


async def test_a_question_of_an_expired_or_foreign_instance_is_dropped(ends: Ends) -> None:
    """The chain must lead to the pinned root, and hold now."""
    trusted = ends.asker._trust
    for identity in (
        ends.identity("documents", days=-1),
        ends.identity("documents", authority=Authority(ends.folder / "other")),
    ):
        asker = Asker.__new__(Asker)
        asker.__dict__.update(ends.asker.__dict__ | {"_identity": identity, "_waiting": {}})
        ends.broker.sent.clear()
        with pytest.raises(ConsentUnreachable):
            await asker.ask(RECORD, QUESTION)
        assert ends.heard(ends.broker.sent[0].record()) is None
    assert trusted is ends.asker._trust


async def test_a_question_beyond_the_certificate_s_rights_is_dropped(ends: Ends) -> None:
    """An instance asks only for the actions that its certificate lists."""
    sent = await ends.asked(FlowQuestion(action=Action.DEPOSIT, token=CANARY))
    assert ends.heard(sent.record()) is None


@pytest.mark.parametrize(("named", "good"), [(MAX_RESOURCES, True), (MAX_RESOURCES + 1, False)])
async def test_a_question_about_more_than_a_hundred_is_dropped(ends: Ends, *, named: int, good: bool) -> None:
    """An asker cannot even say it; one that could is not heard, whatever it asks for."""
    documents = tuple(f"{DOCUMENT[:24]}{a}{b}" for a in "abcdefghijk" for b in "abcdefghij")[:named]
    assert len(set(documents)) == named
    said: dict[str, Any] = {"action": Action.READ, "token": CANARY, "documents": documents}
    if not good:
        with pytest.raises(ValidationError):
            FlowQuestion.model_validate(said)
    sent = await ends.asked(FlowQuestion.model_construct(**said))
    assert (ends.heard(sent.record()) is not None) is good


@pytest.mark.parametrize(("ahead_ms", "good"), [(-1, False), (0, False), (1_000, True), (1_990, True), (2_100, False)])
async def test_a_question_is_heard_in_its_time_only(ahead_ms: int, good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its deadline, and with a deadline no further than the protocol allows."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    assert in_time(int(now * 1000) + ahead_ms) is good


async def test_a_late_question_is_dropped(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that a broker held back are worth nothing afterwards, and a verdict in hand knows that it is late."""
    sent = await ends.asked()
    heard = ends.heard(sent.record())
    assert heard is not None
    later = time.time() + 1.6
    monkeypatch.setattr(time, "time", lambda: later)
    assert ends.heard(sent.record()) is None
    assert heard.late()


async def test_questions_to_the_key_before_are_heard(ends: Ends) -> None:
    """After a rotation, what was sealed to the key before still opens; to an older one it does not."""
    sent, out = await ends.asked(), ends.folder / "sealing.json"
    for opens in (True, False):
        ends.authority.consent_keys(out=out, rotate=True)
        ends.hearer._keys = _private(AnnouncedKeys.load(out))
        assert (ends.heard(sent.record()) is not None) is opens


@given(value=st.binary(max_size=60) | st.none())
def test_garbage_makes_nobody_deaf(value: bytes | None) -> None:
    """Whoever may write to the topics cannot raise anything in either end."""
    record = Sent(REQUESTS, b"", b"", 0, []).record(value=value)
    hearer, asker = Hearer.__new__(Hearer), Asker.__new__(Asker)
    assert hearer._proved(record) is None
    asker._receive(record)


@pytest.mark.parametrize(
    "clear", [b"", b"[]", b"{}", b"null", b'{"role_certificate": 1}', b'{"answer": 1, "promise": 1}']
)
async def test_a_well_sealed_answer_that_is_nonsense_makes_nobody_deaf(ends: Ends, clear: bytes) -> None:
    """Anybody can seal to a public key: what comes out is dropped, and the true answer is still taken."""

    async def reply(question: Sent) -> None:
        request = FlowRequested.model_validate_json(question.value)
        key = ends.asker._identity.sealing_key.public_key()
        fact = FlowDecided(
            flow=request.header.flow,
            record=RECORD,
            decider="x",
            sealed=b64(seal_to(key, clear, request_digest(request))),
        )
        ends.asker._receive(Sent(DECISIONS, encode(fact), b"", 3, _headers(fact)).record())

    ends.broker.reply = reply
    with pytest.raises(ConsentUnreachable):
        await ends.asker.ask(RECORD, QUESTION)
    answering(ends)
    assert await ends.asker.ask(RECORD, QUESTION) == ALLOWED


async def test_an_answer_by_another_role_is_not_believed(ends: Ends) -> None:
    """A certified instance of documents cannot decide."""
    with pytest.raises(ValueError, match="role"):
        ends.hearer_of(ends.identity("documents"))
    ends.hearer._identity = ends.identity("documents")
    answering(ends)
    with pytest.raises(ConsentUnreachable):
        await ends.asker.ask(RECORD, QUESTION)


async def test_an_answer_is_for_its_question_only(ends: Ends) -> None:
    """An allow, replayed as the answer to another question of the same instance, opens nothing."""
    mouth = answering(ends)
    await ends.asker.ask(RECORD, QUESTION)
    old = orjson.loads(mouth.sent[0].value)

    def replayed(answer: Sent) -> ConsumerRecord[bytes, bytes]:
        return answer.changed(sealed=old["sealed"])

    answering(ends, change=replayed)
    with pytest.raises(ConsentUnreachable):
        await ends.asker.ask(RECORD, QUESTION)


async def test_an_instance_cannot_name_another_s_reply_partition(ends: Ends) -> None:
    """Signed or not, a question whose answer would go to a partition that is not its instance's is dropped."""
    ends.asker._me = replace(ends.asker._me, reply_partitions=frozenset({4}))
    assert ends.heard((await ends.asked()).record()) is None


@pytest.mark.parametrize("changed", ["answer", "request", "recipient", "exp", "key"])
async def test_an_answer_that_was_not_promised_is_not_believed(ends: Ends, changed: str) -> None:
    """The decider's promise names the request, the recipient and the answer, holds now, and is signed by its key."""

    def forged(answer: Sent) -> ConsumerRecord[bytes, bytes]:
        request = request_digest(FlowRequested.model_validate_json(ends.broker.sent[-1].value))
        sealed = unb64(orjson.loads(answer.value)["sealed"])
        said = orjson.loads(unseal(ends.asker._identity.sealing_key, sealed, request))
        promise = orjson.loads(unb64(said["promise"].split(".")[1]))
        promise |= {
            "answer": {"answer": digest(b"another")},
            "request": {"request": digest(b"another")},
            "recipient": {"recipient": "documents-2"},
            "exp": {"exp": 1},
            "key": {},
        }[changed]
        signer = ends.identity("consent").signing_key if changed == "key" else ends.hearer._identity.signing_key
        said["promise"] = sign(promise, signer, PROMISE)
        public = ends.asker._identity.sealing_key.public_key()
        return answer.changed(sealed=b64(seal_to(public, orjson.dumps(said), request)))

    answering(ends, change=forged)
    with pytest.raises(ConsentUnreachable):
        await ends.asker.ask(RECORD, QUESTION)


async def test_the_first_valid_answer_wins_and_later_ones_are_dropped(ends: Ends) -> None:
    """A second decider's answer to the same question changes nothing."""
    mouth = answering(ends)
    first = await ends.asker.ask(RECORD, QUESTION)
    ends.asker._receive(mouth.sent[0].record())
    assert first == ALLOWED
    assert ends.asker._waiting == {}


async def test_silence_is_asked_again_with_the_same_bytes_elsewhere(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each further try carries the same bytes to another partition, and an answer to any of them counts."""
    monkeypatch.setattr(asking, "GIVE_UP_SECONDS", 2.0)
    monkeypatch.setattr(asking, "_HEDGE_AFTER_SECONDS", 0.02)
    monkeypatch.setattr(asking, "_HEDGE_EVERY_SECONDS", 0.02)
    mouth = Broker()

    async def third(question: Sent) -> None:
        if len(ends.broker.sent) == 3 and (heard := ends.heard(question.record())):
            await ends.hearer._judged(heard, mouth)
            ends.asker._receive(mouth.sent[0].record())

    ends.broker.reply = third
    assert await ends.asker.ask(RECORD, QUESTION) == ALLOWED
    assert len({sent.value for sent in ends.broker.sent}) == 1
    first, *others = [sent.partition for sent in ends.broker.sent]
    assert first == partition_of(RECORD)
    assert first not in others


async def test_nobody_answers_and_nothing_moves(ends: Ends) -> None:
    """At the end of its time an asker fails closed, and an answer after it is dropped."""
    started = time.monotonic()
    sent = await ends.asked()
    assert time.monotonic() - started < 1
    mouth = Broker()
    heard = ends.heard(sent.record())
    assert heard is not None
    await ends.hearer._judged(heard, mouth)
    ends.asker._receive(mouth.sent[0].record())
    assert ends.asker._waiting == {}


async def test_too_many_questions_are_shed_before_they_are_sent(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap a caller is told at once, and nothing is produced."""
    monkeypatch.setattr(asking, "_IN_FLIGHT", 0)
    with pytest.raises(FlowsShed):
        await ends.asker.ask(RECORD, QUESTION)
    assert ends.broker.sent == []


async def test_without_consent_s_key_nothing_is_asked(ends: Ends) -> None:
    """Before the sealing key is announced there is nobody to seal to."""
    ends.asker._sealing_key = None
    assert not await ends.asker.ready()
    with pytest.raises(ConsentUnreachable):
        await ends.asker.ask(RECORD, QUESTION)
    assert ends.broker.sent == []


async def test_a_judge_that_fails_answers_nobody(ends: Ends) -> None:
    """An error in judging is no verdict."""

    async def fails(_: Heard) -> Judged | None:
        raise RuntimeError(CANARY)

    mouth, heard = Broker(), ends.heard((await ends.asked()).record())
    assert heard is not None
    ends.hearer._judge = fails
    await ends.hearer._judged(heard, mouth)
    assert mouth.sent == []


async def test_an_answer_too_large_for_a_message_is_not_sent(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker would refuse it and the producer never recover: the asker fails closed instead."""
    mouth, heard = Broker(), ends.heard((await ends.asked()).record())
    assert heard is not None
    monkeypatch.setattr("chassis.kafka.MAX_MESSAGE_BYTES", 100)
    await ends.hearer._judged(heard, mouth)
    assert mouth.sent == []


async def test_a_record_s_questions_go_to_one_partition_of_those_there_are() -> None:
    """The same record always, records spread."""
    places = {partition_of(f"{number:026d}") for number in range(500)}
    assert places == set(range(catalogue()[REQUESTS].partitions))
    assert partition_of(RECORD) == partition_of(RECORD)


def _headers(fact: FlowDecided) -> list[tuple[str, bytes]]:
    return Envelope(
        source="carnet/consent", type=fact.TYPE, subject=fact.record_id, correlation_id="c", causation_id=fact.flow
    ).to_headers()
