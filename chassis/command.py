"""The command line that every service shares: run roles, list, replay and drop dead letters."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

import typer

from chassis.consuming import Consuming
from chassis.dead_letters import DeadLetters
from chassis.roles import Service
from chassis.settings import Settings, UnsafeSettings

Taking = Sequence[tuple[Consuming, DeadLetters]]  # one for each consumer group of a service


def command(
    service: Service[Any, Any],
    settings: Callable[[], Settings],
    taking: Callable[[Settings], AbstractAsyncContextManager[Taking]] | None = None,
) -> typer.Typer:
    """Return the service's command line; `taking` opens what replays its dead letters."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, help=f"Carnet's {service.name} service.")

    @app.callback()
    def _named() -> None:
        """Keep `run` a word of the command line: typer drops the name of an only command."""

    @app.command("run", help=f"Run roles in one process: {', '.join(service.chosen(['all']))}, or all.")
    def run(roles: Annotated[list[str], typer.Argument(help="One or several roles, or 'all'.")]) -> None:
        try:
            told = settings()
            service.chosen(roles)
        except (UnsafeSettings, ValueError) as error:
            typer.echo(f"carnet {service.name}: {error}", err=True)
            raise typer.Exit(2) from None
        # Outside: what a running service raises may quote anything.
        raise typer.Exit(service.run(told, roles))

    if taking is not None:
        _letters(app, settings, taking)
    return app


def _letters(
    app: typer.Typer,
    settings: Callable[[], Settings],
    taking: Callable[[Settings], AbstractAsyncContextManager[Taking]],
) -> None:
    group = typer.Typer(no_args_is_help=True, help="Events set aside, and the events that queue behind them.")
    app.add_typer(group, name="dead-letters")

    @group.command("list", help="Print each letter: id, state, class of error, since when.")
    def listed() -> None:
        async def show() -> None:
            async with taking(settings()) as taken:
                for each in [letter for _, letters in taken for letter in await letters.all()]:
                    typer.echo(f"{each.id}  {each.state}  {each.error or '-'}  {each.at.isoformat()}")

        asyncio.run(show())

    @group.command("replay", help="Handle letters again, in order; a letter that fails keeps its key blocked.")
    def replayed(letter: Annotated[str | None, typer.Argument(help="A letter's id; all when absent.")] = None) -> None:
        async def again() -> bool:
            healed = True
            async with taking(settings()) as taken:
                for consuming, _ in taken:
                    ends: AsyncIterator[Any] = consuming.replay(letter)
                    async for each, end in ends:
                        typer.echo(f"{each.id}  {end}")
                        healed = healed and end in {"healed", "gone"}
            return healed

        raise typer.Exit(0 if asyncio.run(again()) else 1)

    @group.command("drop", help="Forget one letter unhandled, when no replay can mend it: what its event said is lost.")
    def dropped(letter: Annotated[str, typer.Argument(help="A letter's id.")]) -> None:
        if not asyncio.run(_drop(taking(settings()), letter)):
            typer.echo("no such letter", err=True)
            raise typer.Exit(1)
        typer.echo(f"{letter}  dropped")


async def _drop(opening: AbstractAsyncContextManager[Taking], letter: str) -> bool:
    async with opening as taken:
        return any([await letters.drop(letter) for _, letters in taken])
