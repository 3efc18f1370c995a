"""FHIRPath Patch of a DocumentReference (PDSm TD3.3a, b): which labels are wanted on a document, and which off it.

The document is ciphertext until consent has decided, so a patch is read without it. A path may name `securityLabel` as
a whole or a label by its code, and nothing by its place.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from services.documents.fhir import systems, value_sets
from services.documents.fhir.outcomes import FhirRejected, Issue
from services.documents.fhir.structure import read_parameters

MOST_OPERATIONS: Final = 20
_OPEN: Final = "N"  # without any restriction
_TYPES: Final = frozenset({"add", "replace", "delete"})
_ONLY_LABELS: Final = (
    "Only DocumentReference.securityLabel can be patched: withdrawing and archiving are not offered yet."
)
# The parts of an operation (R4, fhirpatch) and under which form each comes; a value has that of what it is for.
_PARTS: Final = {
    "type": re.compile("valueCode"),
    "path": re.compile("valueString"),
    "name": re.compile("valueString"),
    "value": re.compile("value[A-Z][A-Za-z0-9]*|part"),
    "index": re.compile("valueInteger"),
    "source": re.compile("valueInteger"),
    "destination": re.compile("valueInteger"),
}
_RESOURCE: Final = "DocumentReference"
_LABELS: Final = "DocumentReference.securityLabel"
# One label by its code: the concept that holds it, or the coding itself.
_ONE_CONCEPT: Final = re.compile(
    r"DocumentReference\.securityLabel\.where\("
    r"(?:coding\.system *= *'(?P<system>[^'\\]*)' and )?coding\.code *= *'(?P<code>[A-Z_]+)'\)"
)
_ONE_CODING: Final = re.compile(
    r"DocumentReference\.securityLabel\.coding\.where\("
    r"(?:system *= *'(?P<system>[^'\\]*)' and )?code *= *'(?P<code>[A-Z_]+)'\)"
)


@dataclass(frozen=True, slots=True)
class LabelPatch:
    """Labels of `value_sets.VISIBILITIES` that are wanted on a document, and off it, each sorted; no label in both."""

    adds: tuple[str, ...]
    removes: tuple[str, ...]


def parse_patch(body: bytes) -> LabelPatch:
    """Return what a patch wants of a document's labels; raise FhirRejected with a slug, a FHIRPath and the way out."""
    parameters = read_parameters(body).get("parameter")
    if not isinstance(parameters, list):
        raise _malformed("Send one parameter 'operation' for each change.", "Parameters.parameter")
    if len(parameters) > MOST_OPERATIONS:
        raise _malformed(f"A patch has at most {MOST_OPERATIONS} operations.", "Parameters.parameter")
    adds: set[str] = set()
    removes: set[str] = set()
    for index, parameter in enumerate(parameters):
        puts, takes = _operation(parameter, f"Parameters.parameter[{index}]")
        adds, removes = adds - takes | puts, removes - puts | takes
    return LabelPatch(tuple(sorted(adds)), tuple(sorted(removes)))


def _operation(parameter: Any, where: str) -> tuple[set[str], set[str]]:
    """Return what one operation puts on, and what it takes off."""
    parts = _parts(parameter, where)
    kind, at = parts["type"][0], f"{where}.part.where(name='type').value"
    if kind not in _TYPES:
        raise _unsupported("operation-unsupported", "Labels are changed by add, replace and delete.", at)
    path, at = parts["path"][0], f"{where}.part.where(name='path').value"
    _require_labels(path, at)
    if kind == "add":
        return _added(path, parts, where), set()
    if kind == "delete":
        _require_only(parts, {"type", "path"}, where)
        return set(), {_named(path, at)}
    return _replaced(path, at, parts, where)


def _added(path: str, parts: dict[str, tuple[Any, str]], where: str) -> set[str]:
    _require_only(parts, {"type", "path", "name", "value"}, where)
    wanted = {_RESOURCE: ("securityLabel", "valueCodeableConcept"), _LABELS: ("coding", "valueCoding")}.get(path)
    if wanted is None:
        sentence = "Add securityLabel to DocumentReference, or coding to DocumentReference.securityLabel."
        raise _unsupported("path-unsupported", sentence, f"{where}.part.where(name='path').value")
    name, form = wanted
    if path == _RESOURCE and "name" in parts and parts["name"][0] != name:
        raise _unsupported("patch-unsupported", _ONLY_LABELS, f"{where}.part.where(name='name').value")
    if "name" not in parts or parts["name"][0] != name:
        raise _malformed(f"Adding to {path}, the name is {name}.", f"{where}.part.where(name='name')")
    label = _label(parts, form, where)
    if label == _OPEN:
        sentence = "N restricts nothing, so it adds nothing: replace DocumentReference.securityLabel by it."
        raise _unsupported("label-adds-nothing", sentence, f"{where}.part.where(name='value').value")
    return {label}


