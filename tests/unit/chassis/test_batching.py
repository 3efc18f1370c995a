"""Calls that come while one is on its way go together in the next, and each gets its own result."""

import asyncio
from collections.abc import Sequence

import pytest

from chassis.batching import Batching


class Work:
    """Doubles numbers, remembers its batches, and waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()

    async def __call__(self, values: Sequence[int]) -> list[int]:
        """Return the doubles; fail for a batch that holds 13."""
        self.batches.append(list(values))
        await self.go.wait()
        if 13 in values:
            raise ValueError("unlucky")
        return [value * 2 for value in values]


async def test_what_waits_goes_together_and_each_gets_its_own() -> None:
    """One call goes at once; those that come meanwhile share the next batch, in their order."""
    work = Work()
    batching = Batching(work, most=64, at_once=1)
    calls = [asyncio.create_task(batching(number)) for number in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.go.set()
    assert await asyncio.gather(*calls) == [0, 2, 4, 6, 8]
    assert sorted(number for batch in work.batches for number in batch) == [0, 1, 2, 3, 4]
    assert len(work.batches) <= 2


async def test_a_batch_has_its_most() -> None:
    """No batch is larger than it may be."""
    work = Work()
    work.go.set()
    batching = Batching(work, most=3, at_once=1)
    await asyncio.gather(*(batching(number) for number in range(10)))
    assert max(len(batch) for batch in work.batches) <= 3


async def test_an_error_is_each_caller_s_and_the_next_batch_goes_on() -> None:
    """Whoever was in the failed batch is told; later calls work."""
    work = Work()
    work.go.set()
    batching = Batching(work, at_once=1)
    with pytest.raises(ValueError, match="unlucky"):
        await batching(13)
    assert await batching(4) == 8


async def test_a_caller_that_left_does_not_stop_the_others() -> None:
    """A cancelled call's result is dropped."""
    work = Work()
    batching = Batching(work, at_once=1)
    left, stays = asyncio.create_task(batching(1)), asyncio.create_task(batching(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    left.cancel()
    work.go.set()
    assert await stays == 4
    assert await batching(3) == 6
