"""What a reader accepts, what it passes over and what it refuses, without ever quoting what it was sent."""

from typing import ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.documents import Deposited
from contracts.fact import Fact
from contracts.registry import FACTS, Envelope, Undecodable, decode, encode

RECORD = "carnetexamplerecordaaaa234"
FACT = Deposited(record=RECORD, document="carnetexampledocumentaa567", version=1, digest="A" * 43, size=1)
CANARY = "canary-279035121518989"


def headers(**changed: bytes | None) -> list[tuple[str, bytes]]:
    """Return valid headers of FACT, with some replaced, or gone when None."""
    envelope = Envelope(source="carnet/documents", type=FACT.TYPE, subject=RECORD, correlation_id="c")
    kept = dict(envelope.to_headers()) | changed
    return [(name, value) for name, value in kept.items() if value is not None]


def value(**changed: object) -> bytes:
    """Return the encoded FACT with some fields replaced."""
    return orjson.dumps(orjson.loads(encode(FACT)) | changed)


async def test_what_is_encoded_is_decoded() -> None:
    """A fact and its envelope come back as they were sent."""
    envelope, fact = decode(headers(), encode(FACT))
    assert fact == FACT
    assert (envelope.type, envelope.subject, envelope.source) == (FACT.TYPE, RECORD, "carnet/documents")


async def test_an_unknown_optional_field_is_passed_over() -> None:
    """A newer minor's field does not stop an older reader."""
    _, fact = decode(headers(), value(colour="blue"))
    assert fact == FACT


async def test_an_unknown_critical_field_is_refused() -> None:
    """A field that narrows a permission is known, or the whole fact is refused."""
    with pytest.raises(Undecodable, match="UnknownCriticalField"):
        decode(headers(), value(only_until="2026-01-01", critical=["only_until"]))


async def test_a_known_critical_field_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader that knows the critical field takes the fact."""

    class Narrowed(Deposited):
        """Deposited, grown by a field that narrows."""

        TYPE: ClassVar = Deposited.TYPE
        only_until: str | None = None

    monkeypatch.setitem(FACTS, Deposited.TYPE, Narrowed)
    _, fact = decode(headers(), value(only_until="2026-01-01", critical=["only_until"]))
    assert isinstance(fact, Narrowed)
    assert fact.only_until == "2026-01-01"


@pytest.mark.parametrize(
    "name", ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "ce_correlationid"]
)
async def test_a_missing_attribute_is_refused(name: str) -> None:
    """A reader never makes up an attribute: an invented id would pass the inbox at each redelivery."""
    with pytest.raises(Undecodable):
        decode(headers(**{name: None}), encode(FACT))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_type", b"carnet.documents.unheard-of.v1"),
        ("ce_type", b"carnet.documents.deposited.v2"),
        ("ce_type", b"\xff\xfe"),
        ("ce_id", b"\xff"),
        ("ce_id", b""),
        ("ce_time", b"yesterday"),
        ("ce_subject", b"public"),
        ("ce_subject", b"carnetexamplerecordbbbb234"),
        ("traceparent", b"x" * 65),
    ],
)
async def test_a_wrong_attribute_is_refused(name: str, wrong: bytes) -> None:
    """An unknown type or major, bytes that are no text, another record's subject: none of them is believed."""
    with pytest.raises(Undecodable):
        decode(headers(**{name: wrong}), encode(FACT))


async def test_a_header_without_a_value_is_refused() -> None:
    """Kafka allows a null header value; it is a missing attribute, not a crash."""
    sent: list[tuple[str, bytes]] = [*headers(ce_id=None), ("ce_id", None)]  # type: ignore[list-item]
    with pytest.raises(Undecodable):
        decode(sent, encode(FACT))


async def test_headers_of_others_are_passed_over() -> None:
    """A header that is not ours may hold any bytes."""
    decode([*headers(), ("baggage", b"\xff\xff"), ("x", b"")], encode(FACT))


@given(sent=st.binary(max_size=200))
def test_garbage_is_refused_without_being_quoted(sent: bytes) -> None:
    """Whatever the value holds, the error names a class and nothing else."""
    with pytest.raises(Undecodable) as caught:
        decode(headers(), b'{"record": "' + CANARY.encode() + sent)
    assert CANARY not in repr(caught.value)
    assert str(caught.value).isidentifier()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@given(
    sent=st.lists(
        st.tuples(
            st.sampled_from([name for name, _ in headers()]) | st.text(max_size=8),
            st.binary(max_size=40) | st.just(CANARY.encode()),
        ),
        max_size=10,
    ),
    body=st.none() | st.binary(max_size=40) | st.just(encode(FACT)),
)
def test_arbitrary_messages_are_refused_and_nothing_else_is_raised(
    sent: list[tuple[str, bytes]], body: bytes | None
) -> None:
    """No header list and no value makes `decode` raise anything but Undecodable."""
    with pytest.raises(Undecodable) as caught:
        decode(sent, body)
    assert CANARY not in repr(caught.value)


@given(
    changed=st.fixed_dictionaries(
        {},
        optional={
            "record": st.text(max_size=30).map(lambda text: CANARY + text),
            "version": st.sampled_from([0, -1, "one", None, 1.5, [CANARY]]),
            "digest": st.text(max_size=42),
            "size": st.integers(min_value=-(2**63), max_value=-1),
            "critical": st.sampled_from([CANARY, 1, {"a": CANARY}]),
        },
    ).filter(bool)
)
def test_broken_values_are_refused_without_being_quoted(changed: dict[str, object]) -> None:
    """A field outside its bounds makes the fact undecodable, and the error tells no value."""
    with pytest.raises(Undecodable) as caught:
        decode(headers(), value(**changed))
    assert CANARY not in repr(caught.value)


@pytest.mark.parametrize("body", [None, b"", b"null", b"[]", b'"x"', b"{}", b"[" * 100_000])
async def test_values_that_are_no_fact_are_refused(body: bytes | None) -> None:
    """A tombstone, an empty value, other JSON and a depth bomb are refused alike."""
    with pytest.raises(Undecodable):
        decode(headers(), body)


async def test_every_fact_is_frozen() -> None:
    """A fact that was read cannot be changed on its way."""
    assert all(fact.model_config.get("frozen") for fact in FACTS.values())
    assert all(issubclass(fact, Fact) for fact in FACTS.values())
