"""Is this JSON a FHIR R4 DocumentReference? JSON, limits, and the structure as fhir.resources (R4B) knows it.

The models check and are thrown away: what is stored is the caller's own JSON. They are lenient (a JSON text where an
object is due, numbers for strings, empty arrays), so `_same_forms` compares what they read with what was sent.
"""

import re
from typing import Any, Final

import orjson
from fhir.resources.R4B.documentreference import DocumentReference
from pydantic import BaseModel, ValidationError

from services.documents.fhir.outcomes import FhirRejected, Issue

MAX_METADATA: Final = 128 * 1024  # bytes of JSON besides the attachment's data
MAX_MARKUP: Final = 20_000  # braces, brackets and commas: bounds what the JSON parser may allocate
MAX_DEPTH: Final = 32
MAX_ISSUES: Final = 20

_NAME: Final = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")
# names that the library understands and FHIR does not
_FOREIGN: Final = frozenset({"resource_type", "fhir_comments"})
_SENTENCES: Final = {
    "missing": ("required", "is required"),
    "model_field_validation.missing": ("required", "is required"),
    "extra_forbidden": ("structure", "is no element of FHIR R4 here: remove it or write it as an extension"),
    "list_type": ("structure", "must be an array without null"),
    "string_type": ("structure", "must be a string"),
    "string_pattern_mismatch": ("value", "has characters that its FHIR type does not allow"),
}


def read_document_reference(body: bytes) -> tuple[dict[str, Any], list[str]]:
    """Return the DocumentReference, and the data (base64, "" when absent) of each of its contents.

    The data in the returned resource are a stand-in, to be removed.
    Raise FhirRejected: not JSON, not FHIR, another resource type, too deep, too large.
    """
    resource = _json_object(body)
    if resource.get("resourceType") != "DocumentReference":
        raise invalid(
            "wrong-resource-type", "structure", "ITI-105 takes a DocumentReference: set resourceType.", "resourceType"
        )
    data = _take_data(resource)
    if len(body) - sum(map(len, data)) > MAX_METADATA:
        raise FhirRejected(
            "too-large",
            Issue("metadata-too-large", "too-long", f"Metadata have at most {MAX_METADATA // 1024} KB: shorten them."),
        )
    _lint(resource, "DocumentReference", 0)
    _check_structure(resource)
    return resource, data


def invalid(slug: str, code: str, diagnostics: str, expression: str) -> FhirRejected:
    """Return the refusal of a well-formed request; `expression` is relative to the DocumentReference."""
    return FhirRejected("invalid", Issue(slug, code, diagnostics, f"DocumentReference.{expression}"))


def _malformed(slug: str, diagnostics: str, expression: str = "") -> FhirRejected:
    return FhirRejected("malformed", Issue(slug, "structure", diagnostics, expression))


def read_parameters(body: bytes) -> dict[str, Any]:
    """Return the Parameters of a request; raise FhirRejected: not JSON, not FHIR, another resource, too deep or large.

    What a parameter holds is for its reader to judge.
    """
    if len(body) > MAX_METADATA:
        raise FhirRejected(
            "too-large", Issue("patch-too-large", "too-long", f"A patch has at most {MAX_METADATA // 1024} KB.")
        )
    resource = _json_object(body)
    if resource.get("resourceType") != "Parameters":
        raise _malformed(
            "wrong-resource-type", "A patch is FHIRPath Patch: send a Parameters resource.", "Parameters.resourceType"
        )
    _lint(resource, "Parameters", 0)
    return resource


def _json_object(body: bytes) -> dict[str, Any]:
    if body.count(b"{") + body.count(b"[") + body.count(b",") > MAX_MARKUP:
        raise _malformed("json-too-complex", f"The JSON has over {MAX_MARKUP} values: shorten the metadata.")
    try:
        resource = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _malformed("not-json", "The body is not JSON in UTF-8: send application/fhir+json.") from None
    if not isinstance(resource, dict):
        raise _malformed("not-fhir", "The body is not a FHIR resource: send one JSON object with its resourceType.")
    return resource


