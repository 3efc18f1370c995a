"""The public rules (Cedar) behind a wrapper that fails closed: a rule that cannot be evaluated refuses.

Cedar skips a policy that errors, so a `forbid` could fail open. Here every fact stands in a context that the schema
checks, the set is validated when it is loaded, and an error of any kind is a refusal that the journal names.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cedarpy
import orjson

from services.consent.domain.bundle import SUBJECTS, Bundle, RulesBroken
from services.consent.domain.delegation import read_delegations
from services.consent.domain.habilitation import read_table

__all__ = [
    "FILES", "NOTHING_THERE", "NO_LEGAL_BASIS", "POLICIES", "RULE_ERROR", "Judgement", "Rule", "Rules", "RulesBroken",
    "rules_of",
]  # fmt: skip

NO_LEGAL_BASIS = "no-legal-basis"
RULE_ERROR = "rule-error"
NOTHING_THERE = "no-such-document"  # visibility.cedar
POLICIES = Path(__file__).parent.parent / "policies"
# The subjects that this package has rules of, in their order of precedence.
FILES = tuple(each for each in SUBJECTS if (POLICIES / f"{each}.cedar").is_file())
_REMEMBERED = 20_000
_TEXT = r'"(?:\\.|[^"\\])*"'
_SPLIT = re.compile(rf'(?:{_TEXT}|//[^\n]*|[^;"])+;?')  # at each semicolon that is in no text and no remark
_SILENT = re.compile(r"(?:\s|//[^\n]*)*")
_HEAD = re.compile(rf"\A(?:\s|//[^\n]*|@\w+\s*\(\s*{_TEXT}\s*\))*")
_SPACE = re.compile(rf"({_TEXT})|\s+")
_REMARK = re.compile(rf"({_TEXT})|[ \t]*//[^\n]*")


class _Unevaluable(Exception):
    """A rule failed, or the question does not fit the schema."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a person reads of a rule: its source, one sentence in French, and the condition that is evaluated.

    `file` is its subject, empty for what is built into the evaluation itself.
    """

    id: str
    law: str
    sentence: str
    file: str
    permits: bool
    condition: str = ""

    def says_as(self, other: "Rule") -> bool:
        """Say whether two rules say and evaluate the same; where lines break does not matter."""
        return replace(self, condition=_in_a_line(self.condition)) == replace(
            other, condition=_in_a_line(other.condition)
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether one question is allowed, by which rule; `red_line` if no consent could change it."""

    allowed: bool
    rule: str
    red_line: bool = False
    error: bool = False


_BUILT_IN = (
    Rule(NO_LEGAL_BASIS, "R.1111-46 du code de la santé publique",
         "Aucune règle ne permet cet usage : il est donc refusé.", "", permits=False),
    Rule(RULE_ERROR, "règle de sûreté",
         "Une règle n'a pas pu être évaluée : dans le doute, l'accès est refusé.", "", permits=False),
)  # fmt: skip


