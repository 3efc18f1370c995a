"""Change directives: the patient begins or ends one; the verdict and the change are one entry."""

from services.consent.domain.flow import Action, Change
from services.consent.domain.record import Record
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Clock, RecordUnknown
from services.consent.use_cases.decide import Decided

MOST_DIRECTIVES = 500


class NothingSuch(LookupError):
    """The directive or the document that a change names is not in the record."""


class TooMany(ValueError):
    """As many directives are in force as a record may hold."""


class AlreadyOver(ValueError):
    """The directive would end before it begins: whoever says it believes that something changed."""


class ChangeDirectives:
    """Journals a change that is possible; a flow that begins after it was acknowledged is judged by it."""

    def __init__(self, flows: OwnFlows, ledger: Ledger, clock: Clock) -> None:
        self._flows, self._ledger, self._clock = flows, ledger, clock

    async def __call__(self, asking: Asking, change: Change) -> Decided:
        """Begin or end a directive; raise Refused, or what makes it impossible."""
        if asking.actor.kind == "patient":
            state = await self._ledger.folded(asking.record)
            if state is None:
                raise RecordUnknown
            _require_possible(state, change, self._clock())
        return await self._flows(asking, Action.CHANGE_DIRECTIVES, change)


def _require_possible(state: Record, change: Change, now: int) -> None:
    if change.until is not None and change.until <= now:
        raise AlreadyOver
    if change.kind == "end" and change.ends not in state.directives:
        raise NothingSuch("directive")
    if change.kind == "hide" and change.subject not in state.documents:
        raise NothingSuch("document")
    # What is over by itself does not count: nobody could see it, end it, and so make room for a block.
    if change.kind != "end" and sum(each.holds(now) for each in state.directives.values()) >= MOST_DIRECTIVES:
        raise TooMany
