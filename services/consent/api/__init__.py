"""Consent's routes and wire models, a subject a file."""
