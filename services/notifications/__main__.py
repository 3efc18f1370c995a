"""`python -m services.notifications run serve consume`: its roles, and the way its dead letters are replayed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis import roles
from chassis.command import Taking, command
from chassis.roles import Service
from chassis.settings import Settings
from services.notifications.api import router
from services.notifications.bootstrap import Room, bootstrap, consume, serve
from services.notifications.settings import NotificationsSettings

_ANSWERABLE_SECONDS = 10

service: Service[NotificationsSettings, Room] = Service(
    name="notifications",
    bootstrap=bootstrap,
    roles={"serve": serve, "consume": consume},
    routers=lambda room: [router(room.verifier, room.items, room.follow)],
    checks=lambda room: room.checks,
)


@asynccontextmanager
async def taking(_: Settings) -> AsyncIterator[Taking]:
    """Open what replays dead letters: handling one asks consent."""
    async with (
        bootstrap(NotificationsSettings()) as room,
        roles.background(room.sealing.run()),
        room.asker.running(),
    ):
        # Without consent's key the letters can still be listed; each replay then says DependencyUnreachable.
        for _ in range(_ANSWERABLE_SECONDS * 10):
            if await room.asker.ready():
                break
            await asyncio.sleep(0.1)
        yield room.consuming, room.letters


if __name__ == "__main__":
    command(service, NotificationsSettings, taking)()
