"""The inbox over HTTP: opened by a token of the patient, or of whoever represents her, and by nothing else."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from chassis.problems import Problem
from chassis.tokens import AccessToken, TokenVerifier
from chassis.web import authenticated
from services.notifications.domain import Item, Kind
from services.notifications.ports import Items
from services.notifications.use_cases.follow import Follow

_RETRY_MS = 2_000
_HEIR = "heir"
# MongoDB's integers end there.
_Number = Annotated[int, Path(ge=1, lt=2**63)]


class InboxItem(BaseModel):
    """One line of the inbox."""

    id: int
    kind: Kind
    sentence: str
    at: datetime
    read: bool

    @classmethod
    def of(cls, item: Item, reader: AccessToken) -> "InboxItem":
        """Return the wire form of an item, in the words that fit its reader."""
        sentence = item.sentence(for_another=reader.actor == "representative")
        return cls(id=item.number, kind=item.kind, sentence=sentence, at=item.at, read=item.read_at is not None)


class InboxPage(BaseModel):
    """Items, the newest first; `next` is the `before` of the following page, absent on the last."""

    items: list[InboxItem]
    next: int | None = None


def router(verifier: TokenVerifier, items: Items, follow: Follow) -> APIRouter:
    """Return the public routes."""
    routes = APIRouter(prefix="/notifications", tags=["notifications"])

    def reader(token: Annotated[AccessToken, Depends(authenticated(verifier))]) -> AccessToken:
        # What a minor keeps from her parents makes no item, so there is nothing here to part.
        # Heirs act for nobody: they may ask to read documents (L.1110-4 V), and notices are none.
        heir = token.representative is not None and token.representative.role == _HEIR
        if token.actor not in {"patient", "representative"} or heir:
            detail = "An inbox opens with a token of the patient, or of who represents her, for the patient's record."
            raise Problem(403, "patients-only", detail)
        return token

    @routes.get("/inbox", response_model_exclude_none=True)
    async def inbox(
        token: Annotated[AccessToken, Depends(reader)],
        before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> InboxPage:
        """Return a page, the newest items first."""
        found = await items.before(token.record, before, limit)
        more = found[-1].number if len(found) == limit and found[-1].number > 1 else None
        return InboxPage(items=[InboxItem.of(each, token) for each in found], next=more)

    @routes.post("/inbox/{item}/read", status_code=204)
    async def read(token: Annotated[AccessToken, Depends(reader)], item: _Number) -> None:
        """Mark an item as read; again changes nothing."""
        if not await items.mark_read(token.record, item):
            raise Problem(404, "no-such-item", "This inbox holds no item of that id.")

    @routes.get("/stream", response_class=EventSourceResponse)
    async def stream(
        token: Annotated[AccessToken, Depends(reader)],
        last_event_id: Annotated[int | None, Header(ge=0, lt=2**63)] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """Send new items as they are stored, and after a reconnection those missed; end when the token does."""
        yield ServerSentEvent(retry=_RETRY_MS)
        async for item in follow(token.record, last_event_id, token.exp):
            yield ServerSentEvent(id=str(item.number), event="item", data=InboxItem.of(item, token))

    return routes
