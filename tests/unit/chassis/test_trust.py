"""Only what leads to the pinned root, in its own role and kind and before its end, is believed."""

import json
import os
import stat
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from chassis.sealing import b64, unb64
from chassis.trust import AnnouncedKeys, Authority, InstanceIdentity, Trust, Untrusted, sign, verify

_DAY = 86_400
KEY = Ed25519PrivateKey.generate()
LATER = {"exp": 4_000_000_000}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return an authority of its own root."""
    return Authority(tmp_path / "authority")


def identity(authority: Authority, folder: Path, *, role: str = "documents", days: float = 90) -> InstanceIdentity:
    """Return a fresh instance's identity."""
    out = folder / f"{role}-{time.monotonic_ns()}.json"
    authority.instance(role=role, instance=f"{role}-1", actions=["read"], reply_partitions=[1, 2], out=out, days=days)
    return InstanceIdentity.load(out)


async def test_a_chain_up_to_the_root_is_believed(authority: Authority, tmp_path: Path) -> None:
    """Root, role and instance give the instance's name, rights and keys."""
    held = identity(authority, tmp_path)
    found = Trust(authority.root_public).certificate(held.role_certificate, held.certificate, role="documents")
    assert (found.instance, found.role) == ("documents-1", "documents")
    assert (found.actions, found.reply_partitions) == (frozenset({"read"}), frozenset({1, 2}))
    assert found.signature_key == held.signing_key.public_key()
    assert found.sealing_key == held.sealing_key.public_key()
    assert time.time() < found.expires <= time.time() + 90 * _DAY


async def test_a_foreign_root_is_not_believed(authority: Authority, tmp_path: Path) -> None:
    """A chain that is sound under another root proves nothing here."""
    held = identity(Authority(tmp_path / "other"), tmp_path)
    with pytest.raises(Untrusted):
        Trust(authority.root_public).certificate(held.role_certificate, held.certificate)


async def test_another_role_s_certificate_vouches_for_nobody(authority: Authority, tmp_path: Path) -> None:
    """An instance certificate holds under its own role's certificate only."""
    documents, consent = identity(authority, tmp_path), identity(authority, tmp_path, role="consent")
    trust = Trust(authority.root_public)
    with pytest.raises(Untrusted):
        trust.certificate(consent.role_certificate, documents.certificate)
    with pytest.raises(Untrusted, match="role"):
        trust.certificate(documents.role_certificate, documents.certificate, role="consent")


async def test_a_role_cannot_name_an_instance_of_another(authority: Authority, tmp_path: Path) -> None:
    """The role key of documents cannot make an instance of consent."""
    held = identity(authority, tmp_path)
    role_key = _key(tmp_path / "authority" / "role-documents.key")
    claims = json.loads(_body(held.certificate)) | {"role": "consent"}
    with pytest.raises(Untrusted, match="role"):
        Trust(authority.root_public).certificate(held.role_certificate, sign(claims, role_key, "carnet-instance+jws"))


async def test_an_instance_cannot_vouch(authority: Authority, tmp_path: Path) -> None:
    """A certificate signed by an instance, or handed in as a role's, is not believed."""
    held, trust = identity(authority, tmp_path), Trust(authority.root_public)
    forged = sign(json.loads(_body(held.certificate)), held.signing_key, "carnet-instance+jws")
    for role_certificate, certificate in (
        (held.role_certificate, forged),
        (held.certificate, held.certificate),
        (held.role_certificate, held.role_certificate),
    ):
        with pytest.raises(Untrusted):
            trust.certificate(role_certificate, certificate)


async def test_an_expired_certificate_is_not_believed(authority: Authority, tmp_path: Path) -> None:
    """A certificate past its end is refused, whether it is read first or remembered."""
    trust = Trust(authority.root_public)
    past = identity(authority, tmp_path, days=-1)
    with pytest.raises(Untrusted, match="expired"):
        trust.certificate(past.role_certificate, past.certificate)
    # Time comes in whole seconds: this one lasts less than two.
    short = identity(authority, tmp_path, days=1.5 / _DAY)
    assert trust.certificate(short.role_certificate, short.certificate)


