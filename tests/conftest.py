"""One whole Carnet for the session: real engines, services and front door, on free ports, in a temporary folder."""

from collections.abc import AsyncIterator

import hypothesis
import pytest

from deploy.local import demo
from deploy.local.machine import Ports
from deploy.local.stack import Stack

# How long an example takes is not what any test is about: machines are shared.
hypothesis.settings.register_profile("carnet", deadline=None)
hypothesis.settings.load_profile("carnet")


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Start everything and register the demo people; a test that stops a process starts it again."""
    running = Stack(tmp_path_factory.mktemp("stack"), ports=Ports.free())
    try:
        await running.start()
        await demo.seed(running)
        yield running
    finally:
        await running.stop()
