"""Consent's own interface: directives and journal, each call a flow that is journalled before it is answered."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from chassis.tokens import AccessToken
from chassis.web import authenticated
from services.consent.api.calls import asking, rules_of, tried
from services.consent.bootstrap import Room
from services.consent.domain.codes import MOST_CODES, code_digest
from services.consent.domain.directive import Directive
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Care, Change, Evidence
from services.consent.domain.judging import USUAL_CARE_MS
from services.consent.french.codes_page import HEADERS, codes_page
from services.consent.french.phrases import entry_view, relation_view

_RPPS_DIGITS, _DAY_MS = 11, 86_400_000
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)  # the journal must be able to say it, in Paris time
_FHIR_ID = r"^(?:[a-z2-7]{26}-)?[a-z2-7]{26}$"


# What each kind of directive is about: exactly one of these fields, "" for nothing.
_ABOUT: dict[str, tuple[str, ...]] = {
    "authorise": ("professional", "organisation", "profession", "team"),
    "treating-doctor": ("professional",),
    "block": ("professional", "organisation"),
    "hide": ("document", "type", "episode_of"),
    "oppose-prevention": ("", "topic"),
    "close-emergency": ("to",),
    "show-to-representatives": ("document",),
    "preset": ("preset",),
}
_PREFIX = {
    "organisation": "organisation:", "profession": "profession:", "type": "type:", "topic": "topic:", "to": "",
    "preset": "",
}  # fmt: skip
_Finess = Annotated[str, Field(pattern=r"^1?[0-9A-Z]{9}$"), AfterValidator(lambda number: number[-9:])]
_Rpps = Annotated[str, Field(pattern=r"^[0-9]{11,12}$", description="RPPS, or '8' + RPPS.")]


class DirectiveBody(BaseModel):
    """A directive to begin, or a preset that replaces the general ones. Exactly one subject where its kind has any."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[
        "authorise", "treating-doctor", "block", "hide", "oppose", "oppose-export", "oppose-prevention",
        "close-emergency", "open-hidden", "close", "ask-me", "show-to-representatives", "preset", "oppose-heirs",
    ]  # fmt: skip
    professional: _Rpps | None = None
    organisation: _Finess | None = Field(default=None, description="FINESS, or '1' + FINESS.")
    profession: str | None = Field(default=None, pattern=r"^[0-9A-Z]{1,4}$", description="A code of TRE_G15.")
    team: tuple[_Rpps, ...] | None = Field(default=None, min_length=1, max_length=50)
    document: str | None = Field(default=None, pattern=_FHIR_ID, description="Id of a DocumentReference.")
    type: str | None = Field(default=None, pattern=r"^[0-9A-Za-z_.-]{1,64}$", description="A document type's code.")
    episode_of: str | None = Field(default=None, pattern=_FHIR_ID, description="A document: its whole episode of care.")
    topic: str | None = Field(default=None, pattern=r"^[a-z-]{1,40}$", description="A prevention topic's code.")
    to: Literal["samu", "others"] | None = Field(default=None, description="Whom an emergency opens the record to.")
    preset: Literal["legal", "careful", "closed"] | None = None
    until: AwareDatetime | None = Field(
        default=None, lt=_LATEST, description="ISO 8601 with its offset; without end if absent."
    )

    @model_validator(mode="after")
    def _one_subject(self) -> "DirectiveBody":
        names = ("professional", "organisation", "profession", "team", "document", "type", "episode_of", "topic", "to",
                 "preset")  # fmt: skip
        given = [name for name in names if getattr(self, name) is not None]
        allowed = _ABOUT.get(self.kind, ("",))
        if len(given) > 1 or (given or [""])[0] not in allowed:
            raise ValueError(
                f"'{self.kind}' needs exactly its own subject: {' or '.join(filter(None, allowed)) or 'none'}"
            )
        if self.kind == "preset" and self.until is not None:
            raise ValueError("a preset has no end: choose another one")
        if self.kind == "show-to-representatives" and self.until is not None:
            raise ValueError("what was shown to representatives stays shown: it has no end")
        return self

    def change(self) -> Change:
        """Return the domain's word for it."""
        until = int(self.until.timestamp() * 1000) if self.until else None
        if self.team:
            return Change(self.kind, "team", until, members=tuple(person(each) for each in self.team))
        if self.professional:
            return Change(self.kind, person(self.professional), until)
        if self.document:
            return Change(self.kind, self.document.rpartition("-")[2], until)
        if self.episode_of:
            return Change(self.kind, f"episode-of:{self.episode_of.rpartition('-')[2]}", until)
        for name, prefix in _PREFIX.items():
            if (value := getattr(self, name)) is not None:
                return Change(self.kind, prefix + value, until)
        return Change(self.kind, None, until)


class CareBody(BaseModel):
    """A care relation as a professional, or of a stay the establishment, declares it.

    Without `until` it lasts as long as its evidence may; by a code, for the day of a consultation (R.1111-46).
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    evidence: Evidence
    until: AwareDatetime | None = Field(default=None, lt=_LATEST)
    code: str | None = Field(default=None, min_length=1, max_length=40, description="The patient's one-time code.")

    @model_validator(mode="after")
    def _with_its_code(self) -> "CareBody":
        if (self.code is not None) != (self.evidence == "code"):
            raise ValueError("'code' needs the patient's code, and nothing else may bring one")
        return self

    def care(self, record: str, now: int) -> Care:
        """Return the domain's word for it."""
        until = int(self.until.timestamp() * 1000) if self.until else now + USUAL_CARE_MS[self.evidence]
        return Care(self.evidence, until, code_digest(record, self.code) if self.code else None)


