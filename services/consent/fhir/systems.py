"""Code systems and identifiers under one name each, and the small shapes that every resource is made of."""

from datetime import UTC, datetime
from typing import Any, Final

_OURS: Final = "https://carnet.example/fhir"
PROBLEM: Final = f"{_OURS}/CodeSystem/problem"
DIRECTIVE: Final = f"{_OURS}/CodeSystem/directive"
ACTION: Final = f"{_OURS}/CodeSystem/action"
ENTRY: Final = f"{_OURS}/CodeSystem/entry"
PURPOSE: Final = f"{_OURS}/CodeSystem/purpose"
TOPIC: Final = f"{_OURS}/CodeSystem/prevention-topic"
RULE: Final = f"{_OURS}/CodeSystem/rule"
RECORD: Final = f"{_OURS}/NamingSystem/record"
APPLICATION: Final = f"{_OURS}/NamingSystem/application"
SERVICE: Final = f"{_OURS}/NamingSystem/service"
EPISODE: Final = f"{_OURS}/NamingSystem/episode"
LOINC: Final = "http://loinc.org"
TRE_A05: Final = "https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
PROFESSION: Final = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
PERSON: Final = "urn:oid:1.2.250.1.71.4.2.1"  # national ids of professionals: "8" + RPPS
STRUCTURE: Final = "urn:oid:1.2.250.1.71.4.2.2"  # national ids of structures: "1" + FINESS
ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_FINESS_DIGITS: Final = 9
# HL7 v3 PurposeOfUse; what is not of it is a local code.
_HL7_PURPOSES: Final = frozenset(
    {"TREAT", "ETREAT", "BTG", "PATRQT", "COVERAGE", "HPAYMT", "CLMATTCH", "HMARKT", "PATADMIN"}
)

Json = dict[str, Any]


def coding(system: str, code: str, display: str | None = None) -> Json:
    """Return a Coding."""
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(*codings: Json, text: str | None = None) -> Json:
    """Return a CodeableConcept."""
    return {"coding": list(codings)} | ({"text": text} if text else {})


def logical(kind: str, system: str, value: str, display: str | None = None) -> Json:
    """Return a Reference by identifier: what it names stands on no server of ours."""
    named = {"type": kind, "identifier": {"system": system, "value": value}}
    return named | ({"display": display} if display else {})


def patient(record: str) -> Json:
    """Return the Reference to the person of a record: by the record's id, never by the INS."""
    return logical("Patient", RECORD, record)


def professional(national_id: str, display: str | None = None) -> Json:
    """Return the Reference to a professional."""
    return logical("Practitioner", PERSON, national_id, display)


def profession(code: str) -> Json:
    """Return the Reference to whoever has a profession."""
    return logical("PractitionerRole", PROFESSION, code)


def structure(finess: str, display: str | None = None) -> Json:
    """Return the Reference to an organisation."""
    return logical("Organization", STRUCTURE, f"1{finess}" if len(finess) == _FINESS_DIGITS else finess, display)


def document(base: str, record: str, name: str) -> Json:
    """Return the Reference to a document, as documents' own FHIR interface names it."""
    return {"reference": f"{base}/fhir/DocumentReference/{record}-{name}", "type": "DocumentReference"}


def document_type(code: str) -> Json:
    """Return the Coding of a document's type: LOINC codes have a check digit behind a hyphen."""
    head, hyphen, check = code.partition("-")
    return coding(LOINC if hyphen and head.isdigit() and check.isdigit() else TRE_A05, code)


def purpose(code: str) -> Json:
    """Return the Coding of a purpose of use."""
    return coding(ACT_REASON if code in _HL7_PURPOSES else PURPOSE, code)


def instant(milliseconds: int) -> str:
    """Return a time (Unix, ms) as a FHIR instant in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
