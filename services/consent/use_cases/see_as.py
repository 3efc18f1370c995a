"""See as somebody: the patient looks at the record through the eyes of a professional, or of anybody."""

from dataclasses import replace

from services.consent.acquaintances import Acquaintances
from services.consent.domain.flow import Action
from services.consent.domain.previewing import Sight, known_to, scene, see
from services.consent.domain.viewers import ANYBODY, Viewer, representatives, viewers_of
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Clock, InForce, RecordUnknown

REPRESENTATIVES = "representatives"


class SeeAs:
    """Says what somebody would see right now, by the rules that would judge him; looking is a flow as any other."""

    def __init__(
        self, flows: OwnFlows, ledger: Ledger, acquaintances: Acquaintances, in_force: InForce, clock: Clock
    ) -> None:
        self._flows, self._ledger, self._acquaintances = flows, ledger, acquaintances
        self._in_force, self._clock = in_force, clock

    async def __call__(self, asking: Asking, whom: str) -> list[Sight]:
        """Return what `whom` sees: a name of `ANYBODY`, `representatives` or `person:<national id>`; raise Refused.

        A person who was met acting for several places has a sight for each, and so has each of the representatives.
        """
        read = (await self._flows(asking, Action.READ_DIRECTIVES)).flow
        eyes = await self._eyes(asking.record, whom)
        state, now = await self._ledger.folded(asking.record), self._clock()
        if state is None:
            raise RecordUnknown
        rules = self._in_force.rules
        visible = scene(known_to(state, replace(read, action=Action.LIST), now, rules), now)
        return [see(visible, each, rules) for each in (representatives(state) if eyes is None else eyes)]

    async def _eyes(self, record: str, whom: str) -> list[Viewer] | None:
        """Return whose they are; None for those of the representatives, who are known from the state."""
        if whom == REPRESENTATIVES:
            return None
        return [ANYBODY[whom]] if whom in ANYBODY else viewers_of(whom, await self._acquaintances(record))
