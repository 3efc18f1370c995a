"""Who may be believed: an offline root certifies roles, a role certifies its instances and announces its keys.

Everything is a compact JWS (RFC 7515, `Ed25519` of RFC 9864) whose `typ` keeps one kind from passing for another.
"""

import json
import os
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from chassis.sealing import b64, unb64

_DAY = 86_400
_ROLE, _INSTANCE, _STATEMENT = "carnet-role+jws", "carnet-instance+jws", "carnet-statement+jws"
_CACHED = 4_096


class Untrusted(ValueError):
    """A signature, a certificate or a statement that does not lead to the pinned root, or is over."""


def sign(claims: dict[str, Any], key: Ed25519PrivateKey, typ: str) -> str:
    """Return a compact JWS over the claims."""
    head = urlsafe_b64encode(orjson.dumps({"alg": "Ed25519", "typ": typ})).rstrip(b"=")
    body = urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=")
    signed = head + b"." + body
    return f"{signed.decode()}.{b64(key.sign(signed))}"


def verify(jws: str, key: Ed25519PublicKey, typ: str, *, now: float | None = None) -> dict[str, Any]:
    """Return the claims of a JWS of this `typ` by this key; raise Untrusted when it is not, or `exp` is past."""
    try:
        signed, _, signature = jws.rpartition(".")
        head, _, body = signed.partition(".")
        header = orjson.loads(unb64(head))
        if header != {"alg": "Ed25519", "typ": typ}:
            raise Untrusted("header")
        key.verify(unb64(signature), signed.encode())
        claims = orjson.loads(unb64(body))
        if float(claims["exp"]) <= (time.time() if now is None else now):
            raise Untrusted("expired")
    except (InvalidSignature, ValueError, KeyError, TypeError) as error:
        raise error if isinstance(error, Untrusted) else Untrusted(type(error).__name__) from None
    return dict(claims)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a role's key says of one of its instances."""

    instance: str
    role: str
    actions: frozenset[str]
    reply_partitions: frozenset[int]
    signature_key: Ed25519PublicKey
    sealing_key: X25519PublicKey
    expires: float


@dataclass(frozen=True, slots=True)
class Statement:
    """The keys that a role announces for one use; of two statements the higher version holds."""

    role: str
    use: str
    version: int
    keys: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class InstanceIdentity:
    """This instance's own keys and the two certificates that vouch for them."""

    certificate: str
    role_certificate: str
    signing_key: Ed25519PrivateKey
    sealing_key: X25519PrivateKey

    @classmethod
    def load(cls, path: Path) -> "InstanceIdentity":
        """Read an identity file as `Authority.instance` writes it."""
        held = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            certificate=held["certificate"],
            role_certificate=held["role_certificate"],
            signing_key=Ed25519PrivateKey.from_private_bytes(unb64(held["signature_key"])),
            sealing_key=X25519PrivateKey.from_private_bytes(unb64(held["sealing_key"])),
        )


class Trust:
    """Verifies chains up to the pinned root; what was verified once is remembered until it expires."""

    def __init__(self, root: str) -> None:
        self._root = Ed25519PublicKey.from_public_bytes(unb64(root))
        self._roles: dict[str, tuple[str, Ed25519PublicKey, float]] = {}
        self._instances: dict[tuple[str, str], Certificate] = {}

    def certificate(self, role_certificate: str, certificate: str, role: str | None = None) -> Certificate:
        """Return the instance's certificate; raise Untrusted unless root -> role -> instance holds now."""
        known = self._instances.get((role_certificate, certificate))
        if known is None:
            known = self._read(role_certificate, certificate)
            if len(self._instances) >= _CACHED:
                self._instances.clear()
            self._instances[role_certificate, certificate] = known
        if known.expires <= time.time():
            raise Untrusted("expired")
        if role is not None and known.role != role:
            raise Untrusted("role")
        return known

    def statement(self, role_certificate: str, statement: str, role: str, use: str) -> Statement:
        """Return what a role announces for one use; raise Untrusted."""
        name, key, _ = self._role(role_certificate)
        claims = verify(statement, key, _STATEMENT)
        if (name, claims.get("role"), claims.get("use")) != (role, role, use):
            raise Untrusted("role")
        return Statement(role=role, use=use, version=int(claims["version"]), keys=tuple(claims["keys"]))

    def _role(self, role_certificate: str) -> tuple[str, Ed25519PublicKey, float]:
        known = self._roles.get(role_certificate)
        if known is None:
            claims = verify(role_certificate, self._root, _ROLE)
            key = Ed25519PublicKey.from_public_bytes(unb64(claims["key"]))
            known = (str(claims["role"]), key, float(claims["exp"]))
            if len(self._roles) >= _CACHED:
                self._roles.clear()
            self._roles[role_certificate] = known
        if known[2] <= time.time():
            raise Untrusted("expired")
        return known

    def _read(self, role_certificate: str, certificate: str) -> Certificate:
        role, key, role_expires = self._role(role_certificate)
        claims = verify(certificate, key, _INSTANCE)
        if claims.get("role") != role:
            raise Untrusted("role")
        return Certificate(
            instance=str(claims["instance"]),
            role=role,
            actions=frozenset(claims["actions"]),
            reply_partitions=frozenset(claims["reply_partitions"]),
            signature_key=Ed25519PublicKey.from_public_bytes(unb64(claims["signature_key"])),
            sealing_key=X25519PublicKey.from_public_bytes(unb64(claims["sealing_key"])),
            expires=min(role_expires, float(claims["exp"])),
        )


