"""What every journey begins with: a session of HTTP, and a record that nobody used before."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from deploy.local.stack import Stack
from tests.journeys.records import Opened, open_record


@pytest.fixture(scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Speak HTTP to the front door."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=30),
        # An early 413 leaves a connection that still expects a body: no test inherits another's.
        connector=aiohttp.TCPConnector(force_close=True),
    ) as opened:
        yield opened


@pytest.fixture
async def record(stack: Stack, session: aiohttp.ClientSession) -> Opened:
    """Open a fresh record."""
    return await open_record(stack, session)
