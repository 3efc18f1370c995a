"""What the words of the table of cases build: steps that were lived, and what is wanted, of what, what for."""

from dataclasses import dataclass
from typing import Final, Literal

from services.consent.domain.flow import Action, Actor, DirectiveKind, Evidence
from tests.unit.consent.people import SCOPES

IT: Final = "the document that the line names"
REPORT: Final = "11502-2"
CodeWord = Literal["hers", "invented", "of-another-record"]


# What happened before: steps.
@dataclass(frozen=True, slots=True)
class Says:
    """Camille begins a directive; `lasts` (ms) gives it an end, IT stands for the line's document."""

    kind: DirectiveKind | Literal["preset", "show-to-representatives"]
    subject: str | None = None
    lasts: int | None = None
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ends:
    """Camille ends the newest directive of a kind."""

    kind: str


@dataclass(frozen=True, slots=True)
class Gives:
    """Camille makes one code, good for a time (ms)."""

    lasts: int


@dataclass(frozen=True, slots=True)
class Declares:
    """Somebody declares that he cares for her, for a time (ms), so many times; `counts`: the rules are to allow it."""

    who: Actor
    evidence: Evidence
    lasts: int
    counts: bool = True
    times: int = 1


@dataclass(frozen=True, slots=True)
class Discharges:
    """An establishment's software reports the end of the newest stay; `counts`: the rules are to allow it."""

    who: Actor
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Represented:
    """Identity says whom the record obeys: Alex in a role, within scopes, or nobody beside Camille."""

    role: str | None = None
    scopes: tuple[str, ...] = SCOPES
    minor: bool = False
    deceased: bool = False


@dataclass(frozen=True, slots=True)
class Passes:
    """Time passes (ms)."""

    ms: int


@dataclass(frozen=True, slots=True)
class Amends:
    """A professional changes the labels of the line's document; the rules are to allow it."""

    who: Actor
    adds: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pleads:
    """Alex asks to read as an heir, for a motive."""

    motive: str


Step = Says | Ends | Gives | Declares | Discharges | Represented | Pleads | Passes | Amends


# What a line wants, of which documents, what for.
@dataclass(frozen=True, slots=True)
class Want:
    """An action; for `declare-care` what it is said to rest on, for how long (ms), and with which code.

    `shows`: the change of directives that is wanted is to show the line's document to representatives; `heirs`: it is
    to oppose what heirs may ask for, or to end such an opposition. `adds` and `removes` are the labels that are wanted
    on the document, and off it. `motive` is an heir's, with `words` or without.
    """

    action: Action
    evidence: Evidence | None = None
    lasts: int = 0
    code: CodeWord | None = None
    shows: bool = False
    adds: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    heirs: Literal["oppose", "let"] | None = None
    motive: str | None = None
    words: bool = True


@dataclass(frozen=True, slots=True)
class Paper:
    """A document that somebody deposited before anything else happened."""

    by: Actor
    type_code: str = REPORT
    label: str | None = None
    episode: str | None = None


@dataclass(frozen=True, slots=True)
class Papers:
    """What the record holds, and what is asked for: `one` of it by its number, one that is `absent`, or the whole.

    `deposit` is what enters: a `new` document, the `same` as before, or `other` content under the same number;
    `label` is what it says of itself.
    """

    held: tuple[Paper, ...] = ()
    asked: Literal["one", "absent", "whole"] = "whole"
    deposit: Literal["new", "same", "other"] | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Purpose:
    """A purpose of use; in an emergency whether a reason is given, and how long ago the asker signed in (s).

    `secret`: a consultation that a minor's representatives are not to learn of. `stale`: who represents whom was not
    heard for too long.
    """

    code: str
    topic: str | None = None
    reasoned: bool = False
    signed_in: int | None = None
    secret: bool = False
    stale: bool = False
