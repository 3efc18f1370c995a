"""One Carnet for this folder: a mongod for each service, nothing compressed, telemetry exported to a collector."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from deploy.local.machine import Ports
from deploy.local.stack import Stack
from tests.integration.observing import eventually
from tests.integration.privacy.collector import Collector, collecting
from tests.integration.privacy.people import MOREAU, People


@dataclass(frozen=True)
class Carnet:
    """A running stack, the people in it, and what its telemetry tells."""

    stack: Stack
    people: People
    collector: Collector


@pytest.fixture(scope="package")
async def carnet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Carnet]:
    """Start everything, register the people, and let Camille authorise Dr Moreau."""
    folder, ports = tmp_path_factory.mktemp("privacy"), Ports.free()
    async with aiohttp.ClientSession() as session, collecting(ports.front_door + 50) as collector:
        telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        stack = Stack(folder / "stack", ports=ports, mongods="per-service", environment=telemetry)
        people = People(session, stack.base)
        try:
            await stack.start()
            await people.register(stack, folder)
            camille = await people.camille()

            async def opened() -> bool:
                return (await camille.search()).status == 200

            await eventually(opened, 20)
            assert (await camille.begin(kind="authorise", professional=MOREAU.rpps)).status == 201
            yield Carnet(stack, people, collector)
        finally:
            await stack.stop()
