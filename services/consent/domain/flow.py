"""One actor, one record, one action, one purpose, up to a hundred documents: what is judged."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

ActorKind = Literal["patient", "professional", "application", "service"]


class Action(StrEnum):
    """What a flow does to a record."""

    DEPOSIT = "deposit"
    LIST = "list"
    READ = "read"
    NOTIFY = "notify"
    READ_JOURNAL = "read-journal"
    READ_DIRECTIVES = "read-directives"
    CHANGE_DIRECTIVES = "change-directives"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, with the names that the patient will read. `id` is the national id, the record id or a role."""

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


@dataclass(frozen=True, slots=True)
class Change:
    """A directive that begins, or (`ends`) one that is over. `until` is Unix time in milliseconds."""

    kind: Literal["authorise", "block", "hide", "oppose", "end"]
    subject: str | None = None  # person:<national id>, organisation:<FINESS>, or a document id
    until: int | None = None
    ends: str | None = None


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
    because: str | None = None
    deadline_ms: int | None = None


def compact(value: Any) -> dict[str, Any]:
    """Return a frozen value as a dictionary without what is absent: the canonical form holds no nulls."""
    fields = {name: getattr(value, name) for name in value.__slots__}
    return {name: held for name, held in fields.items() if held not in (None, ())}
