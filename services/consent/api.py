"""Consent's own interface: directives and journal, each call a flow that is journalled before it is answered."""

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from chassis.problems import Problem
from chassis.tokens import AccessToken
from chassis.web import authenticated
from services.consent.bootstrap import Room
from services.consent.domain.flow import Change
from services.consent.domain.record import Directive
from services.consent.flows import actor_of
from services.consent.own_flows import Asking, Refused
from services.consent.phrases import entry_view
from services.consent.ports import OutcomeUnknown, RecordUnknown
from services.consent.use_cases.change_directives import AlreadyOver, NothingSuch, TooMany
from services.consent.use_cases.decide import Contended

_T = TypeVar("_T")
_RPPS_DIGITS = 11
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)  # the journal must be able to say it, in Paris time
_FHIR_ID = r"^(?:[a-z2-7]{26}-)?[a-z2-7]{26}$"


class DirectiveBody(BaseModel):
    """A directive to begin. Exactly one subject, but for `oppose`, which is about the whole record."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["authorise", "block", "hide", "oppose"]
    professional: str | None = Field(default=None, pattern=r"^[0-9]{11,12}$", description="RPPS, or '8' + RPPS.")
    organisation: str | None = Field(default=None, pattern=r"^[0-9A-Z]{9,10}$", description="FINESS.")
    document: str | None = Field(default=None, pattern=_FHIR_ID, description="Id of a DocumentReference.")
    until: AwareDatetime | None = Field(
        default=None, lt=_LATEST, description="ISO 8601 with its offset; without end if absent."
    )

    @model_validator(mode="after")
    def _one_subject(self) -> "DirectiveBody":
        given = {name for name in ("professional", "organisation", "document") if getattr(self, name) is not None}
        wanted: dict[str, list[set[str]]] = {"oppose": [set()], "hide": [{"document"}]}
        if given not in wanted.get(self.kind, [{"professional"}, {"organisation"}]):
            raise ValueError(f"'{self.kind}' needs exactly its own subject")
        return self

    def change(self) -> Change:
        """Return the domain's word for it."""
        subject = None
        if self.professional:
            national = "8" + self.professional if len(self.professional) == _RPPS_DIGITS else self.professional
            subject = f"person:{national}"
        elif self.organisation:
            subject = f"organisation:{self.organisation}"
        elif self.document:
            subject = self.document.rpartition("-")[2]
        until = int(self.until.timestamp() * 1000) if self.until else None
        return Change(self.kind, subject, until)


def router(room: Room) -> APIRouter:
    """Return consent's routes."""
    routes = APIRouter(prefix="/consent", tags=["consent"])
    token = Depends(authenticated(room.verifier))
    Token = Annotated[AccessToken, token]  # noqa: N806 - a type

    @routes.post("/directives", status_code=201)
    async def begin(body: DirectiveBody, caller: Token) -> dict[str, Any]:
        decided = await _tried(room, room.change_directives(_asking(caller), body.change()))
        return {"id": decided.flow.id, "kind": body.kind, "entry": decided.entry.version if decided.entry else None}

    @routes.delete("/directives/{directive}")
    async def end(directive: str, caller: Token) -> dict[str, Any]:
        decided = await _tried(room, room.change_directives(_asking(caller), Change("end", ends=directive)))
        return {"ended": directive, "entry": decided.entry.version if decided.entry else None}

    @routes.get("/directives")
    async def directives(caller: Token) -> dict[str, Any]:
        found = await _tried(room, room.read_directives(_asking(caller)))
        return {"directives": [_directive(each) for each in found]}

    @routes.get("/journal")
    async def journal(
        caller: Token,
        before: Annotated[int | None, Query(ge=1, description="Entries older than this version.")] = None,
        count: Annotated[int, Query(alias="_count", ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        entries = await _tried(room, room.read_journal(_asking(caller), before, count))
        more = entries[-1].version if len(entries) == count and entries[-1].version > 1 else None
        return {
            "record": caller.record,
            "entries": [entry_view(entry, room.rules) for entry in entries],
            "next": f"/consent/journal?before={more}&_count={count}" if more else None,
        }

    return routes


async def _tried(room: Room, work: Awaitable[_T]) -> _T:
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
    except RecordUnknown:
        raise Problem(503, "record-not-ready", "The record is being opened; try again in a moment.") from None
    except (OutcomeUnknown, Contended):
        detail = "Nothing is certain; read your directives again before you retry."
        raise Problem(503, "consent-unreachable", detail) from None


def _refusal(room: Room, refused: Refused) -> Problem:
    outcome = refused.decided.outcome
    told = outcome is not None and (outcome.verdict == "red-line" or refused.decided.flow.actor.kind == "patient")
    if not told or outcome is None:
        return Problem(403, "not-for-you", "Only the person whom the record is about may do this.")
    rule = room.rules[outcome.rule]
    return Problem(403, outcome.verdict, rule.sentence, rule=rule.id, law=rule.law)


def _asking(caller: AccessToken) -> Asking:
    return Asking(caller.record, actor_of(caller), caller.purpose)


def _directive(each: Directive) -> dict[str, Any]:
    return {"id": each.id, "kind": each.kind, "subject": each.subject, "since": each.since, "until": each.until}
