"""Read directives: the patient sees what is in force, what she said and what others declared of her care."""

from dataclasses import dataclass

from services.consent.domain.care import Relation
from services.consent.domain.directive import Directive
from services.consent.domain.flow import Action
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Clock, RecordUnknown


@dataclass(frozen=True, slots=True)
class Standing:
    """What lets others in or keeps them out now."""

    directives: tuple[Directive, ...]
    care: tuple[Relation, ...]


class ReadDirectives:
    """Returns what is in force."""

    def __init__(self, flows: OwnFlows, ledger: Ledger, clock: Clock) -> None:
        self._flows, self._ledger, self._clock = flows, ledger, clock

    async def __call__(self, asking: Asking) -> Standing:
        """Return it; raise Refused."""
        await self._flows(asking, Action.READ_DIRECTIVES)
        state, now = await self._ledger.folded(asking.record), self._clock()
        if state is None:
            raise RecordUnknown
        known = state.known_to(asking.actor.kind, now)
        said = tuple(each for each in known.directives.values() if each.holds(now))
        return Standing(said, tuple(known.relations(now)))
