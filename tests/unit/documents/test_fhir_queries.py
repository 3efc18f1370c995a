"""ITI-67: which documents a query selects, and which queries are refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.documents.fhir.dates import instant
from services.documents.fhir.outcomes import FhirRejected
from services.documents.fhir.queries import DEFAULT_COUNT, MAX_COUNT, parse_query, prefers_strict
from tests.synthetic import INS, LOINC, SYSTEM_OID

RESOURCE: dict[str, Any] = {
    "status": "current",
    "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
    "identifier": [{"value": "local,1|2"}],
    "type": {"coding": [{"system": "urn:oid:2.16.840.1.113883.6.1", "code": "11502-2"}]},
    "category": [{"coding": [{"system": "https://a.example", "code": "10"}]}],
    "date": "2026-06-12T10:00:00+02:00",
    "securityLabel": [{"coding": [{"system": "urn:oid:1.2.250.1.213.1.1.4.13", "code": "MASQUE_PS"}]}],
    "content": [
        {"attachment": {"creation": "2026-06-11"}, "format": {"system": "http://ihe.net/x", "code": "urn:ihe:pcc:1"}}
    ],
    "context": {
        "period": {"start": "2026-06-01", "end": "2026-06-10"},
        "facilityType": {"coding": [{"system": "urn:oid:1.2.250.1.71.4.2.4", "code": "SA07"}]},
        "practiceSetting": {"coding": [{"code": "AMBULATOIRE"}]},
        "event": [{"coding": [{"system": LOINC, "code": "18719-5"}]}],
    },
}
BARE: dict[str, Any] = {"content": [{"attachment": {}}]}


def _selects(*parameters: tuple[str, str], resource: dict[str, Any] = RESOURCE) -> bool:
    return parse_query(parameters).matches(resource)


@pytest.mark.parametrize(
    ("name", "value", "selected"),
    [
        ("status", "current", True),
        ("status", "superseded,current", True),
        ("status", "superseded", False),
        ("type", f"{LOINC}|11502-2", True),
        ("type", "urn:oid:2.16.840.1.113883.6.1|11502-2", True),
        ("type", "11502-2", True),
        ("type", f"{LOINC}|", True),
        ("type", "|11502-2", False),
        ("type", f"{LOINC}|11488-4", False),
        ("type", "https://a.example|11502-2", False),
        ("category", "https://a.example|10", True),
        ("category", "11", False),
        ("security-label", "MASQUE_PS", True),
        ("facility", "SA07", True),
        ("setting", "|AMBULATOIRE", True),
        ("event", f"{LOINC}|18719-5", True),
        ("format", "http://ihe.net/x|urn:ihe:pcc:1", True),
        ("identifier", "urn:ietf:rfc:3986|urn:oid:1.2.3", True),
        ("identifier", "urn:oid:1.2.3", True),
        ("identifier", r"local\,1\|2", True),
        ("identifier", "local", False),
        ("date", "2026-06-12", True),
        ("date", "2026", True),
        ("date", "2026-06-13", False),
        ("date", "ge2026-06-12", True),
        ("date", "gt2026-06-12", False),
        ("date", "le2026-06-12", True),
        ("date", "lt2026-06-12", False),
        ("date", "lt2026-06-12T09:00:00Z", True),
        ("date", "2026-06-12T08:00:00Z", True),
        ("date", "ne2026-06-12", False),
        ("date", "2025,2026", True),
        ("creation", "2026-06-11", True),
        ("period", "2026-06", True),
        ("period", "sa2026-05", True),
        ("period", "eb2026-07", True),
        ("period", "eb2026-06-05", False),
        ("period", "gt2026-06-05", True),
        ("period", "lt2026-06-05", True),
    ],
)
def test_each_parameter_selects(name: str, value: str, *, selected: bool) -> None:
    """Tokens match by code, system or both, dates by span and prefix; a resource without the element never matches."""
    assert _selects((name, value)) is selected
    assert not _selects((name, value), resource=BARE)


def test_repeated_parameters_are_joined_by_and() -> None:
    """Two dates make a range; a comma means or, a repetition means and."""
    assert _selects(("date", "ge2026-06-01"), ("date", "lt2026-07-01"))
    assert not _selects(("date", "ge2026-06-01"), ("date", "lt2026-06-12"))
    assert not _selects(("status", "current"), ("status", "superseded"))


@pytest.mark.parametrize(
    "name", ["patient.identifier", "patient:identifier", "subject:identifier", "subject.identifier"]
)
def test_the_patient_is_read_and_kept_out_of_links(name: str) -> None:
    """The INS is parsed whatever the parameter's spelling, and is not among what links repeat."""
    query = parse_query([(name, f"urn:oid:{SYSTEM_OID}|{INS}"), ("status", "current"), ("unknown", INS)])
    assert query.patient is not None
    assert (query.patient.system, query.patient.value) == (f"urn:oid:{SYSTEM_OID}", INS)
    assert query.used == (("status", "current"),)
    assert INS not in repr(query)


