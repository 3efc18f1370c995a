"""Whose traces of a journal are looked for, and of when; and which of them a reader may know."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Actor


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

    def may_name(self, entry: Entry) -> bool:
        """Say whether this reader may name an entry by its cause.

        The parts of a verdict that stand apart have causes of their own: a professional who tried them would learn
        that something is kept from the patient.
        """
        return self.knows(entry) and (not self.own_only or _first(entry))


def wanted_agent(entry: Entry, agents: frozenset[str]) -> bool:
    """Say whether one of these agents had part in an entry: who acted, for which organisation, by which software."""
    actor = entry.flow.actor if entry.flow else entry.reviewing.by if entry.reviewing else None
    if not agents:
        return True
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


def _first(entry: Entry) -> bool:
    return entry.flow is not None and entry.cause == entry.flow.id
