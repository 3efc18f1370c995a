"""Detached processes: started once, found again by a later command, and never mistaken for a stranger.

A pid says little: it is given to another program as soon as its owner is dead. What we start is therefore remembered
as pid, start time (clock ticks since boot, /proc/<pid>/stat field 22) and boot id, and signalled only if all three
hold.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from deploy.local import Trouble

Kind = Literal["mongod", "kafka", "front-door", "service"]

GRACE_SECONDS = 15.0
_LARGE_LOG = 20 * 1024 * 1024
_children: dict[int, "subprocess.Popen[bytes]"] = {}


class DidNotStart(Trouble):
    """A process ended, or was not ready in time; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Program:
    """What to run. `environment` joins ours (less CARNET_*); `revision` changes when a file that it reads does."""

    name: str
    kind: Kind
    command: tuple[str, ...]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    revision: str = ""
    other_ports: tuple[int, ...] = ()

    @property
    def digest(self) -> str:
        """Two programs of the same digest need not be restarted one for the other."""
        said = json.dumps([self.command, sorted(self.environment.items()), self.revision])
        return hashlib.sha256(said.encode()).hexdigest()


@dataclass(frozen=True)
class Running:
    """A process that we started."""

    name: str
    kind: Kind
    pid: int
    started_ticks: int
    boot: str
    port: int
    digest: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return self.boot == _boot() and _started_ticks(self.pid) == self.started_ticks

    @property
    def memory_bytes(self) -> int:
        """Resident memory now; 0 when it cannot be read."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")
        return 0


class Processes:
    """The processes of one stack, remembered in `<folder>/run` and logging to `<folder>/logs`."""

    def __init__(self, folder: Path, working_directory: Path) -> None:
        self._run, self._logs, self._root = folder / "run", folder / "logs", working_directory

    def log_of(self, name: str) -> Path:
        """Where a process writes its output."""
        return self._logs / f"{name}.log"

    def running(self, name: str) -> Running | None:
        """Return the process of this name if it is alive."""
        try:
            said = json.loads((self._run / f"{name}.json").read_text(encoding="utf-8"))
            known = Running(**said)
        except (OSError, ValueError, TypeError):
            return None
        return known if known.alive else None

    def all(self) -> list[Running]:
        """Return every process that is alive, by name."""
        found = (self.running(path.stem) for path in sorted(self._run.glob("*.json")))
        return [each for each in found if each is not None]

    def start(self, program: Program) -> Running:
        """Start a program detached from this terminal; what runs already with the same digest is left as it is."""
        known = self.running(program.name)
        if known is not None and known.digest == program.digest:
            return known
        if known is not None:
            raise DidNotStart(f"{program.name} runs with other settings (pid {known.pid}): stop it first")
        for folder in (self._run, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        log = self.log_of(program.name)
        if log.exists() and log.stat().st_size > _LARGE_LOG:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            child = subprocess.Popen(
                program.command,
                cwd=self._root,
                env={**_surroundings(), **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _children[child.pid] = child
        started = _started_ticks(child.pid) or 0
        running = Running(program.name, program.kind, child.pid, started, _boot(), program.port, program.digest)
        new = self._run / f"{program.name}.new"
        new.write_text(json.dumps(asdict(running)), encoding="utf-8")
        new.replace(self._run / f"{program.name}.json")
        return running

    def send(self, name: str, number: signal.Signals) -> bool:
        """Send a signal; return False when the process is not (any more) there."""
        known = self.running(name)
        if known is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(known.pid, number)
            return True
        return False

    async def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> float:
        """Stop a process and wait for its end: SIGKILL after 15 s. Return the seconds it took; 0 if it did not run."""
        known = self.running(name)
        began = time.monotonic()
        if known is None or not self.send(name, number):
            return 0.0
        # A process that a test has paused would hold its SIGTERM until it is continued.
        self.send(name, signal.SIGCONT)
        while known.alive:
            if time.monotonic() - began > GRACE_SECONDS:
                self.send(name, signal.SIGKILL)
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    def last_words(self, name: str, lines: int = 12) -> str:
        """Return the end of a log, for a person to read."""
        try:
            with self.log_of(name).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 8_192))
                tail = log.read().decode("utf-8", "replace").splitlines()[-lines:]
        except OSError:
            tail = []
        return "\n".join(f"    {line[:300]}" for line in tail)


def _surroundings() -> dict[str, str]:
    # A CARNET_ variable of this terminal must not reach a process unless its program says so.
    return {name: value for name, value in os.environ.items() if not name.startswith("CARNET_")}


def _started_ticks(pid: int) -> int | None:
    if (child := _children.get(pid)) is not None and child.poll() is not None:
        del _children[pid]
    try:
        # The program's name stands in parentheses and may hold anything: count from the last one.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        # The first thread of a killed process is a zombie at once; the port is free only after the last thread's end.
        over = fields[0] in {b"Z", b"X"} and len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1
    except OSError:
        return None
    return None if over else int(fields[19])


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
