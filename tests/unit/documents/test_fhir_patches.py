"""FHIRPath Patch of labels: what is understood, and how what is not is refused."""

from typing import Any

import orjson
import pytest

from services.documents.fhir.outcomes import FhirRejected
from services.documents.fhir.patches import MOST_OPERATIONS, LabelPatch, parse_patch
from services.documents.fhir.systems import CONFIDENTIALITY, TRE_A07
from tests.synthetic import label_patch

MASKED, UNTOLD, SECRET = "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"
LABEL = "DocumentReference.securityLabel"
PATH, VALUE = "part.where(name='path').value", "part.where(name='value').value"


def concept(code: str, system: str = TRE_A07) -> dict[str, Any]:
    """Return the value of an operation."""
    return {"valueCodeableConcept": {"coding": [{"system": system, "code": code}]}}


def operation(kind: str, path: str, value: dict[str, Any] | None = None, name: str | None = None) -> dict[str, Any]:
    """Return one operation."""
    parts: list[dict[str, Any]] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    parts += [{"name": "name", "valueString": name}] if name else []
    parts += [{"name": "value", **value}] if value else []
    return {"name": "operation", "part": parts}


def patch(*operations: Any, **other: Any) -> LabelPatch:
    """Parse a patch."""
    return parse_patch(orjson.dumps({"resourceType": "Parameters", "parameter": list(operations)} | other))


def refused(*operations: Any, **other: Any) -> FhirRejected:
    """Return how a patch is refused."""
    with pytest.raises(FhirRejected) as caught:
        patch(*operations, **other)
    assert len(caught.value.diagnostics) > 20
    return caught.value


CODING = {"valueCoding": {"system": TRE_A07, "code": MASKED}}
NORMAL = concept("N", CONFIDENTIALITY)


@pytest.mark.parametrize(("asked", "adds", "removes"), [
    (operation("add", "DocumentReference", concept(MASKED), "securityLabel"), {MASKED}, set()),
    (operation("add", LABEL, CODING, "coding"), {MASKED}, set()),
    (operation("delete", f"{LABEL}.where(coding.code='{MASKED}')"), set(), {MASKED}),
    (operation("delete", f"{LABEL}.where(coding.code = '{UNTOLD}')"), set(), {UNTOLD}),
    (operation("delete", f"{LABEL}.where(coding.system='{TRE_A07}' and coding.code='{MASKED}')"), set(), {MASKED}),
    (operation("delete", f"{LABEL}.coding.where(code='{SECRET}')"), set(), {SECRET}),
    (operation("delete", f"{LABEL}.coding.where(system='{TRE_A07}' and code='{MASKED}')"), set(), {MASKED}),
    (operation("replace", LABEL, concept(MASKED)), {MASKED}, {UNTOLD, SECRET}),
    (operation("replace", LABEL, NORMAL), set(), {MASKED, UNTOLD, SECRET}),
    (operation("replace", f"{LABEL}.where(coding.code='{UNTOLD}')", concept(MASKED)), {MASKED}, {UNTOLD}),
    (operation("replace", f"{LABEL}.where(coding.code='{MASKED}')", concept(MASKED)), {MASKED}, set()),
    (operation("replace", f"{LABEL}.coding.where(code='{UNTOLD}')", CODING), {MASKED}, {UNTOLD}),
    (operation("replace", f"{LABEL}.where(coding.code='{MASKED}')", NORMAL), set(), {MASKED}),
    (operation("replace", LABEL, concept(MASKED, "urn:oid:1.2.250.1.213.1.1.4.13")), {MASKED}, {UNTOLD, SECRET}),
], ids=str)  # fmt: skip
def test_what_is_understood(asked: dict[str, Any], adds: set[str], removes: set[str]) -> None:
    """A label put on, one taken off, one in another's place, one in the place of all."""
    assert patch(asked) == LabelPatch(tuple(sorted(adds)), tuple(sorted(removes)))


def test_operations_are_done_in_their_order() -> None:
    """What a later one puts on or takes off counts."""
    on, off = operation("add", LABEL, CODING, "coding"), operation("delete", f"{LABEL}.where(coding.code='{MASKED}')")
    assert patch(on, off) == LabelPatch((), (MASKED,))
    assert patch(off, on) == LabelPatch((MASKED,), ())
    assert patch(operation("replace", LABEL, NORMAL), on) == LabelPatch((MASKED,), (UNTOLD, SECRET))


