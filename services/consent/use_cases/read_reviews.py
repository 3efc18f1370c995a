"""Read reviews: a data protection officer sees what is owed, and the person sees that he looked."""

from chassis import faults, logs
from chassis.sealing import Unsealable
from services.consent.domain.entry import Entry, Reviewing
from services.consent.domain.flow import Actor
from services.consent.domain.review import Review, closing_cause, looking_cause, organisation_of
from services.consent.inscribing import Inscribe
from services.consent.ports import Clock, Journal, RecordUnknown, Reviews

_log = logs.get("reviews")


class ReadReviews:
    """Returns the open reviews of an officer's own organisation, each with the access that it is about."""

    def __init__(self, reviews: Reviews, journal: Journal, inscribe: Inscribe, clock: Clock) -> None:
        self._reviews, self._journal, self._inscribe, self._clock = reviews, journal, inscribe, clock

    async def __call__(
        self, by: Actor, record: str, after: tuple[int, str] | None, limit: int
    ) -> tuple[list[tuple[Review, Entry]], Review | None]:
        """Return at most `limit` of them, the oldest first, from behind (opened at, flow); raise NotReviewer.

        `record` is what the officer's token names: one, or every. The review behind which more may stand comes second.
        """
        shown = []
        owed = await self._reviews.owed(organisation_of(by), record, after, limit)
        for review in owed:
            access = await self._still_owed(review)
            if access is None:
                continue
            # The entry comes first: what is shown stands in the person's journal, even where the answer is lost.
            looked = Reviewing(review.flow, access.at, by, of=access.announces or "emergency")
            cause = looking_cause(review.flow, by, self._clock())
            await self._inscribe(review.record, cause, "looked-at-review", "request", reviewing=looked)
            faults.point("consent.review.looked")
            shown.append((review, access))
        return shown, owed[-1] if len(owed) == limit else None

    async def _still_owed(self, review: Review) -> Entry | None:
        """Return the access that a review is about; None where it was answered or can no more be read."""
        try:
            closing = await self._journal.by_cause(review.record, closing_cause(review.flow))
            access = await self._journal.by_cause(review.record, review.flow)
        except (RecordUnknown, Unsealable) as error:
            # The record was destroyed, or its row altered: an officer's other reviews do not depend on it.
            _log.error("not readable", flow=review.flow, error=type(error).__name__)
            return None
        if closing is None or closing.reviewing is None:
            return access
        # Whoever answered died between the entry and the row.
        await self._reviews.close(review, closing.reviewing)
        return None
