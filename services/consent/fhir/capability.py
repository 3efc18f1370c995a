"""The CapabilityStatement (R4 4.0.1) of consent's views: what they answer, and what they do not."""

from datetime import datetime
from typing import Final

from services.consent.fhir.systems import Json

_NOTES: Final = (
    "Views of Carnet's consent service. Consent: the patient's directives in force. AuditEvent: the record's journal, "
    "after IHE BALP's pattern of an authorisation decision, for the patient; for a professional only what that "
    "professional asked, without what came of it (EHDS, article 8). Every search and every read is itself a flow that "
    "is decided and journalled. A page has no total; its link `next` leads on, and may lead to an empty page."
)
_AGENT: Final = (
    "[system|]id of who acted (a RPPS, '8' + RPPS, or another id), of the organisation (FINESS, '1' + FINESS), "
    "or of the software."
)
_PATIENT: Final = "The token's patient: the record's id, or patient.identifier=<system>|<INS>. It may be left out."


def capability_statement(base: str, token_endpoint: str, *, version: str, date: datetime) -> Json:
    """Return the CapabilityStatement; `base` is the public base, without a path, `date` the software's."""
    patient = {"name": "patient", "type": "reference", "documentation": _PATIENT}
    agent = {"name": "agent", "type": "reference", "documentation": _AGENT}
    date_of = {"name": "date", "type": "date", "documentation": "Prefixes eq, ge, le, gt, lt, sa, eb; may be repeated."}
    status = {"name": "status", "type": "token", "documentation": "active: what is over is no Consent here."}
    interactions = [{"code": "read"}, {"code": "search-type"}]
    paging = "search-type by GET, and by POST _search. _count (200 at most); the newest first."
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date.isoformat(),
        "kind": "instance",
        "software": {"name": "Carnet consent", "version": version},
        "implementation": {"description": "Carnet", "url": f"{base}/consent/fhir"},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "documentation": _NOTES,
                "security": _security(token_endpoint),
                "resource": [
                    {"type": "Consent", "interaction": interactions, "searchParam": [patient, status]},
                    {
                        "type": "AuditEvent",
                        "interaction": interactions,
                        "documentation": paging,
                        "searchParam": [patient, agent, date_of],
                    },
                ],
            }
        ],
    }


def _security(token_endpoint: str) -> Json:
    services = {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "OAuth"}
    return {
        "service": [{"coding": [services], "text": "OAuth 2.0"}],
        "description": f"Bearer token of one record and one purpose of use, from {token_endpoint} (JWT-bearer grant).",
    }
