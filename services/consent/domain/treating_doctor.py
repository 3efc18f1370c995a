"""The treating doctor is told of an emergency too (R.1111-48): who he is when it is announced, and when he reads."""

from dataclasses import dataclass

from services.consent.domain.entry import Entry
from services.consent.domain.flow import Actor
from services.consent.domain.record import Record

_DECLARED, _PERSON = "treating-doctor", "person:"


@dataclass(frozen=True, slots=True)
class DoctorNotice:
    """A treating doctor (national id) is to be told of the emergency that a flow was, at a time (ms)."""

    record: str
    flow: str
    doctor: str
    at: int


def notice_of(access: Entry, record: Record, now: int) -> DoctorNotice | None:
    """Return what the treating doctor in force is to be told; None without one, and of what he did himself."""
    doctor = _doctor_of(record, now)
    if doctor is None or access.flow is None or access.flow.actor.id == doctor:
        return None
    return DoctorNotice(access.record, access.cause, doctor, access.at)


def treats(record: Record, actor: Actor, now: int) -> bool:
    """Say whether a professional is the person's treating doctor now, wherever he acts, and is not blocked there."""
    return record.treated_by(actor, now) and not record.blocked(actor, now)


def reads(actor: Actor) -> bool:
    """Say whether an actor may be a doctor at his software: nobody else is told anything here."""
    return actor.kind == "professional" and actor.application_kind == "care-software"


def told_cause(flow: str) -> str:
    """Return the cause of the entry that says that a treating doctor was told: the journal takes it once."""
    return f"doctor-told-{flow}"


def _doctor_of(record: Record, now: int) -> str | None:
    """Return the national id of the treating doctor in force; None for none, and for one who is blocked.

    Where he works is not known here: a block of that structure is seen when he reads.
    """
    for each in record.directives.values():
        subject = each.subject or ""
        if each.kind == _DECLARED and subject.startswith(_PERSON) and each.holds(now):
            return None if record.said("block", now, subject) else subject.removeprefix(_PERSON)
    return None
