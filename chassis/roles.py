"""A process: its roles, its HTTP side, and an orderly end within 15 s of SIGTERM."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Generic, TypeVar

import uvicorn
import uvloop
from fastapi import APIRouter

from chassis import faults, logs, telemetry
from chassis.limits import Limits
from chassis.problems import Dialect
from chassis.settings import Settings
from chassis.web import Check, create_app

RoomT = TypeVar("RoomT")
SettingsT = TypeVar("SettingsT", bound=Settings)
Role = Callable[[RoomT], AbstractAsyncContextManager[Any]]

_log = logs.get("roles")
_failed: list[str] = []
_ending = asyncio.Event()


@dataclass(frozen=True)
class Service(Generic[SettingsT, RoomT]):
    """What a service is made of: how its room is put together, and what its processes can be.

    `roles` may name `serve` too, for what must run beside its routes. `dialects` write the errors of the paths below
    a place where problem documents are not understood.
    """

    name: str
    bootstrap: Callable[[SettingsT], AbstractAsyncContextManager[RoomT]]
    roles: dict[str, Role[RoomT]]
    routers: Callable[[RoomT], list[APIRouter]]
    checks: Callable[[RoomT], dict[str, Check]] = field(default=lambda _: {})
    dialects: Mapping[str, Dialect] = field(default_factory=dict)

    def chosen(self, names: Sequence[str]) -> list[str]:
        """Return the roles named; `all` is every one. Raise ValueError for an unknown name."""
        known = list(dict.fromkeys(["serve", *self.roles]))
        if unknown := set(names) - set(known) - {"all"}:
            raise ValueError(f"no role {', '.join(sorted(unknown))}; the roles are {', '.join(known)}, or all")
        return known if "all" in names else [name for name in known if name in names]

    def run(self, settings: SettingsT, names: Sequence[str]) -> int:
        """Run a process until SIGTERM; return its exit code: 1 when a role failed."""
        roles = self.chosen(names)
        logs.setup(self.name, settings.instance, settings.log_level)
        faults.arm(settings.fault)
        uvloop.run(self._run(settings, roles))
        return 1 if _failed else 0

    async def _run(self, settings: SettingsT, roles: list[str]) -> None:
        tracing = telemetry.setup(self.name, settings.instance)
        async with AsyncExitStack() as stack:
            room = await stack.enter_async_context(self.bootstrap(settings))
            for name in roles:
                if name in self.roles:
                    await stack.enter_async_context(self.roles[name](room))
            routers = self.routers(room) if "serve" in roles else []
            app = create_app(self.name, routers, self.checks(room), self.dialects, limits=Limits(settings.limits))
            server = _Server(
                uvicorn.Config(
                    app,
                    host=settings.http.host,
                    port=settings.http.port,
                    log_config=None,
                    access_log=False,  # its lines quote URLs
                    server_header=False,
                    proxy_headers=False,
                    timeout_graceful_shutdown=8,
                    timeout_keep_alive=75,
                )
            )
            # What stands now stands to the end: the collector need not look at it again and again.
            gc.collect()
            gc.freeze()
            _log.info("started", role=",".join(roles), port=settings.http.port)
            await server.serve()
        tracing.shutdown()
        _log.info("stopped", role=",".join(roles))


class _Server(uvicorn.Server):
    """Uvicorn, but for its end: it would raise the signal again and so kill the process before its roles end."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to end, and tell the long answers."""
        self.should_exit = True
        _ending.set()


async def ending() -> None:
    """Return when this process was told to end; an answer without an end (a stream) must then find one within 8 s."""
    await _ending.wait()


@asynccontextmanager
async def background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work beside the block; work that fails ends the process, because half a service is worse than none."""
    tasks = [asyncio.create_task(_watched(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _watched(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - said, then the process ends
        _log.error("failed", error=type(error).__name__, where=logs.where(error.__traceback__))
        _failed.append(type(error).__name__)
        os.kill(os.getpid(), signal.SIGTERM)
