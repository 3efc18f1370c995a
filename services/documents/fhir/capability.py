"""The CapabilityStatement (R4 4.0.1): what this server does, and what it does not."""

from datetime import datetime
from typing import Any

import orjson

from services.documents.fhir.dates import instant
from services.documents.fhir.queries import DATE_PARAMETERS, TOKEN_PARAMETERS

_NOTES = (
    "DocumentReference server of Carnet (IHE MHD 4.2, PDSm: ITI-67, ITI-68, ITI-105). Every flow is decided by the "
    "consent service: what is hidden, blocked or absent looks the same. Input is checked with R4B models (for "
    "DocumentReference their elements are those of R4 4.0.1); answers are the stored JSON, unchanged but for id, meta, "
    "attachment.url, size and hash, and securityLabel where it was changed since. relatesTo.code = replaces is refused "
    "for now."
)
_DOCUMENTATION = (
    "search-type by GET, and by POST _search; _count, _sort=date|-date. patch (TD3.3a, b): FHIRPath Patch, of "
    "securityLabel only, by the document's depositor; INVISIBLE_PATIENT is taken away only, "
    "INVISIBLE_REPRESENTANTS_LEGAUX is neither put on nor taken away, and N, R or V stay. It makes no new version: "
    "labels are no part of what was deposited."
)


def capability_statement(base: str, token_endpoint: str, *, version: str, date: datetime) -> bytes:
    """Return the CapabilityStatement (JSON); `base` is the public base, without `/fhir`, `date` the software's."""
    parameters: list[dict[str, Any]] = [
        {
            "name": "patient.identifier",
            "type": "token",
            "documentation": "<system>|<INS>, the token's patient. Also patient:identifier and subject:identifier.",
        },
        *({"name": name, "type": "token"} for name in TOKEN_PARAMETERS),
        *({"name": name, "type": "date"} for name in DATE_PARAMETERS),
    ]
    return orjson.dumps(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": instant(date),
            "kind": "instance",
            "software": {"name": "Carnet documents", "version": version},
            "implementation": {"description": "Carnet", "url": f"{base}/fhir"},
            "fhirVersion": "4.0.1",
            "format": ["application/fhir+json"],
            "rest": [
                {
                    "mode": "server",
                    "documentation": _NOTES,
                    "security": _security(token_endpoint),
                    "resource": [
                        {
                            "type": "DocumentReference",
                            "versioning": "versioned",
                            "interaction": [
                                {"code": "create"},
                                {"code": "read"},
                                {"code": "patch"},
                                {"code": "search-type"},
                            ],
                            "documentation": _DOCUMENTATION,
                            "searchParam": parameters,
                        },
                        {
                            "type": "Binary",
                            "interaction": [{"code": "read"}],
                            "documentation": "Native bytes, or a Binary when application/fhir+json is asked for.",
                        },
                    ],
                }
            ],
        }
    )


def _security(token_endpoint: str) -> dict[str, Any]:
    return {
        "service": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "OAuth"}
                ],
                "text": "OAuth 2.0",
            }
        ],
        "description": "Bearer token of one record and one purpose of use (private_key_jwt, JWT-bearer grant).",
        "extension": [
            {
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": [{"url": "token", "valueUri": token_endpoint}],
            }
        ],
    }
