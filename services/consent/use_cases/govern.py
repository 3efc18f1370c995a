"""Govern a record: the patient's own flows (directives, journal), decided in process like any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from chassis.sealing import canonical, digest
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Actor, Change, Flow, compact
from services.consent.domain.record import Directive, Record
from services.consent.ledger import Ledger
from services.consent.ports import Clock, Journal, RecordUnknown
from services.consent.use_cases.decide import Decide, Decided

MOST_DIRECTIVES = 500


class Refused(Exception):
    """The rules refused; `decided` holds the entry that says so."""

    def __init__(self, decided: Decided) -> None:
        super().__init__()
        self.decided = decided


class NothingSuch(LookupError):
    """The directive or the document that a change names is not in the record."""


class TooMany(ValueError):
    """As many directives are in force as a record may hold."""


class AlreadyOver(ValueError):
    """The directive would end before it begins: whoever says it believes that something changed."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is at consent's own interface, about which record, for what."""

    record: str
    actor: Actor
    purpose: str


class Govern:
    """Every call is a flow: an entry stands before its answer."""

    def __init__(self, decide: Decide, ledger: Ledger, journal: Journal, clock: Clock) -> None:
        self._decide, self._ledger, self._journal, self._clock = decide, ledger, journal, clock

    async def change(self, asking: Asking, change: Change) -> Decided:
        """Begin or end a directive; the verdict and the change are one entry. Raises Refused or what is impossible."""
        if asking.actor.kind == "patient":
            self._possible(await self._state(asking), change, self._clock())
        return await self._flow(asking, Action.CHANGE_DIRECTIVES, change)

    async def directives(self, asking: Asking) -> list[Directive]:
        """Return the directives in force."""
        await self._flow(asking, Action.READ_DIRECTIVES)
        state, now = await self._state(asking), self._clock()
        return [each for each in state.directives.values() if each.holds(now)]

    async def journal(self, asking: Asking, before: int | None, limit: int) -> Sequence[Entry]:
        """Return entries, the newest first; the reading itself is one of them."""
        await self._flow(asking, Action.READ_JOURNAL)
        return await self._journal.page(asking.record, before, limit)

    async def _flow(self, asking: Asking, action: Action, change: Change | None = None) -> Decided:
        said = {"record": asking.record, "action": action, "change": compact(change) if change else {}}
        decided = await self._decide.one(
            Flow(
                id=uuid4().hex,
                digest=digest(canonical(said)),
                record=asking.record,
                action=action,
                purpose=asking.purpose,
                actor=asking.actor,
                change=change,
            )
        )
        if decided.outcome is None:
            raise RecordUnknown
        if decided.outcome.verdict != "allowed":
            raise Refused(decided)
        return decided

    async def _state(self, asking: Asking) -> Record:
        state = await self._ledger.folded(asking.record)
        if state is None:
            raise RecordUnknown
        return state

    @staticmethod
    def _possible(state: Record, change: Change, now: int) -> None:
        if change.until is not None and change.until <= now:
            raise AlreadyOver
        if change.kind == "end" and change.ends not in state.directives:
            raise NothingSuch("directive")
        if change.kind == "hide" and change.subject not in state.documents:
            raise NothingSuch("document")
        # What is over by itself does not count: nobody could see it, end it, and so make room for a block.
        if change.kind != "end" and sum(each.holds(now) for each in state.directives.values()) >= MOST_DIRECTIVES:
            raise TooMany