def _take_data(resource: dict[str, Any]) -> list[str]:
    """Take the base64 out, so that no later step copies 27 MB."""
    contents = resource.get("content")
    taken = []
    for content in contents if isinstance(contents, list) else ():
        attachment = content.get("attachment") if isinstance(content, dict) else None
        data = attachment.get("data") if isinstance(attachment, dict) else None
        if isinstance(attachment, dict) and isinstance(data, str) and data:
            attachment["data"] = "AAAA"
            taken.append(data)
        else:
            taken.append("")
    return taken


def _lint(node: Any, path: str, depth: int) -> None:
    """Refuse what FHIR's JSON format refuses anywhere: empty values, null outside arrays, unknown spellings."""
    if depth > MAX_DEPTH:
        raise _malformed("json-too-deep", f"The JSON has more than {MAX_DEPTH} levels: flatten it.")
    if node in ("", [], {}) or node is None:
        raise _malformed("empty-value", "FHIR has no empty or null values: remove the element.", path)
    if isinstance(node, dict):
        for key, value in node.items():
            name = key if _NAME.fullmatch(key) else "?"
            if key in _FOREIGN or name == "?":
                raise _malformed("not-fhir", "FHIR R4 has no element of that name: remove it.", path)
            _lint(value, f"{path}.{name}", depth + 1)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            if value is not None:  # an array of primitives may hold null beside its extensions
                _lint(value, f"{path}[{index}]", depth + 1)


def _check_structure(resource: dict[str, Any]) -> None:
    contained = resource.get("contained")
    for index, inner in enumerate(contained if isinstance(contained, list) else ()):
        if not (isinstance(inner, dict) and isinstance(inner.get("resourceType"), str)):
            raise _malformed(
                "structure", "A contained resource needs its resourceType.", f"DocumentReference.contained[{index}]"
            )
    try:
        model = DocumentReference.model_validate(resource)
    except ValidationError as error:
        raise _translate(error) from None
    except (KeyError, TypeError, AttributeError, ValueError):  # how the models answer an unknown resource type
        raise _malformed(
            "structure", "A contained resource is of no type of FHIR R4.", "DocumentReference.contained"
        ) from None
    _same_forms(resource, model, "DocumentReference")


def _translate(error: ValidationError) -> FhirRejected:
    issues = []
    for found in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ISSUES]:
        code, sentence = _SENTENCES.get(found["type"], ("value", "does not have the form of its FHIR type"))
        path = "DocumentReference"
        for step in found["loc"]:
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
        issues.append(Issue("structure", code, f"{path.rpartition('.')[2]} {sentence}.", path))
    return FhirRejected("malformed", *issues)


def _same_forms(sent: Any, read: Any, path: str) -> None:
    """Refuse what the models read by converting it: text as objects, numbers as text or dates, booleans as numbers."""
    if isinstance(sent, dict):
        same = isinstance(read, (BaseModel, dict))
        for key, value in sent.items() if isinstance(read, BaseModel) else ():
            # xhtml, reserved words and `_` extensions have other attribute names: their own type was checked
            if hasattr(read, key):
                _same_forms(value, getattr(read, key), f"{path}.{key}")
    elif isinstance(sent, list):
        same = isinstance(read, list)
        for index, (one, other) in enumerate(zip(sent, read, strict=True) if same else ()):
            _same_forms(one, other, f"{path}[{index}]")
    elif isinstance(sent, str):
        same = not isinstance(read, (BaseModel, list, bool, int, float))
    elif isinstance(sent, bool):
        same = isinstance(read, bool)
    else:
        same = sent is None or (not isinstance(read, (str, bool)) and not hasattr(read, "year"))
    if not same:
        raise _malformed("structure", f"{path.rpartition('.')[2]} is not of its FHIR type.", path)
