"""What calls have in common: who asks, where a page begins, what an error becomes, by which rules an entry speaks."""

from collections.abc import Awaitable
from typing import Annotated, TypeVar

from fastapi import Query

from chassis.problems import Problem
from chassis.tokens import AccessToken
from services.consent.bootstrap import Room
from services.consent.domain.entry import Entry
from services.consent.domain.rules import Rules
from services.consent.flows import actor_of
from services.consent.own_flows import Asking, Refused
from services.consent.ports import OutcomeUnknown, RecordUnknown, RulesUnsettled, UnknownRules
from services.consent.use_cases.change_directives import AlreadyOver, NothingSuch, TooMany
from services.consent.use_cases.decide import Contended
from services.consent.use_cases.declare_care import OwnWordTooOften, WrongCode, WrongTime

_T = TypeVar("_T")
Cursor = Annotated[str | None, Query(pattern=r"^[0-9]{1,16}\.[0-9a-f]{32}$", description="From `next`.")]
Count = Annotated[int, Query(alias="_count", ge=1, le=50)]


def place(cursor: str | None) -> tuple[int, str] | None:
    """Return where a page begins, (time in ms, flow), from what the page before it gave as `next`."""
    at, _, flow = (cursor or "").partition(".")
    return (int(at), flow) if cursor else None


async def tried(room: Room, work: Awaitable[_T]) -> _T:
    """Await a use case; its errors become problems."""
    try:
        return await work
    except Refused as refused:
        raise _refusal(room, refused) from None
    except NothingSuch as error:
        raise Problem(404, f"no-such-{error}", f"This record holds no such {error}.") from None
    except AlreadyOver:
        raise Problem(422, "already-over", "'until' is past: nothing would change. Name a time to come.") from None
    except TooMany:
        raise Problem(409, "too-many-directives", "End some directives before you add another.") from None
    except WrongTime:
        raise Problem(422, "care-time", "'until' is past, or further ahead than this evidence may last.") from None
    except WrongCode:
        raise Problem(422, "code-wrong", "This code is not valid: ask the patient for another one.") from None
    except OwnWordTooOften:
        rule = room.in_force.rules["own-word-too-often"]
        raise Problem(409, rule.id, rule.sentence, rule=rule.id, law=rule.law) from None
    except RecordUnknown:
        raise Problem(503, "record-not-ready", "The record is being opened; try again in a moment.") from None
    except (OutcomeUnknown, Contended, RulesUnsettled):
        detail = "Nothing is certain; read your directives again before you retry."
        raise Problem(503, "consent-unreachable", detail) from None


def _refusal(room: Room, refused: Refused) -> Problem:
    outcome, entry = refused.decided.outcome, refused.decided.entry
    hers = refused.decided.flow.actor.kind in {"patient", "representative"}
    told = outcome is not None and (outcome.verdict == "red-line" or hers)
    if not told or outcome is None or entry is None:
        return Problem(403, "not-for-you", "Only the person whom the record is about may do this.")
    rule = room.in_force.judged_by(entry.policies)[outcome.rule]
    return Problem(403, outcome.verdict, rule.sentence, rule=rule.id, law=rule.law)


async def rules_of(room: Room, entry: Entry) -> Rules:
    """Return the rules that judged an entry; those in force for one that is older than every activation."""
    try:
        return await room.archive.rules(entry.policies)
    except (UnknownRules, RulesUnsettled):
        return room.in_force.rules


def asking(caller: AccessToken) -> Asking:
    """Return who asks, of which record and why, as the caller's token says it."""
    return Asking(caller.record, actor_of(caller), caller.purpose, caller.secret)
