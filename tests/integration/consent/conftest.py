"""One root for a session, and processes of consent on a fresh database."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chassis.mongo import Mongo
from chassis.sealing import b64
from services.consent.store import MongoJournal
from tests.integration.consent.processes import Process
from tests.unit.consent.people import RECORD

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

    async def started(journal: type[MongoJournal] = MongoJournal) -> Process:
        process = Process(database, root, journal)
        await process.prepare()
        await process.open(RECORD, "opened-by-identity")
        return process

    return started


@pytest.fixture
async def consent(start: Start) -> Process:
    """Start one process."""
    return await start()
