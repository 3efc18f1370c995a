"""Co-signature: k of n distinct keys, over this digest, in this context, and nothing counts twice."""

from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from chassis.sealing import b64
from services.consent.domain.cosigning import Cosigning, NotCosigned, statement
from services.consent.settings import RulesSettings

DIGEST = "d" * 43
ASSOCIATIONS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 5)]
KEYS = tuple(b64(each.public_key().public_bytes_raw()) for each in ASSOCIATIONS)
SIGNATURES = [each.sign(statement(DIGEST)) for each in ASSOCIATIONS]


def test_nobody_need_sign_by_default() -> None:
    """Without co-signers a bundle needs no signature, and a stranger's is nobody's."""
    assert Cosigning().signers(DIGEST, []) == Cosigning().signers(DIGEST, SIGNATURES) == ()


def test_any_k_of_n_are_enough_and_fewer_are_not() -> None:
    """Whichever two of three sign, in any order, they are told; one alone, or a stranger beside one, is too few."""
    cosigning = Cosigning(KEYS[:3], 2)
    for one, other in combinations(range(3), 2):
        assert set(cosigning.signers(DIGEST, [SIGNATURES[other], SIGNATURES[one]])) == {KEYS[one], KEYS[other]}
        for signature in (SIGNATURES[one], SIGNATURES[3]):
            with pytest.raises(NotCosigned):
                cosigning.signers(DIGEST, [SIGNATURES[one], signature])
    with pytest.raises(NotCosigned):
        cosigning.signers(DIGEST, [])


def test_one_key_counts_once() -> None:
    """Neither a signature given twice nor a key that is listed twice makes two associations of one."""
    with pytest.raises(NotCosigned):
        Cosigning((KEYS[0], KEYS[0]), 2).signers(DIGEST, [SIGNATURES[0], SIGNATURES[0]])


@pytest.mark.parametrize(
    "signed",
    [
        b"",
        DIGEST.encode(),
        statement("e" * 43),
        b"carnet-rules-bundle-v2:" + DIGEST.encode(),
        statement(DIGEST) + b"\n",
    ],
)
def test_a_signature_of_anything_else_is_none(signed: bytes) -> None:
    """The bare digest, another bundle's, another version's statement or a line's end: none of them counts."""
    with pytest.raises(NotCosigned):
        Cosigning(KEYS, 1).signers(DIGEST, [ASSOCIATIONS[0].sign(signed)])


@pytest.mark.parametrize("signature", [b"", b"x" * 64, SIGNATURES[0][:-1], SIGNATURES[0] + b"\n"])
def test_what_is_no_signature_is_passed_over(signature: bytes) -> None:
    """A file of anything else neither counts nor stops those that do."""
    assert Cosigning(KEYS, 1).signers(DIGEST, [signature, SIGNATURES[1]]) == (KEYS[1],)
    with pytest.raises(NotCosigned):
        Cosigning(KEYS, 1).signers(DIGEST, [signature])


def test_settings_name_keys_and_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are separated by commas; none is the default."""
    assert RulesSettings().cosigning == Cosigning()
    monkeypatch.setenv("CARNET_CONSENT_RULES_COSIGNERS", f"{KEYS[0]}, {KEYS[1]}")
    monkeypatch.setenv("CARNET_CONSENT_RULES_QUORUM", "2")
    assert RulesSettings().cosigning == Cosigning(KEYS[:2], 2)


@pytest.mark.parametrize(
    ("cosigners", "quorum"),
    [((), 1), (KEYS[:2], 0), (KEYS[:2], 3), ((KEYS[0], KEYS[0]), 2), (("short",), 1), (("not base64!",), 1)],
)
def test_settings_that_could_never_be_met_are_refused(cosigners: tuple[str, ...], quorum: int) -> None:
    """No quorum without keys, no keys without a quorum, no quorum beyond the distinct keys, no key that is none."""
    with pytest.raises(ValidationError):
        RulesSettings(cosigners=cosigners, quorum=quorum)