class Authority:
    """The owner of the root and of the role keys, in a folder that services never read.

    Each method is idempotent: what stands and is not about to expire is left as it is.
    """

    ROLE_DAYS = 730
    INSTANCE_DAYS = 90

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = self._key("root")

    @property
    def root_public(self) -> str:
        """The public key that every service pins, base64url."""
        return b64(self._root.public_key().public_bytes_raw())

    def role_certificate(self, role: str) -> str:
        """Return the root's certificate over a role's key."""
        path = self._folder / f"role-{role}.jws"
        if path.exists() and _lasts(path.read_text(encoding="utf-8"), self._root.public_key(), _ROLE):
            return path.read_text(encoding="utf-8")
        key = b64(self._key(f"role-{role}").public_key().public_bytes_raw())
        claims = {"role": role, "key": key, "exp": int(time.time()) + self.ROLE_DAYS * _DAY}
        certificate = sign(claims, self._root, _ROLE)
        _write(path, certificate)
        return certificate

    def instance(
        self, *, role: str, instance: str, actions: list[str], reply_partitions: list[int], out: Path,
        days: float = INSTANCE_DAYS,
    ) -> None:  # fmt: skip
        """Write an instance's identity file: fresh keys, and the role's certificate over them."""
        role_certificate, role_key = self.role_certificate(role), self._key(f"role-{role}")
        asked = {"instance": instance, "role": role, "actions": actions, "reply_partitions": reply_partitions}
        if out.exists():
            held = json.loads(out.read_text(encoding="utf-8"))
            said = _lasts(held["certificate"], role_key.public_key(), _INSTANCE)
            if held["role_certificate"] == role_certificate and said and asked.items() <= said.items():
                return
        signing, sealing = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        claims = asked | {
            "signature_key": b64(signing.public_key().public_bytes_raw()),
            "sealing_key": b64(sealing.public_key().public_bytes_raw()),
            "exp": int(time.time() + days * _DAY),
        }
        held = {
            "certificate": sign(claims, role_key, _INSTANCE),
            "role_certificate": role_certificate,
            "signature_key": b64(signing.private_bytes_raw()),
            "sealing_key": b64(sealing.private_bytes_raw()),
        }
        _write(out, json.dumps(held, indent=1))

    def token_keys(self, *, out: Path, rotate: bool = False) -> None:
        """Write identity's token keys (Ed25519) and the statement that announces them; the newest signs."""
        private = Ed25519PrivateKey.generate()
        jwk = {"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "use": "sig",
               "x": b64(private.public_key().public_bytes_raw())}  # fmt: skip
        self._announce("identity", "tokens", jwk, private.private_bytes_raw(), out, rotate=rotate)

    def consent_keys(self, *, out: Path, rotate: bool = False) -> None:
        """Write consent's HPKE keys (X25519) and the statement that announces them; questions use the newest."""
        private = X25519PrivateKey.generate()
        jwk = {"kty": "OKP", "crv": "X25519", "use": "enc", "x": b64(private.public_key().public_bytes_raw())}
        self._announce("consent", "sealing", jwk, private.private_bytes_raw(), out, rotate=rotate)

    def _announce(
        self, role: str, use: str, jwk: dict[str, str], private: bytes, out: Path, *, rotate: bool
    ) -> None:  # fmt: skip
        held: dict[str, Any] = {"version": 0, "keys": []}
        if out.exists():
            held = json.loads(out.read_text(encoding="utf-8"))
            if not rotate:
                return
        version = held["version"] + 1
        jwk = jwk | {"kid": f"{role}-{version}"}
        # The key before the newest stays announced: what it signed or sealed is still on its way.
        keys = [{"jwk": jwk, "private": b64(private)}, *held["keys"][:1]]
        claims = {
            "role": role,
            "use": use,
            "version": version,
            "keys": [each["jwk"] for each in keys],
            "exp": int(time.time()) + self.ROLE_DAYS * _DAY,
        }
        statement = sign(claims, self._key(f"role-{role}"), _STATEMENT)
        certificate = self.role_certificate(role)
        _write(
            out,
            json.dumps({"version": version, "role_certificate": certificate, "statement": statement, "keys": keys}),
        )

    def _key(self, name: str) -> Ed25519PrivateKey:
        path = self._folder / f"{name}.key"
        if path.exists():
            return Ed25519PrivateKey.from_private_bytes(unb64(path.read_text(encoding="utf-8")))
        key = Ed25519PrivateKey.generate()
        _write(path, b64(key.private_bytes_raw()))
        return key


@dataclass(frozen=True, slots=True)
class AnnouncedKeys:
    """A role's private keys, the newest first, with the statement that announces their public halves."""

    role_certificate: str
    statement: str
    private: tuple[tuple[str, bytes], ...]
    public: tuple[dict[str, Any], ...]

    @classmethod
    def load(cls, path: Path) -> "AnnouncedKeys":
        """Read a file as `Authority.token_keys` or `Authority.consent_keys` writes it."""
        held = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            role_certificate=held["role_certificate"],
            statement=held["statement"],
            private=tuple((each["jwk"]["kid"], unb64(each["private"])) for each in held["keys"]),
            public=tuple(each["jwk"] for each in held["keys"]),
        )


def _lasts(jws: str, key: Ed25519PublicKey, typ: str) -> dict[str, Any] | None:
    """Return the claims if they hold for another week."""
    try:
        return verify(jws, key, typ, now=time.time() + 7 * _DAY)
    except Untrusted:
        return None


def _write(path: Path, text: str) -> None:
    """Write a secret whole or not at all, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
