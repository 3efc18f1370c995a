"""Dates as spans of time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.documents.fhir.dates import fhir_span, hl7_lacks_offset, hl7_to_fhir, instant

moments = st.datetimes(timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("text", "low", "length"),
    [
        ("2026", "2025-12-31T23:00:00+00:00", timedelta(days=365)),
        ("2026-02", "2026-01-31T23:00:00+00:00", timedelta(days=28)),
        ("2026-12", "2026-11-30T23:00:00+00:00", timedelta(days=31)),
        ("2026-06-12", "2026-06-11T22:00:00+00:00", timedelta(days=1)),
        ("2026-03-29", "2026-03-28T23:00:00+00:00", timedelta(hours=23)),
        ("2026-06-12T10:00", "2026-06-12T08:00:00+00:00", timedelta(minutes=1)),
        ("2026-06-12T10:00:00Z", "2026-06-12T10:00:00+00:00", timedelta(seconds=1)),
        ("2026-06-12T10:00:00-04:30", "2026-06-12T14:30:00+00:00", timedelta(seconds=1)),
        ("2026-06-12T10:00:00.5Z", "2026-06-12T10:00:00.500000+00:00", timedelta(milliseconds=100)),
        ("2026-06-12T10:00:00.123456789Z", "2026-06-12T10:00:00.123456+00:00", timedelta(microseconds=1)),
        ("2026-06-30T23:59:60Z", "2026-06-30T23:59:59+00:00", timedelta(seconds=1)),
    ],
)
def test_a_date_covers_its_precision(text: str, low: str, length: timedelta) -> None:
    """A year, month, day (by the French clock, 23 hours at the change) or instant covers exactly that."""
    span = fhir_span(text)
    assert span.low == datetime.fromisoformat(low)
    assert span.high - span.low == length


@given(moments)
def test_an_instant_that_we_write_is_read_back(moment: datetime) -> None:
    """What `instant` writes covers the moment, to the millisecond, from year 1 to 9999."""
    span = fhir_span(instant(moment))
    assert span.low <= moment < span.high or span.high == datetime.max.replace(tzinfo=UTC)


@given(
    st.integers(1, 9999),
    st.integers(1, 12),
    st.integers(1, 28),
    st.sampled_from(["", "T00:00:00+14:00", "T23:59:59-14:00"]),
)
def test_no_date_of_the_calendar_fails(year: int, month: int, day: int, rest: str) -> None:
    """Each date from 0001 to 9999 is a span that does not end before it starts, at any precision and offset."""
    for text in (f"{year:04}", f"{year:04}-{month:02}", f"{year:04}-{month:02}-{day:02}{rest}"):
        span = fhir_span(text)
        assert span.low <= span.high


@given(st.text(max_size=30))
def test_any_text_is_a_date_or_a_value_error(text: str) -> None:
    """Whatever a caller writes for a date, the answer is a span or a ValueError, never another failure."""
    for read in (fhir_span, hl7_to_fhir):
        try:
            read(text)
        except ValueError:
            continue


@given(
    st.from_regex(
        r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?([+-][0-9]{2}:[0-9]{2})?)?)?)?", fullmatch=True
    )
)
def test_any_number_in_a_date_is_a_date_or_a_value_error(text: str) -> None:
    """Months of 99, hours of 77 and offsets of 99 are refused as values, never by another failure."""
    try:
        fhir_span(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("hl7", "fhir"),
    [
        ("1979", "1979"),
        ("197903", "1979-03"),
        ("19790328", "1979-03-28"),
        ("20210401171000+0100", "2021-04-01T17:10:00+01:00"),
        ("202101040735+0100", "2021-01-04T07:35:00+01:00"),
        ("20210401171000.1234-0400", "2021-04-01T17:10:00-04:00"),
        ("20200701134745", "2020-07-01T13:47:45+02:00"),
    ],
)
def test_hl7_times_become_fhir_times(hl7: str, fhir: str) -> None:
    """An HL7 v3 time keeps its precision and its offset; French legal time stands in for an absent one."""
    assert hl7_to_fhir(hl7) == fhir
    fhir_span(fhir)
    assert hl7_lacks_offset(hl7) == (hl7 == "20200701134745")


@pytest.mark.parametrize("text", ["", "20211301", "2021040125", "20210401171000+2500", "2021-04-01", "20210401+0100"])
def test_other_texts_are_no_hl7_times(text: str) -> None:
    """A time that does not exist, or is written otherwise, is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  each way of being no time has its own message
        hl7_to_fhir(text)
