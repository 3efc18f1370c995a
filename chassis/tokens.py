"""Access tokens (RFC 9068 in spirit): one actor, one record, one purpose, five minutes; pinned algorithm."""

import time
from hashlib import sha256
from typing import Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization, OKPKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from chassis.sealing import b64, digest

AUDIENCE = "carnet"
LIFETIME_SECONDS = 300
# The record of a token that names nobody: good for what is about every record, where a route says so, and nowhere else.
EVERY_RECORD = "public"
EMERGENCY_PURPOSES = frozenset({"BTG", "ETREAT"})
_ALGORITHMS = ["Ed25519"]
_CLAIMS = jwt.JWTClaimsRegistry(
    leeway=0,
    exp={"essential": True},
    aud={"essential": True, "value": AUDIENCE},
    iss={"essential": True, "value": "carnet-identity"},
)
_CACHED = 20_000


class TokenRefused(ValueError):
    """A token that may not be believed; `slug` says which check it failed."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug


class Application(BaseModel):
    """The software that asks, and the kind that the red lines judge."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    kind: str


class Organisation(BaseModel):
    """The structure for which the actor acts (FINESS)."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str


class Emergency(BaseModel):
    """Why a professional goes past the authorisation: a code of identity's list, and what they wrote themselves."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(min_length=1)
    text: str = Field(min_length=1)


class Representative(BaseModel):
    """Who acts for the person whom the record is about: the record of the holder, and what makes them one."""

    model_config = ConfigDict(frozen=True)

    holder: str
    role: str


class AccessToken(BaseModel):
    """What identity says of the bearer. `actor` is who acts: the patient, a professional, or an application alone.

    A representative acts in the patient's place: `record` and `patient` are the represented person's, `sub` and `name`
    the holder's. Claims that do not agree are refused: whoever reads only one of two would allow too much.
    """

    model_config = ConfigDict(frozen=True)

    sub: str
    actor: Literal["patient", "professional", "application", "representative"]
    name: str
    profession: str | None = None
    organisation: Organisation | None = None
    application: Application
    purpose: str
    record: str
    patient: str = Field(description="SHA-256(system|INS|record): `patient_digest`. Empty exactly for EVERY_RECORD.")
    auth_time: int
    iat: int
    exp: int
    jti: str
    emergency: Emergency | None = Field(default=None, description="Exactly with the purposes BTG and ETREAT.")
    representative: Representative | None = Field(default=None, description="Exactly with the actor of that name.")
    secret: bool = Field(default=False, description="A professional's consultation in secret of a minor (L.1111-5).")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.emergency is not None) is not (self.purpose in EMERGENCY_PURPOSES):
            raise ValueError("a reason stands exactly with the purposes of an emergency")
        if self.emergency is not None and self.actor != "professional":
            raise ValueError("an emergency is a professional's")
        if (self.representative is not None) is not (self.actor == "representative"):
            raise ValueError("'representative' stands exactly with the actor of that name")
        if self.representative is not None and self.purpose != "PATRQT":
            raise ValueError("a representative acts at the patient's request")
        if self.secret and (self.actor, self.purpose) != ("professional", "TREAT"):
            raise ValueError("a secret consultation is a professional's, who treats")
        return self

    @model_validator(mode="after")
    def _is_of_somebody(self) -> Self:
        every = self.record == EVERY_RECORD
        if every is not (self.patient == ""):
            raise ValueError("a token names a record and its patient, or neither")
        if every and (self.actor, self.purpose, self.secret) != ("professional", "TREAT", False):
            raise ValueError("a token of every record is a professional's, in the open")
        return self


def patient_digest(system: str, ins: str, record: str) -> str:
    """Return the claim that lets documents compare an INS without having a table of them."""
    return digest(f"{system}|{ins}|{record}".encode())


def signing_jwk(kid: str, private: bytes) -> OKPKey:
    """Return the key that signs tokens, from its raw private bytes."""
    public = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "kid": kid, "d": b64(private), "x": b64(public)})


def issue(token: AccessToken, key: OKPKey) -> str:
    """Sign an access token (JWT, `typ` at+jwt)."""
    claims = token.model_dump(exclude_none=True) | {"iss": "carnet-identity", "aud": AUDIENCE}
    return jwt.encode({"alg": "Ed25519", "typ": "at+jwt", "kid": key.kid}, claims, key, algorithms=_ALGORITHMS)


class TokenVerifier:
    """Verifies access tokens against the announced keys; a token verified once is remembered until it expires."""

    def __init__(self) -> None:
        self._keys = KeySet([])
        self._known: dict[bytes, AccessToken] = {}

    def use(self, jwks: KeySetSerialization) -> None:
        """Believe these keys from now on, and forget what others signed."""
        self._keys = KeySet.import_key_set(jwks)
        self._known.clear()

    def verify(self, token: str, *, every_record: bool = False) -> AccessToken:
        """Return the claims; raise TokenRefused: malformed, foreign, expired, or not for us.

        A token of every record is for nobody who does not ask for it by `every_record`.
        """
        name = sha256(token.encode()).digest()
        known = self._known.get(name)
        if known is None:
            known = self._read(token)
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[name] = known
        if known.exp <= time.time():
            raise TokenRefused("token-expired")
        if known.record == EVERY_RECORD and not every_record:
            raise TokenRefused("token-of-every-record")
        return known

    def _read(self, token: str) -> AccessToken:
        try:
            read = jwt.decode(token, self._keys, algorithms=_ALGORITHMS)
        except Exception:  # noqa: BLE001 - joserfc meets odd headers (`"crit": null`) with a TypeError
            raise TokenRefused("token-foreign") from None
        if read.header.get("typ") != "at+jwt":
            raise TokenRefused("token-foreign")
        try:
            _CLAIMS.validate(read.claims)
            return AccessToken.model_validate(read.claims)
        except JoseError as error:
            raise TokenRefused("token-expired" if error.error == "expired_token" else "token-audience") from None
        except ValidationError:
            raise TokenRefused("token-malformed") from None