async def test_a_remembered_certificate_ends_too(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was verified once is refused when its time is over."""
    held, trust = identity(authority, tmp_path), Trust(authority.root_public)
    trust.certificate(held.role_certificate, held.certificate)
    later = time.time() + 91 * _DAY
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Untrusted, match="expired"):
        trust.certificate(held.role_certificate, held.certificate)


async def test_a_remembered_role_ends_too(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement under a role certificate that is over is refused, although the role was verified before."""
    trust, keys = Trust(authority.root_public), _announced(authority, tmp_path)
    trust.statement(keys.role_certificate, keys.statement, "identity", "tokens")
    later = time.time() + (Authority.ROLE_DAYS + 1) * _DAY
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Untrusted, match="expired"):
        trust.statement(keys.role_certificate, keys.statement, "identity", "tokens")


async def test_an_instance_does_not_outlive_its_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a chain is the earliest end in it."""
    monkeypatch.setattr(Authority, "ROLE_DAYS", 10)
    authority = Authority(tmp_path / "authority")
    held = identity(authority, tmp_path, days=90)
    found = Trust(authority.root_public).certificate(held.role_certificate, held.certificate)
    assert found.expires <= time.time() + 10 * _DAY


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "none", "typ": "t"},
        {"alg": "HS256", "typ": "t"},
        {"alg": "EdDSA", "typ": "t"},
        {"alg": "Ed25519", "typ": "other"},
        {"alg": "Ed25519"},
        {"alg": "Ed25519", "typ": "t", "crit": ["exp"]},
        {"alg": "Ed25519", "typ": "t", "jwk": {}},
        [],
        "t",
    ],
)
async def test_another_header_is_not_believed(head: Any) -> None:
    """Algorithm and type are pinned, and a header says nothing else, even under a good signature."""
    with pytest.raises(Untrusted, match="header"):
        verify(_signed(head, LATER), KEY.public_key(), "t")


@pytest.mark.parametrize("claims", [{}, {"exp": None}, {"exp": "soon"}, {"exp": [1]}, [], "x", None, 1])
async def test_claims_without_an_end_are_not_believed(claims: Any) -> None:
    """`exp` is required, and is a number."""
    with pytest.raises(Untrusted):
        verify(_signed({"alg": "Ed25519", "typ": "t"}, claims), KEY.public_key(), "t")


async def test_an_end_is_an_end() -> None:
    """A JWS holds before its `exp`, and not at it."""
    jws = sign({"exp": 1_000}, KEY, "t")
    assert verify(jws, KEY.public_key(), "t", now=999.9)["exp"] == 1_000
    with pytest.raises(Untrusted, match="expired"):
        verify(jws, KEY.public_key(), "t", now=1_000)


@given(at=st.integers(min_value=0), letter=st.characters())
def test_no_changed_jws_is_believed(at: int, letter: str) -> None:
    """A JWS with any character replaced by any other raises Untrusted, and nothing else."""
    jws = sign(LATER | {"role": "consent"}, KEY, "t")
    place = at % len(jws)
    changed = jws[:place] + letter + jws[place + 1 :]
    if changed == jws:
        return
    with pytest.raises(Untrusted):
        verify(changed, KEY.public_key(), "t")


@given(jws=st.text(alphabet="ab.-_{}=\x00\u00e9\ud800", max_size=20))
def test_garbage_is_not_believed(jws: str) -> None:
    """Whatever it is, it is Untrusted."""
    with pytest.raises(Untrusted):
        verify(jws, KEY.public_key(), "t")


@pytest.mark.parametrize(
    ("role", "use"), [("consent", "tokens"), ("identity", "sealing"), ("consent", "sealing"), ("documents", "tokens")]
)
async def test_a_statement_is_for_its_role_and_use(authority: Authority, tmp_path: Path, role: str, use: str) -> None:
    """Identity's token keys are nobody else's, and nothing else's."""
    keys, trust = _announced(authority, tmp_path), Trust(authority.root_public)
    assert trust.statement(keys.role_certificate, keys.statement, "identity", "tokens").version == 1
    with pytest.raises(Untrusted, match="role"):
        trust.statement(keys.role_certificate, keys.statement, role, use)


async def test_an_instance_certificate_is_no_statement(authority: Authority, tmp_path: Path) -> None:
    """The type keeps one kind of JWS from passing for another."""
    held = identity(authority, tmp_path, role="identity")
    with pytest.raises(Untrusted, match="header"):
        Trust(authority.root_public).statement(held.role_certificate, held.certificate, "identity", "tokens")


