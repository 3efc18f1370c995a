"""The synthetic samples, which the local stack's story deposits too: see deploy/local/synthetic.py."""

from deploy.local.synthetic import (
    INS,
    LOINC,
    RPPS,
    SYSTEM_OID,
    deposit_request,
    document_reference,
    fresh_oid,
    label_patch,
    laboratory_report,
)

__all__ = [
    "INS",
    "LOINC",
    "RPPS",
    "SYSTEM_OID",
    "deposit_request",
    "document_reference",
    "fresh_oid",
    "label_patch",
    "laboratory_report",
]
