"""A search's parameters: what is understood narrows, what is not is refused, and days are French."""

from datetime import UTC, datetime

import pytest

from chassis.problems import Problem
from services.consent.domain.traces import Wanted
from services.consent.fhir.queries import MOST_COUNT, parse_search

KNOWN = ("agent", "date", "_count", "_after", "_sort")


def ms(text: str) -> int:
    """Return a time as Unix milliseconds."""
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("values", "since", "until"),
    [
        (["ge2026-05-01"], "2026-05-01T00:00:00+02:00", None),
        (["le2026-05-31"], None, "2026-06-01T00:00:00+02:00"),
        (["2026-05"], "2026-05-01T00:00:00+02:00", "2026-06-01T00:00:00+02:00"),
        (["eq2026-12"], "2026-12-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
        (["2026"], "2026-01-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
        (["gt2026-05-28"], "2026-05-29T00:00:00+02:00", None),
        (["sa2026-05-28T10:00:00Z"], "2026-05-28T10:00:01+00:00", None),
        (["lt2026-05-28T10:00Z"], None, "2026-05-28T10:00:00+00:00"),
        (["eb2026-05-28T10:00:00.500Z"], None, "2026-05-28T10:00:00.500+00:00"),
        (["2026-05-28T10:00:00.5+02:00"], "2026-05-28T08:00:00.500+00:00", "2026-05-28T08:00:00.501+00:00"),
        (["ge2026-05-01", "le2026-05-31", "ge2026-05-02", "le2026-06-30"],
         "2026-05-02T00:00:00+02:00", "2026-06-01T00:00:00+02:00"),
        # A day of 23 hours, and one of 25.
        (["2026-03-29"], "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        (["2026-10-25"], "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
    ],
)  # fmt: skip
def test_a_date_covers_its_precision(values: list[str], since: str | None, until: str | None) -> None:
    """Every prefix narrows the period at its own end, and several narrow it together."""
    wanted = parse_search([("date", each) for each in values], *KNOWN).wanted
    assert (wanted.since, wanted.until) == (since and ms(since), until and ms(until))


@pytest.mark.parametrize(
    "value",
    ["ne2026", "ap2026-01-01", "2026-13", "2026-02-30", "0000", "9999-12-31", "ge", "2026-05-28T25:00Z", "today",
     "2026-05-28T10:00:00.5555Z", "2026-05-28T10:00+99:00", "20260528"],
)  # fmt: skip
def test_what_is_no_date_is_refused(value: str) -> None:
    """A date that is none, or a prefix that is not taken, is a 400 that tells the form."""
    with pytest.raises(Problem) as refused:
        parse_search([("date", value)], *KNOWN)
    assert (refused.value.status, refused.value.code) == (400, "date-form")


@pytest.mark.parametrize(
    "value",
    [
        "99700000001",
        "899700000001",
        "urn:oid:1.2.250.1.71.4.2.1|899700000001",
        "https://rpps.esante.gouv.fr|99700000001",
    ],
)
@pytest.mark.parametrize("name", ["agent", "agent.identifier", "agent:identifier"])
def test_an_agent_is_one_however_the_number_is_written(name: str, value: str) -> None:
    """With or without its system, with or without the leading 8."""
    assert parse_search([(name, value)], *KNOWN).wanted.agents == {"899700000001"}


@pytest.mark.parametrize("value", ["750000001", "1750000001", "urn:oid:1.2.250.1.71.4.2.2|1750000001"])
def test_an_organisation_is_one_however_its_number_is_written(value: str) -> None:
    """FINESS, or '1' + FINESS as an AuditEvent names it."""
    assert "750000001" in parse_search([("agent", value)], *KNOWN).wanted.agents


def test_what_is_understood_goes_into_links_but_the_patient() -> None:
    """Links repeat the search without naming whom it is about."""
    search = parse_search(
        [("patient.identifier", "urn:oid:x|y"), ("agent", "z"), ("_count", "7"), ("_sort", "-date"),
         ("_format", "json"), ("_after", "e"), ("date", "")], *KNOWN,
    )  # fmt: skip
    assert search.wanted == Wanted(agents=frozenset({"z"}), count=7, after="e")
    assert search.patients == ("urn:oid:x|y",)
    assert [name for name, _ in search.used] == ["agent", "_count", "_sort", "_format", "_after"]


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("_count", "0", 400, "number-form"),
        ("_count", "-1", 400, "number-form"),
        ("_count", "many", 400, "number-form"),
        ("_format", "xml", 406, "format-unsupported"),
        ("_sort", "date", 400, "parameter-unknown"),
        ("entity", "x", 400, "parameter-unknown"),
        ("status", "active", 400, "parameter-unknown"),
    ],
)
def test_what_is_not_understood_is_refused(name: str, value: str, status: int, code: str) -> None:
    """A filter that were passed over would answer more than was asked."""
    with pytest.raises(Problem) as refused:
        parse_search([(name, value)], *KNOWN)
    assert (refused.value.status, refused.value.code) == (status, code)


def test_a_search_of_consents_takes_no_agent() -> None:
    """What one resource takes another need not."""
    assert parse_search([("status", "active")], "status").used == (("status", "active"),)
    for name, value in (("agent", "z"), ("date", "2026"), ("status", "inactive")):
        with pytest.raises(Problem):
            parse_search([(name, value)], "status")


def test_a_page_is_bounded() -> None:
    """However many are asked for, and one agent at a time."""
    assert parse_search([("_count", "999999999")], *KNOWN).wanted.count == MOST_COUNT
    with pytest.raises(Problem):
        parse_search([("agent", "a"), ("agent", "b")], *KNOWN)
