"""Synthetic samples: a CDA R2 laboratory report and the ITI-105 DocumentReference that deposits it. Nobody is real."""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any, Final
from uuid import uuid4
from xml.sax.saxutils import escape, quoteattr

import orjson

SYSTEM_OID: Final = "1.2.250.1.213.1.4.10"
INS: Final = "279035121518989"
# Luhn holds: see tests/unit/documents/test_systems.py
RPPS: Final = "01234567897"
LOINC: Final = "http://loinc.org"
_CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_VISIBILITY: Final = (
    "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
)
_LABEL: Final = "DocumentReference.securityLabel"

_REPORT: Final = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <realmCode code="FR"/>
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <templateId root="2.16.840.1.113883.2.8.2.1"/>
  <id {identifier}/>
  <code code={type_code} codeSystem="2.16.840.1.113883.6.1" displayName="CR d'examens biologiques"/>
  <title>{title}</title>
  <effectiveTime value={effective}/>
  <confidentialityCode code={confidentiality} codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="fr-FR"/>
  <setId root="2.25.1"/>
  <versionNumber value="1"/>
  <recordTarget><patientRole>
    <id root={system} extension={ins}/>
    <patient>
      <name><family qualifier="BR">{family}</family><given>{given}</given><given qualifier="BR">{given}</given></name>
      <administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>
      <birthTime value="19790328"/>
      <birthplace><place><addr><county>51215</county></addr></place></birthplace>
    </patient>
  </patientRole></recordTarget>
  <author>
    <time value={effective}/>
    <assignedAuthor>
      <id root="1.2.250.1.71.4.2.1" extension={author}/>
      <code code="G15_10/SM03" codeSystem="1.2.250.1.213.1.1.4.5" displayName="Biologie médicale"/>
      <assignedPerson><name><prefix>M</prefix><given>Alix</given><family>{author_family}</family></name></assignedPerson>
      <representedOrganization>
        <id root="1.2.250.1.71.4.2.2" extension="1120459876"/><name>Laboratoire inventé</name>
      </representedOrganization>
    </assignedAuthor>
  </author>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="1.2.250.1.71.4.2.2" extension="1120459876"/><name>Laboratoire inventé</name>
  </representedCustodianOrganization></assignedCustodian></custodian>
  <documentationOf><serviceEvent>
    <code code="18719-5" codeSystem="2.16.840.1.113883.6.1" displayName="Biochimie"/>
    <effectiveTime><low value={effective}/><high value={effective}/></effectiveTime>
  </serviceEvent></documentationOf>
  <component><structuredBody><component><section>
    <text>{body}</text>
  </section></component></structuredBody></component>
</ClinicalDocument>
"""


def laboratory_report(
    *,
    ins: str = INS,
    system_oid: str = SYSTEM_OID,
    rpps: str = RPPS,
    title: str = "Compte rendu d'examens biologiques",
    body: str = "TSH 2,1 mUI/L",
    document_oid: str | None = None,
    type_code: str = "11502-2",
    confidentiality: str = "N",
    family: str = "PAT-SYNTHETIQUE",
    given: str = "CAMILLE",
    author_family: str = "BIOLOGISTE",
    effective: str = "20260612100000+0200",
    size: int = 0,
) -> bytes:
    """Return a CDA R2 laboratory report (LOINC 11502-2), padded to at least `size` bytes; a fresh id unless given."""
    report = _REPORT.format(
        identifier=f"root={quoteattr(document_oid or fresh_oid())}",
        type_code=quoteattr(type_code),
        title=escape(title),
        effective=quoteattr(effective),
        confidentiality=quoteattr(confidentiality),
        system=quoteattr(system_oid),
        ins=quoteattr(ins),
        family=escape(family),
        given=escape(given),
        author=quoteattr(f"8{rpps}"),
        author_family=escape(author_family),
        body=escape(body),
    )
    padding = max(0, size - len(report.encode()) - len("<!--  -->"))
    return report.replace("</section>", f"<!-- {'x' * padding} --></section>" if padding else "</section>").encode()


def fresh_oid() -> str:
    """Return a new OID under 2.25 (the UUIDs' own arc, ITU-T X.667)."""
    return f"2.25.{uuid4().int}"


def document_reference(
    content: bytes,
    *,
    content_type: str = "application/xml",
    ins: str = INS,
    system_oid: str = SYSTEM_OID,
    rpps: str = RPPS,
    title: str = "Compte rendu d'examens biologiques",
    type_code: str = "11502-2",
    type_system: str = LOINC,
    labels: tuple[tuple[str, str], ...] = (),
    master_identifier: str | None = None,
    date: str | None = "2026-06-12T10:05:00+02:00",
) -> dict[str, Any]:
    """Return an ITI-105 DocumentReference (PDSm simplified publish); `labels` are (system, code) pairs."""
    resource: dict[str, Any] = {
        "resourceType": "DocumentReference",
        "contained": [
            {
                "resourceType": "Practitioner",
                "id": "author",
                "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": f"8{rpps}"}],
            }
        ],
        "status": "current",
        "type": {"coding": [{"system": type_system, "code": type_code}]},
        "subject": {"reference": f"Patient?identifier=urn:oid:{system_oid}|{ins}"},
        "author": [{"reference": "#author"}],
        "content": [{"attachment": {"contentType": content_type, "data": b64encode(content).decode(), "title": title}}],
    }
    if date is not None:
        resource["date"] = date
    if labels:
        resource["securityLabel"] = [{"coding": [{"system": system, "code": code}]} for system, code in labels]
    if master_identifier is None and content_type not in ("application/xml", "text/xml"):
        master_identifier = f"urn:oid:{fresh_oid()}"
    if master_identifier is not None:
        resource["masterIdentifier"] = {"system": "urn:ietf:rfc:3986", "value": master_identifier}
    return resource


def deposit_request(content: bytes, **variations: Any) -> bytes:
    """Return the body of an ITI-105 request; see `document_reference` for what may vary."""
    return orjson.dumps(document_reference(content, **variations))


def label_patch(*, adds: Iterable[str] = (), removes: Iterable[str] = (), only: str | None = None) -> bytes:
    """Return a FHIRPath Patch (PDSm TD3.3a, b) of labels: some added, some removed; or `only` one (N: none) left."""
    operations = [
        *(_operation("delete", f"{_LABEL}.where(coding.code='{code}')") for code in removes),
        *(_operation("add", "DocumentReference", code, name="securityLabel") for code in adds),
        *([_operation("replace", _LABEL, only)] if only else []),
    ]
    return orjson.dumps({"resourceType": "Parameters", "parameter": operations})


def _operation(kind: str, path: str, label: str | None = None, *, name: str | None = None) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    if name is not None:
        parts.append({"name": "name", "valueString": name})
    if label is not None:
        coding = {"system": _CONFIDENTIALITY if label == "N" else _VISIBILITY, "code": label}
        parts.append({"name": "value", "valueCodeableConcept": {"coding": [coding]}})
    return {"name": "operation", "part": parts}
