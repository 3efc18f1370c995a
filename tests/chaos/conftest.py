"""Stacks that are made to be hurt: whole, on free ports, in temporary folders."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from deploy.local.machine import Ports
from deploy.local.stack import Stack
from tests.chaos.deciders import three_deciders
from tests.chaos.load import Load, token_keys

_CALL_SECONDS = 10


@pytest.fixture(scope="module")
async def doomed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run a whole stack of this module's own, whose processes it may stop, kill and start again."""
    stack = Stack(tmp_path_factory.mktemp("doomed"), ports=Ports.free())
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()


@pytest.fixture
async def load(doomed: Stack) -> AsyncIterator[Load]:
    """Give software and people who can work on this stack; records are still to be opened."""
    timeout = aiohttp.ClientTimeout(total=_CALL_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Load(doomed.base, token_keys(doomed), session, [])


@pytest.fixture(scope="session")
async def deciders(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Consent with three deciders, for the campaigns that ask it directly."""
    async with three_deciders(tmp_path_factory.mktemp("deciders")) as stack:
        yield stack
