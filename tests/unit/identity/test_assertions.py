"""Assertions of applications: what is believed, and the name of each refusal."""

import warnings
from base64 import urlsafe_b64encode
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from services.identity.assertions import claimed_issuer, read
from services.identity.domain.links import Refused
from services.identity.domain.people import Application

KEY, OTHER = OKPKey.generate_key("Ed25519"), OKPKey.generate_key("Ed25519")
PUBLIC = str(KEY.as_dict(private=False)["x"])
CLIENT = Application("logiciel", "Logiciel", "care-software", PUBLIC, frozenset(), frozenset({"TREAT"}))
HERE, NOW = "http://localhost:8080/identity/token", 1_800_000_000.0
CLAIMS = {"iss": "logiciel", "sub": "logiciel", "aud": HERE, "exp": NOW + 60, "jti": "j1"}


def signed(key: Any = KEY, alg: str = "Ed25519", without: str = "", **claims: Any) -> str:
    """Return an assertion with these claims changed."""
    whole = {name: value for name, value in (CLAIMS | claims).items() if name != without}
    with warnings.catch_warnings(action="ignore"):
        return jwt.encode({"alg": alg}, whole, key, algorithms=[alg])


def by_hand(header: dict[str, Any], claims: bytes, signature: bytes = b"") -> str:
    """Return a compact JWS that no library would make."""
    parts = (orjson.dumps(header), claims, signature)
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def refusal(assertion: str) -> str:
    """Return the slug with which it is refused."""
    with pytest.raises(Refused) as refused:
        read(assertion, CLIENT, HERE, NOW)
    return refused.value.slug


async def test_what_the_application_signed_for_us_is_believed() -> None:
    """Its claims come back, for one audience or for several with ours among them."""
    assert read(signed(), CLIENT, HERE, NOW)["jti"] == "j1"
    assert read(signed(aud=["https://other.example", HERE], exp=NOW + 300), CLIENT, HERE, NOW)["exp"] == NOW + 300


async def test_a_foreign_signature_is_refused() -> None:
    """Another key, a changed claim, no signature, no token at all."""
    head, body, signature = signed().split(".")
    changed = urlsafe_b64encode(orjson.dumps(CLAIMS | {"sub": "x"})).rstrip(b"=").decode()
    for foreign in (signed(OTHER), f"{head}.{changed}.{signature}", f"{head}.{body}.", f"{head}.{body}", "", "é.é.é"):
        assert refusal(foreign) == "assertion-foreign"


async def test_any_other_algorithm_is_refused() -> None:
    """`none`, a MAC keyed with the public key, and the older name of the same curve."""
    none = by_hand({"alg": "none"}, orjson.dumps(CLAIMS))
    mac = signed(OctKey.import_key(PUBLIC), "HS256")
    older = signed(alg="EdDSA")
    assert {refusal(none), refusal(mac), refusal(older)} == {"assertion-foreign"}


async def test_time_is_bounded_on_both_sides() -> None:
    """Expired by a second, good for more than five minutes, or for ever in any spelling: refused."""
    assert refusal(signed(exp=NOW)) == "assertion-expired"
    assert refusal(signed(exp=NOW - 1)) == "assertion-expired"
    assert refusal(signed(exp=NOW + 301)) == "assertion-too-long"
    assert refusal(signed(exp=1e300)) == "assertion-too-long"
    for odd in (float("nan"), float("inf"), "never", None, [NOW + 60]):
        assert refusal(signed(exp=odd)) in {"assertion-expired", "assertion-too-long", "assertion-claims"}


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "jti"])
async def test_every_claim_is_needed(name: str) -> None:
    """An assertion without one of them is refused."""
    assert refusal(signed(without=name)) == ("assertion-audience" if name == "aud" else "assertion-claims")


async def test_it_is_for_us_and_by_its_issuer() -> None:
    """Another audience, another issuer, a subject or a jti of the wrong kind."""
    assert refusal(signed(aud="http://localhost:8080/identity")) == "assertion-audience"
    assert refusal(signed(aud=[])) == "assertion-audience"
    for wrong in ({"iss": "other"}, {"sub": 7}, {"jti": 7}, {"jti": ""}, {"jti": "j" * 257}, {"nbf": NOW + 60}):
        assert refusal(signed(**wrong)) == "assertion-claims"


async def test_the_issuer_is_read_from_anything() -> None:
    """Whatever is no signed JWT with an issuer is refused, and nothing else is raised."""
    assert claimed_issuer(signed()) == "logiciel"
    broken = ["", ".", "..", "a.b.c", "é", signed(without="iss"), signed(iss=["logiciel"])]
    for odd in [*broken, by_hand({"alg": "Ed25519"}, b"[]"), by_hand({"alg": "Ed25519"}, b"7"), "\ud800"]:
        with pytest.raises(Refused) as refused:
            claimed_issuer(odd)
        assert refused.value.slug == "assertion-malformed"
