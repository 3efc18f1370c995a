"""Taking facts in from a real broker: poison is set aside, order per key holds, nothing is lost and nothing quoted."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from chassis import consuming as taking
from chassis import kafka
from chassis.consuming import Consuming, DependencyUnreachable
from chassis.dead_letters import COLLECTION, DeadLetters, Letter
from chassis.mongo import DuplicateKey, Mongo
from chassis.settings import MongoSettings
from contracts.documents import DepositAbandoned, Deposited
from contracts.fact import Fact
from contracts.registry import Envelope, Headers, encode
from tests.integration.conftest import Engines
from tests.integration.deciding import new_record
from tests.integration.observing import counted, eventually

CANARY = "CANARI-dupont-camille"


def deposited(record: str, version: int = 1) -> Deposited:
    """Return a real fact; its version tells the facts of one record apart."""
    return Deposited(record=record, document="a" * 26, version=version, digest="A" * 43, size=1)


def headers_of(fact: Fact, **changes: bytes) -> Headers:
    """Return a fact's headers, with some of them replaced."""
    envelope = Envelope(source="carnet/test", type=fact.TYPE, subject=fact.record_id, correlation_id="test")
    return [(name, changes.get(name, value)) for name, value in envelope.to_headers()]


@dataclass
class Desk:
    """A service that takes `Deposited` in; `trouble` says what its handler meets."""

    topic: str
    producer: AIOKafkaProducer
    letters: DeadLetters
    consuming: Consuming
    handled: list[tuple[str, int]] = field(default_factory=list)
    trouble: Callable[[Deposited], Exception | None] = lambda _: None

    async def handle(self, _: Envelope, fact: Deposited) -> None:
        """Note the fact, unless there is trouble."""
        if (error := self.trouble(fact)) is not None:
            raise error
        self.handled.append((fact.record, fact.version))

    async def send(self, record: str, value: bytes | None, headers: Headers, partition: int = 0) -> None:
        """Publish raw bytes, as a broken producer might."""
        await self.producer.send_and_wait(self.topic, value, key=record.encode(), headers=headers, partition=partition)

    async def tell(self, record: str, version: int = 1, partition: int = 0) -> None:
        """Publish a sound fact."""
        fact = deposited(record, version)
        await self.send(record, encode(fact), headers_of(fact), partition)

    async def ends(self, *facts: tuple[str, int], seconds: float = 15.0) -> None:
        """Wait until exactly these facts were handled, in this order."""

        async def done() -> bool:
            return len(self.handled) >= len(facts)

        await eventually(done, seconds)
        assert self.handled == list(facts)

    async def states(self) -> list[tuple[int, str, str | None]]:
        """Return each letter's offset, state and error."""
        return [(each.offset, each.state, each.error) for each in await self.letters.all()]

    async def aside(self, count: int) -> list[Letter]:
        """Wait until so many letters stand."""

        async def enough() -> list[Letter] | None:
            found = await self.letters.all()
            return found if len(found) >= count else None

        return await eventually(enough) or []


