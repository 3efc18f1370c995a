"""From the transaction to the topic: what committed is published, what did not is not, and no crash changes that."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from structlog.testing import capture_logs

from chassis import kafka
from chassis import logs as logging
from chassis import relay as relaying
from chassis.mongo import Mongo, Session
from chassis.outbox import COLLECTION, Outbox
from chassis.relay import Relay
from chassis.settings import KafkaSettings, MongoSettings
from contracts.identity import RecordOpened
from contracts.registry import decode, topic_of
from tests.integration.conftest import Engines
from tests.integration.deciding import new_record
from tests.integration.observing import Tap, counted, eventually

TOPIC = topic_of(RecordOpened)
Open = Callable[[str], Awaitable[Tap]]


def opened(version: int = 1) -> RecordOpened:
    """Return a fact about a record that no other test knows."""
    return RecordOpened(record=new_record(), version=version, identity_status="qualified")


async def add(mongo: Mongo, *facts: RecordOpened) -> list[str]:
    """Store facts as a service does; return their event ids."""
    outbox = Outbox(mongo, "identity")

    async def work(session: Session) -> list[str]:
        return [await outbox.add(fact, session, correlation_id="test") for fact in facts]

    return await mongo.transact(work)


@asynccontextmanager
async def relaying_as(mongo: Mongo, engines: Engines, instance: str) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a relay beside the block."""
    task = asyncio.create_task(Relay(mongo, engines.kafka, instance).run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def outbox_mongo(mongo: Mongo, engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Mongo:
    """Prepare a database with an outbox, and leases that are short enough to watch them end."""
    monkeypatch.setattr(relaying, "_LEASE_SECONDS", 2)
    monkeypatch.setattr(relaying, "_RENEW_SECONDS", 0.5)
    await Outbox(mongo, "identity").prepare()
    await Relay(mongo, engines.kafka, "prepare").prepare()
    return mongo


def ids(records: list[ConsumerRecord]) -> list[str]:
    """Return the event ids of what was published."""
    return [decode(record.headers, record.value)[0].id for record in records]


async def empty(mongo: Mongo) -> bool:
    """Say whether nothing waits in the outbox."""
    return bool(await mongo[COLLECTION].count_documents({}) == 0)


async def test_what_committed_is_published_once_and_leaves_the_outbox(
    outbox_mongo: Mongo, engines: Engines, tap: Open
) -> None:
    """The message carries the fact, its envelope and its record as the key, and the row is gone."""
    heard, fact = await tap(TOPIC), opened()
    async with relaying_as(outbox_mongo, engines, "one"):
        (event_id,) = await add(outbox_mongo, fact)
        (record,) = await heard.take(1)
        await eventually(lambda: empty(outbox_mongo))
    envelope, read = decode(record.headers, record.value)
    assert (envelope.id, envelope.subject, record.key, read) == (event_id, fact.record, fact.record.encode(), fact)
    assert await heard.take(1, seconds=1) == []


async def test_a_named_event_can_be_told_once_while_it_is_unsent(outbox_mongo: Mongo) -> None:
    """A caller learns that the event it would tell again stands unsent, and so aborts nobody's transaction."""
    outbox = Outbox(outbox_mongo, "identity")

    async def work(session: Session) -> bool:
        held = await outbox.holds("named", session)
        if not held:
            await outbox.add(opened(), session, correlation_id="test", event_id="named")
        return held

    assert [await outbox_mongo.transact(work), await outbox_mongo.transact(work)] == [False, True]
    assert await outbox_mongo[COLLECTION].count_documents({"_id": "named"}) == 1


async def test_an_aborted_transaction_publishes_nothing(outbox_mongo: Mongo, engines: Engines, tap: Open) -> None:
    """The fact was added, the transaction failed: nobody hears of it."""
    heard, outbox = await tap(TOPIC), Outbox(outbox_mongo, "identity")

    async def work(session: Session) -> None:
        await outbox.add(opened(), session, correlation_id="test")
        raise LookupError

    async with relaying_as(outbox_mongo, engines, "one"):
        with pytest.raises(LookupError):
            await outbox_mongo.transact(work)
        after = await add(outbox_mongo, opened())
        assert ids(await heard.take(2, seconds=2)) == after


async def test_a_row_that_commits_late_is_published_too(outbox_mongo: Mongo, engines: Engines, tap: Open) -> None:
    """Its creation time and id are older than those already published: the relay picks by state."""
    heard, outbox = await tap(TOPIC), Outbox(outbox_mongo, "identity")
    added, commit = asyncio.Event(), asyncio.Event()

    async def slow(session: Session) -> str:
        event_id = await outbox.add(opened(), session, correlation_id="test", event_id="0" * 32)
        added.set()
        await commit.wait()
        return event_id

    async with relaying_as(outbox_mongo, engines, "one"):
        late = asyncio.create_task(outbox_mongo.transact(slow, seconds=20))
        await added.wait()
        overtaking = await add(outbox_mongo, opened())
        assert ids(await heard.take(1)) == overtaking
        await eventually(lambda: empty(outbox_mongo))
        commit.set()
        assert ids(await heard.take(1)) == [await late]


async def test_a_relay_killed_before_it_forgets_publishes_again(
    outbox_mongo: Mongo, mongo_settings: MongoSettings, engines: Engines, tap: Open
) -> None:
    """SIGKILL between the broker's acknowledgement and the row's end: the next relay repeats the same event id."""
    heard = await tap(TOPIC)
    event_ids = await add(outbox_mongo, opened(), opened())
    script = (
        "import asyncio; from chassis import faults; from chassis.mongo import Mongo; from chassis.relay import Relay\n"
        "from chassis.settings import KafkaSettings, MongoSettings\n"
        "faults.arm('relay.published:1')\n"
        f"mongo = MongoSettings(uri={mongo_settings.uri!r}, database={mongo_settings.database!r})\n"
        f"kafka = KafkaSettings(bootstrap={engines.kafka.bootstrap!r})\n"
        "async def main(): await Relay(Mongo(mongo), kafka, 'killed').run()\n"
        "asyncio.run(main())"
    )
    root = Path(__file__).parents[3]
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=root)
    assert await asyncio.wait_for(killed.wait(), 60) == -9
    assert sorted(ids(await heard.take(2))) == sorted(event_ids)
    async with relaying_as(outbox_mongo, engines, "next"):
        assert sorted(ids(await heard.take(2, seconds=30))) == sorted(event_ids)
        await eventually(lambda: empty(outbox_mongo))


async def test_one_relay_publishes_and_the_other_takes_over(outbox_mongo: Mongo, engines: Engines, tap: Open) -> None:
    """Of two relays one holds the lease, so nothing is published twice; when it goes, the other one goes on."""
    heard = await tap(TOPIC)

    async def owner() -> str | None:
        lease = await outbox_mongo[relaying.LEASES].find_one({"_id": "relay"})
        return lease and str(lease["owner"])

    async with AsyncExitStack() as first:
        await first.enter_async_context(relaying_as(outbox_mongo, engines, "first"))
        await eventually(owner)
        async with relaying_as(outbox_mongo, engines, "second"):
            event_ids = [each for _ in range(20) for each in await add(outbox_mongo, opened())]
            assert sorted(ids(await heard.take(21, seconds=3))) == sorted(event_ids)
            assert await owner() == "first"
            await first.aclose()
            after = await add(outbox_mongo, opened())
            assert ids(await heard.take(1)) == after
            assert await owner() == "second"


async def test_a_silent_broker_delays_and_loses_nothing(outbox_mongo: Mongo, engines: Engines, tap: Open) -> None:
    """Facts go on being stored while the broker is stopped; once it is back, each of them is published."""
    heard = await tap(TOPIC)
    async with relaying_as(outbox_mongo, engines, "one"):
        event_ids = await add(outbox_mongo, opened())
        assert ids(await heard.take(1)) == event_ids
        with engines.kafka_paused():
            waiting = [each for _ in range(30) for each in await add(outbox_mongo, opened())]
            await asyncio.sleep(3)
            assert not await empty(outbox_mongo)
        assert set(waiting) <= set(ids(await heard.take(30, seconds=40)))
        await eventually(lambda: empty(outbox_mongo), 40)


async def test_a_backlog_longer_than_a_batch_is_published_whole(
    outbox_mongo: Mongo, engines: Engines, tap: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What piled up while no relay ran goes out in the order in which it was stored."""
    monkeypatch.setattr(relaying, "_BATCH", 7)
    heard = await tap(TOPIC)
    same = opened()
    facts = [same.model_copy(update={"version": each}) for each in range(1, 31)]
    for fact in facts:
        await add(outbox_mongo, fact)
    async with relaying_as(outbox_mongo, engines, "one"):
        published = await heard.take(30)
    assert [decode(record.headers, record.value)[1] for record in published] == facts


REFUSED: dict[str, dict[str, Any]] = {
    "MessageSizeTooLargeError": {"value": b"x" * kafka.MAX_MESSAGE_BYTES},
    "UnknownTopicOrPartitionError": {"topic": "carnet.nowhere"},
    "AssertionError": {"partition": 99},
    "TypeError": {"key": "no bytes"},
}


@pytest.mark.parametrize("error", REFUSED)
async def test_a_row_that_no_producer_takes_is_set_aside(
    outbox_mongo: Mongo, engines: Engines, tap: Open, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    """Such rows stay under their error's class, said and counted once each; those behind them are published."""
    monkeypatch.setattr(relaying, "_BATCH", 2)
    monkeypatch.setattr(relaying, "_log", logging.get("relay"))
    heard, before = await tap(TOPIC), counted("carnet_outbox_refused_total")
    bad = [event_id for _ in range(2) for event_id in await add(outbox_mongo, opened())]
    await outbox_mongo[COLLECTION].update_many({}, {"$set": REFUSED[error]})
    good = [event_id for _ in range(3) for event_id in await add(outbox_mongo, opened())]

    async def only_the_bad_stand() -> bool:
        rows = await outbox_mongo[COLLECTION].find({}).to_list(None)
        return [(row["_id"], row.get("refused")) for row in rows] == [(each, error) for each in bad]

    with capture_logs() as said:
        async with relaying_as(outbox_mongo, engines, "one"):
            assert sorted(ids(await heard.take(3))) == sorted(good)
            await eventually(only_the_bad_stand)
            assert ids(await heard.take(1, seconds=1)) == []
    errors = [(line["event"], line["event_id"], line["error"]) for line in said if line["log_level"] == "error"]
    assert errors == [("refused", each, error) for each in bad]
    assert counted("carnet_outbox_refused_total") == before + 2


async def test_a_refused_row_is_tried_again_once_an_operator_has_cleared_it(
    outbox_mongo: Mongo, engines: Engines, tap: Open
) -> None:
    """The relay passes by a refused row until the mark is gone; then the row is published as any other."""
    heard, event_ids = await tap(TOPIC), await add(outbox_mongo, opened())
    await outbox_mongo[COLLECTION].update_many({}, {"$set": {"refused": "MessageSizeTooLargeError"}})
    async with relaying_as(outbox_mongo, engines, "one"):
        assert ids(await heard.take(1, seconds=2)) == []
        await outbox_mongo[COLLECTION].update_many({}, {"$unset": {"refused": ""}})
        assert ids(await heard.take(1)) == event_ids
        await eventually(lambda: empty(outbox_mongo))


async def test_a_row_that_only_the_broker_finds_too_large_is_set_aside(
    outbox_mongo: Mongo, engines: Engines, tap: Open
) -> None:
    """The topic's limit is below the producer's: the broker's refusal marks the row, and those behind it go out."""
    heard, (large,), topic = await tap(TOPIC), await add(outbox_mongo, opened()), f"test.{new_record()}"
    admin = AIOKafkaAdminClient(**kafka.connection(engines.kafka))
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "20000"})])
    await admin.close()
    change = {"topic": topic, "value": b"x" * 30_000}
    await outbox_mongo[COLLECTION].update_many({}, {"$set": change})
    behind = await add(outbox_mongo, opened())

    async def only_the_large_one_stands() -> bool:
        rows = await outbox_mongo[COLLECTION].find({}).to_list(None)
        return [(row["_id"], row.get("refused")) for row in rows] == [(large, "MessageSizeTooLargeError")]

    async with relaying_as(outbox_mongo, engines, "one"):
        assert ids(await heard.take(1)) == behind
        await eventually(only_the_large_one_stands)
        after = await add(outbox_mongo, opened())
        assert ids(await heard.take(1)) == after