@pytest.mark.parametrize(
    ("parameters", "slug"),
    [
        ([("patient.identifier", INS)], "patient-form"),
        ([("patient.identifier", f"|{INS}")], "patient-form"),
        ([("patient.identifier", "a|1"), ("subject:identifier", "a|2")], "patient-ambiguous"),
        ([("patient", f"Patient/{INS}")], "patient-unsupported"),
        ([("subject:Patient", INS)], "patient-unsupported"),
        ([("date", "yesterday")], "date-form"),
        ([("date", "2026-13")], "date-form"),
        ([("date", "ge")], "date-form"),
        ([("date", "2026-06-12T10:00:00 02:00")], "date-form"),
        ([("date", "ap2026")], "prefix-unsupported"),
        ([("type:not", "1")], "modifier-unsupported"),
        ([("date:missing", "true")], "modifier-unsupported"),
        ([("_count", "-1")], "number-form"),
        ([("_count", "٣")], "number-form"),
        ([("_format", "xml")], "format-unsupported"),
        ([("status", "current")] * 51, "too-many-parameters"),
    ],
)
def test_what_is_understood_and_wrong_is_refused(parameters: list[tuple[str, str]], slug: str) -> None:
    """A wrong value is refused by name, lenient or strict, and the refusal repeats no value."""
    for strict in (False, True):
        with pytest.raises(FhirRejected) as caught:
            parse_query(parameters, strict=strict)
        assert caught.value.slug == slug
        assert INS not in str(caught.value)


def test_the_unknown_is_ignored_unless_strict() -> None:
    """An unknown parameter or sort changes nothing, and is refused under `Prefer: handling=strict`."""
    for parameter in (("colour", "red"), ("_sort", "title")):
        assert parse_query([parameter]).used == ()
        with pytest.raises(FhirRejected) as caught:
            parse_query([parameter], strict=True)
        assert caught.value.slug == "parameter-unknown"
        assert parameter[1] not in caught.value.diagnostics


@pytest.mark.parametrize(
    ("prefer", "strict"),
    [
        (None, False),
        ("", False),
        ("handling=lenient", False),
        ("handling=strict", True),
        ('return=minimal, handling="strict"', True),
        ("respond-async; Handling = Strict", True),
        ("handling=strictly", False),
    ],
)
def test_prefer_is_read(prefer: str | None, *, strict: bool) -> None:
    """`handling=strict` is found among other preferences (RFC 7240)."""
    assert prefers_strict(prefer) is strict


def test_counts_and_sorting() -> None:
    """The page has a default and a largest size, the newest come first; empty parameters are as if absent."""
    query = parse_query([("status", "")])
    assert (query.count, query.offset, query.newest_first, query.tests) == (DEFAULT_COUNT, 0, True, ())
    query = parse_query([("_count", "9999"), ("_offset", "20"), ("_sort", "date"), ("_format", "json")])
    assert (query.count, query.offset, query.newest_first) == (MAX_COUNT, 20, False)
    assert query.used == (("_count", "9999"), ("_sort", "date"), ("_format", "json"))


moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  bounds


@given(moments, moments)
def test_the_prefixes_agree_with_the_order_of_time(found: datetime, wanted: datetime) -> None:
    """For instants of one second, ge is not lt, le is not gt, eq is ge and le, ne is not eq, sa is gt, eb is lt."""
    found, wanted = found.replace(microsecond=0), wanted.replace(microsecond=0)
    resource = BARE | {"date": found.isoformat()}
    is_ = {
        prefix: _selects(("date", f"{prefix}{wanted.isoformat()}"), resource=resource)
        for prefix in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")
    }
    assert is_["ge"] == (found >= wanted)
    assert is_["le"] == (found <= wanted)
    assert (is_["gt"], is_["sa"]) == (found > wanted, found > wanted)
    assert (is_["lt"], is_["eb"]) == (found < wanted, found < wanted)
    assert is_["eq"] == (found == wanted) == (not is_["ne"])


@given(moments, st.integers(0, 800))
def test_a_range_of_two_dates_finds_what_is_inside(found: datetime, days: int) -> None:
    """`date=ge..` and `date=le..` select a document dated between them, at any precision of its instant."""
    low, high = found - timedelta(days=days), found + timedelta(days=days)
    resource = BARE | {"date": instant(found)}
    assert _selects(("date", f"ge{low.date()}"), ("date", f"le{(high + timedelta(days=1)).date()}"), resource=resource)


NAMES = [
    "type",
    "date",
    "period",
    "creation",
    "status",
    "identifier",
    "_count",
    "_sort",
    "_format",
    "patient.identifier",
]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=12)), max_size=5))
def test_any_parameters_are_a_query_or_a_refusal(parameters: list[tuple[str, str]]) -> None:
    """Whatever the values, the answer is a query that runs or a FhirRejected, never another failure."""
    try:
        query = parse_query(parameters)
    except FhirRejected:
        return
    query.matches(RESOURCE)
    query.matches(BARE)
