"""Whose traces of a journal are looked for, and of when; and which of them a reader may know."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Actor, Flow
from services.consent.domain.repeating import over_at

# Entries stand in the order of their versions; the clocks of those who wrote them may differ by so much.
CLOCKS_DIFFER_MS = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: agents by any of their ids (none: all), a period (ms, from `since` to before `until`).

    `after` is the cause of the entry behind which to go on.
    """

    agents: frozenset[str] = frozenset()
    since: int | None = None
    until: int | None = None
    after: str | None = None
    count: int = 50


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads traces, and the streams that are open to them."""

    actor: Actor
    streams: frozenset[str] = frozenset({MAIN})

    @property
    def own_only(self) -> bool:
        """Say whether the reader may know of himself only: what he asked, and not what came of it (EHDS, article 8)."""
        return self.actor.kind not in {"patient", "representative"}

    def knows(self, entry: Entry) -> bool:
        """Say whether an entry is for this reader.

        What a professional did himself is his in any stream: he was there. It tells him nothing of what others may
        know, as his trace is the same whichever stream it stands in.
        """
        if not self.own_only:
            return entry.stream in self.streams
        said = entry.flow.actor if entry.flow else None
        return said is not None and (said.kind, said.id) == ("professional", self.actor.id) == (
            self.actor.kind, self.actor.id,
        )  # fmt: skip


def wanted_agent(entry: Entry, agents: frozenset[str]) -> bool:
    """Say whether one of these agents had part in an entry: who acted, for which organisation, by which software."""
    if not agents:
        return True
    told = entry.reviewing or entry.repeated
    actor = entry.flow.actor if entry.flow else told.by if told else None
    return actor is not None and not agents.isdisjoint({actor.id, actor.organisation, actor.application})


def as_asked(parts: Sequence[Entry]) -> Entry | None:
    """Return what was asked, from the entries of one verdict (the first last); None while the first is not there.

    The verdict itself is left out, and so is how it was parted into streams: documents stand in the order of their ids,
    for the journal does not keep the asker's. Where the first names none, none was named.
    """
    first = parts[-1]
    if first.flow is None or not _first(first):
        return None
    named = {each for part in parts if part.flow for each in part.flow.documents} if first.flow.documents else set()
    flow = replace(first.flow, documents=tuple(sorted(named)))
    return replace(first, flow=flow, outcome=None, stream=MAIN, n=0)


def question(flow: Flow) -> Flow:
    """Return what two flows have in common if their asker asked the same twice.

    Left out is what he does not say (ids, times, how fresh Carnet's own news were), and the end of declared care, which
    software reckons from now.
    """
    care = replace(flow.care, until=0) if flow.care else None
    return replace(flow, id="", digest="", auth_time=0, stale=False, because=None, deadline_ms=None, care=care)


class Questions:
    """What somebody asked, the newest first: of equal questions in one window, the one that came first.

    Of refusals that repeat in a window only the first is an entry (ADR 0011): what is missing were refused, if what was
    allowed were shown each time.
    """

    def __init__(self, lasts_ms: int) -> None:
        self._lasts = lasts_ms
        self._held: dict[tuple[Any, ...], Entry] = {}

    def begin(self, at: int) -> int:
        """Return when the window of a time begins (both ms)."""
        return over_at(at, self._lasts) - self._lasts

    def hold(self, asked: Entry) -> None:
        """Take in the next one back: an equal question of its window that came later is shown no more."""
        name = (asked.cause,) if asked.flow is None else (self.begin(asked.at), question(asked.flow))
        self._held.pop(name, None)
        self._held[name] = asked

    def settled(self, at: int | None = None) -> list[Entry]:
        """Return what stays, now that the journal was read back to a time; all of it where nothing is left to read."""
        found = []
        for name, each in self._held.items():
            if at is not None and at >= self.begin(each.at) - CLOCKS_DIFFER_MS:
                break
            found.append((name, each))
        for name, _ in found:
            del self._held[name]
        return [each for _, each in found]


def _first(entry: Entry) -> bool:
    return entry.flow is not None and entry.cause == entry.flow.id
