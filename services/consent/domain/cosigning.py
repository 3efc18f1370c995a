"""Co-signature of a bundle: k of n accredited associations sign its digest before it may be activated."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from chassis.sealing import unb64

_CONTEXT = "carnet-rules-bundle-v1:"


class NotCosigned(Exception):
    """Fewer of the keys signed than must."""


def statement(digest: str) -> bytes:
    """Return what is signed: it can be taken for the statement of nothing else."""
    return f"{_CONTEXT}{digest}".encode()


@dataclass(frozen=True, slots=True)
class Cosigning:
    """The keys whose word counts (Ed25519, base64url), and how many of them must give it; none by default."""

    keys: tuple[str, ...] = ()
    quorum: int = 0

    def signers(self, digest: str, signatures: Sequence[bytes]) -> tuple[str, ...]:
        """Return the distinct keys that signed a bundle's digest; raise NotCosigned when they are too few."""
        signed = tuple(
            key for key in dict.fromkeys(self.keys) if any(_signed(key, digest, each) for each in signatures)
        )
        if len(signed) < self.quorum:
            raise NotCosigned(f"{len(signed)} of the {self.quorum} signatures that are needed")
        return signed


def _signed(key: str, digest: str, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(unb64(key)).verify(signature, statement(digest))
    except InvalidSignature:
        return False
    return True
