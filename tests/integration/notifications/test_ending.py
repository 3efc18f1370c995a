"""How the process ends when it is told to: soon, in order, and with nothing lost."""

import asyncio
import signal
import time

from tests.integration.deciding import Decider, new_record
from tests.integration.notifications.conftest import Post, streaming


async def test_sigterm_ends_streams_and_roles_in_order(post: Post, consent: Decider) -> None:
    """With a stream open and an event waiting for consent the process ends by itself, soon, with exit code 0."""
    record = new_record()
    async with post.running("all") as process:
        async with streaming(post, record) as stream:
            consent.stopped = True
            await post.deposited(record)
            await asyncio.sleep(1)
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert await stream.event(10) == {}
        assert await asyncio.wait_for(process.wait(), 15) == 0
    assert time.monotonic() - started < 10
    consent.stopped = False
    assert post.log[-1]["event"] == "stopped"
    # It was left uncommitted, so the next process tells it.
    async with post.running("all"):
        await post.received(record, 1, 40)
    assert record not in repr([line for line in post.log if line["event"] == "answered"])
