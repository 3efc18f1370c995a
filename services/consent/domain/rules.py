"""The public rules (Cedar) behind a wrapper that fails closed: a rule that cannot be evaluated refuses.

Cedar skips a policy that errors, so a `forbid` could fail open. Here every fact stands in a context that the schema
checks, the set is validated when it is loaded, and an error of any kind is a refusal that the journal names.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cedarpy
import orjson

from chassis.sealing import canonical, digest

# When several rules refuse, the first file of this list that has one gives the reason.
FILES = ("red_lines", "visibility", "directives", "legal_basis", "programmes")
NO_LEGAL_BASIS = "no-legal-basis"
RULE_ERROR = "rule-error"
POLICIES = Path(__file__).parent.parent / "policies"
_REMEMBERED = 20_000


class RulesBroken(ValueError):
    """The policy files do not parse, do not validate, or a rule lacks its id, its law or its sentence."""


class _Unevaluable(Exception):
    """A rule failed, or the question does not fit the schema."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a person reads of a rule: its source, and one sentence in French."""

    id: str
    law: str
    sentence: str
    file: str
    permits: bool


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
    """A set of policies, its digest, and the one question that may be put to it."""

    def __init__(self, folder: Path = POLICIES) -> None:
        texts = {name: (folder / f"{name}.cedar").read_text(encoding="utf-8") for name in FILES}
        schema = (folder / "carnet.cedarschema").read_text(encoding="utf-8")
        whole = "\n".join(texts.values())
        checked = cedarpy.validate_policies(whole, schema)
        if not checked.validation_passed:
            raise RulesBroken("; ".join(str(error) for error in checked.errors))
        # A code that no rule reads cannot tell two documents apart: they are judged as one.
        self.codes = frozenset(name for name in ("type_code", "class_code") if name in whole)
        self.digest = digest(canonical({**texts, "schema": schema}))
        self._policies, self._schema = cedarpy.PolicySet.from_str(whole), cedarpy.Schema.from_str(schema)
        self._nothing = cedarpy.Entities.from_json_str("[]")
        self.rules = self._annotated(texts) | {rule.id: rule for rule in _BUILT_IN}
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

    def __getitem__(self, rule: str) -> Rule:
        """Return a rule by its id."""
        return self.rules[rule]

    @staticmethod
    def _annotated(texts: dict[str, str]) -> dict[str, Rule]:
        found: dict[str, Rule] = {}
        for file, text in texts.items():
            for policy in json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"].values():
                notes = policy.get("annotations", {})
                if missing := {"id", "law", "fr"} - {name for name, said in notes.items() if said}:
                    raise RulesBroken(f"a rule of {file}.cedar lacks @{', @'.join(sorted(missing))}")
                if notes["id"] in found:
                    raise RulesBroken(f"two rules are called {notes['id']}")
                permits = policy["effect"] == "permit"
                found[notes["id"]] = Rule(notes["id"], notes["law"], notes["fr"], file, permits)
        return found