@pytest.fixture
async def desk(
    engines: Engines,
    mongo: Mongo,
    make_topic: Callable[[int], Awaitable[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Desk]:
    """Open a service of its own name, with a topic of its own and short back-offs; it does not run yet."""
    monkeypatch.setattr(taking, "_BACK_OFF_SECONDS", (0.01, 0.02))
    topic, service = await make_topic(2), f"test-{uuid4().hex[:8]}"
    letters = DeadLetters(mongo, f"carnet.{service}")
    await letters.prepare()
    async with kafka.started(kafka.producer(engines.kafka)) as producer:
        opened = Desk(topic, producer, letters, Consuming(service, engines.kafka, letters))
        opened.consuming.on(topic, (Deposited, opened.handle))
        yield opened


@pytest.fixture
def make_consuming(desk: Desk, engines: Engines) -> Callable[[DeadLetters], Consuming]:
    """Return what makes another member of the desk's group."""

    def make(letters: DeadLetters) -> Consuming:
        other = Consuming(desk.consuming.consumer.removeprefix("carnet."), engines.kafka, letters)
        other.on(desk.topic, (Deposited, desk.handle))
        return other

    return make


def poisons(record: str) -> dict[str, tuple[bytes | None, Headers]]:
    """Return messages that no redelivery can mend, by what is wrong with them."""
    fact = deposited(record)
    good, headers = encode(fact), headers_of(fact)
    unknown_critical = orjson.dumps(orjson.loads(good) | {"critical": ["embargo"], "embargo": CANARY})
    return {
        "not JSON": (b"{" + CANARY.encode(), headers),
        "no value": (None, headers),
        "not the fact": (orjson.dumps({"record": CANARY}), headers),
        "an unknown type": (good, headers_of(fact, ce_type=b"carnet.documents.vanished.v1")),
        "a type that is none": (good, headers_of(fact, ce_type=CANARY.encode())),
        "an unknown critical field": (unknown_critical, headers),
        "a header that is not UTF-8": (good, headers_of(fact, ce_source=b"\xff\xfe")),
        "a strange header that is not UTF-8": (b"{", [*headers, ("x-strange", b"\xff")]),
        "another record's envelope": (good, headers_of(fact, ce_subject=new_record().encode())),
        "no headers": (good, []),
        "no id": (good, [(name, value) for name, value in headers if name != "ce_id"]),
    }


@pytest.mark.parametrize("wrong", poisons("a" * 26))
async def test_poison_is_set_aside_and_the_partition_moves_on(desk: Desk, wrong: str) -> None:
    """The poison's key waits behind it, in order; another key of the same partition is handled at once."""
    sick, sound = new_record(), new_record()
    async with desk.consuming.running():
        await desk.tell(sick, 1)
        await desk.send(sick, *poisons(sick)[wrong])
        await desk.tell(sick, 2)
        await desk.tell(sick, 3)
        await desk.tell(sound, 1)
        await desk.ends((sick, 1), (sound, 1))
        assert await desk.states() == [(1, "failed", "Undecodable"), (2, "parked", None), (3, "parked", None)]


async def test_a_partition_that_changes_hands_keeps_its_keys_parked(
    desk: Desk, mongo: Mongo, make_consuming: Callable[[DeadLetters], Consuming]
) -> None:
    """A member that takes a partition over parks behind what the former one set aside, though it never saw that."""
    other = make_consuming(DeadLetters(mongo, desk.consuming.consumer))
    sick = [new_record(), new_record()]
    async with other.running():
        for partition in (0, 1):
            await desk.tell(new_record(), partition=partition)
        async with desk.consuming.running():
            for partition, record in enumerate(sick):
                await desk.send(record, b"{", headers_of(deposited(record)), partition)
            await desk.aside(2)
        for partition, record in enumerate(sick):
            await desk.tell(record, 2, partition)
        letters = await desk.aside(4)
    assert sorted(each.state for each in letters) == ["failed", "failed", "parked", "parked"]


async def test_a_handler_that_always_fails_parks_the_key(desk: Desk) -> None:
    """It is tried as often as the back-off says, then set aside under the class of its error."""
    sick, sound, tries = new_record(), new_record(), 0

    def trouble(fact: Deposited) -> Exception | None:
        nonlocal tries
        tries += fact.record == sick
        return LookupError(CANARY) if fact.record == sick else None

    desk.trouble = trouble
    async with desk.consuming.running():
        await desk.tell(sick, 1)
        await desk.tell(sick, 2)
        await desk.tell(sound, 1)
        await desk.ends((sound, 1))
    assert tries == 3
    assert await desk.states() == [(0, "failed", "LookupError"), (1, "parked", None)]


async def test_a_passing_error_leaves_no_letter(desk: Desk) -> None:
    """A handler that succeeds at a later try had its effect, in order."""
    record, failures = new_record(), [LookupError(), LookupError()]
    desk.trouble = lambda _: failures.pop() if failures else None
    async with desk.consuming.running():
        await desk.tell(record, 1)
        await desk.tell(record, 2)
        await desk.ends((record, 1), (record, 2))
    assert await desk.states() == []


async def test_replay_heals_in_order(desk: Desk) -> None:
    """Once the cause is gone a replay handles the key's events as they came, and new ones pass again."""
    sick = new_record()
    desk.trouble = lambda _: LookupError()
    async with desk.consuming.running():
        for version in (1, 2, 3):
            await desk.tell(sick, version)
        await desk.aside(3)
        desk.trouble = lambda _: None
        ends = [(letter.offset, end) async for letter, end in desk.consuming.replay()]
        assert ends == [(0, "healed"), (1, "healed"), (2, "healed")]
        assert desk.handled == [(sick, 1), (sick, 2), (sick, 3)]
        await desk.tell(sick, 4)
        await desk.ends((sick, 1), (sick, 2), (sick, 3), (sick, 4))
    assert await desk.states() == []


async def test_replay_of_nothing_ends_at_once(desk: Desk) -> None:
    """An operator who replays where no letter is left meets no error."""
    assert [end async for _, end in desk.consuming.replay()] == []


async def test_replay_stops_at_what_still_fails(desk: Desk) -> None:
    """The first letter that fails again keeps its key blocked; the other keys' letters are healed."""
    sick, other = new_record(), new_record()
    desk.trouble = lambda _: LookupError()
    async with desk.consuming.running():
        for record, version in ((sick, 1), (sick, 2), (other, 1)):
            await desk.tell(record, version)
        await desk.aside(3)
        desk.trouble = lambda fact: KeyError() if fact.record == sick else None
        ends = {(letter.offset, end) async for letter, end in desk.consuming.replay()}
        assert ends == {(0, "KeyError"), (2, "healed")}
        assert [each[0] for each in await desk.states()] == [0, 1]


async def test_replay_of_one_letter_handles_its_key_only(desk: Desk) -> None:
    """An operator may name a letter: those before it of its key go first, other keys are left alone."""
    one, two = new_record(), new_record()
    desk.trouble = lambda _: LookupError()
    async with desk.consuming.running():
        for record, version in ((one, 1), (two, 1), (one, 2)):
            await desk.tell(record, version)
        letters = await desk.aside(3)
        desk.trouble = lambda _: None
        last_of_one = next(each for each in letters if each.offset == 2)
        assert [end async for _, end in desk.consuming.replay(last_of_one.id)] == ["healed", "healed"]
    assert desk.handled == [(one, 1), (one, 2)]
    assert [each[0] for each in await desk.states()] == [1]


async def test_a_letter_whose_event_is_gone_is_forgotten(desk: Desk, mongo: Mongo) -> None:
    """An event that its topic no longer holds cannot be handled: replay says so and unblocks the key."""
    record = new_record()
    desk.trouble = lambda _: LookupError()
    async with desk.consuming.running():
        await desk.tell(record)
        await desk.aside(1)
    await mongo[COLLECTION].update_one({}, {"$set": {"offset": 77}})
    assert [end async for _, end in desk.consuming.replay()] == ["gone"]
    assert await desk.states() == []


async def test_a_letter_quotes_nothing(desk: Desk, mongo: Mongo, mongo_settings: MongoSettings) -> None:
    """Neither the exception's message, nor the event's bytes, headers or key stand anywhere in the database."""
    record = new_record()
    desk.trouble = lambda _: LookupError(f"no patient {CANARY}")
    async with desk.consuming.running():
        fact = deposited(record)
        value = orjson.dumps(orjson.loads(encode(fact)) | {"title": CANARY})
        await desk.send(record, value, [*headers_of(fact), ("x-note", CANARY.encode())])
        await desk.send(CANARY, b"{" + CANARY.encode(), headers_of(fact, ce_source=CANARY.encode()))
        letters = await desk.aside(2)
    assert [each.error for each in letters] == ["LookupError", "Undecodable"]
    everything = repr([
        [row async for row in mongo[name].find({})] for name in await mongo._database.list_collection_names()
    ])  # fmt: skip
    assert mongo_settings.database
    assert letters[0].id in everything  # the search does see what stands there
    for secret in (CANARY, record):
        assert secret not in everything


async def test_an_unreachable_dependency_pauses_without_limit(desk: Desk) -> None:
    """The event waits far longer than the back-off lasts; then it and what came after are handled, with no letter."""
    record, other = new_record(), new_record()
    desk.trouble = lambda _: DependencyUnreachable()
    async with desk.consuming.running():
        await desk.tell(record, 1)
        await desk.tell(record, 2)
        await desk.tell(other, 1)

        async def paused() -> bool:
            return counted("carnet_consumer_paused", consumer=desk.consuming.consumer) == 1

        await eventually(paused)
        await asyncio.sleep(1)
        assert (desk.handled, await desk.states()) == ([], [])
        desk.trouble = lambda _: None
        await desk.ends((record, 1), (record, 2), (other, 1))
        assert not await paused()
    assert await desk.states() == []


async def test_a_letter_that_cannot_be_stored_loses_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever keeps a letter from its database, the event is neither committed nor passed over."""
    sick, sound, failures = new_record(), new_record(), [RuntimeError(), RuntimeError()]
    add = desk.letters.add

    async def failing(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        await add(*arguments)

    monkeypatch.setattr(desk.letters, "add", failing)
    async with desk.consuming.running():
        await desk.send(sick, b"{", [])
        await desk.tell(sick, 1)
        await desk.tell(sound, 1)
        await desk.ends((sound, 1))
    assert [each[:2] for each in await desk.states()] == [(0, "failed"), (1, "parked")]


async def test_a_known_type_without_a_handler_is_passed_over(desk: Desk) -> None:
    """A topic may carry facts that this service does not need: they block nobody."""
    record = new_record()
    fact = DepositAbandoned(record=record, document="a" * 26, version=1)
    async with desk.consuming.running():
        await desk.send(record, encode(fact), headers_of(fact))
        await desk.tell(record, 1)
        await desk.ends((record, 1))
    assert await desk.states() == []


async def test_what_was_handled_does_not_come_again(desk: Desk) -> None:
    """Leaving finishes the event in hand and commits: the next run begins after it."""
    record = new_record()
    async with desk.consuming.running():
        await desk.tell(record, 1)
        await desk.ends((record, 1))
    async with desk.consuming.running():
        await desk.tell(record, 2)
        await desk.ends((record, 1), (record, 2))


async def test_leaving_does_not_wait_for_what_is_away(desk: Desk) -> None:
    """An event whose dependency is away is left at the end, soon and uncommitted: it comes again."""
    record = new_record()
    desk.trouble = lambda _: DependencyUnreachable()
    async with desk.consuming.running():
        await desk.tell(record, 1)
        await desk.tell(record, 2)
        await asyncio.sleep(1)
        started = time.monotonic()
    assert time.monotonic() - started < 3
    desk.trouble = lambda _: None
    async with desk.consuming.running():
        await desk.ends((record, 1), (record, 2))
    assert await desk.states() == []


async def test_a_consumer_killed_before_its_commit_gets_the_event_again(
    desk: Desk, mongo: Mongo, mongo_settings: MongoSettings, engines: Engines
) -> None:
    """SIGKILL between the effect and the commit: the event comes again under its id: its effect stays single."""
    record = new_record()
    await mongo.ensure("effects")
    await desk.tell(record, 1)
    service = desk.consuming.consumer.removeprefix("carnet.")
    script = Path(__file__).with_name("killed_consumer.py")
    environment = {
        **os.environ,
        "CARNET_KAFKA": engines.kafka.bootstrap,
        "CARNET_MONGO": mongo_settings.uri,
        "CARNET_MONGO_DATABASE": mongo_settings.database,
    }
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    killed = await asyncio.create_subprocess_exec(sys.executable, str(script), service, desk.topic, env=environment)
    assert await asyncio.wait_for(killed.wait(), 60) == -9
    assert await mongo["effects"].count_documents({}) == 1
    again = asyncio.Event()

    async def handle(envelope: Envelope, _: Deposited) -> None:
        with pytest.raises(DuplicateKey):
            await mongo["effects"].insert_one({"_id": envelope.id})
        again.set()

    next_one = Consuming(service, engines.kafka, desk.letters)
    next_one.on(desk.topic, (Deposited, handle))
    async with next_one.running():
        # The group keeps the dead member's place until its session is over.
        await asyncio.wait_for(again.wait(), 30)
    assert await mongo["effects"].count_documents({}) == 1


async def test_a_consumer_makes_no_topic(engines: Engines, mongo: Mongo) -> None:
    """A consumer that starts before its topics exist does not make them: they would have the wrong partitions."""
    topic = f"test.{uuid4().hex[:12]}"
    letters = DeadLetters(mongo, "carnet.early")
    await letters.prepare()
    early = Consuming(f"early-{uuid4().hex[:8]}", engines.kafka, letters)
    early.on(topic)
    with pytest.raises(TimeoutError):  # it waits for the topic, as long as aiokafka lets it
        async with asyncio.timeout(1), early.running():
            pytest.fail("it runs without its topic")
    admin = AIOKafkaAdminClient(**kafka.connection(engines.kafka))
    await admin.start()
    try:
        assert topic not in await admin.list_topics()
    finally:
        await admin.close()
