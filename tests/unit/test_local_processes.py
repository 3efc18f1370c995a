"""Processes of the local stack: found again, never mistaken, stopped for certain."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.machine import Ports
from deploy.local.processes import DidNotStart, Processes, Program
from deploy.local.readiness import ready

SERVER = """
import http.server, signal, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
def stop(*_):
    print("stopped in order", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "deaf" else stop)
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def server(name: str, manner: str = "polite") -> Program:
    """Return a small HTTP server that is ready at once; a deaf one ignores SIGTERM."""
    port = Ports.free().services
    return Program(name, "service", (sys.executable, "-c", SERVER, str(port), manner), port)


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    """Keep processes in a temporary folder, and leave none behind."""
    processes = Processes(tmp_path, tmp_path)
    yield processes
    for each in processes.all():
        await processes.stop(each.name, signal.SIGKILL)


async def until_ready(program: Program) -> None:
    """Wait until a program answers."""
    async with asyncio.timeout(10):
        while not await ready(program.kind, program.port):  # noqa: ASYNC110 - another process tells us nothing
            await asyncio.sleep(0.02)


async def until_dead(processes: Processes, name: str) -> None:
    """Wait for the end of a process that nobody here ends."""
    async with asyncio.timeout(10):
        while processes.running(name) is not None:  # noqa: ASYNC110 - another process tells us nothing
            await asyncio.sleep(0.02)


async def test_sigterm_ends_a_process_in_order(processes: Processes) -> None:
    """A process gets SIGTERM, ends by itself, and its last line is in its log."""
    program = server("polite")
    processes.start(program)
    await until_ready(program)
    assert await processes.stop("polite") < 5
    assert processes.running("polite") is None
    assert "stopped in order" in processes.last_words("polite")


async def test_a_deaf_process_is_killed_after_the_grace(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ignores SIGTERM is killed when its time is over."""
    monkeypatch.setattr("deploy.local.processes.GRACE_SECONDS", 0.3)
    program = server("deaf", "deaf")
    processes.start(program)
    await until_ready(program)
    assert 0.3 <= await processes.stop("deaf") < 5
    assert processes.running("deaf") is None


async def test_a_paused_process_can_be_stopped_in_order(processes: Processes) -> None:
    """A process under SIGSTOP is continued, so that it can obey SIGTERM."""
    program = server("paused")
    processes.start(program)
    await until_ready(program)
    assert processes.send("paused", signal.SIGSTOP)
    assert await processes.stop("paused") < 5
    assert "stopped in order" in processes.last_words("paused")


async def test_starting_twice_starts_once(processes: Processes) -> None:
    """A program that runs is left as it is, by this command and by another on the same folder."""
    program = server("once")
    first = processes.start(program)
    assert processes.start(program) == first
    assert [each.pid for each in processes.all()] == [first.pid]


async def test_other_settings_are_never_started_over_a_running_process(processes: Processes) -> None:
    """A program of the same name with other settings is refused while the first one runs."""
    processes.start(server("same"))
    with pytest.raises(DidNotStart, match="other settings"):
        processes.start(server("same"))


async def test_a_killed_process_is_known_to_be_dead_and_starts_again(processes: Processes) -> None:
    """After kill -9 from outside, the process counts as stopped, and starts under another pid."""
    program = server("killed")
    first = processes.start(program)
    os.kill(first.pid, signal.SIGKILL)
    await until_dead(processes, "killed")
    assert processes.start(program).pid != first.pid


@pytest.mark.parametrize(("fact", "stranger"), [("started_ticks", 1), ("boot", "another boot")])
async def test_a_recycled_pid_is_never_signalled(
    processes: Processes, tmp_path: Path, fact: str, stranger: object
) -> None:
    """A living pid whose start time or boot is not the one remembered belongs to somebody else: no signal is sent."""
    program = server("stranger")
    running = processes.start(program)
    memory = tmp_path / "run" / "stranger.json"
    true = memory.read_text(encoding="utf-8")
    memory.write_text(json.dumps({**json.loads(true), fact: stranger}), encoding="utf-8")
    assert processes.running("stranger") is None
    assert not processes.send("stranger", signal.SIGKILL)
    assert await processes.stop("stranger", signal.SIGKILL) == 0
    memory.write_text(true, encoding="utf-8")
    assert processes.running("stranger") == running


async def test_a_terminal_s_settings_do_not_leak(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the variables named CARNET_ a process gets only those that its program states."""
    monkeypatch.setenv("CARNET_FAULT", "documents.deposit.stored:1")
    script = "import os; print(sorted(name for name in os.environ if name.startswith('CARNET_')), flush=True)"
    processes.start(Program("echo", "service", (sys.executable, "-c", script), 1, {"CARNET_INSTANCE": "echo"}))
    await until_dead(processes, "echo")
    assert processes.last_words("echo").strip() == "['CARNET_INSTANCE']"


def test_a_torn_memory_is_no_memory(processes: Processes, tmp_path: Path) -> None:
    """A pid file that a crash left half-written counts as a process that does not run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "torn.json").write_text('{"name": "torn", "pid": ', encoding="utf-8")
    assert processes.running("torn") is None
    assert processes.all() == []
