"""One mongod and one Kafka for the whole session, on free ports and in a temporary folder; a fresh database a test."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from chassis import kafka, topics
from chassis.mongo import Mongo
from chassis.settings import KafkaSettings, MongoSettings
from chassis.trust import AnnouncedKeys, Authority, Trust
from contracts.registry import catalogue
from deploy.local import engines as local
from deploy.local import readiness
from deploy.local.machine import Ports
from deploy.local.processes import Processes
from tests.integration.deciding import World
from tests.integration.observing import Tap, eventually

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Engines:
    """Where the engines answer, and the broker's process."""

    mongo: str
    kafka: KafkaSettings
    kafka_pid: int

    @contextmanager
    def kafka_paused(self) -> Iterator[None]:
        """Stop the broker as a whole (SIGSTOP) while the block runs: its clients see silence, not refusals."""
        os.kill(self.kafka_pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.kafka_pid, signal.SIGCONT)


@pytest.fixture(scope="session")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engines]:
    """Start both engines and create the catalogue's topics."""
    folder, ports = tmp_path_factory.mktemp("engines"), Ports.free()
    # The jars that `make up` fetched serve here too.
    libraries = _ROOT / ".carnet" / "kafka-libs"
    local.fetch_kafka(libraries)
    processes = Processes(folder, _ROOT)
    try:
        processes.start(local.mongod("mongod", folder / "mongod", ports.mongo, compressed=False))
        broker = processes.start(local.kafka("kafka", folder / "kafka", libraries, ports.kafka, ports.controller))
        settings = KafkaSettings(bootstrap=f"127.0.0.1:{ports.kafka}")
        await eventually(lambda: readiness.ready("mongod", ports.mongo), 60)
        await eventually(lambda: readiness.ready("kafka", ports.kafka), 60)
        await topics.create(settings)
        uri = f"mongodb://127.0.0.1:{ports.mongo}/?replicaSet=rs0&directConnection=true"
        yield Engines(uri, settings, broker.pid)
    finally:
        await processes.stop("kafka")
        await processes.stop("mongod")


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> str:
    """Name a MongoDB driver: a test that asks for it runs on both."""
    return str(request.param)


@pytest.fixture
def mongo_settings(engines: Engines) -> MongoSettings:
    """Name a database that nobody used before."""
    return MongoSettings(uri=engines.mongo, database=f"test_{uuid4().hex[:12]}")


@pytest.fixture
async def mongo(mongo_settings: MongoSettings) -> AsyncIterator[Mongo]:
    """Open a fresh database on the default driver."""
    opened = Mongo(mongo_settings)
    yield opened
    await opened.close()


def on_driver(driver: str, settings: MongoSettings) -> Mongo:
    """Open a database on the driver that is tested; whoever opens it closes it."""
    return Mongo(MongoSettings.model_validate(settings.model_dump() | {"driver": driver}))


@pytest.fixture
async def database(driver: str, mongo_settings: MongoSettings) -> AsyncIterator[Mongo]:
    """Open a fresh database on the driver that is tested."""
    opened = on_driver(driver, mongo_settings)
    yield opened
    await opened.close()


@pytest.fixture
async def make_topic(engines: Engines) -> AsyncIterator[Callable[[int], Awaitable[str]]]:
    """Create topics of so many partitions, made for one test."""
    admin = AIOKafkaAdminClient(**kafka.connection(engines.kafka))
    await admin.start()

    async def create(partitions: int = 1) -> str:
        name = f"test.{uuid4().hex[:12]}"
        await admin.create_topics([NewTopic(name, partitions, 1)])
        return name

    yield create
    await admin.close()


@pytest.fixture
async def tap(engines: Engines) -> AsyncIterator[Callable[[str], Awaitable[Tap]]]:
    """Listen to a topic from its present end."""
    readers = []

    async def opened(topic: str) -> Tap:
        reader = kafka.consumer(engines.kafka)
        await reader.start()
        readers.append(reader)
        partitions = catalogue()[topic].partitions if topic in catalogue() else 1
        places = [TopicPartition(topic, each) for each in range(partitions)]
        reader.assign(places)
        await reader.seek_to_end(*places)
        for place in places:
            await reader.position(place)
        return Tap(reader)

    yield opened
    for each in readers:
        await each.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Own a root, as the local stack's setup does."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
async def world(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Found a root with consent's keys."""
    folder = tmp_path_factory.mktemp("world")
    authority = Authority(folder / "authority")
    authority.consent_keys(out=folder / "sealing.json")
    sealing = AnnouncedKeys.load(folder / "sealing.json")
    return World(engines.kafka, authority, folder, sealing, Trust(authority.root_public))


@pytest.fixture
async def producer(engines: Engines) -> AsyncIterator[AIOKafkaProducer]:
    """Publish anything: who holds Kafka's credentials can."""
    async with kafka.started(kafka.producer(engines.kafka)) as started:
        yield started