class CodesBody(BaseModel):
    """How many one-time codes, good for how many days."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=1, ge=1, le=MOST_CODES)
    days: int = Field(default=1, ge=1, le=365)


class AnnouncementBody(BaseModel):
    """Which document was announced to the patient."""

    model_config = ConfigDict(extra="forbid")

    document: str = Field(pattern=_FHIR_ID, description="Id of a DocumentReference.")


def person(rpps: str) -> str:
    """Return the subject that a professional is, by her RPPS number with or without the PS-IdNat's 8 before it."""
    return f"person:{'8' + rpps if len(rpps) == _RPPS_DIGITS else rpps}"


def router(room: Room) -> APIRouter:
    """Return consent's routes."""
    routes = APIRouter(prefix="/consent", tags=["consent"])
    token = Depends(authenticated(room.verifier))
    Token = Annotated[AccessToken, token]  # noqa: N806 - a type

    @routes.post("/directives", status_code=201)
    async def begin(body: DirectiveBody, caller: Token) -> dict[str, Any]:
        decided = await tried(room, room.change_directives(asking(caller), body.change()))
        return {"id": decided.flow.id, "kind": body.kind, "entry": _number(decided.entry)}

    @routes.delete("/directives/{directive}")
    async def end(directive: str, caller: Token) -> dict[str, Any]:
        decided = await tried(room, room.change_directives(asking(caller), Change("end", ends=directive)))
        return {"ended": directive, "entry": _number(decided.entry)}

    @routes.get("/directives")
    async def directives(caller: Token) -> dict[str, Any]:
        found = await tried(room, room.read_directives(asking(caller)))
        return {
            "directives": [_directive(each) for each in found.directives],
            "care": [relation_view(each) for each in found.care],
        }

    @routes.post("/codes", response_model=None)
    async def codes(body: CodesBody, caller: Token, request: Request) -> Response:
        """Make codes and tell them, this once: to a program in JSON, to a person as a page that prints."""
        until = room.clock() + body.days * _DAY_MS
        decided, made = await tried(room, room.make_codes(asking(caller), body.count, until))
        accept = request.headers.get("accept", "").lower()
        once = {"Cache-Control": "no-store", "Vary": "Accept"}
        if "text/html" in accept and "application/json" not in accept:
            return HTMLResponse(codes_page(made, until), 201, headers=HEADERS | once)
        said = {"id": decided.flow.id, "codes": list(made), "until": _at(until)}
        return JSONResponse(said, 201, headers=once)

    @routes.post("/care", status_code=202)
    async def care(body: CareBody, caller: Token) -> dict[str, Any]:
        """Take a declaration; the answer is the same whether the patient's choices let it count."""
        declared = body.care(caller.record, room.clock())
        flow = await tried(room, room.declare_care(asking(caller), declared))
        # Under this name the stay's end is reported, whether it counted or not.
        name = {"id": flow} if body.evidence == "admission" else {}
        return name | {"evidence": body.evidence, "until": _at(declared.until)}

    @routes.delete("/care/{stay}", status_code=202)
    async def left(stay: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")], caller: Token) -> dict[str, Any]:
        """Take the end of a stay; the answer is the same whether there was one."""
        await tried(room, room.end_stay(asking(caller), stay))
        return {"ended": stay}

    @routes.post("/announcements", status_code=202)
    async def announce(body: AnnouncementBody, caller: Token) -> dict[str, Any]:
        """Take a professional's announcement; the answer is the same whether the patient's choices let it count."""
        await tried(room, room.announce_document(asking(caller), body.document.rpartition("-")[2]))
        return {"document": body.document}

    @routes.get("/journal")
    async def journal(
        caller: Token,
        before: Annotated[int | None, Query(ge=1, description="Entries older than this number.")] = None,
        count: Annotated[int, Query(alias="_count", ge=1, le=500)] = 100,
    ) -> dict[str, Any]:
        entries = await tried(room, room.read_journal(asking(caller), before, count))
        numbers = [each.n for each in entries if each.stream == MAIN]
        more = numbers[-1] if len(numbers) == count and numbers[-1] > 1 else None
        return {
            "record": caller.record,
            "entries": [entry_view(entry, await rules_of(room, entry)) for entry in entries],
            "next": f"/consent/journal?before={more}&_count={count}" if more else None,
        }

    return routes


def _directive(each: Directive) -> dict[str, Any]:
    said = {"id": each.id, "kind": each.kind, "subject": each.subject, "since": each.since, "until": each.until}
    # A one-time code's digest is no use to anybody.
    return said | {"members": list(each.members)} if each.subject == "team" else said


def _number(entry: Entry | None) -> int | None:
    # The number in its stream; a version would tell that entries stand between that the patient may not read yet.
    return entry.n if entry else None


def _at(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
