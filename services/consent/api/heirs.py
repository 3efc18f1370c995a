"""Heirs' requests over HTTP: why somebody asks to read the record of the dead, before anything is read."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chassis.tokens import AccessToken
from chassis.web import authenticated
from services.consent.api.calls import asking, tried
from services.consent.bootstrap import Room
from services.consent.domain.flow import Motive


class RequestBody(BaseModel):
    """What the law lets an heir ask for (L.1110-4 V), and the heir's own words; both stand in the journal."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    motive: Literal["cause-of-death", "memory", "rights"] = Field(
        description="To know the causes of the death, to defend the memory of the dead, to assert one's rights."
    )
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=20, max_length=1_000)] = Field(
        description="In French; without anybody's INS."
    )


def heirs_router(room: Room) -> APIRouter:
    """Return the heirs' route; what they read, they read like anybody, of documents."""
    routes = APIRouter(prefix="/consent/heirs", tags=["heirs"])
    token = Depends(authenticated(room.verifier))
    Token = Annotated[AccessToken, token]  # noqa: N806 - a type

    @routes.post("/requests", status_code=201)
    async def ask(body: RequestBody, caller: Token) -> dict[str, Any]:
        """Ask; a refusal says by which rule, and what can be done."""
        decided, until = await tried(room, room.ask_as_heir(asking(caller), Motive(body.motive, body.text)))
        at = datetime.fromtimestamp(until / 1000, UTC).isoformat(timespec="milliseconds")
        return {"id": decided.flow.id, "motive": body.motive, "until": at}

    return routes
