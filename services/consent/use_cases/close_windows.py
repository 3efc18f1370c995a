"""Close windows that are over: one entry tells how often a refusal was repeated, and the row goes."""

from chassis import logs
from chassis.sealing import Unsealable
from services.consent.domain.entry import Repeated
from services.consent.inscribing import Inscribe
from services.consent.ports import Clock, Journal, OutcomeUnknown, RecordUnknown, RulesUnsettled, Window, Windows
from services.consent.use_cases.decide import Contended

# Longer than a flow may be answered, and than clocks differ: what was counted in time is counted, what became an entry
# after all has it.
SETTLED_MS = 10_000
_BATCH = 100
_log = logs.get("windows")


class CloseWindows:
    """Tells each number once, whoever closes and however often: the entry's cause is made of the first one's.

    A window that is ended counts nothing more; what comes then is an entry. So the number is final before it is told.
    """

    def __init__(self, windows: Windows, journal: Journal, inscribe: Inscribe, clock: Clock) -> None:
        self._windows, self._journal, self._inscribe, self._clock = windows, journal, inscribe, clock

    async def __call__(self) -> int:
        """Close what is over; return how many. One that cannot be closed silences no other, and is tried again."""
        before, after, closed = self._clock() - SETTLED_MS, "", 0
        while batch := await self._windows.over(before, after, _BATCH):
            for window in batch:
                try:
                    await self._close(window)
                except (RecordUnknown, Unsealable, Contended, OutcomeUnknown, RulesUnsettled) as error:
                    _log.error("not closed", error=type(error).__name__)
                else:
                    closed += 1
            after = batch[-1].name
        return closed

    async def _close(self, window: Window) -> None:
        ended = await self._windows.end(window)
        cause = ended.first["cause"]
        # Another decider may have written an entry of a flow that was counted here: it is told by that one.
        times = ended.times - len(await self._journal.caused(ended.record, ended.flows))
        first = await self._journal.by_cause(ended.record, cause) if times > 0 else None
        if first is not None and first.flow is not None and first.outcome is not None:
            flow = first.flow
            repeated = Repeated(
                flow=cause,
                by=flow.actor,
                action=flow.action,
                purpose=flow.purpose,
                verdict="red-line" if first.outcome.verdict == "red-line" else "refused",
                times=times,
                since=first.at,
                until=ended.last,
            )
            # In the public log a request like another: nobody learns by its class that somebody was refused.
            await self._inscribe(ended.record, f"{cause}.repeated", "repeated", "request", repeated=repeated)
        await self._windows.drop(ended)
