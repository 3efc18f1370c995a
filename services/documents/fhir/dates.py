"""FHIR dates as spans of time: what a date of any precision covers, and how HL7 v3 times are written in FHIR."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

# R4 search: a value without an offset is in the server's local time; a French record means a French day
LOCAL: Final = ZoneInfo("Europe/Paris")
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)

_FHIR: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})"
    r"(?:T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)
_HL7: Final = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})([0-9]{2})?([0-9]{2})?(?:\.[0-9]{1,4})?([+-][0-9]{4})?)?)?)?"
)
_DECEMBER: Final = 12


class Span(NamedTuple):
    """A span of time, from `low` (included) to `high` (excluded), both in UTC."""

    low: datetime
    high: datetime


def fhir_span(text: str) -> Span:
    """Return what a FHIR date, dateTime or instant covers at its precision. Raise ValueError for anything else."""
    match = _FHIR.fullmatch(text)
    if match is None:
        raise ValueError("not a FHIR date")
    part = match.groupdict()
    fraction = (part["fraction"] or "")[:6]
    low = datetime(
        int(part["year"]),
        int(part["month"] or 1),
        int(part["day"] or 1),
        int(part["hour"] or 0),
        int(part["minute"] or 0),
        min(int(part["second"] or 0), 59) if part["second"] == "60" else int(part["second"] or 0),  # a leap second
        int(fraction.ljust(6, "0")) if fraction else 0,
        _zone(part["offset"]),
    )
    return Span(_utc(low, EARLIEST), _end(low, part, len(fraction)))


def _zone(offset: str | None) -> tzinfo:
    if offset is None:
        return LOCAL
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    delta = timedelta(hours=hours, minutes=minutes)
    return timezone(-delta if offset[0] == "-" else delta)


def _utc(moment: datetime, otherwise: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return otherwise


def _end(low: datetime, part: dict[str, str | None], digits: int) -> datetime:
    """Return the first moment after a date of this precision; days, months and years end by the wall clock."""
    try:
        if part["fraction"]:
            return low.astimezone(UTC) + timedelta(microseconds=10 ** (6 - digits))
        if part["hour"]:
            return low.astimezone(UTC) + (timedelta(seconds=1) if part["second"] else timedelta(minutes=1))
        if part["day"]:
            return (low + timedelta(days=1)).astimezone(UTC)
        if part["month"] and low.month < _DECEMBER:
            return low.replace(month=low.month + 1).astimezone(UTC)
        return low.replace(year=low.year + 1, month=1).astimezone(UTC)
    except (OverflowError, ValueError):
        return LATEST


def hl7_to_fhir(value: str) -> str:
    """Return an HL7 v3 time (`20210401171000+0100`) as a FHIR dateTime of the same precision; ValueError if it is none.

    FHIR wants seconds and an offset as soon as there is an hour: absent seconds are written 00, an absent offset is the
    one of French legal time (`hl7_lacks_offset` tells it).
    """
    match = _HL7.fullmatch(value)
    if match is None:
        raise ValueError("not an HL7 time")
    year, month, day, hour, minute, second, offset = match.groups()
    moment = datetime(
        int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=LOCAL
    )
    if hour is None:
        return "-".join(part for part in (year, month, day) if part)
    if offset is None:
        return moment.isoformat(timespec="seconds")
    _zone(f"{offset[:3]}:{offset[3:]}")  # ValueError past 24 hours
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}{offset[:3]}:{offset[3:]}"


def hl7_lacks_offset(value: str) -> bool:
    """Tell whether an HL7 v3 time has an hour and does not say of which place."""
    match = _HL7.fullmatch(value)
    return match is not None and match[4] is not None and match[7] is None


def instant(moment: datetime) -> str:
    """Return an aware datetime as a FHIR instant in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
