"""Before a change, and through others' eyes: what the patient may look at, each look a flow that is journalled."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from chassis.problems import Problem
from chassis.tokens import AccessToken
from chassis.web import authenticated
from services.consent.api.calls import asking, tried
from services.consent.api.directives import DirectiveBody, person
from services.consent.bootstrap import Room
from services.consent.domain.flow import Change
from services.consent.french.foresight import preview_view, sight_view


class EndBody(BaseModel):
    """A directive to end."""

    model_config = ConfigDict(extra="forbid")

    ends: str = Field(min_length=1, max_length=64, description="The directive's id.")

    def change(self) -> Change:
        """Return the domain's word for it."""
        return Change("end", ends=self.ends)


def views_router(room: Room) -> APIRouter:
    """Return the routes of previews and sights."""
    routes = APIRouter(prefix="/consent", tags=["views"])
    token = Depends(authenticated(room.verifier))
    Token = Annotated[AccessToken, token]  # noqa: N806 - a type

    @routes.post("/directives/preview")
    async def preview(body: DirectiveBody | EndBody, caller: Token) -> dict[str, Any]:
        """Tell who would gain or lose what, were this said to `POST /consent/directives`; nothing is changed."""
        return preview_view(await tried(room, room.preview_change(asking(caller), body.change())), room.in_force.rules)

    @routes.get("/see-as")
    async def see_as(
        caller: Token,
        professional: Annotated[
            str | None, Query(pattern=r"^[0-9]{11,12}$", description="RPPS, or '8' + RPPS.")
        ] = None,
        situation: Annotated[
            Literal["any-doctor", "nurse", "emergency", "samu", "representatives"] | None, Query()
        ] = None,
    ) -> dict[str, Any]:
        """Tell what a professional, anybody in a situation, or who acts for the person would see right now."""
        if (professional is None) is (situation is None):
            raise Problem(422, "invalid-request", "Name either 'professional' or 'situation'.")
        whom = situation or person(professional or "")
        return {
            "sights": [
                sight_view(each, room.in_force.rules) for each in await tried(room, room.see_as(asking(caller), whom))
            ]
        }

    return routes
