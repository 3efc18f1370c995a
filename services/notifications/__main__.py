"""`python -m services.notifications run serve consume`: its roles, and the way its dead letters are replayed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis import roles
from chassis.command import Taking, command
from chassis.roles import Service
from chassis.settings import Settings
from services.notifications.api import router
from services.notifications.bootstrap import bootstrap, consume, serve
from services.notifications.settings import NotificationsSettings

_ANSWERABLE_SECONDS = 10


@asynccontextmanager
async def _taking(settings: Settings) -> AsyncIterator[Taking]:
    """Open what replays dead letters: handling one asks consent."""
    if not isinstance(settings, NotificationsSettings):
        raise TypeError
    async with (
        bootstrap(settings) as room,
        roles.background(room.sealing.run()),
        room.asker.running(),
    ):
        # Without consent's key the letters can still be listed; each replay then says DependencyUnreachable.
        for _ in range(_ANSWERABLE_SECONDS * 10):
            if await room.asker.ready():
                break
            await asyncio.sleep(0.1)
        yield [(room.consuming, room.letters), (room.telling, room.untold)]


SERVICE = Service(
    name="notifications",
    bootstrap=bootstrap,
    roles={"serve": serve, "consume": consume},
    routers=lambda room: [router(room.verifier, room.items, room.follow)],
    checks=lambda room: room.checks,
)

if __name__ == "__main__":
    command(SERVICE, NotificationsSettings, _taking)(prog_name="python -m services.notifications")
