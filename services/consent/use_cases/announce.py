"""Announce an entry that must be told at once, and have reviewed what rested on one word alone."""

from typing import Literal

from chassis.sealing import Unsealable
from services.consent.domain.entry import Entry
from services.consent.domain.review import rests_on_his_word, review_of, told_by_itself
from services.consent.ports import Clock, Due, Journal, Notices, RecordUnknown

End = Literal["told", "told-with-another", "told-before"]


class Announce:
    """Tells an entry, but for what an announcement of the same hour has told already."""

    def __init__(self, notices: Notices, journal: Journal, clock: Clock) -> None:
        self._notices, self._journal, self._clock = notices, journal, clock

    async def __call__(self, each: Due) -> End:
        """Announce; again, or by two at once, changes nothing."""
        review = None
        if each.kind == "emergency" and (entries := await self._readable(each)):
            if not told_by_itself(entries):
                await self._notices.pass_over(each)
                return "told-with-another"
            review = review_of(entries[-1], self._clock())
        elif each.kind == "declared-care" and (declared := await self._declared(each)) and rests_on_his_word(declared):
            review = review_of(declared, self._clock())
        return "told" if await self._notices.tell(each, review) else "told-before"

    async def _declared(self, each: Due) -> Entry | None:
        """Return the declaration; None when it cannot be read: it is told all the same."""
        try:
            return await self._journal.by_cause(each.record, each.flow)
        except (Unsealable, RecordUnknown):
            return None

    async def _readable(self, each: Due) -> list[Entry]:
        """Return the record's emergencies up to this one; none when they cannot be read: it is told all the same."""
        try:
            found = await self._journal.emergencies(each.record, each.version)
        except (Unsealable, RecordUnknown):
            return []
        return found if found and found[-1].cause == each.flow else []
