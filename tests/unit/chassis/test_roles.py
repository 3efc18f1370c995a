"""A process is the roles that it was asked to be; it ends in order, and as a failure when one of them failed."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from chassis.roles import Service

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from chassis.command import command
from chassis.roles import Service, background
from chassis.settings import Settings

@asynccontextmanager
async def bootstrap(settings):
    yield settings
    sys.stderr.write("closed;")

async def works():
    try:
        await asyncio.sleep(60)
    finally:
        sys.stderr.write("stopped;")

async def fails():
    await asyncio.sleep(0.1)
    raise RuntimeError("CANARY")

roles = {"work": lambda _: background(works()), "fail": lambda _: background(fails())}
command(Service("test", bootstrap, roles, lambda _: []), Settings)()
"""


def service() -> Service[object, object]:  # type: ignore[type-var]
    """Return a service of two roles beside `serve`."""
    return Service("x", lambda _: nullcontext(), {"relay": lambda _: nullcontext(), "beat": lambda _: nullcontext()},
                   lambda _: [])  # fmt: skip


async def test_all_is_every_role_and_names_are_ordered() -> None:
    """Roles start in the service's order, whatever the order of the names."""
    assert service().chosen(["all"]) == ["serve", "relay", "beat"]
    assert service().chosen(["beat", "relay"]) == ["relay", "beat"]


async def test_an_unknown_role_is_refused_by_name() -> None:
    """The message tells the roles there are."""
    with pytest.raises(ValueError, match="no role bake; the roles are serve, relay, beat, or all"):
        service().chosen(["beat", "bake"])


@contextmanager
def started(*roles: str, **variables: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Start a process of these roles on a free port; leave none behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"CARNET_ENVIRONMENT": "local", "CARNET_HTTP_PORT": str(port)} | variables
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CARNET_", "OTEL_"))}
    process = subprocess.Popen(  # noqa: S603 - this interpreter, this program
        [sys.executable, "-c", PROGRAM, "run", *roles],
        cwd=ROOT, env=environment | told, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            yield process, port
        finally:
            process.kill()


def answers(port: int) -> bool:
    """Say whether the process's health answers within a minute."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.1)
    return False


def test_a_process_ends_in_order_on_sigterm() -> None:
    """Every process answers its health; SIGTERM stops the roles, then closes the room, and the code is 0."""
    with started("work") as (process, port):
        assert answers(port)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "stopped;closed;")
    assert '"event":"started"' in out
    assert '"event":"stopped"' in out


def test_a_failed_role_ends_the_process() -> None:
    """Half a service is worse than none: the code is 1, and the log names the class of the error only."""
    with started("work", "fail") as (process, _):
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "stopped;closed;"
    assert '"error":"RuntimeError"' in out
    assert "CANARY" not in out


def test_unsafe_settings_do_not_start() -> None:
    """Production with plaintext Kafka says so on one page, starts nothing and returns 2."""
    with started("work", CARNET_ENVIRONMENT="production", CARNET_MONGO="mongodb://u:CANARY@h/") as (process, _):
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "production refuses: Kafka without TLS" in errors
    assert "CANARY" not in out + errors
    assert "closed;" not in errors


def test_an_unknown_role_does_not_start() -> None:
    """The command tells the roles there are."""
    with started("bake") as (process, _):
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the roles are serve, work, fail, or all" in errors
