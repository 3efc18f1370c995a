"""`python -m deploy.local`: what the Makefile calls."""

import asyncio
import fcntl
import importlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.local import Trouble
from deploy.local.machine import Ports, memory_available_bytes
from deploy.local.processes import Processes
from deploy.local.progress import Progress
from deploy.local.readiness import ready
from deploy.local.stack import LIBRARIES, ROOT, Stack

DATA = ROOT / ".carnet"
Hook = Callable[..., Coroutine[Any, Any, Any]]
_FIRST_BASE, _LAST_BASE = 1_024, 65_435
_NEEDED_BYTES = int(1.5 * 2**30)

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help="Carnet on this machine."
)
# Standard output is for what was asked (a token, a table); what happens meanwhile goes to standard error.
_console, _meanwhile = Console(), Console(stderr=True)


class Absent(Trouble):
    """A part of the local stack that this tree does not have."""


@app.command()
def up() -> None:
    """Start what does not run yet, register the demo people, and tell the story."""
    progress = Progress(_meanwhile)
    stack = _stack(progress)

    async def work() -> None:
        with progress.shown():
            await stack.start()
            await _optional("demo", "seed", stack)
        await _optional("story", "tell", stack)

    with _alone(), _plain_errors():
        _say_memory(stack)
        asyncio.run(work())
        _meanwhile.print(f"\nCarnet answers on {stack.base}   (make status, make logs, make down)", highlight=False)


@app.command()
def down() -> None:
    """Stop everything; data stays."""
    with _alone(), _plain_errors():
        asyncio.run(_stack(Progress(_meanwhile)).stop())


@app.command()
def status() -> None:
    """Show each process: pid, port, whether it is ready, memory."""
    running = {each.name: each for each in Processes(DATA, ROOT).all()}

    async def probe() -> dict[str, bool]:
        return {each.name: await ready(each.kind, each.port) for each in running.values()}

    is_ready = asyncio.run(probe())
    table = Table("process", "pid", "port", "state", "memory")
    for name in dict.fromkeys([*_stack().names, *running]):
        if name in running:
            each, state = running[name], "[green]ready" if is_ready[name] else "[yellow]not ready"
            table.add_row(name, str(each.pid), str(each.port), state, f"{each.memory_bytes / 2**20:.0f} MB")
        else:
            table.add_row(name, "", "", "[red]stopped", "")
    _console.print(table)


@app.command()
def logs(name: Annotated[str | None, typer.Argument(help="One process; all when absent.")] = None) -> None:
    """Follow the logs."""
    found = sorted((DATA / "logs").glob(f"{name or '*'}.log"))
    if not found:
        _meanwhile.print(f"No log {name or ''} in {DATA / 'logs'}: is the stack up?")
        raise typer.Exit(1)
    with suppress(KeyboardInterrupt):
        subprocess.run(["tail", "-n", "20", "-F", *map(str, found)], check=False)


@app.command()
def reset(*, yes: Annotated[bool, typer.Option(help="Do not ask.")] = False) -> None:
    """Stop everything and delete its data: records, keys, topics, logs."""
    if not yes:
        typer.confirm(f"Delete everything in {DATA}?", abort=True, err=True)
    down()
    for path in DATA.iterdir() if DATA.exists() else ():
        # The jars are no data, and the lock is held by whoever comes next.
        if path not in {LIBRARIES, DATA / "lock"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@app.command()
def token(
    who: Annotated[str, typer.Argument(help="A demo person: camille, moreau, ...")],
    record_of: Annotated[str, typer.Option("--for", help="Whose record; oneself when absent.")] = "",
    purpose: Annotated[str, typer.Option(help="BTG, ETREAT, ...; the usual one when absent.")] = "",
    reason: Annotated[str, typer.Option(help="An emergency's code (/identity/emergency-reasons).")] = "",
    text: Annotated[str, typer.Option(help="An emergency's reason in words, which the patient will read.")] = "",
) -> None:
    """Print an access token, alone, on standard output."""
    emergency = {"code": reason, "text": text} if reason or text else None
    with _plain_errors():
        given = _required("demo", "token")(_stack(), who, record_of or who, purpose=purpose, emergency=emergency)
        sys.stdout.write(asyncio.run(given) + "\n")


@app.command()
def bench() -> None:
    """Measure deposits, lists and reads, and where the time goes."""
    with _plain_errors():
        asyncio.run(_required("bench", "measure")(_stack()))


def _stack(progress: Progress | None = None) -> Stack:
    base, kafka = os.environ.get("CARNET_PORTS_BASE"), os.environ.get("CARNET_KAFKA")
    if base and not (base.isdecimal() and _FIRST_BASE <= int(base) <= _LAST_BASE):
        _meanwhile.print(f"CARNET_PORTS_BASE must be a number from {_FIRST_BASE} to {_LAST_BASE}; it is {base!r}.")
        raise typer.Exit(2)
    ports = Ports.from_base(int(base)) if base else Ports()
    return Stack(DATA, ports=ports, kafka=kafka, watch=progress or (lambda *_: None))


def _hook(module: str, name: str) -> Hook | None:
    full = f"deploy.local.{module}"
    try:
        found = importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        return None
    hook: Hook | None = getattr(found, name, None)
    return hook


def _required(module: str, name: str) -> Hook:
    hook = _hook(module, name)
    if hook is None:
        raise Absent(f"{name} of deploy.local.{module} is absent from this tree")
    return hook


async def _optional(module: str, name: str, stack: Stack) -> None:
    hook = _hook(module, name)
    if hook is None:
        _meanwhile.print(f"[yellow]  --[/yellow]  {name} of deploy.local.{module} is absent: left out")
        return
    await hook(stack)


def _say_memory(stack: Stack) -> None:
    available = memory_available_bytes()
    if stack.pid_of("consent-1") is None and available < _NEEDED_BYTES:
        _meanwhile.print(
            f"[yellow]Only {available / 2**30:.1f} GB of memory are free; the stack takes about 1.5 GB.[/yellow] "
            "It will try; if a process ends by itself, close other programs and run 'make up' again."
        )


@contextmanager
def _alone() -> Iterator[None]:
    """Keep a second `up`, `down` or `reset` of the same stack out until this one is over."""
    DATA.mkdir(exist_ok=True)
    with (DATA / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _meanwhile.print("Another 'make up', 'make down' or 'make reset' is at work: wait for it.")
            raise typer.Exit(1) from None
        yield


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except Trouble as error:
        _meanwhile.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    # aiokafka reports each refused connection while a broker boots: that is what we ask about.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    app()
