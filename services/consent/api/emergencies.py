"""Emergencies over HTTP, for the treating doctor: what he was to be told. Whoever else asks finds an empty list."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from chassis.problems import Problem
from chassis.tokens import AccessToken
from chassis.web import authenticated
from services.consent.api.calls import Count, Cursor, place
from services.consent.bootstrap import Room
from services.consent.flows import actor_of
from services.consent.french.phrases import emergency_view
from services.consent.ports import OutcomeUnknown, RecordUnknown, RulesUnsettled
from services.consent.use_cases.decide import Contended


def emergencies_router(room: Room) -> APIRouter:
    """Return the treating doctors' route."""
    routes = APIRouter(prefix="/consent", tags=["emergencies"])
    token = Depends(authenticated(room.verifier, every_record=True))
    Token = Annotated[AccessToken, token]  # noqa: N806 - a type

    @routes.get("/emergencies")
    async def emergencies(
        caller: Token,
        before: Cursor = None,
        count: Count = 20,
    ) -> dict[str, Any]:
        try:
            found, more = await room.read_emergencies(actor_of(caller), caller.record, place(before), count)
        except (OutcomeUnknown, Contended, RecordUnknown, RulesUnsettled):
            # Nothing is shown of which the person's journal may not say that it was.
            raise Problem(503, "consent-unreachable", "Nothing is certain; ask again in a moment.") from None
        return {
            "emergencies": [emergency_view(access) for _, access in found],
            "next": f"/consent/emergencies?before={more.at}.{more.flow}&_count={count}" if more else None,
        }

    return routes
