"""Rules with one fault each: whatever a slip of the pen could change in a policy, changed once.

A policy is taken as Cedar's own tree (JSON), changed in one place, and written back as Cedar. A mutant that no line of
the table decides otherwise is a condition that nobody tests.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cedarpy

from services.consent.domain.bundle import Bundle
from services.consent.domain.flow import Action
from services.consent.domain.rules import POLICIES

Tree = dict[str, Any]
_KINDS: Final = ("Patient", "Representative", "Professional", "Application", "Service")
# Constants that stand where each of these attributes is compared: one is put in another's place.
_CONSTANTS: Final = {
    "purpose": ("TREAT", "BTG", "ETREAT", "PATRQT", "NOTIFY", "PREVENT", "COVERAGE", "HPAYMT", "CLMATTCH", "EMPLOYMENT",
                "HMARKT", "COMMERCE", "PATADMIN"),
    "application_kind": ("care-software", "patient-frontend", "insurer", "employer", "advertiser", "commercial"),
    "profession": ("", "10", "60", "dpo"),
    "evidence": ("", "patient", "treating-doctor", "code", "admission", "appointment", "declared"),
    "declares": ("code", "admission", "appointment", "declared"),
    "role": ("", "parent", "guardian", "family-authorisation", "caregiver", "heir"),
    "changes": ("", "authorise", "show-to-representatives", "oppose-heirs"),
    "ends": ("", "authorise", "oppose-heirs"),
    "visibility": ("MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"),
    "adds": ("MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"),
    "removes": ("MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"),
}  # fmt: skip
# Facts of one record of the schema that are yes or no: one is asked for in another's place.
_FACTS: Final = (
    (
        "blocked",
        "opposed",
        "closed",
        "ask_me",
        "exports_opposed",
        "prevention_opposed",
        "code_holds",
        "short_enough",
        "minor",
        "deceased",
        "stale",
        "secret",
        "delegated",
        "for_organisation",
        "own_stay",
        "word_too_often",
        "heirs_opposed",
        "motivated",
        "requested",
    ),
    ("samu_closed", "others_closed", "hidden_open", "reasoned", "recent"),
    ("exists", "own", "hidden", "habilitated"),
)
_BOTH: Final = ("&&", "||")
_OWN: Final = {Action.READ_JOURNAL, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES}
_OF_DOCUMENTS: Final = {Action.LIST, Action.READ, Action.EXPORT, Action.NOTIFY, Action.ANNOUNCE, Action.AMEND}
# What somebody of a kind may do at all.
_MAY: Final = {
    "Patient": {Action.DEPOSIT, Action.LIST, Action.READ, Action.EXPORT, *_OWN},
    "Representative": {Action.LIST, Action.READ, Action.EXPORT, Action.ASK_AS_HEIR, *_OWN},
    "Professional": {
        Action.DEPOSIT,
        Action.LIST,
        Action.READ,
        Action.DECLARE_CARE,
        Action.ANNOUNCE,
        Action.AMEND,
        Action.READ_OWN_TRACES,
    },
    "Application": {Action.DECLARE_CARE, Action.END_CARE},
    "Service": {Action.NOTIFY, Action.PREVENT},
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule with one fault: which, and the whole text of its file with it."""

    rule: str
    fault: str
    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.fault}"


def mutants(folder: Path = POLICIES) -> list[Mutant]:
    """Return every mutant of every rule, rule by rule in the order of the files."""
    return list(_mutants(Bundle.read(folder)))


