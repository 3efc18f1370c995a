"""What a person sees while the stack starts and stops: one line for each thing done, with the seconds it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from deploy.local.stack import Event

_SAY_AGAIN_SECONDS = 5.0


class Progress:
    """Prints events of a stack: lines on a pipe, lines and a spinner on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console, self._since, self._said = console, dict[str, float](), time.monotonic()
        self._status = console.status("")

    def __call__(self, name: str, event: Event) -> None:
        """Take an event of the stack."""
        if event in {"starting", "stopping"}:
            self._since[name] = time.monotonic()
        elif event in {"ready", "stopped"}:
            self.done(f"{name} {event}", self._since.pop(name, time.monotonic()))
        waiting = ", ".join(f"{each} ({time.monotonic() - at:.0f} s)" for each, at in self._since.items())
        self._status.update(f"waiting for {waiting}" if waiting else "working")
        if event == "waiting" and not self._console.is_terminal and self._silent_for() > _SAY_AGAIN_SECONDS:
            self._print(f"  ...  waiting for {waiting}")

    def done(self, what: str, since: float) -> None:
        """Print a line for something that is done."""
        self._print(f"[green]  ok[/green]  {what:<28} {time.monotonic() - since:5.1f} s")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time a block, and print its line when it went well."""
        since = time.monotonic()
        self._status.update(what)
        yield
        self.done(what, since)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the spinner, where there is a terminal, while the block runs."""
        if not self._console.is_terminal:
            yield
            return
        with self._status:
            yield

    def _silent_for(self) -> float:
        return time.monotonic() - self._said

    def _print(self, line: str) -> None:
        self._said = time.monotonic()
        self._console.print(line, highlight=False, soft_wrap=True)
