"""One root for a session, and processes of consent on a fresh database."""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from chassis.mongo import Mongo
from chassis.sealing import b64
from chassis.settings import MongoSettings
from chassis.trust import AnnouncedKeys
from contracts.identity import TokenKeysAnnounced
from contracts.registry import Envelope, encode, topic_of
from services.consent.domain.bundle import Bundle
from services.consent.store import MongoJournal
from tests.integration.conftest import Engines
from tests.integration.consent.announcers import Announcer, Site
from tests.integration.consent.processes import Process
from tests.integration.deciding import World
from tests.unit.consent.people import RECORD, RULES

Start = Callable[..., Awaitable[Process]]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a root key."""
    path = tmp_path_factory.mktemp("root") / "root.key"
    path.write_text(b64(os.urandom(32)), encoding="utf-8")
    return path


@pytest.fixture
async def start(database: Mongo, root: Path) -> Start:
    """Start processes of consent over one database; the record of these tests is open."""

    async def started(journal: type[MongoJournal] = MongoJournal, own: Bundle = RULES.bundle) -> Process:
        process = Process(database, root, journal, own)
        await process.prepare()
        await process.open(RECORD, "opened-by-identity")
        return process

    return started


@pytest.fixture
async def consent(start: Start) -> Process:
    """Start one process."""
    return await start()


@pytest.fixture
async def announcer(start: Start) -> Announcer:
    """Open a record, with an announcer on each driver."""
    opened = Announcer(await start())
    await opened.prepare()
    return opened


@pytest.fixture
async def site(
    *, mongo: Mongo, mongo_settings: MongoSettings, engines: Engines, world: World, root: Path,
    producer: AIOKafkaProducer,
) -> AsyncIterator[Site]:  # fmt: skip
    """Enrol a process of consent on a fresh database, and say which tokens are believed."""
    identity, tokens = world.folder / "consent-announcer.json", world.folder / "tokens.json"
    world.authority.token_keys(out=tokens)
    keys = AnnouncedKeys.load(tokens)
    said = TokenKeysAnnounced(role_certificate=keys.role_certificate, statement=keys.statement)
    envelope = Envelope(source="carnet/test", type=said.TYPE, subject=said.record_id, correlation_id="test")
    await producer.send_and_wait(topic_of(TokenKeysAnnounced), encode(said), headers=envelope.to_headers())
    world.authority.instance(
        role="consent", instance="consent-announcer", actions=[], reply_partitions=[], out=identity
    )
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    announcer = Announcer(Process(mongo, root))
    await announcer.consent.prepare()
    await announcer.prepare()
    environment = {
        "CARNET_ENVIRONMENT": "local",
        "CARNET_INSTANCE": "consent-announcer",
        "CARNET_KAFKA": engines.kafka.bootstrap,
        "CARNET_MONGO": mongo_settings.uri,
        "CARNET_MONGO_DATABASE": mongo_settings.database,
        "CARNET_HTTP_PORT": str(port),
        "CARNET_TRUST_ROOT": world.authority.root_public,
        "CARNET_TRUST_INSTANCE": str(identity),
        "CARNET_CONSENT_ROOT_KEY": str(root),
        "CARNET_CONSENT_SEALING": str(world.folder / "sealing.json"),
    }
    async with aiohttp.ClientSession() as http:
        yield Site(announcer, environment, keys, http)
