"""One actor, one record, one action, one purpose, up to a hundred documents: what is judged."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

ActorKind = Literal["patient", "representative", "professional", "application", "service"]
# What a care relation rests on when a professional says that there is one; the patient's own word is a directive.
Evidence = Literal["code", "admission", "appointment", "declared"]
DirectiveKind = Literal[
    "authorise", "treating-doctor", "code", "block", "close", "ask-me", "hide", "open-hidden", "close-emergency",
    "oppose", "oppose-export", "oppose-prevention", "oppose-heirs",
]  # fmt: skip


UNANNOUNCED = "INVISIBLE_PATIENT"
# L.1111-5: what a minor keeps from those who represent her.
NOT_FOR_REPRESENTATIVES = "INVISIBLE_REPRESENTANTS_LEGAUX"
MASKED = "MASQUE_PS"


class Action(StrEnum):
    """What a flow does to a record."""

    DEPOSIT = "deposit"
    LIST = "list"
    READ = "read"
    EXPORT = "export"
    PREVENT = "prevent"
    NOTIFY = "notify"
    DECLARE_CARE = "declare-care"
    END_CARE = "end-care"
    ANNOUNCE = "announce"
    AMEND = "amend"
    READ_JOURNAL = "read-journal"
    READ_DIRECTIVES = "read-directives"
    CHANGE_DIRECTIVES = "change-directives"
    READ_OWN_TRACES = "read-own-traces"
    ASK_AS_HEIR = "ask-as-heir"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, with the names that the patient will read. `id` is the national id, the record id or a role.

    A representative's is the record id of the holder, who is not the one whom the record is about.
    """

    kind: ActorKind
    id: str
    name: str
    application: str
    application_name: str
    application_kind: str
    profession: str | None = None
    organisation: str | None = None
    organisation_name: str | None = None


@dataclass(frozen=True, slots=True)
class Deposit:
    """A document that asks to enter: what the rules judge, and what makes a retry the same deposit."""

    master_identifier: str
    content_digest: str
    type_code: str
    type_system: str
    class_code: str | None = None
    visibility: tuple[str, ...] = ()
    episode: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A directive that begins, one that is over (`ends`), a preset of several, or a secret that is one no more.

    A declared relation ends like a directive, and a stay (`end-care`) by the establishment's word.

    `until` is Unix time in milliseconds.

    `subject` is what it is about: `person:<national id>`, `organisation:<FINESS>`, `profession:<code>`, `team`, a
    document's id, `type:<code>`, `episode:<id>`, `topic:<code>`, `samu` or `others`, a preset's name. `members` are a
    team's persons, or the digests of one-time codes.
    """

    kind: DirectiveKind | Literal["preset", "end", "show-to-representatives"]
    subject: str | None = None
    until: int | None = None
    ends: str | None = None
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Care:
    """A care relation that a professional or an establishment declares (R.1111-46): what it rests on, its end (ms).

    `code` is the digest of the one that was shown.
    """

    evidence: Evidence
    until: int
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Amendment:
    """Labels that one wants on a document, and labels that one wants off it (JDV_J08); what is so already stays."""

    adds: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a professional breaks the glass (R.1111-48): a code, and his own words."""

    code: str
    text: str


# What an heir may ask for, and nothing else (L.1110-4 V): the causes of the death, the memory of the dead, rights.
MOTIVES = frozenset({"cause-of-death", "memory", "rights"})


@dataclass(frozen=True, slots=True)
class Motive:
    """Why an heir asks to read: one of `MOTIVES`, and his own words where he asks (none in each look that follows)."""

    code: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """What is judged. `id` is the entry's cause; `deadline_ms` ends the right to an answer (none in process)."""

    id: str
    digest: str
    record: str
    action: Action
    purpose: str
    actor: Actor
    documents: tuple[str, ...] = ()
    deposit: Deposit | None = None
    change: Change | None = None
    care: Care | None = None
    amendment: Amendment | None = None
    topic: str | None = None  # of prevention
    reason: Reason | None = None
    motive: Motive | None = None  # of an heir's request; of what he then looks at, as the request said it
    auth_time: int = 0  # when the actor signed in: Unix time in seconds
    secret: bool = False  # a minor's consultation that her parents are not to learn of (L.1111-5)
    stale: bool = False  # who represents whom was not heard for too long when this was judged
    because: str | None = None
    deadline_ms: int | None = None

    @property
    def announces(self) -> bool:
        """Say whether it is to open to the patient what she may not know of yet (R.1111-53), by whichever way."""
        by_label = self.amendment is not None and UNANNOUNCED in self.amendment.removes
        return self.action is Action.ANNOUNCE or (self.action is Action.AMEND and by_label)


def compact(value: Any) -> dict[str, Any]:
    """Return a frozen value as a dictionary without what is absent: the canonical form holds no nulls."""
    fields = {name: getattr(value, name) for name in value.__slots__}
    return {name: held for name, held in fields.items() if held not in (None, ())}
