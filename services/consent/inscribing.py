"""Writing what is no verdict into a journal, under the journal's own lock."""

import asyncio
from collections.abc import Callable

from services.consent.domain.entry import MAIN, Entry, Kind, LeafClass, Repeated, Reviewing
from services.consent.domain.record import Record
from services.consent.domain.representation import Representation
from services.consent.ledger import Ledger
from services.consent.ports import Clock, Fate, InForce, Journal, RecordUnknown
from services.consent.use_cases.decide import Contended

_MOST_TURNS = 200
_TURN_SECONDS = 0.01


class Inscribe:
    """Inserts an entry at the next version of a record, whatever else is written meanwhile."""

    def __init__(self, ledger: Ledger, journal: Journal, in_force: InForce, clock: Clock) -> None:
        self._ledger, self._journal, self._in_force, self._clock = ledger, journal, in_force, clock

    async def __call__(
        self,
        record: str,
        cause: str,
        kind: Kind,
        leaf_class: LeafClass = "other",
        *,
        about: str | None = None,
        representation: Representation | None = None,
        reviewing: Reviewing | None = None,
        repeated: Repeated | None = None,
        stream: str = MAIN,
        wanted: Callable[[Record], bool] = lambda _: True,
    ) -> Entry | None:
        """Return the entry that stands now; None where the cause has one already, or it is wanted no more.

        `wanted` is asked of each state upon which the entry would come: what it says still holds at the insert.

        Raises RecordUnknown, Contended or OutcomeUnknown.
        """
        for _ in range(_MOST_TURNS):
            state = await self._ledger.folded(record)
            if state is None:
                raise RecordUnknown
            if not wanted(state):
                return None
            rules = self._in_force.rules
            entry = Entry(
                record=record,
                version=state.version + 1,
                cause=cause,
                stream=stream,
                n=state.n + 1 if stream == MAIN else await self._journal.last(record, stream) + 1,
                at=self._clock(),
                policies=rules.digest,
                leaf_class=leaf_class,
                kind=kind,
                about=about,
                representation=representation,
                reviewing=reviewing,
                repeated=repeated,
            )
            fate = (await self._journal.append([entry]))[0]
            if fate is Fate.STANDS:
                self._ledger.appended(entry)
                return entry
            if fate is Fate.OUTDATED:
                await self._in_force.renew(rules)
                continue
            if await self._journal.by_cause(record, cause) is not None:
                return None
            await asyncio.sleep(_TURN_SECONDS)
        raise Contended
