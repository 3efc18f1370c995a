"""Identity falls silent, an event is poisoned, a consumer dies: delegations are refused, and nobody else's."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from chassis import consuming as taking
from chassis import dead_letters, kafka
from chassis.consuming import Consuming
from chassis.dead_letters import DeadLetters
from chassis.kafka import partition_of
from chassis.mongo import Mongo
from chassis.repeating import Repeated, repeat
from chassis.roles import background
from chassis.settings import KafkaSettings, MongoSettings
from chassis.tokens import Representative
from contracts.identity import RepresentationChanged
from contracts.registry import Envelope, catalogue, encode
from services.consent.consumers import subscribe
from services.consent.domain.representation import Representation
from services.consent.inscribing import Inscribe
from services.consent.projection import TOPIC, IdentityProjection, MongoBeats
from services.consent.use_cases.confirm_deposit import ConfirmDeposit
from services.consent.use_cases.note_beat import NoteBeat
from services.consent.use_cases.represent_record import RepresentRecord
from services.identity.beats import Beats
from tests.integration.conftest import Engines
from tests.integration.consent.announcers import Site, ended
from tests.integration.consent.conftest import Start
from tests.integration.consent.processes import Process, now_ms
from tests.integration.deciding import new_record
from tests.integration.observing import eventually
from tests.unit.consent.people import CAMILLE, PARENT, RECORD, holder

ALLOWED_MS = 2_500  # thirty seconds, shortened: identity beats faster here
PARTITIONS = catalogue()[TOPIC].partitions


class Nobody:
    """Nobody comes of age."""

    async def due(self, _: float, __: int) -> list[str]:
        """Return none."""
        return []


@dataclass
class Land:
    """An identity that beats as long as it is told to, members of consent's consumers, and a decider's look."""

    kafka: KafkaSettings
    consent: Process
    producer: AIOKafkaProducer
    projection: IdentityProjection
    letters: DeadLetters
    beats: Beats
    store: MongoBeats
    service: str
    silent: bool = False
    trouble: set[str] = field(default_factory=set)

    async def said(self) -> list[Repeated]:
        """Beat, unless silent."""
        return [] if self.silent else await self.beats()

    def member(self) -> Consuming:
        """Return a member of consent's group, with the handlers that it has; `trouble` names whose events fail."""
        process, letters = self.consent, DeadLetters(self.consent.mongo, f"carnet.{self.service}")
        member = Consuming(self.service, self.kafka, letters)

        class Represent(RepresentRecord):
            async def __call__(inner, record: str, *said: object) -> None:  # noqa: N805 - `self` is the land's
                if record in self.trouble:
                    raise LookupError
                await super().__call__(record, *said)  # type: ignore[arg-type]

        subscribe(
            member, process.open,
            Represent(Inscribe(process.ledger, process.journal, process.in_force, now_ms)),
            ConfirmDeposit(process.keys), process.abandon, noting=NoteBeat(self.store, now_ms),
        )  # fmt: skip
        return member

    async def represent(self, record: str, version: int = 1) -> None:
        """Say whom a record obeys."""
        fact = RepresentationChanged(record=record, version=version, minor=True, deceased=False, holders=())
        envelope = Envelope(source="carnet/test", type=fact.TYPE, subject=record, correlation_id="test")
        await self.producer.send_and_wait(TOPIC, encode(fact), key=record.encode(), headers=envelope.to_headers())

    async def becomes(self, *records: str, stale: bool, seconds: float = 20) -> None:
        """Wait until these records are stale, or are not."""

        async def look() -> bool:
            await self.projection.look()
            return all(self.projection.stale(each) is stale for each in records)

        await eventually(look, seconds)


@pytest.fixture
async def land(
    *, start: Start, mongo_settings: MongoSettings, engines: Engines, producer: AIOKafkaProducer,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Land]:  # fmt: skip
    """Have identity beat; nobody takes anything in yet."""
    monkeypatch.setattr("chassis.repeating.EVERY_SECONDS", 0.3)
    monkeypatch.setattr(taking, "_BACK_OFF_SECONDS", (0.01,))
    identity = Mongo(MongoSettings(uri=mongo_settings.uri, database=f"{mongo_settings.database}_identity"))
    beats = Beats(identity, Nobody(), time.time)  # type: ignore[arg-type]
    await beats.prepare()
    consent, service = await start(), f"test-{uuid4().hex[:8]}"
    await at_the_end(engines.kafka, f"carnet.{service}")
    letters, store = DeadLetters(consent.mongo, f"carnet.{service}"), MongoBeats(consent.mongo)
    await letters.prepare()
    await store.prepare()
    projection = IdentityProjection(store, letters.aside, ALLOWED_MS, clock=now_ms, monotonic=time.monotonic)
    opened = Land(engines.kafka, consent, producer, projection, letters, beats, store, service)
    async with background(repeat(engines.kafka, "identity", opened.said)):
        yield opened
    await identity.close()


