"""ITI-105: what a deposit becomes, and each way in which it is refused."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.documents.fhir import systems
from services.documents.fhir.attachments import MAX_CONTENT
from services.documents.fhir.deposits import ParsedDeposit, parse_deposit
from services.documents.fhir.outcomes import FhirRejected
from tests.synthetic import INS, LOINC, SYSTEM_OID, deposit_request, document_reference, laboratory_report

NOW = datetime(2026, 6, 12, 8, 0, tzinfo=UTC)
PDF = b"%PDF-1.7 synthetic"
VISIBILITY = "urn:oid:1.2.250.1.213.1.1.4.13"


def _parse(resource: dict[str, Any]) -> ParsedDeposit:
    return parse_deposit(orjson.dumps(resource), now=NOW)


def _refused(body: bytes) -> FhirRejected:
    with pytest.raises(FhirRejected) as caught:
        parse_deposit(body, now=NOW)
    return caught.value


def test_a_report_becomes_bytes_metadata_and_attributes() -> None:
    """The bytes are those sent, the metadata hold no data, and consent's attributes come out in canonical form."""
    report = laboratory_report(document_oid="2.25.7")
    deposit = parse_deposit(deposit_request(report), now=NOW)
    assert deposit.content == report
    assert deposit.content_type == "application/xml"
    assert deposit.master_identifier == "urn:oid:2.25.7"
    assert (deposit.patient.system, deposit.patient.value) == (f"urn:oid:{SYSTEM_OID}", INS)
    assert (deposit.type_system, deposit.type_code, deposit.class_code) == (systems.LOINC, "11502-2", "")
    assert (deposit.confidentiality, deposit.visibility) == ("N", ())
    assert [(one.system, one.value) for one in deposit.authors] == [("urn:oid:1.2.250.1.71.4.2.1", "801234567897")]
    assert deposit.period_start == "2026-06-12T10:00:00+02:00"
    assert deposit.warnings == ()
    attachment = deposit.metadata["content"][0]["attachment"]
    assert attachment["size"] == len(report)
    assert attachment["hash"] == b64encode(hashlib.sha1(report).digest()).decode()  # noqa: S324  what R4 defines
    assert "data" not in attachment


def test_a_cda_completes_what_the_caller_left_out() -> None:
    """Type, title, creation, language, author, period and identifier come from the header of the CDA."""
    report = laboratory_report(document_oid="2.25.7", title="TITRE DU CDA")
    resource = document_reference(report, date=None)
    for name in ("type", "author", "contained"):
        del resource[name]
    del resource["content"][0]["attachment"]["title"]
    deposit = _parse(resource)
    metadata = deposit.metadata
    attachment = metadata["content"][0]["attachment"]
    assert metadata["date"] == "2026-06-12T08:00:00.000Z"
    assert metadata["masterIdentifier"] == {"system": "urn:ietf:rfc:3986", "value": "urn:oid:2.25.7"}
    assert (deposit.type_system, deposit.type_code) == (LOINC, "11502-2")
    assert (attachment["title"], attachment["language"]) == ("TITRE DU CDA", "fr-FR")
    assert attachment["creation"] == "2026-06-12T10:00:00+02:00"
    assert [one.value for one in deposit.authors] == ["801234567897"]
    assert metadata["contained"][0]["name"] == [{"family": "BIOLOGISTE", "given": ["Alix"], "prefix": ["M"]}]
    assert metadata["context"]["period"]["start"] == "2026-06-12T10:00:00+02:00"
    assert parse_deposit(orjson.dumps(resource), now=NOW) == deposit


def test_what_the_caller_states_stands_and_differences_are_remarked() -> None:
    """A type, a title or a label other than the CDA's is kept as sent; type and label are remarked."""
    resource = document_reference(
        laboratory_report(confidentiality="R"), type_code="11488-4", title="Autre", labels=((VISIBILITY, "MASQUE_PS"),)
    )
    deposit = _parse(resource)
    assert deposit.type_code == "11488-4"
    assert deposit.metadata["content"][0]["attachment"]["title"] == "Autre"
    assert {issue.slug for issue in deposit.warnings} == {"type-differs", "confidentiality-differs"}
    assert {issue.severity for issue in deposit.warnings} == {"warning"}


def test_a_confidential_cda_stays_confidential() -> None:
    """Without a label in the request, the confidentialityCode of the CDA is the label."""
    assert _parse(document_reference(laboratory_report(confidentiality="V"))).confidentiality == "V"


