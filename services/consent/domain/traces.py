"""Whose traces of a journal are looked for, and of when; and which of them a reader may know."""

from dataclasses import dataclass

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Actor

# Who reads the traces of everybody; anybody else reads what he did himself.
_EVERYBODYS = frozenset({"patient", "representative"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: an agent by id, a period (ms, from `since` to before `until`), behind an entry's cause."""

    agent: str | None = None
    since: int | None = None
    until: int | None = None
    after: str | None = None
    count: int = 50


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads traces."""

    actor: Actor

    @property
    def own_only(self) -> bool:
        """Say whether the reader may know of himself only: what he asked, and not what came of it (EHDS, article 8)."""
        return self.actor.kind not in _EVERYBODYS

    def finds(self, entry: Entry, agent: str | None = None) -> bool:
        """Say whether an entry is for this reader, and of the agent that is looked for (all: None).

        Entries of a reserved stream are for nobody yet.
        """
        if entry.stream != MAIN:
            return False
        said = entry.flow.actor if entry.flow else None
        if self.own_only:
            return said is not None and (said.kind, said.id) == ("professional", self.actor.id)
        return agent is None or (said is not None and said.id == agent)
