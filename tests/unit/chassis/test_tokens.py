"""A token is believed for what identity signed: this actor, this record, now, for Carnet."""

import time
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from chassis.sealing import b64, unb64
from chassis.tokens import (
    AUDIENCE,
    AccessToken,
    Application,
    Emergency,
    Organisation,
    Representative,
    TokenRefused,
    TokenVerifier,
    issue,
    patient_digest,
    signing_jwk,
)

PRIVATE = bytes(range(32))
KEY = signing_jwk("identity-1", PRIVATE)
RECORD = "carnetexamplerecordaaaa234"


def token(**changed: Any) -> AccessToken:
    """Return a professional's token of five minutes."""
    now = int(time.time())
    said = {
        "sub": "899700000000",
        "actor": "professional",
        "name": "Dr Example",
        "profession": "10",
        "organisation": Organisation(id="750000000", name="Cabinet"),
        "application": Application(id="app", name="Logiciel", kind="care"),
        "purpose": "TREAT",
        "record": RECORD,
        "patient": patient_digest("urn:oid:1.2", "x", RECORD),
        "auth_time": now,
        "iat": now,
        "exp": now + 300,
        "jti": "j",
    }
    return AccessToken.model_validate(said | changed)


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a valid token with some replaced, or gone when None."""
    valid = token().model_dump(exclude_none=True) | {"iss": "carnet-identity", "aud": AUDIENCE} | changed
    return {name: value for name, value in valid.items() if value is not None}


def signed(said: dict[str, Any], key: OKPKey = KEY, **header: str) -> str:
    """Sign any claims under any header."""
    return jwt.encode({"alg": "Ed25519", "typ": "at+jwt", "kid": "identity-1", **header}, said, key, ["Ed25519"])


def verifier(*keys: OKPKey) -> TokenVerifier:
    """Return a verifier that believes these keys, as they are announced."""
    found = TokenVerifier()
    found.use({"keys": [announced(key) for key in keys or (KEY,)]})
    return found


def announced(key: OKPKey) -> Any:
    """Return the public JWK as a statement holds it."""
    public = key.as_dict(private=False)
    return {"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "use": "sig", "kid": key.kid, "x": public["x"]}


def refused(text: str, by: TokenVerifier | None = None) -> str:
    """Return the slug under which a token is refused."""
    with pytest.raises(TokenRefused) as caught:
        (by or verifier()).verify(text)
    return caught.value.slug


async def test_what_is_issued_is_believed() -> None:
    """The claims come back whole."""
    said = token()
    assert verifier().verify(issue(said, KEY)) == said


async def test_claims_that_readers_do_not_know_are_passed_over() -> None:
    """A newer identity may say more."""
    assert verifier().verify(signed(claims(more="x"))).record == RECORD


@pytest.mark.parametrize(
    ("changed", "slug"),
    [
        ({"exp": 1}, "token-expired"),
        ({"exp": None}, "token-audience"),
        ({"aud": None}, "token-audience"),
        ({"aud": "elsewhere"}, "token-audience"),
        ({"iss": None}, "token-audience"),
        ({"iss": "another"}, "token-audience"),
        ({"record": None}, "token-malformed"),
        ({"patient": None}, "token-malformed"),
        ({"purpose": None}, "token-malformed"),
        ({"actor": "administrator"}, "token-malformed"),
        ({"application": "app"}, "token-malformed"),
    ],
)
async def test_a_wrong_claim_is_refused(changed: dict[str, Any], slug: str) -> None:
    """Each required claim is checked, and the refusal says which kind it was."""
    assert refused(signed(claims(**changed))) == slug


@pytest.mark.parametrize("exp", ["4000000000", "soon", 4e9, [4_000_000_000], True])
async def test_an_odd_end_is_no_end(exp: Any) -> None:
    """An `exp` that is no whole number either is refused, or stands for the same instant."""
    try:
        assert verifier().verify(signed(claims(exp=exp))).exp == 4_000_000_000
    except TokenRefused:
        return


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "id+jwt", "carnet-instance+jws"])
async def test_another_type_is_refused(typ: str) -> None:
    """Another JWT of identity's is no access token."""
    assert refused(signed(claims(), typ=typ)) == "token-foreign"