def _replaced(path: str, at: str, parts: dict[str, tuple[Any, str]], where: str) -> tuple[set[str], set[str]]:
    _require_only(parts, {"type", "path", "value"}, where)
    taken = set(value_sets.VISIBILITIES) if path == _LABELS else {_named(path, at)}
    form = "valueCoding" if _ONE_CODING.fullmatch(path) else "valueCodeableConcept"
    put = {_label(parts, form, where)} - {_OPEN}
    return put, taken - put


def _require_labels(path: str, at: str) -> None:
    """Refuse what is no label: it cannot be patched here."""
    if path in {_RESOURCE, _LABELS} or path.startswith(f"{_LABELS}."):
        return
    if path.startswith(f"{_LABELS}["):
        sentence = (
            "Name a label by its code, not by its place: DocumentReference.securityLabel.where(coding.code='...')."
        )
        raise _unsupported("path-unsupported", sentence, at)
    raise _unsupported("patch-unsupported", _ONLY_LABELS, at)


def _named(path: str, at: str) -> str:
    """Return the label that a path names by its code."""
    found = _ONE_CONCEPT.fullmatch(path) or _ONE_CODING.fullmatch(path)
    if found is None:
        sentence = (
            "Name one label by its code: DocumentReference.securityLabel.where(coding.code='MASQUE_PS'), or "
            "DocumentReference.securityLabel.coding.where(code='MASQUE_PS')."
        )
        raise _unsupported("path-unsupported", sentence, at)
    code, system = found["code"], found["system"]
    if code not in value_sets.VISIBILITIES or (system is not None and not _is_visibility(system)):
        raise _unknown_label(at)
    return code


def _label(parts: dict[str, tuple[Any, str]], form: str, where: str) -> str:
    """Return the one label that an operation's value holds."""
    at = f"{where}.part.where(name='value')"
    if "value" not in parts or parts["value"][1] != form:
        raise _malformed(f"The value is a {form} here.", at)
    held, at = parts["value"][0], f"{at}.value"
    codings: Any = [held]
    if form == "valueCodeableConcept":
        codings, at = held.get("coding") if isinstance(held, dict) else None, f"{at}.coding"
    if not isinstance(codings, list) or len(codings) != 1 or not isinstance(codings[0], dict):
        raise _malformed("The value holds one coding, with its system and its code.", at)
    system, code = codings[0].get("system"), codings[0].get("code")
    if not isinstance(system, str) or not isinstance(code, str):
        raise _malformed("A coding has a system and a code.", at)
    normal = code == _OPEN and systems.canonical_system(system) == systems.CONFIDENTIALITY
    if not normal and not (code in value_sets.VISIBILITIES and _is_visibility(system)):
        raise _unknown_label(at)
    return code


def _is_visibility(system: str) -> bool:
    return systems.canonical_system(system) == systems.TRE_A07


def _parts(parameter: Any, where: str) -> dict[str, tuple[Any, str]]:
    """Return an operation's parts by name: each value, and under which form it came."""
    if not isinstance(parameter, dict) or parameter.keys() != {"name", "part"} or parameter["name"] != "operation":
        raise _malformed("Each parameter is an 'operation' with its parts.", where)
    if not isinstance(parameter["part"], list):
        raise _malformed("The parts of an operation are an array.", f"{where}.part")
    found: dict[str, tuple[Any, str]] = {}
    for index, part in enumerate(parameter["part"]):
        at = f"{where}.part[{index}]"
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or name not in _PARTS:
            raise _malformed("The parts of an operation are type, path, name and value.", at)
        forms = part.keys() - {"name"}
        if len(forms) != 1 or not _PARTS[name].fullmatch(form := next(iter(forms))):
            raise _malformed(f"Part {name} holds one value, of the form that FHIRPath Patch gives it.", at)
        if name in found:
            raise _malformed(f"Part {name} stands twice.", at)
        if form in {"valueCode", "valueString"} and not isinstance(part[form], str):
            raise _malformed(f"Part {name} is a string.", at)
        found[name] = part[form], form
    for name in ("type", "path"):
        if name not in found:
            raise _malformed(f"An operation needs its {name}.", f"{where}.part")
    return found


def _require_only(parts: dict[str, tuple[Any, str]], names: set[str], where: str) -> None:
    if more := sorted(parts.keys() - names):
        raise _malformed(f"This operation has no part {more[0]}.", f"{where}.part.where(name='{more[0]}')")


def _malformed(diagnostics: str, expression: str) -> FhirRejected:
    return FhirRejected("malformed", Issue("patch-malformed", "structure", diagnostics, expression))


def _unsupported(slug: str, diagnostics: str, expression: str) -> FhirRejected:
    return FhirRejected("invalid", Issue(slug, "not-supported", diagnostics, expression))


def _unknown_label(expression: str) -> FhirRejected:
    sentence = (
        "The label is none that can be changed: N, or MASQUE_PS, INVISIBLE_PATIENT or INVISIBLE_REPRESENTANTS_LEGAUX, "
        "each with its system."
    )
    return FhirRejected("invalid", Issue("security-label-unknown", "code-invalid", sentence, expression))
