"""Listeners and the watcher that wakes them, without a database: nothing is missed, nobody hears another's record."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from services.notifications.domain import Item, Kind
from services.notifications.use_cases.follow import Follow

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Shelf:
    """Inboxes in memory, as `ports.Items` promises them to a follower."""

    def __init__(self) -> None:
        self.rows: list[Item] = []
        self.looks = 0

    def add(self, record: str) -> None:
        """Add the record's next item."""
        number = 1 + sum(each.record == record for each in self.rows)
        self.rows.append(Item(record, number, Kind.NEW_DOCUMENT, NOW))

    async def holds(self, record: str, event_id: str) -> bool:
        """Not asked by a follower."""
        raise NotImplementedError

    async def put(self, record: str, event_id: str, kind: Kind) -> bool:
        """Not asked by a follower."""
        raise NotImplementedError

    async def before(self, record: str, number: int | None, limit: int) -> list[Item]:
        """Not asked by a follower."""
        raise NotImplementedError

    async def mark_read(self, record: str, number: int) -> bool:
        """Not asked by a follower."""
        raise NotImplementedError

    async def after(self, record: str, number: int, limit: int) -> list[Item]:
        """Return a record's items above a number."""
        self.looks += 1
        await asyncio.sleep(0)
        return [each for each in self.rows if each.record == record and each.number > number][:limit]

    async def last(self, record: str) -> int:
        """Return the number of the newest item."""
        return sum(each.record == record for each in self.rows)


async def numbers(items: AsyncIterator[Item], count: int) -> list[int]:
    """Return the next so many numbers of a stream."""
    return [(await asyncio.wait_for(anext(items), 5)).number for _ in range(count)]


def soon() -> float:
    """Return a time that these tests do not reach."""
    return time.time() + 60


async def test_what_is_stored_wakes_its_listener() -> None:
    """The item comes as soon as its record is woken; what stood before the stream began does not come."""
    shelf = Shelf()
    shelf.add("mine")
    follow = Follow(shelf)
    stream = follow("mine", None, soon())
    waiting = asyncio.create_task(numbers(stream, 1))
    await asyncio.sleep(0.05)
    shelf.add("mine")
    follow.wake("mine")
    assert await waiting == [2]


async def test_anothers_record_wakes_nobody() -> None:
    """A wake is for one record: the others do not even look."""
    shelf = Shelf()
    follow = Follow(shelf)
    waiting = asyncio.create_task(numbers(follow("mine", 0, soon()), 1))
    await asyncio.sleep(0.05)
    looks = shelf.looks
    shelf.add("other")
    follow.wake("other")
    await asyncio.sleep(0.05)
    assert (shelf.looks, waiting.done()) == (looks, False)
    shelf.add("mine")
    follow.wake()
    assert await waiting == [1]


async def test_a_backlog_longer_than_a_batch_comes_whole() -> None:
    """Two hundred missed items come in order, though one look returns fifty."""
    shelf = Shelf()
    for _ in range(200):
        shelf.add("mine")
    assert await numbers(Follow(shelf)("mine", 0, soon()), 200) == list(range(1, 201))


async def test_a_missed_wake_is_made_good() -> None:
    """When the watcher is down each listener looks again by itself."""
    shelf = Shelf()
    follow = Follow(shelf, look_again_seconds=0.05)
    waiting = asyncio.create_task(numbers(follow("mine", 0, soon()), 1))
    await asyncio.sleep(0.02)
    shelf.add("mine")
    assert await waiting == [1]


async def test_an_item_stored_while_we_look_is_not_missed() -> None:
    """A wake between the look and the wait is kept."""
    shelf = Shelf()
    follow = Follow(shelf)
    look = shelf.after

    async def late(record: str, number: int, limit: int) -> list[Item]:
        found = await look(record, number, limit)
        if not shelf.rows:
            shelf.add("mine")
            follow.wake("mine")
        return found

    shelf.after = late  # type: ignore[method-assign]
    assert await numbers(follow("mine", 0, soon()), 1) == [1]


async def test_closing_ends_every_stream() -> None:
    """At the process's end no stream holds it up, and none begins any more."""
    follow = Follow(Shelf())

    async def all_of(items: AsyncIterator[Item]) -> list[Item]:
        return [each async for each in items]

    waiting = [asyncio.create_task(all_of(follow(each, None, soon()))) for each in ("a", "b")]
    await asyncio.sleep(0.05)
    follow.close()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 1) == [[], []]
    assert await asyncio.wait_for(all_of(follow("c", None, soon())), 1) == []


async def test_a_stream_ends_at_its_time() -> None:
    """The token's end is the stream's end."""
    started = time.monotonic()
    assert [each async for each in Follow(Shelf())("mine", None, time.time() + 0.1)] == []
    assert time.monotonic() - started < 1
