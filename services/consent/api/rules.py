"""The public rules over HTTP, for anybody: no token, no flow, no entry. JSON for programs, a page for people."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from chassis.problems import Problem
from services.consent.bootstrap import Room
from services.consent.french.rules_pages import HEADERS, difference_page, rules_page
from services.consent.french.rules_views import difference_view, published_view
from services.consent.ports import RulesUnsettled, UnknownRules

_T = TypeVar("_T")
_Digest = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{43}$", description="A version's digest.")]


def rules_router(room: Room) -> APIRouter:
    """Return the routes of the public rules."""
    routes = APIRouter(prefix="/consent/rules", tags=["rules"])

    @routes.get("", response_model=None)
    async def rules(request: Request) -> Response:
        return _answer(request, published_view(await _tried(room.read_rules())), rules_page)

    @routes.get("/diff", response_model=None)
    async def diff(
        request: Request, before: Annotated[_Digest, Query(alias="from")], after: Annotated[_Digest, Query(alias="to")]
    ) -> Response:
        return _answer(request, difference_view(await _tried(room.compare_rules(before, after))), difference_page)

    return routes


def _answer(request: Request, view: dict[str, Any], page: Callable[[dict[str, Any]], str]) -> Response:
    """Answer in JSON who asks for it and for no page; anybody else is a person."""
    accept = request.headers.get("accept", "").lower()
    varying = {"Vary": "Accept"}
    if "application/json" in accept and "text/html" not in accept:
        return JSONResponse(view, headers=varying)
    return HTMLResponse(page(view), headers=HEADERS | varying)


async def _tried(work: Awaitable[_T]) -> _T:
    try:
        return await work
    except UnknownRules:
        detail = "No version of this digest was ever in force: /consent/rules names those that were."
        raise Problem(404, "no-such-version", detail) from None
    except RulesUnsettled:
        raise Problem(503, "rules-unsettled", "The rules cannot be shown at this moment; try again later.") from None