async def at_the_end(settings: KafkaSettings, group: str) -> None:
    """Have a group begin where the topic ends now: other tests' poison is not its affair."""
    places = [TopicPartition(TOPIC, each) for each in range(PARTITIONS)]
    async with kafka.started(kafka.consumer(settings, group_id=group)) as reader:
        reader.assign(places)
        await reader.commit(await reader.end_offsets(places))


def neighbours() -> tuple[str, str]:
    """Return two records of one partition."""
    first = new_record()
    while (second := new_record()) and partition_of(second.encode(), PARTITIONS) != partition_of(
        first.encode(), PARTITIONS
    ):
        pass
    return first, second


@pytest.fixture
def driver() -> str:
    """Name the default driver; the store's own test runs on both."""
    return "motor"


async def test_delegations_rest_while_identity_is_silent(land: Land) -> None:
    """Nothing heard yet: stale. It beats: fresh, and fresh it stays. It falls silent: stale. It beats again: fresh."""
    records = [new_record() for _ in range(30)]
    await land.becomes(*records, stale=True)
    async with land.member().running():
        await land.becomes(*records, stale=False)
        await asyncio.sleep(ALLOWED_MS / 1000)
        await land.becomes(*records, stale=False, seconds=0.5)
        land.silent, since = True, time.monotonic()
        await land.becomes(*records, stale=True)
        assert 1 < time.monotonic() - since < 8
        land.silent = False
        await land.becomes(*records, stale=False)


async def test_a_poisoned_event_is_its_record_s_affair(land: Land) -> None:
    """It and what queues behind it make their record stale, not another of its partition; a replay heals it."""
    sick, sound = neighbours()
    land.trouble = {sick}
    async with (member := land.member()).running():
        for version in (1, 2):
            await land.represent(sick, version)
        await land.represent(sound)
        await land.becomes(sick, stale=True)
        await land.becomes(sound, stale=False)

        async def queued() -> bool:
            return [each.state for each in await land.letters.all()] == ["failed", "parked"]

        await eventually(queued)
        land.trouble = set()
        assert [end async for _, end in member.replay()] == ["healed", "healed"]
        await land.becomes(sick, sound, stale=False)
    state = await land.consent.ledger.folded(sick)
    assert state is not None
    assert state.represented is not None
    assert state.represented.version == 2


@pytest.mark.parametrize("key", ["record", "lost", "public"])
async def test_an_event_that_nobody_can_read(land: Land, key: str) -> None:
    """By its key it is its record's; without one it may be anybody's, until it is dropped; a beat's is nobody's."""
    sick, sound = neighbours()
    keys = {"record": sick.encode(), "lost": b"\xff", "public": b"public"}
    async with land.member().running():
        place = partition_of(sick.encode(), PARTITIONS)
        await land.producer.send_and_wait(TOPIC, b"{", key=keys[key], partition=place, headers=[("ce_id", b"x")])

        async def aside() -> list[str]:
            return [each.id for each in await land.letters.all()]

        (letter,) = await eventually(aside) or []
        await land.becomes(sick, stale=key != "public")
        await land.becomes(sound, stale=key == "lost")
        since = now_ms()

        async def heard_since() -> bool:
            return all(at > since for at in (await land.store.heard()).values())

        await eventually(heard_since)  # no beat waits behind what could not be read
        assert await aside() == [letter]
        assert await land.letters.drop(letter)
        await land.becomes(sick, sound, stale=False)


async def test_members_that_come_and_go_turn_no_beat_back(land: Land) -> None:
    """Through two rebalances what was heard of each partition only grows, and comes from a member that has it."""
    record, seen = new_record(), dict[int, list[int]]()

    async def watching() -> None:
        while True:
            for partition, at in (await land.store.heard()).items():
                seen.setdefault(partition, []).append(at)
            await asyncio.sleep(0.05)

    watch = asyncio.create_task(watching())
    async with land.member().running():
        await land.becomes(record, stale=False)
        async with land.member().running():
            await asyncio.sleep(1)
            await land.becomes(record, stale=False)
        await asyncio.sleep(1)
        await land.becomes(record, stale=False)
    watch.cancel()
    assert sorted(seen) == list(range(PARTITIONS))
    assert all(each == sorted(each) and len(set(each)) > 3 for each in seen.values())


