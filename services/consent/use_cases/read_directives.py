"""Read directives: the patient sees what is in force."""

from services.consent.domain.flow import Action
from services.consent.domain.record import Directive
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Clock, RecordUnknown


class ReadDirectives:
    """Returns the directives in force."""

    def __init__(self, flows: OwnFlows, ledger: Ledger, clock: Clock) -> None:
        self._flows, self._ledger, self._clock = flows, ledger, clock

    async def __call__(self, asking: Asking) -> list[Directive]:
        """Return them; raise Refused."""
        await self._flows(asking, Action.READ_DIRECTIVES)
        state, now = await self._ledger.folded(asking.record), self._clock()
        if state is None:
            raise RecordUnknown
        return [each for each in state.known_to(asking.actor.kind, now).directives.values() if each.holds(now)]
