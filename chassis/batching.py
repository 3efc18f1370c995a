"""Group commit: calls that come while one is on its way go together in the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batching(Generic[T, R]):
    """Turns a function of many into a function of one. Batches grow by themselves under load: nothing waits for one.

    `work` takes the values in the order in which they came and returns as many results; an error goes to each caller.
    """

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]], most: int = 64, at_once: int = 2) -> None:
        self._work, self._most = work, most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._free = at_once
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, value: T) -> R:
        """Return the result for one value."""
        mine: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((value, mine))
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await mine

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                try:
                    results = list(zip(batch, await self._work([value for value, _ in batch]), strict=True))
                except Exception as error:  # noqa: BLE001 - it is each caller's
                    for _, mine in batch:
                        if not mine.done():
                            mine.set_exception(error)
                    continue
                for (_, mine), result in results:
                    if not mine.done():
                        mine.set_result(result)
        finally:
            self._free += 1