async def test_a_consumer_that_is_killed_leaves_delegations_refused(
    land: Land, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies by SIGKILL: stale, though identity beats on. Started again, it catches up: fresh."""
    store, records = MongoBeats(site.announcer.consent.mongo), [new_record() for _ in range(30)]
    monkeypatch.setattr(land.projection, "_beats", store)
    consumer = await site.start("consume")
    try:
        await land.becomes(*records, stale=False, seconds=60)
        consumer.send_signal(signal.SIGKILL)
        await consumer.wait()
        await land.becomes(*records, stale=True)
        consumer = await site.start("consume")
        await land.becomes(*records, stale=False, seconds=60)
    finally:
        await ended(consumer)


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_a_newer_beat_stands(start: Start) -> None:
    """In any order, by any number of members at once, the newest of each partition is what stands."""
    mongo = (await start()).mongo
    stores = [MongoBeats(mongo) for _ in range(3)]
    await stores[0].prepare()
    assert await stores[0].heard() == {}
    times = [5, 3, 9, 1, 9, 7, 2, 8]
    await asyncio.gather(*(each.note(3, at, at * 10) for each in stores for at in times))
    await stores[1].note(4, 2, 1)
    await stores[1].note(3, 4, 1_000)
    assert await stores[2].heard() == {3: 9, 4: 2}
    assert (await mongo[MongoBeats.COLLECTION].find_one({"_id": 3})) == {"_id": 3, "at": 9, "offset": 90}


async def test_the_producer_puts_a_record_where_its_beats_are_looked_for(
    producer: AIOKafkaProducer, make_topic: Callable[[int], Awaitable[str]]
) -> None:
    """The relay's producer and the projection agree about every record's partition."""
    topic = await make_topic(PARTITIONS)
    records = [new_record() for _ in range(200)]
    sent = await asyncio.gather(*[producer.send_and_wait(topic, b"", key=each.encode()) for each in records])
    assert [each.partition for each in sent] == [partition_of(each.encode(), PARTITIONS) for each in records]
    assert len({each.partition for each in sent}) == PARTITIONS


async def test_an_operator_drops_a_letter_by_its_id(site: Site) -> None:
    """The command forgets that one and says so; of a letter that is none it says that too."""
    letters = DeadLetters(site.announcer.consent.mongo, "carnet.consent")
    await letters.prepare()
    for offset in (1, 2):
        event = ConsumerRecord(TOPIC, 0, offset, 0, 0, None, b"{", None, -1, -1, ())
        await letters.add(event, LookupError())
    first, second = await letters.all()
    assert (await letters.aside(TOPIC)).unknown
    assert await site.told("dead-letters", "drop", first.id) == (0, f"{first.id}  dropped")
    assert await letters.all() == [second]
    assert await site.told("dead-letters", "drop", first.id) == (1, "no such letter")


async def test_a_parent_is_answered_by_a_process_as_long_as_identity_is_heard(site: Site) -> None:
    """Refused before a beat, let in behind one, refused once it is too old; her child is answered all along."""
    consent, store = site.announcer.consent, MongoBeats(site.announcer.consent.mongo)
    await consent.open(RECORD, "opened-by-identity")
    inscribe = Inscribe(consent.ledger, consent.journal, consent.in_force, now_ms)
    await RepresentRecord(inscribe)(RECORD, Representation(1, True, False, (holder(PARENT),)), "event-1")
    site.environment["CARNET_CONSENT_STALE_SECONDS"] = "2.5"
    acting = {"purpose": "PATRQT", "representative": Representative(holder=PARENT.id, role="parent")}

    async def answers(status: int) -> Any:
        code, said = await site.ask(PARENT, "GET", "/consent/directives", record=RECORD, **acting)
        return said if code == status else None

    async with site.serving():
        assert (await eventually(lambda: answers(403)))["rule"] == "projection-stale"
        await store.note(partition_of(RECORD.encode(), PARTITIONS), now_ms(), 1)
        await eventually(lambda: answers(200))
        assert (await eventually(lambda: answers(403)))["rule"] == "projection-stale"
        code, _ = await site.ask(CAMILLE, "GET", "/consent/directives", record=RECORD)
        assert code == 200
    flows = [entry.flow for entry in await consent.entries() if entry.flow]
    assert {flow.stale for flow in flows if flow.actor.kind == "representative"} == {True, False}
    assert not any(flow.stale for flow in flows if flow.actor.kind == "patient")


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_what_cannot_be_told_apart_may_be_anybody_s(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many letters, or one from before letters said whose they are; what is elsewhere counts nothing."""
    mongo = (await start()).mongo
    mine, other = DeadLetters(mongo, "carnet.consent"), DeadLetters(mongo, "carnet.other")
    await mine.prepare()
    sick, sound = new_record().encode(), new_record().encode()

    def event(key: bytes | None, offset: int, topic: str = TOPIC) -> Any:
        return ConsumerRecord(topic, 0, offset, 0, 0, key, b"{", None, -1, -1, ())

    await mine.add(event(sick, 1), LookupError())
    await mine.add(event(sick, 2), None)
    await mine.add(event(None, 3, "elsewhere"), LookupError())
    await other.add(event(None, 4), LookupError())
    aside = await mine.aside(TOPIC)
    assert (aside.unknown, aside.holds(sick), aside.holds(sound)) == (False, True, False)
    monkeypatch.setattr(dead_letters, "_MOST_TOLD_APART", 1)
    assert (await mine.aside(TOPIC)).holds(sound)
    monkeypatch.undo()
    await mongo[dead_letters.COLLECTION].update_one({"offset": 2}, {"$unset": {"whose": ""}})
    assert (await mine.aside(TOPIC)).holds(sound)
