"""Read emergencies: a treating doctor sees what he was to be told (R.1111-48), and the person sees that he was."""

from collections.abc import AsyncIterator

from chassis import faults, logs
from chassis.sealing import Unsealable
from services.consent.domain.entry import Entry, Reviewing
from services.consent.domain.flow import Actor
from services.consent.domain.treating_doctor import DoctorNotice, reads, told_cause, treats
from services.consent.inscribing import Inscribe
from services.consent.ledger import Ledger
from services.consent.ports import Clock, DoctorNotices, Journal, RecordUnknown

_BATCH = 100
_log = logs.get("emergencies")


class ReadEmergencies:
    """Returns the emergencies of the records whose treating doctor asks; nothing to anybody else."""

    def __init__(
        self, notices: DoctorNotices, journal: Journal, ledger: Ledger, inscribe: Inscribe, clock: Clock
    ) -> None:  # fmt: skip
        self._notices, self._journal, self._ledger = notices, journal, ledger
        self._inscribe, self._clock = inscribe, clock

    async def __call__(
        self, by: Actor, record: str, before: tuple[int, str] | None, limit: int
    ) -> tuple[list[tuple[DoctorNotice, Entry]], DoctorNotice | None]:
        """Return at most `limit`, the newest first, from behind (at, flow); the last comes second if more stand.

        `record` is what the doctor's token names: one, or every. Raises Contended or OutcomeUnknown: nothing is shown.
        """
        shown: list[tuple[DoctorNotice, Entry]] = []
        more = None
        async for each in self._his(by, record, before):
            if len(shown) == limit:
                # Only for what he may see: that something else stands is not for him to count.
                more = shown[-1][0]
                break
            shown.append(each)
        for notice, access in shown:
            await self._tell(notice, access, by)
        return shown, more

    async def _his(
        self, by: Actor, record: str, before: tuple[int, str] | None
    ) -> AsyncIterator[tuple[DoctorNotice, Entry]]:
        while reads(by) and (found := await self._notices.of(by.id, record, before, _BATCH)):
            for notice in found:
                access = await self._still_his(notice, by)
                if access is not None:
                    yield notice, access
            before = (found[-1].at, found[-1].flow)

    async def _still_his(self, notice: DoctorNotice, by: Actor) -> Entry | None:
        """Return the access; None where he treats the person no more, or it can no more be read."""
        try:
            state = await self._ledger.folded(notice.record)
            if state is None or not treats(state, by, self._clock()):
                return None
            access = await self._journal.by_cause(notice.record, notice.flow)
        except (RecordUnknown, Unsealable) as error:
            # The record was destroyed, or a row altered: his other patients do not depend on it.
            _log.error("not readable", flow=notice.flow, error=type(error).__name__)
            return None
        return access if access is not None and access.flow is not None else None

    async def _tell(self, notice: DoctorNotice, access: Entry, by: Actor) -> None:
        """Have the person's journal say that he was told, before he is; once for each access."""
        cause = told_cause(notice.flow)
        if await self._journal.by_cause(notice.record, cause) is None:
            told = Reviewing(notice.flow, access.at, by)
            await self._inscribe(notice.record, cause, "told-doctor", "request", reviewing=told)
            faults.point("consent.emergencies.told")
