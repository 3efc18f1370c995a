"""Refusals that repeat, as a decider sees them: the first of a window is an entry, those behind it are counted."""

import asyncio

from chassis import logs
from chassis.sealing import canonical
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Flow
from services.consent.domain.repeating import alike, over_at
from services.consent.ports import Counted, Window, Windows

_log = logs.get("repeats")


class Repeats:
    """Windows of so many milliseconds. They are opened beside the answer: nobody waits longer for a first refusal."""

    def __init__(self, windows: Windows, lasts_ms: int) -> None:
        self._windows, self._lasts = windows, lasts_ms
        self._opening: dict[tuple[str, int, bytes], asyncio.Task[None]] = {}

    def begin(self, first: Entry) -> None:
        """Open a window behind an entry that stands; if that fails, the next refusal is an entry too."""
        key = self._key(first)
        self._opening[key] = asyncio.create_task(self._opened(first, key))

    async def look(self, entry: Entry) -> Window | None:
        """Return the window in which this entry would be a repetition."""
        if (opening := self._opening.get(self._key(entry))) is not None:
            await asyncio.shield(opening)
        return await self._windows.look(entry, over_at(entry.at, self._lasts))

    async def count(self, window: Window, flow: Flow, at: int) -> Counted:
        """Count a refusal in the place of its entry; raise OutcomeUnknown."""
        return await self._windows.count(window, flow, at)

    async def _opened(self, first: Entry, key: tuple[str, int, bytes]) -> None:
        try:
            await self._windows.open(first, key[1])
        except Exception as error:  # noqa: BLE001 - the refusal stands and was answered
            _log.warning("no window", error=type(error).__name__)
        finally:
            self._opening.pop(key, None)

    def _key(self, entry: Entry) -> tuple[str, int, bytes]:
        return entry.record, over_at(entry.at, self._lasts), canonical(alike(entry))