def test_the_defects_of_a_cda_come_along() -> None:
    """A RPPS without its key is accepted as it is and remarked."""
    deposit = _parse(document_reference(laboratory_report(rpps="01234534765"), rpps="01234534765"))
    assert {issue.slug for issue in deposit.warnings} == {"cda-rpps-key", "rpps-key"}
    assert deposit.authors[0].value == "801234534765"


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/pdf", PDF),
        ("image/jpeg", b"\xff\xd8\xff\xe0"),
        ("image/png", b"\x89PNG\r\n\x1a\n"),
        ("image/tiff", b"II*\x00"),
        ("application/rtf", b"{\\rtf1}"),
        ("text/rtf", b"{\\rtf1}"),
        ("text/plain; charset=utf-8", "Hémoglobine".encode()),
    ],
)
def test_other_files_are_taken(content_type: str, content: bytes) -> None:
    """Each media type of the record is accepted, with or without parameters."""
    deposit = _parse(document_reference(content, content_type=content_type))
    assert deposit.content == content
    assert deposit.content_type == content_type.split(";", maxsplit=1)[0]


def test_labels_are_recognised() -> None:
    """Visibility and confidentiality come from any of the labels, under any spelling of their system."""
    nos = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatusVisibiliteDocument/FHIR/TRE-A07-StatusVisibiliteDocument"
    labels = ((nos, "INVISIBLE_PATIENT"), (VISIBILITY, "INVISIBLE_REPRESENTANTS_LEGAUX"), (nos, "R"), (nos, "N"))
    deposit = _parse(document_reference(PDF, content_type="application/pdf", labels=labels))
    assert deposit.visibility == ("INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")
    assert deposit.confidentiality == "R"


def test_the_patient_may_be_a_logical_reference() -> None:
    """Both ways of naming the patient give the same identifier; a percent-encoded bar is one."""
    resource = document_reference(PDF, content_type="application/pdf")
    expected = _parse(deepcopy(resource)).patient
    resource["subject"] = {"identifier": {"system": f"urn:oid:{SYSTEM_OID}", "value": INS}}
    assert _parse(deepcopy(resource)).patient == expected
    resource["subject"] = {"reference": f"https://carnet.example/fhir/Patient?identifier=urn:oid:{SYSTEM_OID}%7C{INS}"}
    assert _parse(deepcopy(resource)).patient == expected


@given(st.text("AQ=+/ -", max_size=12))
def test_only_base64_is_base64(data: str) -> None:
    """The alphabet, the length and the padding of RFC 4648 are required, white space apart."""
    resource = document_reference(b"text", content_type="text/plain")
    resource["content"][0]["attachment"]["data"] = data
    bare = data.replace(" ", "")
    is_base64 = re.fullmatch("(?:[AQ+/]{4})*(?:[AQ+/]{2}==|[AQ+/]{3}=)?", bare) is not None
    try:
        _parse(resource)
        accepted = True
    except FhirRejected as error:
        accepted = bare == "" and error.slug in ("data-missing", "empty-value")
    assert accepted == is_base64


def test_white_space_in_base64_is_ignored() -> None:
    """R4 lets readers ignore white space in base64Binary; nothing else that is not base64."""
    resource = document_reference(PDF, content_type="application/pdf")
    attachment = resource["content"][0]["attachment"]
    attachment["data"] = "\r\n ".join(attachment["data"][i : i + 4] for i in range(0, len(attachment["data"]), 4))
    assert _parse(resource).content == PDF


