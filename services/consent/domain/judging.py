"""From a record's state, a flow, a time and the rules to a verdict: a pure function, so that replay gives it again."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from services.consent.domain.entry import Outcome
from services.consent.domain.flow import Action, Actor, Flow
from services.consent.domain.record import Document, Record
from services.consent.domain.rules import Judgement, Rules

_PRINCIPALS = {
    "patient": "Patient",
    "professional": "Professional",
    "application": "Application",
    "service": "Service",
}
_PER_DOCUMENT = {Action.LIST, Action.READ, Action.NOTIFY}
_ABSENT = {
    "exists": False,
    "own": False,
    "hidden": False,
    "visibility": (),
    "type_code": "",
    "class_code": "",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome for the journal, and the documents whose keys it releases."""

    outcome: Outcome
    released: tuple[Document, ...] = ()


def judge(record: Record, flow: Flow, now: int, rules: Rules, new_document: str = "") -> Verdict:
    """Judge one flow at a time (ms). `new_document` is the id that an allowed deposit takes."""
    bench = _Bench(record, flow, now, rules)
    if flow.action in _PER_DOCUMENT:
        return bench.documents()
    judged = bench.one(_ABSENT)
    if judged.allowed and flow.deposit is not None:
        return _deposit(record, flow, judged, new_document)
    return Verdict(Outcome(verdict=_verdict(judged), rule=judged.rule, errors=judged.error))


class _Bench:
    """One flow before the rules; documents of equal attributes are judged once."""

    def __init__(self, record: Record, flow: Flow, now: int, rules: Rules) -> None:
        self._record, self._flow, self._now, self._rules = record, flow, now, rules
        actor = flow.actor
        self._principal = (_PRINCIPALS[actor.kind], actor.id)
        self._context: dict[str, Any] = {
            "purpose": flow.purpose,
            "profession": actor.profession or "",
            "application_kind": actor.application_kind,
            "authorised": record.authorised(actor, now),
            "blocked": record.blocked(actor, now),
            "opposed": record.opposed(now),
        }
        self._hidden = {each.subject for each in record.directives.values() if each.kind == "hide" and each.holds(now)}
        self._known: dict[tuple[Any, ...], Judgement] = {}

    def one(self, document: dict[str, Any]) -> Judgement:
        attributes = tuple(document.values())
        if attributes not in self._known:
            self._known[attributes] = self._rules.judge(
                self._principal, self._flow.action, self._context | {"document": document}
            )
        return self._known[attributes]

    def documents(self) -> Verdict:
        allowed: list[Document] = []
        refused: Counter[str] = Counter()
        judged: list[Judgement] = []
        for document in self._asked():
            found = self.one(_ABSENT if document is None else self._attributes(document, self._flow.actor))
            judged.append(found)
            if found.allowed and document is not None:
                allowed.append(document)
            else:
                refused[found.rule] += 1
        if not judged:  # an empty record: is the asker one who might see something?
            judged = [self.one({**_ABSENT, "exists": True})]
        first = next((each for each in judged if each.allowed), None)
        # A red line outweighs any other reason to refuse.
        reason = first or next((each for each in judged if each.red_line), judged[0])
        listing = self._flow.action is Action.LIST
        return Verdict(
            Outcome(
                verdict=_verdict(reason),
                rule=reason.rule,
                allowed=() if listing else tuple(each.id for each in allowed),
                count=len(allowed),
                refused=tuple(sorted(refused.items())),
                errors=any(each.error for each in judged),
            ),
            tuple(allowed),
        )

    def _asked(self) -> Iterable[Document | None]:
        if self._flow.action is Action.LIST and not self._flow.documents:
            return list(self._record.documents.values())
        return [self._record.documents.get(each) for each in self._flow.documents]

    def _attributes(self, document: Document, actor: Actor) -> dict[str, Any]:
        return {
            "exists": True,
            "own": actor.kind == "professional" and document.depositor == actor.id,
            "hidden": document.id in self._hidden,
            "visibility": document.visibility_at(self._now),
            "type_code": document.type_code if "type_code" in self._rules.codes else "",
            "class_code": document.class_code if "class_code" in self._rules.codes else "",
        }


def _deposit(record: Record, flow: Flow, judged: Judgement, new_document: str) -> Verdict:
    """Tell a new deposit from the retry of one that stands, and from another content under the same identifier."""
    if flow.deposit is None:
        raise ValueError("a deposit without attributes")
    known = record.deposits.get((flow.actor.organisation or flow.actor.id, flow.deposit.master_identifier))
    if known is None:
        return Verdict(Outcome(verdict="allowed", rule=judged.rule, count=1, document=new_document, version=1))
    standing = record.documents[known]
    if standing.content_digest != flow.deposit.content_digest:
        return Verdict(Outcome(verdict="conflict", rule=judged.rule, document=known))
    outcome = Outcome(verdict="allowed", rule=judged.rule, count=1, document=known, version=standing.version)
    return Verdict(outcome, (standing,))


def _verdict(judged: Judgement) -> Any:
    if judged.allowed:
        return "allowed"
    return "red-line" if judged.red_line else "refused"
