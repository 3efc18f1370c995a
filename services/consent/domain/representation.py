"""Whom a record obeys beside the person it is about, as identity said it last."""

from dataclasses import dataclass
from typing import Any

from services.consent.domain.flow import compact

# The role of whom the law lets ask for what concerns the dead (L.1110-4 V); identity names them once she is.
HEIR = "heir"


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who may act for the person: by their own record, in a role, within scopes."""

    holder: str
    role: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Representation:
    """The whole state, ordered by identity's version; who is not among the holders may not act."""

    version: int
    minor: bool
    deceased: bool
    holders: tuple[Holder, ...] = ()

    @property
    def private(self) -> dict[str, Any]:
        """What an entry says of it, in its encrypted part."""
        holders = [compact(each) | {"scopes": list(each.scopes)} for each in self.holders]
        return compact(self) | {"holders": holders}

    @classmethod
    def read(cls, private: dict[str, Any]) -> "Representation":
        """Read it from an entry's encrypted part."""
        holders = tuple(Holder(**each | {"scopes": tuple(each["scopes"])}) for each in private["holders"])
        return cls(**private | {"holders": holders})


# How long an heir may read once his request was allowed; then he asks again.
HEIR_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Request:
    """What an heir asked for, and was allowed: the motive, and until when it lets him read (ms)."""

    motive: str
    until: int
