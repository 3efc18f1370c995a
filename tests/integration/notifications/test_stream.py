"""Server-sent events over the real process: live, resumed without a gap, and ended in order."""

import asyncio
import time

import orjson

from tests.integration.deciding import new_record
from tests.integration.notifications.conftest import Post, streaming
from tests.integration.observing import eventually


async def test_a_new_item_comes_as_it_is_stored(service: Post) -> None:
    """Only what is new, only of this record, with the id by which a reconnection resumes."""
    record, other = new_record(), new_record()
    await service.deposited(record)
    await service.received(record, 1)
    async with streaming(service, record) as stream:
        await service.deposited(other)
        await service.deposited(record)
        event = await stream.event()
    assert (event["event"], event["id"]) == ("item", "2")
    said = orjson.loads(event["data"])
    assert (said["id"], said["sentence"]) == (2, "Un nouvel élément est arrivé dans votre dossier.")


async def test_a_reconnection_misses_nothing(service: Post) -> None:
    """With Last-Event-ID the stream begins after it: what came meanwhile first, then what is new."""
    record = new_record()
    for _ in range(3):
        await service.deposited(record)
    await service.received(record, 3)
    async with streaming(service, record, last_event_id="1") as stream:
        assert [(await stream.event())["id"] for _ in range(2)] == ["2", "3"]
        await service.deposited(record)
        assert (await stream.event())["id"] == "4"
    async with service.http.get(
        service.url("/notifications/stream"), headers=service.token(record) | {"Last-Event-ID": "x"}
    ) as answer:
        assert answer.status == 422


async def test_a_stream_ends_with_its_token(service: Post) -> None:
    """Who streams is let in as long as the token lasts, and no longer."""
    started = time.monotonic()
    async with streaming(service, new_record(), seconds=2) as stream:
        assert await stream.event() == {}
    assert time.monotonic() - started < 6


async def test_listeners_share_one_watch(service: Post) -> None:
    """Each of twenty listeners hears its own record's item; the process counts them, and forgets them."""
    records = [new_record() for _ in range(20)]

    async def hears(record: str) -> str:
        async with streaming(service, record, last_event_id="0") as stream:
            return (await stream.event())["id"]

    hearing = [asyncio.create_task(hears(each)) for each in records]
    await asyncio.sleep(0.5)
    for each in records:
        await service.deposited(each)
    assert await asyncio.gather(*hearing) == ["1"] * 20

    async def forgotten() -> bool:
        async with service.http.get(service.url("/metrics")) as answer:
            return "carnet_notifications_listeners 0.0" in await answer.text()

    await eventually(forgotten, 30)