class Rules:
    """A bundle that is ready to judge, its digest, and the two questions that may be put to it."""

    def __init__(self, source: Path | Bundle = POLICIES) -> None:
        bundle = source if isinstance(source, Bundle) else Bundle.read(source)
        whole, schema = "\n".join(bundle.policies.values()), bundle.schema
        checked = cedarpy.validate_policies(whole, schema)
        if not checked.validation_passed:
            raise RulesBroken("; ".join(str(error) for error in checked.errors))
        # A code that no rule reads cannot tell two documents apart: they are judged as one.
        self.codes = frozenset(name for name in ("type_code", "class_code") if name in whole)
        self.bundle, self.digest = bundle, bundle.digest
        self.matrix, self.delegations = read_table(bundle.table), read_delegations(bundle.delegations)
        self._policies, self._schema = cedarpy.PolicySet.from_str(whole), cedarpy.Schema.from_str(schema)
        self._nothing = cedarpy.Entities.from_json_str("[]")
        self.rules = rules_of(bundle)
        self._rank = {rule: rank for rank, rule in enumerate(self.rules)}
        self._evaluated = lru_cache(_REMEMBERED)(self._evaluate)  # an error is not remembered

    def judge(self, principal: tuple[str, str], action: str, context: dict[str, Any]) -> Judgement:
        """Return the judgement of one question; `principal` is (kind, id), `context` what the schema calls Flow.

        The same question is evaluated once. Rules see no id of a person and none of a record, so whatever they may
        speak of is in the question.
        """
        kind, name = principal
        try:
            return self._evaluated(kind, name if kind == "Service" else "", str(action), orjson.dumps(context))
        except Exception:  # noqa: BLE001 - whatever goes wrong inside the engine, nothing is allowed, and it is asked again
            return Judgement(allowed=False, rule=RULE_ERROR, error=True)

    def _evaluate(self, kind: str, name: str, action: str, context: bytes) -> Judgement:
        request = {
            "principal": {"type": kind, "id": name},
            "action": {"type": "Action", "id": action},
            "resource": {"type": "Record", "id": ""},
            "context": context.decode(),
        }
        result = cedarpy.is_authorized(request, self._policies, self._nothing, self._schema)
        found = result.diagnostics
        if found.errors or result.decision is cedarpy.Decision.NoDecision:
            raise _Unevaluable
        named = sorted(found.id_annotations_by_reason.values(), key=self._rank.__getitem__)
        rule = named[0] if named else NO_LEGAL_BASIS
        if result.decision is cedarpy.Decision.Allow and named:
            return Judgement(allowed=True, rule=rule)
        return Judgement(allowed=False, rule=rule, red_line=self.rules[rule].file == "red_lines")

    def habilitated(self, profession: str, type_code: str) -> bool:
        """Say whether the matrix lets a profession (TRE_G15) read a type of document (JDV_J07)."""
        return self.matrix.reads(profession, type_code)

    def delegated(self, role: str, action: str, scopes: Collection[str]) -> bool:
        """Say whether the table of delegations lets a representative of this role, with these scopes, do this."""
        return self.delegations.allow(role, action, scopes)

    def __getitem__(self, rule: str) -> Rule:
        """Return a rule by its id."""
        return self.rules[rule]


def rules_of(bundle: Bundle) -> dict[str, Rule]:
    """Return a bundle's rules by id, in their order of precedence, the built-in ones last; raise RulesBroken."""
    found: dict[str, Rule] = {}
    for file, text in bundle.policies.items():
        for rule in _written(file, text):
            if rule.id in found:
                raise RulesBroken(f"two rules are called {rule.id}")
            found[rule.id] = rule
    if taken := sorted(found.keys() & {rule.id for rule in _BUILT_IN}):
        raise RulesBroken(f"{', '.join(taken)} is built in: no rule may be called so")
    return found | {rule.id: rule for rule in _BUILT_IN}


def _written(file: str, text: str) -> list[Rule]:
    """Return a file's rules in their order: Cedar says what they are, the text how their author wrote them."""
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise RulesBroken(f"{file}.cedar cannot be read: {error}") from None
    policies = list(parsed["staticPolicies"].values())
    texts = [piece for piece in _SPLIT.findall(text) if not _SILENT.fullmatch(piece)]
    if parsed["templates"] or len(policies) != len(texts):
        raise RulesBroken(f"{file}.cedar holds a template, or what cannot be told apart into rules")
    return [_rule(file, policy, piece) for policy, piece in zip(policies, texts, strict=True)]


def _rule(file: str, policy: dict[str, Any], text: str) -> Rule:
    notes = policy.get("annotations", {})
    if missing := {"id", "law", "fr"} - {name for name, said in notes.items() if said}:
        raise RulesBroken(f"a rule of {file}.cedar lacks @{', @'.join(sorted(missing))}")
    condition = _REMARK.sub(lambda found: found[1] or "", _HEAD.sub("", text, count=1)).strip()
    return Rule(notes["id"], notes["law"], notes["fr"], file, policy["effect"] == "permit", condition)


def _in_a_line(condition: str) -> str:
    return _SPACE.sub(lambda found: found[1] or " ", condition)
