"""`python -m services.consent`: serve, decide, consume, relay, announce, beat, sweep; dead letters; rules."""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import APIRouter

from chassis.command import Taking, command
from chassis.repeating import Repeated, repeat, sweep
from chassis.roles import Service, background
from chassis.settings import Settings
from chassis.web import Check
from contracts.consent import SealingKeysAnnounced
from services.consent.api.directives import router
from services.consent.api.emergencies import emergencies_router
from services.consent.api.fhir import PLACE, fhir_error, fhir_router
from services.consent.api.heirs import heirs_router
from services.consent.api.reviews import review_router
from services.consent.api.rules import rules_router
from services.consent.api.views import views_router
from services.consent.bootstrap import Room, bootstrap, desk
from services.consent.rules_commands import rules_commands
from services.consent.settings import ConsentSettings

_SWEEP_SECONDS = 60.0


def _decide(room: Room) -> AbstractAsyncContextManager[None]:
    return room.hearer.running()


def _consume(room: Room) -> AbstractAsyncContextManager[None]:
    return room.consuming.running()


def _relay(room: Room) -> AbstractAsyncContextManager[None]:
    return background(room.relay.run())


def _announce(room: Room) -> AbstractAsyncContextManager[None]:
    return background(room.announcing())


def _beat(room: Room) -> AbstractAsyncContextManager[None]:
    return background(repeat(room.settings.kafka, "consent", lambda: _announced(room)))


def _sweep(room: Room) -> AbstractAsyncContextManager[None]:
    async def question() -> float:
        dealt_with = await room.questioning()
        return 0 if dealt_with else min(_SWEEP_SECONDS, room.settings.keys.unconfirmed_seconds)

    async def reveal() -> float:
        return 0 if await room.reveal_documents() else _SWEEP_SECONDS

    async def close() -> float:
        await room.close_windows()
        return min(_SWEEP_SECONDS, room.settings.repeats.seconds)

    return background(sweep(question), sweep(reveal), sweep(close))


async def _announced(room: Room) -> list[Repeated]:
    """Return the announcement of the sealing keys: the topic is short, and readers come late."""
    said = SealingKeysAnnounced(role_certificate=room.announced.role_certificate, statement=room.announced.statement)
    return [(said, None)]


def _routers(room: Room) -> list[APIRouter]:
    told = (heirs_router(room), review_router(room), emergencies_router(room))
    return [router(room), views_router(room), fhir_router(room), *told, rules_router(room)]


def _checks(room: Room) -> dict[str, Check]:
    async def database() -> bool:
        await room.mongo.ping()
        return True

    return {"database": database, "token-keys": room.tokens.known, "questions": room.hearer.ready}


@asynccontextmanager
async def _room(settings: ConsentSettings) -> AsyncIterator[Room]:
    # Every role but a few needs identity's keys, and to know how far identity was heard: follow both in each process.
    async with bootstrap(settings) as room, background(room.tokens.run(), room.projection.run()):
        yield room


@asynccontextmanager
async def _taking(settings: Settings) -> AsyncIterator[Taking]:
    if not isinstance(settings, ConsentSettings):
        raise TypeError
    async with bootstrap(settings) as room:
        yield [(room.consuming, room.letters)]


SERVICE = Service(
    name="consent",
    bootstrap=_room,
    roles={
        "decide": _decide,
        "consume": _consume,
        "relay": _relay,
        "announce": _announce,
        "beat": _beat,
        "sweep": _sweep,
    },
    routers=_routers,
    checks=_checks,
    dialects={PLACE: fhir_error},
)

if __name__ == "__main__":
    app = command(SERVICE, ConsentSettings, _taking)
    app.add_typer(rules_commands(ConsentSettings, desk), name="rules")
    app(prog_name="python -m services.consent")
    sys.exit(0)
