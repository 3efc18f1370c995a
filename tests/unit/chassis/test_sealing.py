"""Sealing opens what was sealed, in its own context, with its own key, and nothing else."""

import hmac
from datetime import UTC, date, datetime

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import assume, given
from hypothesis import strategies as st

from chassis.sealing import (
    KEY_BYTES,
    NONCE_BYTES,
    Unsealable,
    b64,
    canonical,
    decrypt,
    derive,
    digest,
    encrypt,
    new_key,
    seal_to,
    unb64,
    unseal,
)

KEY = bytes(range(32))
CONTEXT = {"record": "r", "version": 1}


@given(clear=st.binary(max_size=500), context=st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.booleans()))
def test_what_is_encrypted_is_decrypted(clear: bytes, context: dict[str, object]) -> None:
    """The clear bytes come back under the same key and context."""
    assert decrypt(KEY, encrypt(KEY, clear, context), context) == clear


_NAMES = st.text(st.characters(max_codepoint=127), max_size=8)
_VALUES = st.recursive(
    st.text(max_size=12) | st.integers(-(2**53) + 1, 2**53 - 1) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
)


@given(value=_VALUES)
def test_canonical_is_what_rfc_8785_says(value: object) -> None:
    """The canonical form is byte for byte that of the RFC's reference library."""
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]  # its own recursive type


@pytest.mark.parametrize("value", [datetime(2026, 1, 1, tzinfo=UTC), {"at": date(2026, 1, 1)}, {1: "a"}, b"x", {"x"}])
def test_canonical_refuses_what_has_no_one_form(value: object) -> None:
    """A date, bytes, a set or a name that is no string is an error, not a guess."""
    with pytest.raises(TypeError):
        canonical(value)


async def test_the_context_is_canonical() -> None:
    """The order in which a context was written does not matter."""
    sealed = encrypt(KEY, b"x", {"a": 1, "b": 2})
    assert decrypt(KEY, sealed, {"b": 2, "a": 1}) == b"x"


@pytest.mark.parametrize("context", [{}, {"record": "r"}, {"record": "r", "version": 2}, {**CONTEXT, "more": 1}])
async def test_another_context_opens_nothing(context: dict[str, object]) -> None:
    """Bytes moved to another record, document or version stay closed."""
    with pytest.raises(Unsealable):
        decrypt(KEY, encrypt(KEY, b"x", CONTEXT), context)


async def test_another_key_opens_nothing() -> None:
    """A key opens only what it sealed."""
    with pytest.raises(Unsealable):
        decrypt(new_key(), encrypt(KEY, b"x", CONTEXT), CONTEXT)


@given(at=st.integers(0, NONCE_BYTES + 16), bit=st.integers(0, 7))
def test_a_changed_bit_opens_nothing(at: int, bit: int) -> None:
    """Nonce, ciphertext and tag are all authenticated."""
    sealed = bytearray(encrypt(KEY, b"x", CONTEXT))
    sealed[at] ^= 1 << bit
    with pytest.raises(Unsealable):
        decrypt(KEY, bytes(sealed), CONTEXT)


@given(length=st.integers(0, NONCE_BYTES + 15))
def test_cut_bytes_are_unsealable(length: int) -> None:
    """Bytes cut anywhere, even within the nonce, raise Unsealable and nothing else."""
    with pytest.raises(Unsealable):
        decrypt(KEY, encrypt(KEY, b"", CONTEXT)[:length], CONTEXT)


async def test_every_encryption_draws_a_nonce() -> None:
    """The same bytes under the same key never give the same ciphertext."""
    sealed = {encrypt(KEY, b"x", CONTEXT) for _ in range(200)}
    assert len({each[:NONCE_BYTES] for each in sealed}) == 200


async def test_new_keys_differ() -> None:
    """Keys are 32 random bytes."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {KEY_BYTES}


async def test_sub_keys_differ_by_label_and_key_and_stay() -> None:
    """A label gives one key for good, the one that RFC 5869 says; another label or another key gives another."""
    assert derive(KEY, "metadata") == derive(KEY, "metadata")
    assert len({derive(KEY, "metadata"), derive(KEY, "content"), derive(bytes(32), "content"), KEY}) == 4
    # HKDF-Expand of one block is HMAC(key, info || 0x01): stored ciphertext depends on it.
    assert derive(KEY, "content") == hmac.digest(KEY, b"content\x01", "sha256")


@given(clear=st.binary(max_size=300), info=st.binary(max_size=64))
def test_what_is_sealed_to_a_key_is_unsealed_by_it(clear: bytes, info: bytes) -> None:
    """HPKE gives the bytes back to the key's holder, under the same info."""
    private = X25519PrivateKey.generate()
    assert unseal(private, seal_to(private.public_key(), clear, info), info) == clear


async def test_a_sealed_message_opens_for_its_recipient_and_its_info_only() -> None:
    """Another key, another info, a cut or a changed message: Unsealable."""
    private = X25519PrivateKey.generate()
    sealed = seal_to(private.public_key(), b"x", b"info")
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for key, message, info in (
        (X25519PrivateKey.generate(), sealed, b"info"),
        (private, sealed, b"other"),
        (private, changed, b"info"),
        (private, sealed[:20], b"info"),
        (private, b"", b"info"),
    ):
        with pytest.raises(Unsealable):
            unseal(key, message, info)


async def test_every_sealing_is_fresh() -> None:
    """Sealing the same bytes twice shows nothing of it."""
    public = X25519PrivateKey.generate().public_key()
    assert seal_to(public, b"x", b"") != seal_to(public, b"x", b"")


@given(data=st.binary(max_size=100))
def test_base64url_round_trips_without_padding(data: bytes) -> None:
    """Base64url has no padding and neither plus nor slash."""
    text = b64(data)
    assert unb64(text) == data
    assert not set(text) & set("=+/")


@given(text=st.text(alphabet="ABab01-_+/= \n\u00e9", max_size=12))
def test_base64url_is_read_strictly(text: str) -> None:
    """A text is read only if it is the one text of its bytes: else a signature would have several spellings."""
    try:
        data = unb64(text)
    except ValueError:
        return
    assert b64(data) == text


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q Q", "QQ\n", "+w", "/w", "\u00e9\u00e9", "QQ.", "QUJ\u0000"])
async def test_other_spellings_are_refused(text: str) -> None:
    """Padding, stray bits, white space, the other alphabet: each raises ValueError."""
    with pytest.raises(ValueError, match=r"."):
        unb64(text)


async def test_the_canonical_form_is_rfc_8785() -> None:
    """Keys sort, strings stay literal: the vector of the RFC's section 3.2.2."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@given(left=st.text(max_size=10), right=st.text(max_size=10))
def test_different_values_have_different_canonical_forms(left: str, right: str) -> None:
    """No two contexts share their associated data."""
    assume(left != right)
    try:
        forms = canonical({"a": left}), canonical({"a": right})
    except UnicodeEncodeError:
        return
    assert forms[0] != forms[1]


async def test_a_digest_is_43_characters_of_sha_256() -> None:
    """The digest of nothing is the one that the RFC's readers know."""
    assert digest(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
