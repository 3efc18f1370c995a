"""The PDSm-for-DMP samples (skipped where they are absent), and our answers, against the FHIR R4B models."""

from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from fhir.resources.R4B import get_fhir_model_class

from services.documents.fhir.capability import capability_statement
from services.documents.fhir.deposits import parse_deposit
from services.documents.fhir.outcomes import FhirRejected, operation_outcome
from services.documents.fhir.queries import parse_query
from services.documents.fhir.resources import StoredDocument, binary, document_reference, searchset
from services.documents.fhir.structure import _check_structure, _lint
from tests.conformance.cases import samples
from tests.synthetic import INS, SYSTEM_OID, deposit_request, laboratory_report

NOW = datetime(2026, 6, 12, 8, 0, tzinfo=UTC)
BASE = "http://localhost:8080"


def _document_references(path: Path) -> list[dict[str, Any]]:
    resource = orjson.loads(path.read_bytes())
    inner = [entry["resource"] for entry in resource.get("entry", ())]
    return [one for one in [resource, *inner] if one["resourceType"] == "DocumentReference"]


REFERENCES = [(path.stem, one) for path in samples("fhir", "*.json") for one in _document_references(path)]
SIMPLIFIED = samples("fhir", "*iti105*.json")


@pytest.mark.parametrize(("name", "resource"), REFERENCES, ids=[name for name, _ in REFERENCES])
def test_the_structure_of_each_official_document_reference_is_accepted(name: str, resource: dict[str, Any]) -> None:
    """Our structural check, stricter than the models it uses, takes every official DocumentReference."""
    assert name
    _lint(resource, "DocumentReference", 0)
    _check_structure(resource)


@pytest.mark.parametrize("path", SIMPLIFIED, ids=lambda path: path.stem)
def test_the_official_simplified_publish_is_taken_once_it_carries_a_document(path: Path) -> None:
    """Its stand-in CDA (an empty ClinicalDocument) is refused by name; with a real one, nothing else is changed."""
    resource = orjson.loads(path.read_bytes())
    with pytest.raises(FhirRejected) as caught:
        parse_deposit(orjson.dumps(resource), now=NOW)
    assert caught.value.slug == "cda-id-missing"
    report = laboratory_report(
        document_oid="1.2.250.1.213.1.4.8.99999.1", system_oid="1.2.250.1.213.1.4.8", ins="123456789012345"
    )
    resource["content"][0]["attachment"]["data"] = b64encode(report).decode()
    deposit = parse_deposit(orjson.dumps(resource), now=NOW)
    assert deposit.master_identifier == "urn:oid:1.2.250.1.213.1.4.8.99999.1"
    assert deposit.authors[0].value == "899700218896"
    assert {issue.slug for issue in deposit.warnings} == {"type-differs", "cda-ins-key"}


def test_what_we_answer_is_fhir() -> None:
    """DocumentReference, Bundle, Binary, OperationOutcome and CapabilityStatement satisfy the R4B models."""
    deposit = parse_deposit(deposit_request(laboratory_report()), now=NOW)
    stored = StoredDocument("record", "document", 1, NOW, orjson.dumps(deposit.metadata))
    query = parse_query([("patient.identifier", f"urn:oid:{SYSTEM_OID}|{INS}"), ("status", "current")])
    with pytest.raises(FhirRejected) as caught:
        parse_deposit(b"{}", now=NOW)
    answers = [
        document_reference(stored, BASE),
        searchset(query, [stored, stored], BASE),
        searchset(query, [], BASE),
        binary(stored, "application/xml", deposit.content),
        operation_outcome(caught.value.issues),
        capability_statement(BASE, f"{BASE}/identity/token", version="0.1.0", date=NOW),
    ]
    for answer in answers:
        resource = orjson.loads(answer)
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        if resource["resourceType"] == "DocumentReference":
            _lint(resource, "DocumentReference", 0)
            _check_structure(resource)


def test_an_answer_may_be_deposited_again_with_its_document() -> None:
    """What we answer is what we accept: a copy of a read resource, with its data, passes every check of the input."""
    report = laboratory_report()
    deposit = parse_deposit(deposit_request(report), now=NOW)
    stored = StoredDocument("record", "document", 1, NOW, orjson.dumps(deposit.metadata))
    resource = orjson.loads(document_reference(stored, BASE))
    resource["content"][0]["attachment"]["data"] = b64encode(report).decode()
    again = parse_deposit(orjson.dumps(resource), now=NOW)
    assert again.master_identifier == deposit.master_identifier
    assert again.metadata["content"] == deposit.metadata["content"]
    assert again.warnings == ()