@pytest.fixture(params=[1_000, 40_000])
def _producers_of_some_patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have producers wait so long for an answer, less and more than the broker's silence."""
    make = kafka.producer

    def patient(settings: KafkaSettings) -> AIOKafkaProducer:
        made = make(settings)
        made.client._request_timeout_ms = request.param
        return made

    monkeypatch.setattr(kafka, "producer", patient)


@pytest.mark.usefixtures("_producers_of_some_patience")
async def test_a_topic_that_a_silent_broker_does_not_show_refuses_nothing(
    outbox_mongo: Mongo, engines: Engines, tap: Open, make_topic: Callable[[int], Awaitable[str]]
) -> None:
    """A producer that never saw the topic cannot look it up while the broker is stopped: its rows wait unmarked."""
    heard = await tap(TOPIC)
    await add(outbox_mongo, opened())
    await outbox_mongo[COLLECTION].update_many({}, {"$set": {"topic": await make_topic(1)}})
    async with relaying_as(outbox_mongo, engines, "one"):
        await eventually(lambda: empty(outbox_mongo))  # the producer works, and has seen another topic only
        with engines.kafka_paused():
            event_ids = await add(outbox_mongo, opened())
            await asyncio.sleep(4)
            assert await outbox_mongo[COLLECTION].count_documents({"refused": None}) == 1
        assert ids(await heard.take(1, seconds=40)) == event_ids
        await eventually(lambda: empty(outbox_mongo), 40)
