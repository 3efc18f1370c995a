"""Announce an entry that must be told; an emergency's is told to the treating doctor too.

What rested on one word alone, an emergency or an oral consent, is reviewed.
"""

from typing import Literal

from chassis import logs
from chassis.sealing import Unsealable
from services.consent.domain.entry import Entry
from services.consent.domain.flow import UNANNOUNCED
from services.consent.domain.review import rests_on_his_word, review_of, told_by_itself
from services.consent.domain.treating_doctor import DoctorNotice, notice_of
from services.consent.ledger import Ledger
from services.consent.ports import Clock, Due, Journal, Notices, RecordUnknown

End = Literal["told", "told-with-another", "told-before", "nothing-new", "unreadable"]
_log = logs.get("announce")


class Announce:
    """Tells an entry, but for what an announcement of the same hour has told already."""

    def __init__(self, notices: Notices, journal: Journal, ledger: Ledger, clock: Clock) -> None:
        self._notices, self._journal, self._ledger, self._clock = notices, journal, ledger, clock

    async def __call__(self, each: Due) -> End:
        """Announce; again, or by two at once, changes nothing."""
        if each.kind == "revealed":
            return await self._revealed(each)
        review = doctor = None
        if each.kind == "emergency" and (entries := await self._readable(each)):
            if not told_by_itself(entries):
                await self._notices.pass_over(each)
                return "told-with-another"
            review = review_of(entries[-1], self._clock())
            doctor = await self._doctor(entries[-1])
        elif each.kind == "declared-care" and (declared := await self._declared(each)) and rests_on_his_word(declared):
            review = review_of(declared, self._clock())
        return "told" if await self._notices.tell(each, review, doctor) else "told-before"

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

    async def _doctor(self, access: Entry) -> DoctorNotice | None:
        """Return what the treating doctor is to be told; None where the record does not say who that is."""
        try:
            state = await self._ledger.folded(access.record)
        except (Unsealable, RecordUnknown):
            return None  # the person is told all the same
        return notice_of(access, state, self._clock()) if state else None

    async def _revealed(self, each: Due) -> End:
        """Tell of what an entry opened to the person."""
        try:
            documents = await self._opened_by(each)
        except (Unsealable, RecordUnknown) as error:
            # Nobody could judge such a notice either: no flow of this record can be decided.
            _log.error("not readable", flow=each.flow, error=type(error).__name__)
            await self._notices.pass_over(each)
            return "unreadable"
        if not documents:
            await self._notices.pass_over(each)
            return "nothing-new"
        return "told" if await self._notices.reveal(each, documents) else "told-before"

    async def _opened_by(self, each: Due) -> tuple[str, ...]:
        """Return the documents that an entry opened: of those it names, what stands and was kept from the person."""
        entry, state = await self._journal.by_cause(each.record, each.flow), await self._ledger.folded(each.record)
        if entry is None or state is None:
            return ()
        named = (entry.about,) if entry.about else entry.outcome.allowed if entry.outcome else ()
        known = (state.documents[name] for name in named if name in state.documents)
        return tuple(one.id for one in known if UNANNOUNCED in one.visibility)
