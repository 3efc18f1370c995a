"""What follows an access that one person's word opened: she is told, and somebody else must find it justified or not.

An emergency is told once an hour for one reason, what rests on a professional's own word each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from services.consent.domain.care import OWN_WORDS
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Actor

# The profession code of an organisation's data protection officer (GDPR, art. 37).
DPO = "dpo"
_DAY_MS = 86_400_000
ANSWER_WITHIN_MS = 30 * _DAY_MS
ONCE_WITHIN_MS = 3_600_000


class NotReviewer(Exception):
    """Whoever asks is no data protection officer: there is nothing here for him, whatever stands."""


class OwnAccess(Exception):
    """Nobody reviews what he did himself."""


@dataclass(frozen=True, slots=True)
class Review:
    """A review that an officer of `organisation` owes; times in Unix milliseconds. Who and why stand in the entry."""

    record: str
    flow: str
    organisation: str
    opened_at: int
    due_at: int
    state: Literal["open", "closed"] = "open"


def review_of(entry: Entry, now: int) -> Review | None:
    """Return the review that an access opens; None where no organisation answers for the professional."""
    organisation = entry.flow.actor.organisation if entry.flow else None
    if organisation is None:
        return None
    return Review(entry.record, entry.cause, organisation, now, now + ANSWER_WITHIN_MS)


def rests_on_his_word(entry: Entry) -> bool:
    """Say whether an entry is a declaration that rests on a professional's own word: oral consent, an appointment."""
    care = entry.flow.care if entry.flow else None
    return care is not None and care.evidence in OWN_WORDS


def closing_cause(flow: str) -> str:
    """Return the cause of the entry that closes a review: the journal takes it once."""
    return f"reviewed-{flow}"


def looking_cause(flow: str, by: Actor, now: int) -> str:
    """Return the cause of the entry that says that an officer looked: once a day, however often his software asks."""
    return f"looked-{sha256(f'{flow}:{by.id}:{now // _DAY_MS}'.encode()).hexdigest()[:32]}"


def organisation_of(reviewer: Actor) -> str:
    """Return the organisation that an officer answers for; raise NotReviewer."""
    officer = reviewer.kind == "professional" and reviewer.profession == DPO
    # An insurer has officers too: professionals act through care software, and nobody through anything else.
    if not officer or reviewer.application_kind != "care-software" or reviewer.organisation is None:
        raise NotReviewer
    return reviewer.organisation


def told_by_itself(emergencies: Sequence[Entry]) -> bool:
    """Say whether the last of a record's emergency entries is told, or was told with an earlier one.

    `emergencies` are all of them up to it, in the journal's order. The first look of a professional for a reason is
    told, and those that follow it within the hour are not; so the journal alone decides, and whoever asks it decides
    the same.
    """
    last, told_at, told = emergencies[-1], None, True
    for each in emergencies:
        if _asker(each) == _asker(last):
            # A clock that was set back must not silence anything.
            told = told_at is None or abs(each.at - told_at) >= ONCE_WITHIN_MS
            told_at = each.at if told else told_at
    return told


def _asker(entry: Entry) -> tuple[Any, ...] | None:
    # By organisation too: each has an officer of its own. And by the reason: another one is another emergency.
    flow = entry.flow
    return (flow.actor.kind, flow.actor.id, flow.actor.organisation, flow.purpose, flow.reason) if flow else None