async def test_no_algorithm_is_refused() -> None:
    """`alg: none` proves nothing, with or without a signature."""
    head = b64(orjson.dumps({"alg": "none", "typ": "at+jwt", "kid": "identity-1"}))
    body = b64(orjson.dumps(claims()))
    for signature in ("", b64(b"x" * 64), signed(claims()).split(".")[2]):
        assert refused(f"{head}.{body}.{signature}") == "token-foreign"


async def test_the_public_key_is_no_shared_secret() -> None:
    """A token signed by HMAC with the public key as its secret is refused."""
    public = Ed25519PrivateKey.from_private_bytes(PRIVATE).public_key().public_bytes_raw()
    for secret in (public, b64(public).encode()):
        header = {"alg": "HS256", "typ": "at+jwt", "kid": "identity-1"}
        forged = jwt.encode(header, claims(), OctKey.import_key(secret), ["HS256"])
        assert refused(forged) == "token-foreign"


async def test_the_deprecated_name_of_the_algorithm_is_refused() -> None:
    """The algorithm is pinned by one name."""
    head, body, signature = signed(claims()).split(".")
    other = b64(orjson.dumps(orjson.loads(unb64(head)) | {"alg": "EdDSA"}))
    assert refused(f"{other}.{body}.{signature}") == "token-foreign"


async def test_a_foreign_key_is_refused() -> None:
    """Another key under the same id, or under an unknown one, proves nothing."""
    other = signing_jwk("identity-1", bytes(32))
    assert refused(signed(claims(), other)) == "token-foreign"
    assert refused(signed(claims(), signing_jwk("identity-9", bytes(32)), kid="identity-9")) == "token-foreign"


async def test_a_key_in_the_token_s_own_header_is_not_used() -> None:
    """A token does not bring the key that proves it."""
    other = signing_jwk("identity-1", bytes(32))
    head, body, _ = signed(claims()).split(".")
    header = orjson.loads(unb64(head)) | {"jwk": announced(other)}
    part = f"{b64(orjson.dumps(header))}.{body}"
    forged = f"{part}.{b64(Ed25519PrivateKey.from_private_bytes(bytes(32)).sign(part.encode()))}"
    assert refused(forged) == "token-foreign"


async def test_changed_claims_are_refused() -> None:
    """Claims moved under another token's signature prove nothing."""
    head, _, signature = signed(claims()).split(".")
    assert refused(f"{head}.{b64(orjson.dumps(claims(record='public')))}.{signature}") == "token-foreign"


async def test_before_any_key_is_announced_nothing_is_believed() -> None:
    """A verifier without keys refuses, it does not crash."""
    assert refused(issue(token(), KEY), TokenVerifier()) == "token-foreign"


async def test_a_remembered_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token verified once is refused the second its time is over."""
    by, said = verifier(), token()
    text = issue(said, KEY)
    assert by.verify(text) is by.verify(text)
    monkeypatch.setattr(time, "time", lambda: float(said.exp))
    assert refused(text, by) == "token-expired"


async def test_rotation_keeps_the_key_before_and_forgets_the_others() -> None:
    """A token of the key before still holds; when that key is gone, a remembered token is gone with it."""
    newer, by, text = signing_jwk("identity-2", bytes(32)), verifier(), issue(token(), KEY)
    by.verify(text)
    by.use({"keys": [announced(newer), announced(KEY)]})
    assert by.verify(text).record == RECORD
    by.use({"keys": [announced(newer)]})
    assert refused(text, by) == "token-foreign"


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "a.b.c.d.e", "\u00e9.\u00e9.\u00e9", "\x00", "e30.e30.", "bnVsbA.bnVsbA.", "W10.W10.W10",
     "." * 10_000],
)  # fmt: skip
async def test_what_is_no_token_is_refused(text: str) -> None:
    """Anything else is refused as foreign."""
    assert refused(text) == "token-foreign"


@given(text=st.text(max_size=40) | st.text(alphabet="eyJhbGciOiJ9.-_", max_size=60))
def test_garbage_is_refused_and_nothing_else_is_raised(text: str) -> None:
    """Whatever stands after `Bearer`, the verifier says TokenRefused and quotes nothing of it."""
    with pytest.raises(TokenRefused) as caught:
        verifier().verify(text)
    assert str(caught.value) in {"token-foreign", "token-malformed"}


@given(
    head=st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64"]), st.integers() | st.text() | st.none())
)
def test_any_header_is_refused_and_nothing_else_is_raised(head: dict[str, object]) -> None:
    """No header makes the verifier raise anything but TokenRefused."""
    _, body, signature = issue(token(), KEY).split(".")
    try:
        said = orjson.dumps(head)
    except TypeError:
        return
    with pytest.raises(TokenRefused):
        verifier().verify(f"{b64(said)}.{body}.{signature}")


async def test_the_patient_claim_is_bound_to_the_record() -> None:
    """The same person's claim differs from record to record, and by identifier system."""
    assert len({patient_digest(system, "1", record) for system in ("a", "b") for record in ("r", "s")}) == 4