def test_the_synthetic_patches_are_understood() -> None:
    """What the journeys send is what this reads."""
    assert parse_patch(label_patch(adds=[MASKED], removes=[UNTOLD])) == LabelPatch((MASKED,), (UNTOLD,))
    assert parse_patch(label_patch(only="N")) == LabelPatch((), tuple(sorted((MASKED, UNTOLD, SECRET))))


@pytest.mark.parametrize(("asked", "slug", "expression"), [
    (operation("replace", "DocumentReference.status", {"valueCode": "entered-in-error"}), "patch-unsupported", PATH),
    (operation("replace", "DocumentReference.extension.where(url='x').value", {"valueBoolean": True}),
     "patch-unsupported", PATH),
    (operation("add", "DocumentReference.extension", {"part": [{"name": "url"}]}, "extension"), "patch-unsupported",
     PATH),
    (operation("add", "DocumentReference", {"valueExtension": {"url": "x"}}, "extension"), "patch-unsupported",
     "part.where(name='name').value"),
    (operation("delete", "DocumentReference.securityLabels"), "patch-unsupported", PATH),
    (operation("delete", "Patient.securityLabel"), "patch-unsupported", PATH),
    (operation("replace", f"{LABEL}[0]", concept(MASKED)), "path-unsupported", PATH),
    (operation("delete", LABEL), "path-unsupported", PATH),
    (operation("delete", f"{LABEL}.where(coding.code='{MASKED}' or true)"), "path-unsupported", PATH),
    (operation("delete", f"{LABEL}.first()"), "path-unsupported", PATH),
    (operation("delete", "DocumentReference"), "path-unsupported", PATH),
    (operation("replace", "DocumentReference", concept(MASKED)), "path-unsupported", PATH),
    (operation("add", f"{LABEL}.coding", CODING, "coding"), "path-unsupported", PATH),
    (operation("delete", f"{LABEL}.where(coding.code='R')"), "security-label-unknown", PATH),
    (operation("delete", f"{LABEL}.where(coding.code='N')"), "security-label-unknown", PATH),
    (operation("delete", f"{LABEL}.where(coding.system='x' and coding.code='{MASKED}')"), "security-label-unknown",
     PATH),
    ({"name": "operation", "part": [*operation("insert", LABEL, concept(MASKED))["part"],
                                    {"name": "index", "valueInteger": 0}]}, "operation-unsupported",
     "part.where(name='type').value"),
    (operation("move", LABEL), "operation-unsupported", "part.where(name='type').value"),
    (operation("replace", LABEL, concept("R", CONFIDENTIALITY)), "security-label-unknown", f"{VALUE}.coding"),
    (operation("replace", LABEL, concept(MASKED, CONFIDENTIALITY)), "security-label-unknown", f"{VALUE}.coding"),
    (operation("replace", LABEL, concept("N", TRE_A07)), "security-label-unknown", f"{VALUE}.coding"),
    (operation("add", "DocumentReference", NORMAL, "securityLabel"), "label-adds-nothing", VALUE),
], ids=str)  # fmt: skip
def test_what_is_well_formed_and_not_offered_is_unprocessable(
    asked: dict[str, Any], slug: str, expression: str
) -> None:
    """Anything but the four labels, named by their codes, is a 422 that says where and what instead."""
    error = refused(operation("delete", f"{LABEL}.where(coding.code='{MASKED}')"), asked)
    assert (error.kind, error.slug, error.expression) == ("invalid", slug, f"Parameters.parameter[1].{expression}")


