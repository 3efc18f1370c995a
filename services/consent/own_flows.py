"""Flows of consent's own interface: judged in process by the same use case as those that come through Kafka."""

import time
from dataclasses import dataclass
from uuid import uuid4

from chassis.sealing import canonical, digest
from services.consent.decisions import tell
from services.consent.domain.flow import Action, Actor, Care, Change, Flow, Motive, compact
from services.consent.ports import Projection, RecordUnknown
from services.consent.use_cases.decide import Decide, Decided


class Refused(Exception):
    """The rules refused; `decided` holds the entry that says so."""

    def __init__(self, decided: Decided) -> None:
        super().__init__()
        self.decided = decided

    @property
    def silent(self) -> bool:
        """Whether its asker is not to learn of it: her choices are not visible to who cares for her (EHDS, article 8).

        A public red line is told to anybody. Who asks is in his own token, so that this tells him nothing.
        """
        actor, outcome = self.decided.flow.actor, self.decided.outcome
        software = actor.kind == "application" and actor.application_kind == "care-software"
        return (actor.kind == "professional" or software) and (outcome is None or outcome.verdict != "red-line")


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is at consent's own interface, about which record, for what."""

    record: str
    actor: Actor
    purpose: str
    secret: bool = False  # a minor's consultation that her representatives are not to learn of


class OwnFlows:
    """Every call is a flow: an entry stands before its answer."""

    def __init__(self, decide: Decide, projection: Projection) -> None:
        self._decide, self._projection = decide, projection

    async def __call__(
        self, asking: Asking, action: Action, change: Change | None = None, *, care: Care | None = None,
        documents: tuple[str, ...] = (), motive: Motive | None = None,
    ) -> Decided:  # fmt: skip
        """Return the decision that allows; raise Refused, RecordUnknown, Contended or OutcomeUnknown."""
        started = time.perf_counter()
        decided = await self._decide.one(
            self.asked(asking, action, change, care=care, documents=documents, motive=motive)
        )
        tell(decided, started)
        if decided.outcome is None:
            raise RecordUnknown
        if decided.outcome.verdict != "allowed":
            raise Refused(decided)
        return decided

    def asked(
        self, asking: Asking, action: Action, change: Change | None = None, *, care: Care | None = None,
        documents: tuple[str, ...] = (), motive: Motive | None = None,
    ) -> Flow:  # fmt: skip
        """Return the flow that would be decided."""
        what = {name: compact(each) for name, each in (("change", change), ("care", care), ("motive", motive)) if each}
        said = {"record": asking.record, "action": action, "documents": list(documents), **what}
        return Flow(
            id=uuid4().hex,
            digest=digest(canonical(said)),
            record=asking.record,
            action=action,
            purpose=asking.purpose,
            actor=asking.actor,
            documents=documents,
            change=change,
            care=care,
            motive=motive,
            secret=asking.secret,
            stale=asking.actor.kind == "representative" and self._projection.stale(asking.record),
        )
