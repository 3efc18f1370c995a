"""Consent: may this flow happen? The journal, the directives, the public rules, the decisions, the keys."""