@pytest.mark.parametrize(("asked", "expression"), [
    ("operation", ""),
    ({"name": "operation"}, ""),
    ({"name": "change", "part": operation("delete", LABEL)["part"]}, ""),
    (operation("delete", LABEL) | {"resource": {"resourceType": "Basic"}}, ""),
    ({"name": "operation", "part": {"name": "type"}}, ".part"),
    ({"name": "operation", "part": ["type"]}, ".part[0]"),
    ({"name": "operation", "part": [{"name": "test", "valueInteger": 0}]}, ".part[0]"),
    (operation("replace", LABEL, {"value": "x"}), ".part[2]"),
    (operation("replace", LABEL, {"valueCode": "N"}), ".part.where(name='value')"),
    ({"name": "operation", "part": [{"name": ["type"], "valueCode": "add"}]}, ".part[0]"),
    ({"name": "operation", "part": [{"name": "type", "valueString": "add"}]}, ".part[0]"),
    ({"name": "operation", "part": [{"name": "type", "valueCode": 1}]}, ".part[0]"),
    ({"name": "operation", "part": [{"name": "type", "valueCode": "add", "valueString": "add"}]}, ".part[0]"),
    ({"name": "operation", "part": [{"name": "type", "valueCode": "add"}] * 2}, ".part[1]"),
    ({"name": "operation", "part": [{"name": "type", "valueCode": "add"}]}, ".part"),
    (operation("add", LABEL, CODING), ".part.where(name='name')"),
    (operation("add", LABEL, CODING, "securityLabel"), ".part.where(name='name')"),
    (operation("add", LABEL, concept(MASKED), "coding"), ".part.where(name='value')"),
    (operation("replace", LABEL), ".part.where(name='value')"),
    (operation("replace", LABEL, CODING), ".part.where(name='value')"),
    (operation("replace", LABEL, {"valueCodeableConcept": "x"}), ".part.where(name='value').value.coding"),
    (operation("replace", LABEL, {"valueCodeableConcept": {"text": "x"}}), ".part.where(name='value').value.coding"),
    (operation("replace", LABEL, {"valueCodeableConcept": {"coding": ["x"]}}),
     ".part.where(name='value').value.coding"),
    (operation("replace", LABEL, {"valueCodeableConcept": {"coding": [{"code": MASKED}]}}),
     ".part.where(name='value').value.coding"),
    (operation("replace", LABEL, {"valueCodeableConcept": {"coding": [{"system": TRE_A07, "code": MASKED}] * 2}}),
     ".part.where(name='value').value.coding"),
    (operation("delete", f"{LABEL}.where(coding.code='{MASKED}')", concept(MASKED)), ".part.where(name='value')"),
    (operation("replace", LABEL, concept(MASKED), "securityLabel"), ".part.where(name='name')"),
], ids=str)  # fmt: skip
def test_what_is_no_patch_is_malformed(asked: Any, expression: str) -> None:
    """Each operation has its parts, each part one value of its form: else a 400 that says where."""
    error = refused(asked)
    assert (error.kind, error.slug) == ("malformed", "patch-malformed")
    assert error.expression == f"Parameters.parameter[0]{expression}"


@pytest.mark.parametrize(("body", "kind", "slug"), [
    (b"[]", "malformed", "not-fhir"),
    (b"{", "malformed", "not-json"),
    (b'[{"op":"replace","path":"/securityLabel/0"}]', "malformed", "not-fhir"),
    (b'{"resourceType":"DocumentReference"}', "malformed", "wrong-resource-type"),
    (b'{"resourceType":"Parameters"}', "malformed", "patch-malformed"),
    (b'{"resourceType":"Parameters","parameter":{}}', "malformed", "empty-value"),
    (b'{"resourceType":"Parameters","parameter":"x"}', "malformed", "patch-malformed"),
    (b'{"resourceType":"Parameters","id":"' + b"x" * 200_000 + b'"}', "too-large", "patch-too-large"),
], ids=lambda each: str(each)[:40])  # fmt: skip
def test_what_is_no_parameters_resource_is_refused(body: bytes, kind: str, slug: str) -> None:
    """Not JSON, not FHIR, another resource, another kind of patch, nothing to do, too much."""
    with pytest.raises(FhirRejected) as caught:
        parse_patch(body)
    assert (caught.value.kind, caught.value.slug) == (kind, slug)


def test_a_patch_has_a_bound() -> None:
    """More operations than labels could need are not read."""
    on = operation("add", LABEL, CODING, "coding")
    assert patch(*[on] * MOST_OPERATIONS).adds == (MASKED,)
    assert refused(*[on] * (MOST_OPERATIONS + 1)).expression == "Parameters.parameter"
