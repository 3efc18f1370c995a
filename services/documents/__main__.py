"""`python -m services.documents`: serve, consume, relay, sweep; dead letters."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import APIRouter

from chassis.command import Taking, command
from chassis.repeating import sweep
from chassis.roles import Service, background
from chassis.settings import Settings
from chassis.web import Check
from services.documents.api import fhir_error, router
from services.documents.bootstrap import Room, bootstrap
from services.documents.settings import DocumentsSettings

_SWEEP_SECONDS = 600.0


def _consume(room: Room) -> AbstractAsyncContextManager[None]:
    return room.consuming.running()


def _relay(room: Room) -> AbstractAsyncContextManager[None]:
    return background(room.relay.run())


def _sweep(room: Room) -> AbstractAsyncContextManager[None]:
    async def blobs() -> float:
        await room.blobs.sweep(room.settings.sweep_after_seconds)
        return min(_SWEEP_SECONDS, room.settings.sweep_after_seconds)

    return background(sweep(blobs))


@asynccontextmanager
async def _serve(room: Room) -> AsyncIterator[None]:
    async with background(*(each.run() for each in room.announcements)), room.asker.running():
        yield


def _routers(room: Room) -> list[APIRouter]:
    return [router(room)]


def _checks(room: Room) -> dict[str, Check]:
    async def database() -> bool:
        await room.mongo.ping()
        return True

    async def keys() -> bool:
        return all([await each.known() for each in room.announcements])

    return {"database": database, "keys": keys, "flows": room.asker.ready}


@asynccontextmanager
async def _taking(settings: Settings) -> AsyncIterator[Taking]:
    if not isinstance(settings, DocumentsSettings):
        raise TypeError
    async with bootstrap(settings) as room:
        yield [(room.consuming, room.letters)]


SERVICE = Service(
    name="documents",
    bootstrap=bootstrap,
    roles={"serve": _serve, "consume": _consume, "relay": _relay, "sweep": _sweep},
    routers=_routers,
    checks=_checks,
    dialects={"/fhir": fhir_error},
)

if __name__ == "__main__":
    command(SERVICE, DocumentsSettings, _taking)(prog_name="python -m services.documents")
