"""`python -m services.identity`: serve, relay, beat, age; register people; the root owner's commands."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from chassis.command import command
from chassis.mongo import DatabaseError
from chassis.repeating import Repeated, repeat, sweep
from chassis.roles import Service, background
from services.identity import beats, registry_file, trust
from services.identity.api import router
from services.identity.bootstrap import Room, bootstrap, registering
from services.identity.ports import Crowded
from services.identity.settings import IdentitySettings
from services.identity.use_cases.register_people import RegistrationRefused

_AGE_SECONDS = 2.0


def _relay(room: Room) -> AbstractAsyncContextManager[None]:
    return background(room.relay.run())


def _beat(room: Room) -> AbstractAsyncContextManager[None]:
    async def keys() -> list[Repeated]:
        return beats.announced(room.keys)

    # Apart: keys are announced while the database is away, and beats are not.
    kafka = room.settings.kafka
    return background(repeat(kafka, "identity", keys), repeat(kafka, "identity", room.beats))


def _age(room: Room) -> AbstractAsyncContextManager[None]:
    async def work() -> float:
        return 0 if await room.age() else _AGE_SECONDS

    return background(sweep(work))


SERVICE = Service(
    name="identity",
    bootstrap=bootstrap,
    roles={"relay": _relay, "beat": _beat, "age": _age},
    routers=lambda room: [router(room)],
    checks=lambda room: {"mongo": room.reachable},
)

app = command(SERVICE, IdentitySettings)
app.add_typer(trust.app, name="trust")


@app.command("register")
def register(
    file: Annotated[Path, typer.Argument(help="JSON: lists of whom and what there is (README.md).")],
    records: Annotated[bool, typer.Option("--records", help="Print each person's reference and record id.")] = False,
) -> None:
    """Register people from a file, whole or not at all; again changes nothing.

    Each fault is printed with its path (persons[2].ins), and nothing is written then. Exit code 1: the file is refused.
    """

    async def work() -> None:
        async with registering(IdentitySettings()) as registering_people:
            done = await registering_people(registry_file.read(file))
        for part, counts in done.counts.items():
            typer.echo(
                f"{part}: {', '.join(f'{number} {what}' for what, number in counts.items()) or 'none'}", err=True
            )
        if records:
            for reference, record in done.records.items():
                typer.echo(f"{reference} {record}")

    try:
        asyncio.run(work())
    except RegistrationRefused as refused:
        for fault in refused.faults:
            typer.echo(f"{fault.path or file.name}: {fault.reason}", err=True)
        typer.echo("Nothing was registered.", err=True)
        raise typer.Exit(1) from None
    except Crowded:
        typer.echo("carnet identity: somebody else registered at the same time; run it again", err=True)
        raise typer.Exit(2) from None
    except (OSError, ValidationError, DatabaseError) as error:
        # A database's error may quote its document: its class says enough.
        said = type(error).__name__ if isinstance(error, DatabaseError) else str(error)
        typer.echo(f"carnet identity: {said}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app(prog_name="python -m services.identity")
