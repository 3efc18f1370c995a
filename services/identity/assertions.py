"""Assertions that applications sign (RFC 7523): the client's own, and the grant for a professional."""

from typing import Any

import orjson
from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import OKPKey

from services.identity.domain.links import Refused
from services.identity.domain.people import Application

MOST_SECONDS = 300
_MOST_JTI = 256
_ALGORITHMS = ["Ed25519"]
_SKEW_SECONDS = 5  # for `iat` and `nbf`, which say nothing about when it ends


def claimed_issuer(assertion: str) -> str:
    """Return who says to have signed: it only chooses the key by which that is then proved. Raise Refused."""
    try:
        issuer = orjson.loads(jws.extract_compact(assertion.encode()).payload)["iss"]
    except (JoseError, ValueError, KeyError, TypeError):
        raise Refused("assertion-malformed", "The assertion is not a signed JWT with an issuer.") from None
    if not isinstance(issuer, str):
        raise Refused("assertion-malformed", "The assertion's issuer is not a string.")
    return issuer


def read(assertion: str, application: Application, audience: str, now: float) -> dict[str, Any]:
    """Return the claims of what this application signed for this audience, not more than five minutes ahead.

    Raise Refused: a foreign signature or algorithm, another issuer or audience, expired, too long, without `jti`.
    """
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": application.key})
    try:
        claims = jwt.decode(assertion, key, algorithms=_ALGORITHMS).claims
    except (JoseError, ValueError, TypeError):
        raise Refused("assertion-foreign", "The assertion is not signed by this application's key (Ed25519).") from None
    try:
        jwt.JWTClaimsRegistry(
            now=int(now),
            leeway=_SKEW_SECONDS,
            iss={"essential": True, "value": application.client_id},
            sub={"essential": True},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            jti={"essential": True},
        ).validate(claims)
    except ExpiredTokenError:
        raise _expired() from None
    except JoseError as error:
        claim = getattr(error, "claim", None)
        if claim == "aud":
            raise Refused("assertion-audience", "The assertion's audience is not this token endpoint.") from None
        raise Refused("assertion-claims", f"The assertion's claim {claim!r} is missing or wrong.") from None
    # The skew above is not for the end.
    if claims["exp"] <= now:
        raise _expired()
    if claims["exp"] > now + MOST_SECONDS:
        raise Refused("assertion-too-long", f"The assertion expires more than {MOST_SECONDS} s ahead.")
    if not 0 < len(claims["jti"]) <= _MOST_JTI:
        raise Refused("assertion-claims", f"The assertion's jti has 1 to {_MOST_JTI} characters.")
    return claims


def text(claims: dict[str, Any], name: str, default: str | None = None) -> str:
    """Return a claim that must be a string; raise Refused."""
    value = claims.get(name, default)
    if not isinstance(value, str) or not value:
        raise Refused("assertion-claims", f"The assertion's claim '{name}' is missing or not a string.")
    return value


def _expired() -> Refused:
    return Refused("assertion-expired", "The assertion has expired.")
