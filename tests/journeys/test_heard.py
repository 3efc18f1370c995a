"""A stack that was just started hears identity, so that who acts for somebody is not refused for want of news."""

import asyncio

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.stack import Stack
from tests.integration.observing import eventually


async def stale_partitions(stack: Stack, process: str) -> float:
    """Return how many partitions of identity's records are stale, as a process tells its operators."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{stack.port_of(process)}/metrics") as answer,
    ):
        families = text_string_to_metric_families(await answer.text())
    (found,) = [family for family in families if family.name == "carnet_consent_stale_partitions"]
    return found.samples[0].value


async def test_every_process_of_consent_hears_identity(stack: Stack) -> None:
    """Within seconds of the start no partition is stale, in the process that takes the beats in and in the others."""
    consents = [name for name, process in stack.processes.items() if process.service == "consent"]
    assert len(consents) > 1

    async def heard() -> bool:
        return set(await asyncio.gather(*(stale_partitions(stack, each) for each in consents))) == {0.0}

    await eventually(heard, 10)
