"""What a viewer sees, and what a change would change, by the real rules on the real state; nothing is changed."""

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import Literal

from services.consent.domain.document import Document
from services.consent.domain.entry import MAIN, Entry, Outcome
from services.consent.domain.flow import Action, Actor, Care, Change, Flow, Motive
from services.consent.domain.judging import judge, judge_each
from services.consent.domain.record import Record
from services.consent.domain.representation import HEIR, Holder, Representation
from services.consent.domain.rules import Rules
from services.consent.domain.viewers import ANYBODY, Viewer

UseName = Literal["notices", "export", "prevention", "deposits", "declared-care", "heirs"]
_HOUR_MS = 3_600_000
_HEIR = Actor("representative", "heir", "", "", "", "patient-frontend")
_TOPIC = "topic:"


@dataclass(frozen=True, slots=True)
class Scene:
    """A state at a time, of whose documents one stands for all that no rule can tell from it."""

    record: Record
    now: int
    alike: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a viewer would see: for each document the rule that shows or hides it; `rule` decides the whole."""

    viewer: Viewer
    shown: dict[str, str]
    hidden: dict[str, str]
    rule: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What a change means to one viewer: how many documents now and then, which, and the rule that makes it so."""

    viewer: Viewer
    now: int
    then: int
    gains: tuple[str, ...]
    loses: tuple[str, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class Use:
    """A use of the record that is not somebody's reading, and whether it is possible; `topic` of prevention."""

    name: UseName
    topic: str | None
    possible: bool
    rule: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would change. `outcome` is its own verdict: a change that the rules refuse changes nothing."""

    outcome: Outcome
    differences: tuple[Difference, ...]
    uses: tuple[Use, ...]  # as they would be, where they would not be as they are
    considered: int
    partial: bool = False  # there were more people to consider


def known_to(record: Record, asking: Flow, now: int, rules: Rules) -> Record:
    """Return the state with the documents only that a `list` flow shows to its asker.

    Whatever is told of others stays within what the asker may know: a result that is not announced yet is not counted.
    """
    known = {each.id: each for each, judged in judge_each(record, asking, now, rules) if judged.allowed}
    return replace(_copied(record.known_to(asking.actor.kind, now)), documents=known)


def scene(record: Record, now: int) -> Scene:
    """Return a state as it is seen at a time (ms); it is prepared once for all who look at it."""
    hidden = record.hidden(now)
    alike: dict[tuple[Document, str], list[str]] = {}
    for each in record.documents.values():
        # All that stays counts: an attribute that is new to the rules tells documents apart before it is known here.
        plain = replace(
            each, id="", version=0, entry=0, content_digest="", deposited_at=0, visibility=each.visibility_at(now)
        )
        alike.setdefault((plain, each.id if each.id in hidden else ""), []).append(each.id)
    documents = {names[0]: record.documents[names[0]] for names in alike.values()}
    return Scene(replace(_copied(record), documents=documents), now, {names[0]: names for names in alike.values()})


def see(seen: Scene, viewer: Viewer, rules: Rules) -> Sight:
    """Return what a viewer would see of a record's documents, by the verdict that each of them would get."""
    record, now = seen.record, seen.now
    flow = viewer.flow(record.id, Action.LIST, now)
    shown: dict[str, str] = {}
    hidden: dict[str, str] = {}
    # What to the viewer is not even there is told to whoever looks through his eyes, who may know of it.
    for document, judged in judge_each(record, flow, now, rules, absent_too=True):
        (shown if judged.allowed else hidden).update(dict.fromkeys(seen.alike[document.id], judged.rule))
    return Sight(viewer, shown, hidden, judge(record, flow, now, rules).outcome.rule)


def changed(record: Record, flow: Flow, now: int, rules: Rules) -> tuple[Record, Outcome]:
    """Return the state as it would be after a change of directives, and the change's own verdict."""
    outcome = judge(record, flow, now, rules).outcome
    after = _copied(record)
    version, n = record.version + 1, record.n + 1
    after.apply(Entry(record.id, version, flow.id, MAIN, n, now, rules.digest, "directive", "decision", flow, outcome))
    return after, outcome


def difference(before: Sight, after: Sight) -> Difference | None:
    """Return what differs between two sights of one viewer; None when the same documents are shown."""
    gains = tuple(each for each in after.shown if each not in before.shown)
    loses = tuple(each for each in before.shown if each not in after.shown)
    if not gains and not loses:
        return None
    reasons = Counter(after.hidden[each] for each in loses) or Counter(after.shown[each] for each in gains)
    ((rule, _),) = reasons.most_common(1)
    return Difference(before.viewer, len(before.shown), len(after.shown), gains, loses, rule)


def uses(record: Record, asker: Actor, topics: Iterable[str], now: int, rules: Rules) -> tuple[Use, ...]:
    """Return what else is done with a record, and whether it is possible at a time (ms)."""
    found = tuple(_use(name, record, flow, now, rules) for name, flow in _used(record.id, asker, topics, now))
    # What comes after her death is judged on the state as it would be then.
    heirs = Representation(0, minor=False, deceased=True, holders=(Holder(_HEIR.id, HEIR, ("read",)),))
    asks = Flow("", "", record.id, Action.ASK_AS_HEIR, "PATRQT", _HEIR, motive=Motive("rights", "preview"))
    return (*found, _use("heirs", replace(record, represented=heirs), asks, now, rules))


def topics(record: Record, change: Change) -> list[str]:
    """Return the topics of prevention that choices name: the change's, and those that stand."""
    said = [change.subject, *(each.subject for each in record.directives.values())]
    return sorted({each.removeprefix(_TOPIC) for each in said if each and each.startswith(_TOPIC)})


def _use(name: UseName, record: Record, flow: Flow, now: int, rules: Rules) -> Use:
    outcome = judge(record, flow, now, rules).outcome
    return Use(name, flow.topic, outcome.verdict == "allowed", outcome.rule)


def _used(record: str, asker: Actor, topics: Iterable[str], now: int) -> Iterator[tuple[UseName, Flow]]:
    notices, prevention = (
        Actor("service", role, "Carnet", role, "Carnet", "service") for role in ("notifications", "documents")
    )
    doctor = ANYBODY["any-doctor"]

    def by(actor: Actor, action: Action, purpose: str, topic: str | None = None) -> Flow:
        return Flow("", "", record, action, purpose, actor, topic=topic)

    yield "notices", by(notices, Action.NOTIFY, "NOTIFY")
    yield "export", by(asker, Action.EXPORT, "PATRQT")
    for topic in (None, *topics):
        yield "prevention", by(prevention, Action.PREVENT, "PREVENT", topic)
    yield "deposits", doctor.flow(record, Action.DEPOSIT, now)
    yield "declared-care", doctor.flow(record, Action.DECLARE_CARE, now, care=Care("declared", now + _HOUR_MS))


def _copied(record: Record) -> Record:
    """Return a state that may be changed while the other stays: what its collections hold is frozen."""
    return replace(record, **{each.name: copy(getattr(record, each.name)) for each in fields(record)})
