"""Reviews over HTTP, for the data protection officer of an organisation; whoever else asks learns nothing."""

from collections.abc import Awaitable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from chassis.problems import Problem
from chassis.tokens import AccessToken
from chassis.web import authenticated
from services.consent.api.calls import Count, Cursor, place
from services.consent.bootstrap import Room
from services.consent.domain.review import NotReviewer, OwnAccess
from services.consent.flows import actor_of
from services.consent.french.phrases import entry_view, review_view
from services.consent.ports import OutcomeUnknown, RecordUnknown
from services.consent.use_cases.answer_review import AlreadyAnswered, NoSuchReview
from services.consent.use_cases.decide import Contended

_T = TypeVar("_T")


class AnswerBody(BaseModel):
    """What the person will read in her journal."""

    model_config = ConfigDict(extra="forbid")

    answer: Annotated[str, StringConstraints(strip_whitespace=True, min_length=20, max_length=4_000)] = Field(
        description="To the person, in French."
    )
    justified: StrictBool = Field(description="Whether the officer finds the access justified.")


def review_router(room: Room) -> APIRouter:
    """Return the officers' routes."""
    routes = APIRouter(prefix="/consent/reviews", tags=["reviews"])
    token = Depends(authenticated(room.verifier, every_record=True))
    Token = Annotated[AccessToken, token]  # noqa: N806 - a type

    @routes.get("")
    async def owed(
        caller: Token,
        after: Cursor = None,
        count: Count = 20,
    ) -> dict[str, Any]:
        found, more = await _tried(room.read_reviews(actor_of(caller), caller.record, place(after), count))
        return {
            "reviews": [review_view(review, access) for review, access in found],
            "next": f"/consent/reviews?after={more.opened_at}.{more.flow}&_count={count}" if more else None,
        }

    @routes.post("/{flow}/answer", status_code=201)
    async def answer(
        body: AnswerBody, caller: Token, flow: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
    ) -> dict[str, Any]:
        said = (flow, body.answer, body.justified)
        return entry_view(await _tried(room.answer_review(actor_of(caller), caller.record, *said)), room.in_force.rules)

    return routes


async def _tried(work: Awaitable[_T]) -> _T:
    """Await a use case; its errors become problems."""
    try:
        return await work
    except NotReviewer:
        detail = "Only the data protection officer of the organisation concerned may do this."
        raise Problem(403, "not-for-you", detail) from None
    except OwnAccess:
        detail = "This access was yours: another officer of your organisation must review it."
        raise Problem(403, "own-access", detail) from None
    except NoSuchReview:
        raise Problem(404, "no-such-review", "Your organisation owes no review of this access.") from None
    except AlreadyAnswered:
        detail = "This review was answered before: its answer stands in the person's journal."
        raise Problem(409, "already-answered", detail) from None
    except (OutcomeUnknown, Contended, RecordUnknown):
        detail = "Nothing is certain; read your reviews again before you retry."
        raise Problem(503, "consent-unreachable", detail) from None
