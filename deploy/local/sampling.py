"""Where a process spends its CPU: its stack every few milliseconds of CPU, weighed by the main thread's own clock.

Off until a SIGUSR2, written at the next one. It knows of no service; `make bench` puts it into their processes.
"""

import os
import signal
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

import orjson

_EVERY_SECONDS = 0.004
_TICKS: int = os.sysconf("SC_CLK_TCK")
_HERE = Path.cwd()
Stack = tuple[str, ...]


class Sampler:
    """Samples the main thread while it is on."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._seconds: dict[Stack, float] = defaultdict(float)
        self._on = False
        self._thread = self._process = self._last = 0.0

    def install(self) -> None:
        """Listen to SIGUSR2."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR2, self._toggle)

    def _toggle(self, *_: object) -> None:
        self._on = not self._on
        signal.setitimer(signal.ITIMER_PROF, *((_EVERY_SECONDS,) * 2 if self._on else (0.0,)))
        if self._on:
            self._seconds.clear()
            self._thread = self._last = time.thread_time()
            self._process = time.process_time()
            return
        main = time.thread_time() - self._thread
        stacks = [[list(stack), seconds] for stack, seconds in self._seconds.items()]
        said = {"main": main, "threads": time.process_time() - self._process - main, "stacks": stacks}
        new = self._out.with_suffix(".new")
        new.write_bytes(orjson.dumps(said))
        new.replace(self._out)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        # The process's clock rang; what the main thread spent of that since the last time belongs to where it is now.
        now = time.thread_time()
        stack = []
        while frame is not None:
            stack.append(f"{_place(frame.f_code.co_filename)}:{frame.f_code.co_qualname}")
            frame = frame.f_back
        self._seconds[tuple(stack)] += now - self._last
        self._last = now


def _place(path: str) -> str:
    """Return a file's path from its package, or from where the process runs, on."""
    _, found, rest = path.rpartition("/site-packages/")
    return rest if found else path.removeprefix(f"{_HERE}/")


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return float((int(fields[11]) + int(fields[12])) / _TICKS)
