"""Tokens as identity would give them to the people of these tests, and whoever checks them."""

import time
from typing import Any
from uuid import uuid4

from chassis.tokens import AccessToken, Application, Organisation, TokenVerifier, issue, signing_jwk
from services.consent.domain.flow import Actor
from tests.unit.consent.people import RECORD

KEY = signing_jwk("identity-1", bytes(range(32)))


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def access_token(actor: Actor, *, record: str = RECORD, seconds: int = 300, key: Any = KEY, **said: Any) -> str:
    """Return the token that identity would give."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": actor.id, "actor": actor.kind, "name": actor.name, "profession": actor.profession,
        "organisation": Organisation(id=actor.organisation, name=actor.organisation_name or "")
        if actor.organisation else None,
        "application": Application(id=actor.application, name=actor.application_name, kind=actor.application_kind),
        "purpose": {"patient": "PATRQT", "professional": "TREAT"}.get(actor.kind, "COVERAGE"),
        "record": record, "patient": "" if record == "public" else "p",
        "auth_time": now, "iat": now, "exp": now + seconds, "jti": uuid4().hex,
    }  # fmt: skip
    return issue(AccessToken(**claims | said), key)


def verifier() -> TokenVerifier:
    """Return a verifier that knows identity's key."""
    knowing = TokenVerifier()
    knowing.use({"keys": [KEY.as_dict(private=False)]})
    return knowing
