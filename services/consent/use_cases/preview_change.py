"""Preview a change of directives: who would gain or lose what, before the patient decides."""

import asyncio
from dataclasses import replace

from services.consent.acquaintances import Acquaintances
from services.consent.domain.flow import Action, Change
from services.consent.domain.previewing import (
    Difference,
    Preview,
    changed,
    difference,
    known_to,
    scene,
    see,
    topics,
    uses,
)
from services.consent.domain.viewers import people
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Clock, InForce, RecordUnknown
from services.consent.use_cases.change_directives import ChangeDirectives

# Choices may name thousands: whom the change itself names and whom the record met lately come first.
MOST_PEOPLE = 300


class PreviewChange:
    """Says what a change would change and changes nothing; looking is a flow as any other."""

    def __init__(
        self, flows: OwnFlows, ledger: Ledger, changes: ChangeDirectives, *, acquaintances: Acquaintances,
        in_force: InForce, clock: Clock,
    ) -> None:  # fmt: skip
        self._flows, self._ledger, self._changes = flows, ledger, changes
        self._acquaintances, self._in_force, self._clock = acquaintances, in_force, clock

    async def __call__(self, asking: Asking, change: Change) -> Preview:
        """Return the preview; raise Refused, or what makes the change impossible."""
        change = await self._changes.possible(asking, change)
        read = (await self._flows(asking, Action.READ_DIRECTIVES)).flow
        met = await self._acquaintances(asking.record)
        state, now = await self._ledger.folded(asking.record), self._clock()
        if state is None:
            raise RecordUnknown
        rules = self._in_force.rules
        # Two states of one moment are taken; the ledger's own goes on with every entry while they are looked at.
        before = known_to(state, replace(read, action=Action.LIST), now, rules)
        asked = replace(read, action=Action.CHANGE_DIRECTIVES, change=change)
        after, outcome = changed(before, asked, now, rules)
        viewers, scenes = people(before, change, met), [scene(each, now) for each in (before, after)]
        found: list[Difference] = []
        for viewer in viewers[:MOST_PEOPLE]:
            if (told := difference(*(see(each, viewer, rules) for each in scenes))) is not None:
                found.append(told)
            await asyncio.sleep(0)  # a long record must not hold up the flows of others
        named = topics(before, change)
        standing, then = (uses(each, asking.actor, named, now, rules) for each in (before, after))
        return Preview(
            outcome=outcome,
            differences=tuple(found),
            uses=tuple(b for a, b in zip(standing, then, strict=True) if a.possible is not b.possible),
            considered=min(len(viewers), MOST_PEOPLE),
            partial=len(viewers) > MOST_PEOPLE,
        )
