"""Sealing bytes: AES-256-GCM under canonical associated data, HPKE to a key (RFC 9180), HKDF sub-keys (RFC 5869)."""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES = 32
NONCE_BYTES = 12
# Whatever has more than one way to be written (a date, a number's subclass) is refused.
_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Unsealable(ValueError):
    """The bytes were not sealed to this key, or not in this context."""


def canonical(value: Any) -> bytes:
    """Return the canonical JSON (RFC 8785) of texts, integers below 2^53, booleans, lists, objects with ASCII names.

    No floats: here a number is a count or a time, and their form is the one hard part of the RFC. A test holds this
    against the RFC's own library, which takes forty times as long.
    """
    return orjson.dumps(value, option=_CANONICAL)


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Read base64url without padding; raise ValueError when it is anything else."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64(data) != text:
        raise ValueError("not canonical base64url")
    return data


def digest(data: bytes) -> str:
    """Return SHA-256 in base64url, 43 characters."""
    return b64(sha256(data).digest())


def new_key() -> bytes:
    """Return 32 random bytes."""
    return os.urandom(KEY_BYTES)


def derive(key: bytes, label: str) -> bytes:
    """Return the sub-key of a uniformly random key for one use (HKDF-Expand, `info` = label)."""
    return HKDFExpand(hashes.SHA256(), KEY_BYTES, label.encode()).derive(key)


def encrypt(key: bytes, clear: bytes, context: dict[str, Any]) -> bytes:
    """Return nonce || ciphertext || tag; the context is authenticated, and a fresh nonce is drawn at every call."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, clear, canonical(context))


def decrypt(key: bytes, sealed: bytes, context: dict[str, Any]) -> bytes:
    """Return the clear bytes; raise Unsealable when key, bytes or context are not those of `encrypt`."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], canonical(context))
    except (InvalidTag, ValueError) as error:
        raise Unsealable(type(error).__name__) from None


def seal_to(public_key: X25519PublicKey, clear: bytes, info: bytes) -> bytes:
    """Seal to the holder of a key (HPKE base mode)."""
    return bytes(_SUITE.encrypt(clear, public_key, info=info))


def unseal(private_key: X25519PrivateKey, sealed: bytes, info: bytes) -> bytes:
    """Open what was sealed to this key under this `info`; raise Unsealable."""
    try:
        return bytes(_SUITE.decrypt(sealed, private_key, info=info))
    except (InvalidTag, ValueError) as error:
        raise Unsealable(type(error).__name__) from None
