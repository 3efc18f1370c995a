"""The process dies between an item and its acknowledgement: the event comes again, and is one item."""

import asyncio
import signal

import pytest

from tests.integration.deciding import Decider, new_record
from tests.integration.notifications.conftest import Post
from tests.integration.notifications.test_at_once import emergency


async def test_a_kill_after_the_item_tells_it_once(
    post: Post, consent: Decider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL once the item stands: the next process meets the event again and leaves one item."""
    record, other = new_record(), new_record()
    assert consent.heard == []
    monkeypatch.setenv("CARNET_FAULT", "notifications.tell.put:1")
    async with post.running("all") as process:
        await post.publish(emergency(record))
        assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
    assert await post.mongo["items"].count_documents({"record": record}) == 1
    monkeypatch.delenv("CARNET_FAULT")
    async with post.running("all"):
        await post.publish(emergency(other))
        await post.received(record, 1)
        await post.received(other, 1)
        await asyncio.sleep(1)
    assert await post.mongo["items"].count_documents({"record": record}) == 1
