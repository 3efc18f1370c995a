"""FHIR R4 as consent speaks it: directives as Consent, the journal as AuditEvent. Pure: domain values in, JSON out."""
