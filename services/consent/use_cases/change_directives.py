"""Change directives: the patient begins or ends one; the verdict and the change are one entry."""

from dataclasses import replace

from services.consent.domain.flow import Action, Change
from services.consent.domain.judging import judge
from services.consent.domain.record import Record
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows
from services.consent.ports import Clock, InForce, RecordUnknown
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

    def __init__(self, flows: OwnFlows, ledger: Ledger, in_force: InForce, clock: Clock) -> None:
        self._flows, self._ledger, self._in_force, self._clock = flows, ledger, in_force, clock

    async def __call__(self, asking: Asking, change: Change) -> Decided:
        """Begin or end a directive; raise Refused, or what makes it impossible."""
        return await self._flows(asking, Action.CHANGE_DIRECTIVES, await self.possible(asking, change))

    async def possible(self, asking: Asking, change: Change) -> Change:
        """Return the change as it will be judged; raise what makes it impossible, where the asker may know."""
        state, now = await self._ledger.folded(asking.record), self._clock()
        if state is None:
            raise RecordUnknown
        # Whoever will be refused learns that from his entry, and not first what is there and what is not.
        asked = self._flows.asked(asking, Action.CHANGE_DIRECTIVES, change)
        if judge(state, asked, now, self._in_force.rules).outcome.verdict == "allowed":
            known = state.known_to(asking.actor.kind, now)
            change = _named(known, change)
            _require_possible(known, change, now)
        return change


def _named(state: Record, change: Change) -> Change:
    """Return the change with the episode itself in the place of one of its documents, and saying that it ends care."""
    if change.kind == "end" and change.ends in state.care:
        return replace(change, subject="care")
    head, _, document = (change.subject or "").partition(":")
    if head != "episode-of":
        return change
    if document not in state.documents:
        raise NothingSuch("document")
    if (episode := state.documents[document].episode) is None:
        raise NothingSuch("episode")
    return replace(change, subject=f"episode:{episode}")


def _require_possible(state: Record, change: Change, now: int) -> None:
    if change.until is not None and change.until <= now:
        raise AlreadyOver
    care = {each.id for each in state.relations(now)}
    if change.kind == "end" and change.ends not in state.directives and change.ends not in care:
        raise NothingSuch("directive")
    named = change.subject is not None and ":" not in change.subject
    of_one = change.kind in {"hide", "show-to-representatives"}
    if of_one and named and change.subject not in state.documents:
        raise NothingSuch("document")
    if change.kind == "show-to-representatives":
        if not state.documents[change.subject or ""].secret:
            raise NothingSuch("secret")
        return
    # What is over by itself does not count: nobody could see it, end it, and so make room for a block.
    if change.kind != "end" and sum(each.holds(now) for each in state.directives.values()) >= MOST_DIRECTIVES:
        raise TooMany
