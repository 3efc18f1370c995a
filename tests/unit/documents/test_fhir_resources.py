"""What documents answers: DocumentReference, Bundle, Binary, OperationOutcome."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from services.documents.fhir.outcomes import FhirRejected, Issue, operation_outcome
from services.documents.fhir.queries import parse_query
from services.documents.fhir.resources import (
    StoredDocument,
    binary,
    document_reference,
    resource_id,
    searchset,
    split_id,
)
from services.documents.fhir.systems import CONFIDENTIALITY, TRE_A07
from tests.synthetic import INS, SYSTEM_OID

BASE = "http://localhost:8080"
NOW = datetime(2026, 6, 12, 8, 0, 0, 123456, tzinfo=UTC)
PATIENT = ("patient.identifier", f"urn:oid:{SYSTEM_OID}|{INS}")


def _stored(number: int, **elements: Any) -> StoredDocument:
    metadata = {
        "resourceType": "DocumentReference",
        "status": "current",
        "date": f"2026-06-{number + 1:02}T10:00:00+02:00",
        "content": [{"attachment": {"contentType": "text/plain", "size": 3, "hash": "x"}}],
    } | elements
    return StoredDocument("record", f"d{number}", 1, NOW, orjson.dumps(metadata))


def _search(documents: list[StoredDocument], *parameters: tuple[str, str]) -> dict[str, Any]:
    bundle: dict[str, Any] = orjson.loads(searchset(parse_query(parameters), documents, BASE))
    return bundle


def test_a_stored_resource_gets_its_id_version_and_address() -> None:
    """The answer is the stored JSON with id, version, time and the Binary's address; profiles are kept."""
    stored = _stored(0, meta={"profile": ["https://a.example"], "versionId": "99"})
    resource = orjson.loads(document_reference(stored, BASE))
    assert resource["id"] == "record-d0"
    assert resource["meta"] == {
        "profile": ["https://a.example"],
        "versionId": "1",
        "lastUpdated": "2026-06-12T08:00:00.123Z",
    }
    assert resource["content"][0]["attachment"] == {
        "contentType": "text/plain",
        "size": 3,
        "hash": "x",
        "url": f"{BASE}/fhir/Binary/record-d0",
    }


def _labels(resource: dict[str, Any]) -> list[str]:
    return [one["code"] for each in resource["securityLabel"] for one in each["coding"]]


@pytest.mark.parametrize(("deposited", "visibility", "shown"), [
    (["N"], (), ["N"]),
    (["N"], ("MASQUE_PS",), ["N", "MASQUE_PS"]),
    (["N", "MASQUE_PS"], (), ["N"]),
    (["MASQUE_PS"], (), ["N"]),
    (["R", "INVISIBLE_PATIENT"], ("MASQUE_PS",), ["R", "MASQUE_PS"]),
    (["V"], ("INVISIBLE_REPRESENTANTS_LEGAUX", "MASQUE_PS"), ["V", "INVISIBLE_REPRESENTANTS_LEGAUX", "MASQUE_PS"]),
    ([], ("MASQUE_PS",), ["MASQUE_PS"]),
], ids=str)  # fmt: skip
def test_labels_are_those_that_consent_tells(
    deposited: list[str], visibility: tuple[str, ...], shown: list[str]
) -> None:
    """What was put on since is there, what was taken off or is over is not; how confidential it is stays."""
    concepts = [{"coding": [_coding(code)]} for code in deposited]
    stored = replace(_stored(0, **({"securityLabel": concepts} if concepts else {})), visibility=visibility)
    resource = orjson.loads(document_reference(stored, BASE))
    assert _labels(resource) == shown
    assert resource["securityLabel"] == [{"coding": [_coding(code)]} for code in shown]


def _coding(code: str) -> dict[str, str]:
    return {"system": CONFIDENTIALITY if code in "NRV" else TRE_A07, "code": code}


def test_labels_that_did_not_change_are_the_depositor_s_own_json() -> None:
    """Their displays and their spelling stay; a concept of several codings loses only what is over."""
    stated = [{"coding": [_coding("N") | {"display": "normal"}, _coding("MASQUE_PS") | {"display": "masqué"}]}]
    stored = replace(_stored(0, securityLabel=stated), visibility=("MASQUE_PS",))
    assert orjson.loads(document_reference(stored, BASE))["securityLabel"] == stated
    over = orjson.loads(document_reference(replace(stored, visibility=()), BASE))
    assert over["securityLabel"] == [{"coding": [_coding("N") | {"display": "normal"}]}]


def test_a_search_finds_by_the_labels_of_now() -> None:
    """security-label looks at what is answered, not at what was deposited."""
    masked = replace(_stored(0, securityLabel=[{"coding": [_coding("N")]}]), visibility=("MASQUE_PS",))
    plain = _stored(1, securityLabel=[{"coding": [_coding("MASQUE_PS")]}])
    bundle = _search([masked, plain], PATIENT, ("security-label", f"{TRE_A07}|MASQUE_PS"))
    assert [entry["resource"]["id"] for entry in bundle["entry"]] == ["record-d0"]