def _mutants(bundle: Bundle) -> Iterator[Mutant]:
    for file, text in bundle.policies.items():
        policies = list(json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"].values())
        written = [_written(each) for each in policies]
        for at, policy in enumerate(policies):
            rule = policy["annotations"]["id"]
            yield Mutant(rule, "the rule is gone", file, "\n".join(written[:at] + written[at + 1 :]))
            for fault, changed in _faults(policy):
                whole = [*written[:at], _written(changed), *written[at + 1 :]]
                yield Mutant(rule, fault, file, "\n".join(whole))


def _written(policy: Tree) -> str:
    whole = {"staticPolicies": {"policy0": policy}, "templates": {}, "templateLinks": []}
    return str(cedarpy.policies_from_json_str(json.dumps(whole)))


def _faults(policy: Tree) -> Iterator[tuple[str, Tree]]:
    other = "forbid" if policy["effect"] == "permit" else "permit"
    yield f"{other} instead of {policy['effect']}", policy | {"effect": other}
    for fault, scope in _principals(policy["principal"]):
        yield fault, policy | {"principal": scope}
    for fault, scope in _actions(policy):
        yield fault, policy | {"action": scope}
    conditions = policy["conditions"]
    if policy["principal"]["op"] == "All":
        for kind in _KINDS:
            but = {"kind": "unless", "body": {"is": {"left": {"Var": "principal"}, "entity_type": kind}}}
            yield f"not for a {kind}", policy | {"conditions": [*conditions, but]}
    for at, condition in enumerate(conditions):
        for fault, changed in _conditions(condition):
            rest = conditions[:at] + changed + conditions[at + 1 :]
            yield fault, policy | {"conditions": rest}


def _principals(scope: Tree) -> Iterator[tuple[str, Tree]]:
    match scope:
        case {"op": "is", "entity_type": kind}:
            yield "for anybody", {"op": "All"}
            for other in _KINDS:
                if other != kind:
                    yield f"for a {other} instead of a {kind}", scope | {"entity_type": other}
        case {"op": "==", "entity": entity}:
            yield "for anybody", {"op": "All"}
            yield f"for any {entity['type']}", {"op": "is", "entity_type": entity["type"]}
            yield "for another one", {"op": "==", "entity": entity | {"id": "another"}}


def _actions(policy: Tree) -> Iterator[tuple[str, Tree]]:
    scope = policy["action"]
    if scope["op"] == "All":
        return
    named = scope.get("entities") or [scope["entity"]]
    yield "for any action", {"op": "All"}
    for each in _more(policy):
        if all(each != entity["id"] for entity in named):
            yield f"for {each} too", {"op": "in", "entities": [*named, {"type": "Action", "id": each.value}]}
    for entity in named:
        rest = [each for each in named if each != entity]
        if rest:
            yield f"not for {entity['id']}", {"op": "in", "entities": rest}


def _more(policy: Tree) -> Iterator[Action]:
    """Return the actions by which one more would matter.

    A permit would allow what nobody of that kind may ever do, a prohibition would refuse what some may. An action whose
    question holds nothing of what the rule looks at adds nothing: no document, no declaration.
    """
    kind = policy["principal"].get("entity_type") or policy["principal"].get("entity", {}).get("type")
    may = _MAY[kind] if kind else set().union(*_MAY.values())
    when = json.dumps([each["body"] for each in policy["conditions"] if each["kind"] == "when"])
    for each in Action:
        blind = (
            ('"document"' in when and each not in _OF_DOCUMENTS)
            or ('"declares"' in when and each is not Action.DECLARE_CARE)
            or (('"adds"' in when or '"removes"' in when) and each is not Action.AMEND)
        )
        if not blind and (each in may) is (policy["effect"] == "forbid"):
            yield each


def _conditions(condition: Tree) -> Iterator[tuple[str, list[Tree]]]:
    kind, body = condition["kind"], condition["body"]
    other = "unless" if kind == "when" else "when"
    yield f"without '{kind} {_said(body)}'", []
    yield f"{other} instead of '{kind} {_said(body)}'", [condition | {"kind": other}]
    for fault, changed in _expressions(body):
        yield f"in '{kind} {_said(body)}': {fault}", [condition | {"body": changed}]


def _expressions(body: Tree) -> Iterator[tuple[str, Tree]]:
    """Return a condition with one fault: a part dropped, turned round, or with another constant."""
    (operator, parts), *_ = body.items()
    if operator in _BOTH:
        other = _BOTH[operator == "&&"]
        yield f"'{_said(parts['right'])}' dropped", parts["left"]
        yield f"'{_said(parts['left'])}' dropped", parts["right"]
        yield f"{other} instead of {operator}", {other: parts}
        for side in ("left", "right"):
            for fault, changed in _expressions(parts[side]):
                yield fault, {operator: parts | {side: changed}}
        return
    if operator == "!":
        yield f"'{_said(body)}' turned round", parts["arg"]
        for fault, changed in _leaves(parts["arg"]):
            yield fault, {"!": {"arg": changed}}
        return
    yield f"'{_said(body)}' turned round", {"!": {"arg": body}}
    yield from _leaves(body)


def _leaves(body: Tree) -> Iterator[tuple[str, Tree]]:  # noqa: C901, PLR0912 - a table of Cedar's operators
    (operator, parts), *_ = body.items()
    match operator:
        case ".":
            for facts in _FACTS:
                for other in facts if parts["attr"] in facts else ():
                    if other != parts["attr"]:
                        yield f"{other} instead of {parts['attr']}", {".": parts | {"attr": other}}
        case "is":
            for other in _KINDS:
                if other != parts["entity_type"]:
                    yield f"a {other} instead of a {parts['entity_type']}", {"is": parts | {"entity_type": other}}
        case "==" | "!=":
            for fault, changed in _constants(parts["left"], parts["right"]):
                yield fault, {operator: parts | {"right": changed}}
        case "in":
            yield from _among(parts)
        case "contains" if "Set" in parts["left"]:
            yield from _sets(parts)
        case "contains":
            for fault, changed in _constants(parts["left"], parts["right"]):
                yield fault, {"contains": parts | {"right": changed}}
        case _:
            raise ValueError(f"no fault is known for '{_said(body)}'")


def _among(parts: Tree) -> Iterator[tuple[str, Tree]]:
    """Return a condition on the action with one action less, or one more of those that an exception is about."""
    elements = parts["right"]["Set"]
    named = [each["Value"]["__entity"]["id"] for each in elements]
    for at, name in enumerate(named):
        yield f"not for {name}", {"in": parts | {"right": {"Set": elements[:at] + elements[at + 1 :]}}}
    for each in sorted(_MAY["Representative"] - set(named)):
        more = {"Value": {"__entity": {"type": "Action", "id": each.value}}}
        yield f"for {each} too", {"in": parts | {"right": {"Set": [*elements, more]}}}


def _sets(parts: Tree) -> Iterator[tuple[str, Tree]]:
    elements = parts["left"]["Set"]
    for at, element in enumerate(elements):
        rest = elements[:at] + elements[at + 1 :]
        yield f"without {_said(element)}", {"contains": parts | {"left": {"Set": rest}}}
        for fault, changed in _constants(parts["right"], element):
            if changed not in elements:
                yield fault, {"contains": parts | {"left": {"Set": [*rest, changed]}}}


def _constants(attribute: Tree, constant: Tree) -> Iterator[tuple[str, Tree]]:
    for other in _CONSTANTS[attribute["."]["attr"]]:
        if other != constant["Value"]:
            yield f"'{other}' instead of '{constant['Value']}'", {"Value": other}


def _said(body: Tree) -> str:
    """Return an expression as Cedar writes it, without what stands around it."""
    policy = {
        "effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"},
        "conditions": [{"kind": "when", "body": deepcopy(body)}],
    }  # fmt: skip
    return _written(policy).strip().partition("{ ")[2].removesuffix(" };")
