"""Documents: what the record holds, as ciphertext, and FHIR for those who may see it."""