def test_ids_are_joined_and_split() -> None:
    """A FHIR id holds the record and the document, within 64 characters."""
    assert split_id(resource_id("a-b", "c")) == ("a-b", "c")
    for name in ("", "a", "-a", "a-", "a" * 64 + "-b"):
        assert split_id(name) is None
    with pytest.raises(ValueError, match="64"):
        resource_id("a" * 40, "b" * 40)


def test_a_search_is_sorted_counted_and_linked_without_the_patient() -> None:
    """Newest first, total of what matches, links that repeat the query and never the INS."""
    bundle = _search([_stored(n) for n in range(3)], PATIENT, ("status", "current"), ("date", "ge2026-06-02"))
    assert (bundle["type"], bundle["total"]) == ("searchset", 2)
    assert [entry["resource"]["id"] for entry in bundle["entry"]] == ["record-d2", "record-d1"]
    assert bundle["entry"][0]["fullUrl"] == f"{BASE}/fhir/DocumentReference/record-d2"
    assert bundle["entry"][0]["search"] == {"mode": "match"}
    assert bundle["link"] == [
        {"relation": "self", "url": f"{BASE}/fhir/DocumentReference?status=current&date=ge2026-06-02"}
    ]
    assert INS not in orjson.dumps(bundle).decode()


def test_a_search_that_finds_nothing_has_no_entry() -> None:
    """What is empty, filtered or never there looks the same: total 0, and no entry element."""
    assert _search([], PATIENT) == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 0,
        "link": [{"relation": "self", "url": f"{BASE}/fhir/DocumentReference"}],
    }
    assert _search([_stored(0)], ("type", "x"))["total"] == 0


def test_following_next_reads_every_document_once() -> None:
    """Pages hold `_count` documents, their links lead through all of them, also when the dates are equal."""
    documents = [_stored(n, date="2026-06-12T10:00:00Z") for n in range(5)]
    parameters: list[tuple[str, str]] = [("status", "current"), ("_count", "2")]
    seen = []
    while True:
        bundle = _search(documents, *parameters)
        assert bundle["total"] == 5
        seen += [entry["resource"]["id"] for entry in bundle.get("entry", [])]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            break
        parameters = parse_qsl(urlsplit(following[0]).query)
    assert sorted(seen) == [f"record-d{n}" for n in range(5)]


def test_a_count_of_zero_only_counts() -> None:
    """`_count=0` gives the total, no entry and no next page."""
    bundle = _search([_stored(0)], ("_count", "0"))
    assert bundle["total"] == 1
    assert "entry" not in bundle
    assert len(bundle["link"]) == 1


def test_documents_of_other_offsets_are_sorted_by_time() -> None:
    """The order is that of instants, not of their texts; a document without a date is the oldest."""
    late = _stored(0, date="2026-06-12T01:00:00-10:00")
    early = _stored(1, date="2026-06-12T09:00:00+02:00")
    undated = StoredDocument(
        "record", "d2", 1, NOW, b'{"content":[{"attachment":{}}],"resourceType":"DocumentReference"}'
    )
    bundle = _search([undated, early, late], ("_sort", "date"))
    assert [entry["resource"]["id"] for entry in bundle["entry"]] == ["record-d2", "record-d1", "record-d0"]


def test_a_binary_carries_the_bytes() -> None:
    """The FHIR form of a document is base64 with its type, tied to its DocumentReference."""
    resource = orjson.loads(binary(_stored(0), "text/plain", b"abc"))
    assert (resource["resourceType"], resource["id"], resource["data"]) == ("Binary", "record-d0", "YWJj")
    assert resource["securityContext"] == {"reference": "DocumentReference/record-d0"}


def test_an_outcome_carries_slug_code_and_path() -> None:
    """The slug stands where clients look for it, the FHIRPath only when there is one."""
    rejected = FhirRejected("invalid", Issue("a", "value", "B.", "DocumentReference.c"), Issue("d", "required", "E."))
    assert orjson.loads(operation_outcome(rejected.issues)) == {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "value",
                "details": {"coding": [{"system": "https://carnet.example/fhir/CodeSystem/problem", "code": "a"}]},
                "diagnostics": "B.",
                "expression": ["DocumentReference.c"],
            },
            {
                "severity": "error",
                "code": "required",
                "details": {"coding": [{"system": "https://carnet.example/fhir/CodeSystem/problem", "code": "d"}]},
                "diagnostics": "E.",
            },
        ],
    }
    assert (rejected.kind, rejected.slug, rejected.code) == ("invalid", "a", "value")