async def test_rotation_raises_the_version_and_keeps_the_key_before(authority: Authority, tmp_path: Path) -> None:
    """The newest key comes first, the one before stays, older ones go, and each has its own id."""
    out, trust = tmp_path / "consent.json", Trust(authority.root_public)
    seen: list[AnnouncedKeys] = []
    for rotate in (False, True, True):
        authority.consent_keys(out=out, rotate=rotate)
        seen.append(AnnouncedKeys.load(out))
    said = [trust.statement(each.role_certificate, each.statement, "consent", "sealing") for each in seen]
    assert [each.version for each in said] == [1, 2, 3]
    assert [[key["kid"] for key in each.keys] for each in said] == [
        ["consent-1"],
        ["consent-2", "consent-1"],
        ["consent-3", "consent-2"],
    ]
    assert seen[2].private[1] == seen[1].private[0]
    assert [kid for kid, _ in seen[2].private] == [key["kid"] for key in seen[2].public]


async def test_a_statement_holds_no_private_key(authority: Authority, tmp_path: Path) -> None:
    """What is announced has no `d`, and quotes no private key."""
    keys = _announced(authority, tmp_path)
    said = _body(keys.statement)
    assert all("d" not in key for key in json.loads(said)["keys"])
    assert b64(keys.private[0][1]) not in said


async def test_what_stands_is_left_as_it_is(authority: Authority, tmp_path: Path) -> None:
    """Asking again for the same writes nothing: keys, certificates and the root stay."""
    first = _all(authority, tmp_path)
    assert _all(authority, tmp_path) == first
    assert _all(Authority(tmp_path / "authority"), tmp_path) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: asked | {"actions": ["read", "list"]},
        lambda asked: asked | {"reply_partitions": [9]},
        lambda asked: asked | {"instance": "documents-2"},
    ],
)
async def test_another_right_makes_another_certificate(
    authority: Authority, tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """An instance whose rights changed gets fresh keys and a new certificate."""
    out = tmp_path / "documents.json"
    asked: dict[str, Any] = {
        "role": "documents", "instance": "documents-1", "actions": ["read"], "reply_partitions": [1]
    }  # fmt: skip
    authority.instance(**asked, out=out)
    before = out.read_text(encoding="utf-8")
    authority.instance(**change(asked), out=out)
    assert out.read_text(encoding="utf-8") != before


async def test_what_is_about_to_expire_is_renewed(authority: Authority, tmp_path: Path) -> None:
    """A certificate with less than a week left is replaced."""
    out = tmp_path / "documents.json"
    for days, renewed in ((6.0, True), (90.0, True), (90.0, False)):
        before = out.read_text(encoding="utf-8") if out.exists() else ""
        authority.instance(
            role="documents", instance="documents-1", actions=[], reply_partitions=[], out=out, days=days
        )
        assert (out.read_text(encoding="utf-8") != before) is renewed


async def test_secrets_are_their_owner_s_alone(authority: Authority, tmp_path: Path) -> None:
    """Every file is 0600 and the authority's folder 0700, whatever the umask; no draft is left behind."""
    before = os.umask(0)
    try:
        _all(authority, tmp_path)
        fresh = Authority(tmp_path / "fresh")
        fresh.role_certificate("identity")
    finally:
        os.umask(before)
    files = _files(tmp_path)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o700
    assert [file.name for file in files if file.suffix == ".new"] == []


def _announced(authority: Authority, folder: Path) -> AnnouncedKeys:
    authority.token_keys(out=folder / "tokens.json")
    return AnnouncedKeys.load(folder / "tokens.json")


def _all(authority: Authority, folder: Path) -> dict[str, str]:
    authority.instance(
        role="documents", instance="documents-1", actions=["read"], reply_partitions=[1], out=folder / "documents.json"
    )
    authority.token_keys(out=folder / "tokens.json")
    authority.consent_keys(out=folder / "sealing.json")
    return {str(file): file.read_text(encoding="utf-8") for file in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def _key(path: Path) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(unb64(path.read_text(encoding="utf-8")))


def _body(jws: str) -> str:
    return unb64(jws.split(".")[1]).decode()


def _signed(head: Any, claims: Any) -> str:
    parts = [urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode() for part in (head, claims)]
    signed = ".".join(parts)
    return f"{signed}.{b64(KEY.sign(signed.encode()))}"
