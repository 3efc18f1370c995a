"""Answer a review: an officer says whether an access was justified, to the person, in her journal; once."""

from chassis import faults
from services.consent.domain.entry import Entry, Reviewing
from services.consent.domain.flow import Actor
from services.consent.domain.review import OwnAccess, Review, closing_cause, organisation_of
from services.consent.inscribing import Inscribe
from services.consent.ports import Journal, Reviews


class NoSuchReview(LookupError):
    """The officer's organisation owes no review of this flow."""


class AlreadyAnswered(Exception):
    """The review was closed, by this officer or another: its answer stands in the person's journal."""


class AnswerReview:
    """Writes the answer into the journal, which takes one; then closes the row."""

    def __init__(self, reviews: Reviews, journal: Journal, inscribe: Inscribe) -> None:
        self._reviews, self._journal, self._inscribe = reviews, journal, inscribe

    async def __call__(self, by: Actor, record: str, flow: str, answer: str, justified: bool) -> Entry:
        """Return the entry; raise NotReviewer, NoSuchReview, OwnAccess or AlreadyAnswered.

        `record` is what the officer's token names: one, or every.
        """
        review = await self._reviews.find(organisation_of(by), record, flow)
        access = await self._journal.by_cause(review.record, flow) if review else None
        if review is None or access is None or access.flow is None:
            raise NoSuchReview
        if access.flow.actor.id == by.id:
            raise OwnAccess
        if review.state == "closed":
            raise AlreadyAnswered
        said = Reviewing(flow, access.at, by, answer, justified, access.announces or "emergency")
        entry = await self._inscribe(review.record, closing_cause(flow), "reviewed", reviewing=said)
        if entry is None:
            await self._close_as_written(review)
            raise AlreadyAnswered
        faults.point("consent.review.written")
        await self._reviews.close(review, said)
        faults.point("consent.review.closed")
        return entry

    async def _close_as_written(self, review: Review) -> None:
        """Close a review whose answer stands: whoever wrote it died before the row, or is about to come to it."""
        standing = await self._journal.by_cause(review.record, closing_cause(review.flow))
        if standing is not None and standing.reviewing is not None:
            await self._reviews.close(review, standing.reviewing)
