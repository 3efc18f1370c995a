"""From a record's state, a flow, a time and the rules to a verdict: a pure function, so that replay gives it again."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.consent.domain.document import Document, traits
from services.consent.domain.entry import EMERGENCIES, MAIN, Outcome
from services.consent.domain.flow import MOTIVES, NOT_FOR_REPRESENTATIVES, UNANNOUNCED, Action, Actor, Flow
from services.consent.domain.record import Record, confidence
from services.consent.domain.rules import Judgement, Rules

_PRINCIPALS = {
    "patient": "Patient",
    "representative": "Representative",
    "professional": "Professional",
    "application": "Application",
    "service": "Service",
}
_PER_DOCUMENT = {Action.LIST, Action.READ, Action.EXPORT, Action.NOTIFY, Action.ANNOUNCE, Action.AMEND}
_WHOLE = {Action.LIST, Action.EXPORT}  # without a document named, all of the record's
# R.1111-48: whoever breaks the glass has just shown who he is.
RECENT_SECONDS, AHEAD_SECONDS = 600, 5
_HOUR_MS = 3_600_000
# How long a relation may last that somebody else than the patient declares: his own word of her consent, the shortest.
MOST_CARE_MS = {
    "declared": 24 * _HOUR_MS,
    "appointment": 7 * 24 * _HOUR_MS,
    "admission": 90 * 24 * _HOUR_MS,
    "code": 180 * 24 * _HOUR_MS,
}
# How long it lasts when nobody says. R.1111-46: explicit consent is given for a consultation; more must be asked for.
USUAL_CARE_MS = MOST_CARE_MS | {"code": 24 * _HOUR_MS}
_ABSENT = {
    "exists": False,
    "own": False,
    "hidden": False,
    "habilitated": False,
    "visibility": (),
    "type_code": "",
    "class_code": "",
}


@dataclass(frozen=True, slots=True)
class Reserved:
    """What was decided about a document that somebody may not know of yet: it goes into that document's stream."""

    document: Document
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcomes for the journal, and the documents whose keys they release.

    `main` is that of the entry in `stream`; None where all that was asked about is `reserved`.
    """

    main: Outcome | None
    released: tuple[Document, ...] = ()
    stream: str = MAIN
    reserved: tuple[Reserved, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """What the asker is told: that something was allowed, or why nothing was."""
        outcomes = [each for each in (self.main, *(one.outcome for one in self.reserved)) if each is not None]
        return next((each for each in outcomes if each.verdict == "allowed"), outcomes[0])

    def in_stream(self, stream: str) -> Outcome | None:
        """Return the outcome that an entry of this stream holds: what replay compares."""
        return next((each.outcome for each in self.reserved if each.document.stream == stream), self.main)


def judge(record: Record, flow: Flow, now: int, rules: Rules, new_document: str = "") -> Verdict:
    """Judge one flow at a time (ms). `new_document` is the id that an allowed deposit takes."""
    bench = _Bench(record, flow, now, rules)
    if flow.action in _PER_DOCUMENT:
        return bench.documents()
    brought = flow.deposit.visibility if flow.deposit else ()
    judged = bench.one(_ABSENT | {"visibility": brought})
    if judged.allowed and flow.deposit is not None:
        return _deposit(record, flow, now, judged, new_document)
    stream = record.stream_of(flow.change) if flow.change and not flow.secret else _home(flow)
    return Verdict(Outcome(verdict=_verdict(judged), rule=judged.rule, errors=judged.error), stream=stream)


def judge_each(
    record: Record, flow: Flow, now: int, rules: Rules, *, absent_too: bool = False
) -> Iterator[tuple[Document, Judgement]]:
    """Yield each document that a flow is about, and its own judgement: what `judge` sums up.

    `absent_too`: those as well that to the asker are not even there, by the rule that would refuse them.
    """
    for document, judged in _Bench(record, flow, now, rules).each(absent_too=absent_too):
        if document is not None:
            yield document, judged


class _Bench:
    """One flow before the rules; documents of equal attributes are judged once."""

    def __init__(self, record: Record, flow: Flow, now: int, rules: Rules) -> None:
        self._record, self._flow, self._now, self._rules = record, flow, now, rules
        actor = flow.actor
        self._principal = (_PRINCIPALS[actor.kind], actor.id)
        self._context = _context(record, flow, now, rules)
        self._hidden, self._heir = record.hidden(now), record.is_heir(actor)
        self._known: dict[tuple[Any, ...], Judgement] = {}

    def one(self, document: dict[str, Any]) -> Judgement:
        attributes = tuple(document.values())
        if attributes not in self._known:
            self._known[attributes] = self._rules.judge(
                self._principal, self._flow.action, self._context | {"document": document}
            )
        return self._known[attributes]

    def each(self, *, absent_too: bool) -> Iterator[tuple[Document | None, Judgement]]:
        return self._judged(self._named() if absent_too else self._asked())

    def _judged(self, asked: list[Document | None]) -> Iterator[tuple[Document | None, Judgement]]:
        for document in asked:
            yield document, self.one(_ABSENT if document is None else self._attributes(document, self._flow.actor))

    def documents(self) -> Verdict:
        asked = self._asked()
        reserved = [each for each in asked if each is not None and each.reserved(self._now)]
        apart = [(each, *self._outcome([each])) for each in reserved]
        if self._flow.announces:
            # What is announced by this very flow is no secret any more, but for one that is kept from representatives.
            apart = [each for each in apart if each[1].verdict != "allowed" or each[0].secret]
            reserved = [each for each, *_ in apart]
        if not self._flow.documents:
            # Who asked for the whole and gets nothing of them is told in the main entry; an entry more for each would
            # take a time by which he could tell that they are there.
            apart = [each for each in apart if each[1].verdict == "allowed"]
        known = [each for each in asked if each not in reserved]
        outcome, released = self._outcome(known, whole=not self._flow.documents)
        all_reserved = bool(reserved) and bool(self._flow.documents) and not known
        return Verdict(
            None if all_reserved else outcome,
            (*released, *(each for _, _, allowed in apart for each in allowed)),
            _home(self._flow),
            reserved=tuple(Reserved(document, said) for document, said, _ in apart),
        )

    def _outcome(self, asked: list[Document | None], *, whole: bool = False) -> tuple[Outcome, list[Document]]:
        allowed: list[Document] = []
        refused: Counter[str] = Counter()
        judged: list[Judgement] = []
        for document, found in self._judged(asked):
            judged.append(found)
            if found.allowed and document is not None:
                # Who changes labels is given the document as it is then.
                allowed.append(document.amended(self._flow.amendment) if self._flow.amendment else document)
            else:
                refused[found.rule] += 1
        # Whoever breaks the glass has opened the record, whatever it shows him: so it is told and reviewed.
        broken = whole and not allowed and self._flow.action is Action.LIST and self._flow.purpose in EMERGENCIES
        if not judged or broken:  # nothing there for him: is the asker one who might see something?
            labels = (NOT_FOR_REPRESENTATIVES,) if self._flow.secret else ()
            judged.append(self.one({**_ABSENT, "exists": True, "habilitated": True, "visibility": labels}))
        first = next((each for each in judged if each.allowed), None)
        # A red line outweighs any other reason to refuse.
        reason = first or next((each for each in judged if each.red_line), judged[0])
        listing = self._flow.action is Action.LIST
        outcome = Outcome(
            verdict=_verdict(reason),
            rule=reason.rule,
            allowed=() if listing else tuple(each.id for each in allowed),
            count=len(allowed),
            refused=tuple(sorted(refused.items())),
            errors=any(each.error for each in judged),
        )
        return outcome, allowed

    def _named(self) -> list[Document | None]:
        if self._flow.action in _WHOLE and not self._flow.documents:
            return list(self._record.documents.values())
        return [self._record.documents.get(each) for each in self._flow.documents]

    def _asked(self) -> list[Document | None]:
        # To the patient, what is not announced is not there: neither listed, nor counted, nor refused for that reason.
        # Nor is, to those who represent her, what she keeps from them; nor, to her heirs, what she hid.
        there = [None if each is None or self._absent(each) else each for each in self._named()]
        return there if self._flow.documents else [each for each in there if each is not None]

    def _absent(self, document: Document) -> bool:
        return document.absent_to(self._flow.actor.kind, self._now) or (self._heir and self._hides(document))

    def _hides(self, document: Document) -> bool:
        return bool(self._hidden) and not self._hidden.isdisjoint({document.id, *traits(document)})

    def _attributes(self, document: Document, actor: Actor) -> dict[str, Any]:
        return {
            "exists": True,
            "own": actor.kind == "professional" and document.depositor == actor.id,
            "hidden": self._hides(document),
            "habilitated": self._rules.habilitated(actor.profession or "", document.type_code),
            "visibility": document.visibility_at(self._now),
            "type_code": document.type_code if "type_code" in self._rules.codes else "",
            "class_code": document.class_code if "class_code" in self._rules.codes else "",
        }


def _context(record: Record, flow: Flow, now: int, rules: Rules) -> dict[str, Any]:
    """Return all that the rules may know of a flow, but for the document."""
    actor, care = flow.actor, flow.care
    professional = actor.kind == "professional"
    represented = record.represented
    holder = record.held_by(actor.id) if actor.kind == "representative" else None
    return {
        "purpose": flow.purpose,
        "profession": actor.profession or "",
        "application_kind": actor.application_kind,
        "evidence": record.evidence(actor, now, secret=flow.secret) if professional else "",
        "blocked": record.blocked(actor, now),
        "opposed": record.said("oppose", now),
        "closed": record.said("close", now),
        "ask_me": record.said("ask-me", now),
        "exports_opposed": record.said("oppose-export", now),
        "prevention_opposed": record.said("oppose-prevention", now, f"topic:{flow.topic}"),
        "emergency": {
            "samu_closed": record.said("close-emergency", now, "samu"),
            "others_closed": record.said("close-emergency", now, "others"),
            "hidden_open": record.said("open-hidden", now),
            "reasoned": flow.reason is not None,
            # The clock by which he signed in may be a little ahead of this one: an emergency does not wait for it.
            "recent": -AHEAD_SECONDS <= now // 1000 - flow.auth_time <= RECENT_SECONDS,
        },
        "minor": represented is not None and represented.minor,
        "deceased": represented is not None and represented.deceased,
        "stale": flow.stale,
        "secret": flow.secret,
        "role": holder.role if holder else "",
        "delegated": holder is not None and rules.delegated(holder.role, flow.action, holder.scopes),
        "changes": flow.change.kind if flow.change else "",
        "adds": flow.amendment.adds if flow.amendment else (),
        "removes": flow.amendment.removes if flow.amendment else (),
        "ends": record.kind_of(flow.change.ends) if flow.change else "",
        "heirs_opposed": record.said("oppose-heirs", now),
        "motivated": flow.motive is not None and flow.motive.code in MOTIVES and bool(flow.motive.text),
        "requested": record.request_of(actor, now) is not None,
        "declares": care.evidence if care else "",
        "for_organisation": actor.organisation is not None,
        "own_stay": flow.action is Action.END_CARE and record.stays(flow.change, actor, now),
        "word_too_often": professional and record.word_taken_too_often(actor, now),
        "code_holds": care is not None and record.code_holds(care.code, now, secret=flow.secret),
        "short_enough": care is not None and now < care.until <= now + MOST_CARE_MS[care.evidence],
    }


def _deposit(record: Record, flow: Flow, now: int, judged: Judgement, new_document: str) -> Verdict:
    """Tell a new deposit from the retry of one that stands, and from another content under the same identifier."""
    if flow.deposit is None:
        raise ValueError("a deposit without attributes")
    known = record.deposits.get((flow.actor.organisation or flow.actor.id, flow.deposit.master_identifier))
    if known is None:
        stream = new_document if {UNANNOUNCED, NOT_FOR_REPRESENTATIVES} & set(flow.deposit.visibility) else _home(flow)
        outcome = Outcome(verdict="allowed", rule=judged.rule, count=1, document=new_document, version=1)
        return Verdict(outcome, stream=stream)
    standing = record.documents[known]
    stream = standing.stream if standing.reserved(now) else _home(flow)
    if standing.content_digest != flow.deposit.content_digest:
        return Verdict(Outcome(verdict="conflict", rule=judged.rule, document=known), stream=stream)
    outcome = Outcome(verdict="allowed", rule=judged.rule, count=1, document=known, version=standing.version)
    return Verdict(outcome, (standing,), stream)


def _home(flow: Flow) -> str:
    """Return the stream of what is about no reserved document: what a minor says in secret has one of its own."""
    return confidence(flow.record) if flow.secret else MAIN


def _verdict(judged: Judgement) -> Any:
    if judged.allowed:
        return "allowed"
    return "red-line" if judged.red_line else "refused"