def _attachment_with(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda it: it["content"][0]["attachment"].update(values)


def _without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda it: it.pop(name)


def _with(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda it: it.update(values)


def _nested(depth: int) -> dict[str, Any]:
    extension: dict[str, Any] = {"url": "https://a.example", "valueString": "x"}
    for _ in range(depth):
        extension = {"url": "https://a.example", "extension": [extension]}
    return extension


# what is wrong, the slug, and the element ("@" stands for the attachment, None for no element at all)
REFUSALS: list[tuple[Callable[[dict[str, Any]], object], str, str | None]] = [
    (_with(resourceType="Patient"), "wrong-resource-type", "resourceType"),
    (_without("resourceType"), "wrong-resource-type", "resourceType"),
    (_without("status"), "structure", "status"),
    (_with(status="superseded"), "status-not-current", "status"),
    (_with(status=None), "empty-value", "status"),
    (_with(foo=1), "structure", "foo"),
    (_with(resource_type="Patient"), "not-fhir", ""),
    (_with(date="yesterday"), "structure", "date"),
    (_with(date=20260612), "structure", "date"),
    (_with(description=[]), "empty-value", "description"),
    (_with(type='{"coding":[{"system":"http://loinc.org","code":"11502-2"}]}'), "structure", "type"),
    (_without("type"), "type-missing", "type.coding"),
    (_with(type={"coding": [{"system": "https://a.example", "code": "1"}]}), "type-missing", "type.coding"),
    (
        _with(type={"coding": [{"system": LOINC, "code": "11502-2"}, {"system": LOINC, "code": "11488-4"}]}),
        "type-ambiguous",
        "type.coding",
    ),
    (_with(type={"coding": [{"system": LOINC, "code": "1" * 65}]}), "value-too-long", "type.coding"),
    (_with(category=[{"coding": [{"code": "1" * 65}]}]), "value-too-long", "category.coding"),
    (_with(masterIdentifier={"value": "1" * 257}), "value-too-long", "masterIdentifier"),
    (_without("masterIdentifier"), "master-identifier-missing", "masterIdentifier"),
    (_without("subject"), "subject-missing", "subject"),
    (_with(subject={"reference": "Patient/123"}), "subject-missing", "subject"),
    (_with(subject={"reference": "Patient?identifier=123"}), "subject-missing", "subject"),
    (
        _with(subject={"reference": "Patient?identifier=a|1", "identifier": {"system": "a", "value": "2"}}),
        "subject-ambiguous",
        "subject",
    ),
    (_with(author=[{"reference": "#nobody"}]), "reference-dangling", "author[0].reference"),
    (_with(contained=[{"resourceType": "Nonsense"}]), "structure", "contained"),
    (_with(contained=[{"id": "author"}]), "structure", "contained[0]"),
    (_with(relatesTo=[{"code": "replaces", "target": {"reference": "a"}}]), "replace-unsupported", "relatesTo[0].code"),
    (
        _with(securityLabel=[{"coding": [{"system": VISIBILITY, "code": "SECRET"}]}]),
        "security-label-unknown",
        "securityLabel[0]",
    ),
    (_with(securityLabel=[{"coding": [{"code": "MASQUE_PS"}]}]), "security-label-unknown", "securityLabel[0]"),
    (_with(securityLabel=[{"text": "masqué"}]), "security-label-unknown", "securityLabel[0]"),
    (
        _with(
            securityLabel=[
                {"coding": [{"system": VISIBILITY, "code": code} for code in ("MASQUE_PS", "INVISIBLE_PATIENT")]}
            ]
        ),
        "labels-exclusive",
        "securityLabel",
    ),
    (_with(context={"period": {"start": "2026-02", "end": "2026-01"}}), "period-reversed", "context.period"),
    (_with(content=[]), "empty-value", "content"),
    (_without("content"), "structure", "content"),
    (lambda it: it["content"].append(it["content"][0]), "one-content", "content"),
    (lambda it: it["content"][0]["attachment"].pop("data"), "data-missing", "@data"),
    (_attachment_with(data=""), "empty-value", "@data"),
    (_attachment_with(data=["x"]), "structure", "@data"),
    (_attachment_with(data="    "), "data-missing", "@data"),
    (_attachment_with(data="!!!!"), "not-base64", "@data"),
    (_attachment_with(data="QUJD="), "not-base64", "@data"),
    (_attachment_with(data="QUI"), "not-base64", "@data"),
    (_attachment_with(data="é" * 4), "not-base64", "@data"),
    (_attachment_with(size=1), "size-mismatch", "@size"),
    (_attachment_with(size=str(len(PDF))), "structure", "@size"),
    (_attachment_with(size=True), "structure", "@size"),
    (_attachment_with(hash="A/hMRrv6Y15BjSM8kMLidrz+mHc="), "hash-mismatch", "@hash"),
    (_attachment_with(contentType="text/html"), "content-type-unsupported", "@contentType"),
    (lambda it: it["content"][0]["attachment"].pop("contentType"), "content-type-unsupported", "@contentType"),
    (_attachment_with(contentType="image/png"), "content-type-mismatch", "@contentType"),
    (_attachment_with(contentType="text/xml"), "xml-malformed", "@data"),
    (_with(extension=[_nested(40)]), "json-too-deep", None),
    (_with(description="x" * 200_000), "metadata-too-large", None),
    (_with(identifier=[{"value": str(n)} for n in range(30_000)]), "json-too-complex", None),
]


@pytest.mark.parametrize(
    ("change", "slug", "expression"), REFUSALS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_bad_request_has_its_own_refusal(
    change: Callable[[dict[str, Any]], object], slug: str, expression: str | None
) -> None:
    """A refusal names its kind, the element, and the way out, and repeats no INS."""
    resource = document_reference(PDF, content_type="application/pdf")
    change(resource)
    error = _refused(orjson.dumps(resource))
    whole = "" if expression is None else f"DocumentReference.{expression.replace('@', 'content[0].attachment.')}"
    assert (error.slug, error.expression) == (slug, whole.rstrip("."))
    assert error.diagnostics.endswith(".")
    assert INS not in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"NaN", b'{"resourceType": "DocumentReference"', b'{"a": "\\ud800"}']
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    """Broken JSON, other encodings and lone surrogates are refused as such."""
    assert _refused(body).slug == "not-json"


@pytest.mark.parametrize("body", [b"[]", b"3", b'"DocumentReference"', b"null"])
def test_json_that_is_no_resource_is_refused(body: bytes) -> None:
    """JSON other than an object is not FHIR."""
    assert _refused(body).slug == "not-fhir"


def test_several_errors_of_structure_come_together() -> None:
    """The caller reads every structural error at once."""
    resource = document_reference(PDF, content_type="application/pdf") | {"foo": 1, "bar": 2}
    assert {issue.expression for issue in _refused(orjson.dumps(resource)).issues} == {
        "DocumentReference.foo",
        "DocumentReference.bar",
    }


def test_a_document_has_at_most_twenty_megabytes() -> None:
    """20 MB pass, one byte more does not, and neither is decoded to find it out when it is far larger."""
    largest = PDF.ljust(MAX_CONTENT, b" ")
    assert len(_parse(document_reference(largest, content_type="application/pdf")).content) == MAX_CONTENT
    for extra in (1, 2, 1_000_000):
        error = _refused(deposit_request(largest + b" " * extra, content_type="application/pdf"))
        assert (error.kind, error.slug) == ("too-large", "content-too-large")


def test_a_cda_of_another_patient_is_refused() -> None:
    """The patient of the header must be the one that the request names; both are named by three digits."""
    error = _refused(deposit_request(laboratory_report(ins="284058832102532")))
    assert (error.slug, error.expression) == ("cda-patient-mismatch", "DocumentReference.content[0].attachment.data")
    assert "989" in error.diagnostics
    assert "284058832102532" not in error.diagnostics


def test_a_master_identifier_other_than_the_cdas_is_refused() -> None:
    """The uniqueId of a CDA is its id: stating another would make two documents of one."""
    report = laboratory_report(document_oid="2.25.7")
    assert _parse(document_reference(report, master_identifier="urn:oid:2.25.7")).master_identifier == "urn:oid:2.25.7"
    assert _refused(deposit_request(report, master_identifier="urn:oid:2.25.8")).slug == "master-identifier-mismatch"


def test_an_xml_bomb_is_refused() -> None:
    """An attachment with a DOCTYPE is refused by name."""
    assert _refused(deposit_request(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')).slug == "xml-doctype"


def test_nothing_of_a_deposit_is_printed() -> None:
    """A deposit that reaches a log shows neither content, title nor INS."""
    deposit = _parse(document_reference(PDF, content_type="application/pdf", title="CANARI"))
    assert "CANARI" not in repr(deposit)
    assert INS not in repr(deposit.patient)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.just('{"a":1}'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["status", "type", "subject", "author", "contained", "content", "context", "securityLabel", "category", "date",
         "masterIdentifier", "identifier", "relatesTo", "meta", "extension", "text", "_status", "event"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), json_values, min_size=1, max_size=3))
def test_any_json_is_a_deposit_or_a_refusal(changes: dict[str, Any]) -> None:
    """Whatever stands in the elements, the answer is a deposit or a FhirRejected, never another failure."""
    resource = document_reference(PDF, content_type="application/pdf") | changes
    try:
        _parse(resource)
    except FhirRejected:
        return


paths = st.sampled_from(
    [
        ("type", "coding"), ("type", "coding", 0), ("type", "coding", 0, "system"), ("type", "coding", 0, "code"),
        ("subject", "reference"), ("subject", "identifier"), ("author", 0), ("author", 0, "reference"),
        ("contained", 0, "identifier"), ("contained", 0, "identifier", 0), ("contained", 0, "id"),
        ("content", 0), ("content", 0, "attachment"), ("content", 0, "attachment", "contentType"),
        ("content", 0, "attachment", "hash"), ("content", 0, "attachment", "size"), ("content", 0, "format"),
        ("masterIdentifier", "value"), ("masterIdentifier", "system"), ("context", "period"), ("context", "event"),
        ("securityLabel", 0, "coding"), ("securityLabel", 0, "coding", 0),
    ]
)  # fmt: skip


@given(paths, json_values)
def test_any_json_inside_an_element_is_a_deposit_or_a_refusal(path: tuple[str | int, ...], value: Any) -> None:
    """The same, one level or more inside an otherwise valid DocumentReference."""
    resource = document_reference(PDF, content_type="application/pdf", labels=((VISIBILITY, "MASQUE_PS"),))
    resource["context"] = {"period": {"start": "2026"}}
    node: Any = resource
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    try:
        _parse(resource)
    except FhirRejected:
        return