REASON = {"code": "unconscious", "text": "Amenée sans connaissance aux urgences."}
PARENT = {"holder": "carnetexamplerecordbbbb234", "role": "parent"}


async def test_an_emergency_travels_with_its_reason() -> None:
    """Purpose and reason come back together, the accents too."""
    for purpose in ("BTG", "ETREAT"):
        read = verifier().verify(issue(token(purpose=purpose, emergency=REASON), KEY))
        assert (read.purpose, read.emergency) == (purpose, Emergency(**REASON))


async def test_a_representative_travels_with_who_they_are() -> None:
    """The record is the represented person's; the holder's own and the role stand beside it."""
    said = token(actor="representative", representative=PARENT, purpose="PATRQT", sub=PARENT["holder"])
    assert verifier().verify(issue(said, KEY)).representative == Representative(**PARENT)


EVERYBODYS = {"record": "public", "patient": ""}


async def test_a_token_of_every_record_is_believed_where_it_is_asked_for_only() -> None:
    """It names nobody, and opens nothing but what is about every record: any other place refuses it."""
    said = issue(token(**EVERYBODYS), KEY)
    assert verifier().verify(said, every_record=True).patient == ""
    assert refused(said) == "token-of-every-record"
    known = verifier()
    known.verify(said, every_record=True)
    with pytest.raises(TokenRefused):  # remembered is not believed
        known.verify(said)
    assert verifier().verify(issue(token(), KEY), every_record=True).record == RECORD


async def test_a_consultation_in_secret_travels_as_one() -> None:
    """A professional's token says so; any other says that it is none."""
    assert verifier().verify(issue(token(secret=True), KEY)).secret
    assert not verifier().verify(issue(token(), KEY)).secret


@pytest.mark.parametrize(
    "changed",
    [
        {"purpose": "BTG", "emergency": REASON, "secret": True},
        {"actor": "patient", "purpose": "PATRQT", "secret": True},
        {"actor": "representative", "representative": PARENT, "purpose": "PATRQT", "secret": True},
        {"actor": "application", "secret": True},
        {"purpose": "BTG"},
        {"purpose": "ETREAT"},
        {"purpose": "TREAT", "emergency": REASON},
        {"purpose": "BTG", "emergency": {"code": "unconscious"}},
        {"purpose": "BTG", "emergency": REASON | {"code": ""}},
        {"purpose": "BTG", "emergency": REASON | {"text": ""}},
        {"purpose": "BTG", "emergency": "unconscious"},
        {"purpose": "BTG", "emergency": REASON, "actor": "application"},
        {"purpose": "ETREAT", "emergency": REASON, "actor": "patient"},
        {"actor": "representative", "purpose": "PATRQT"},
        {"actor": "patient", "purpose": "PATRQT", "representative": PARENT},
        {"representative": PARENT},
        {"actor": "representative", "representative": PARENT, "purpose": "TREAT"},
        {"actor": "representative", "representative": {"holder": RECORD}, "purpose": "PATRQT"},
        {"record": "public"},
        {"patient": ""},
        EVERYBODYS | {"actor": "application"},
        EVERYBODYS | {"actor": "patient", "purpose": "PATRQT"},
        EVERYBODYS | {"secret": True},
        EVERYBODYS | {"purpose": "BTG", "emergency": REASON},
    ],
)
async def test_claims_that_do_not_agree_are_refused(changed: dict[str, Any]) -> None:
    """An emergency without its reason or the other way round, a representative who is none, a record of nobody."""
    assert refused(signed(claims(**changed))) == "token-malformed"
