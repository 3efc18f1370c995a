"""Searches of Consent and AuditEvent: parameters of a URL or a form to what is looked for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from chassis.problems import Problem
from services.consent.domain.traces import Wanted

DEFAULT_COUNT, MOST_COUNT = 50, 200
# R4 search: a value without an offset is in the server's local time; a French record means a French day.
_LOCAL: Final = ZoneInfo("Europe/Paris")
_DATE: Final = re.compile(
    r"(eq|ge|le|gt|lt|sa|eb)?([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}:[0-9]{2})(:[0-9]{2})?(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)
_PATIENT: Final = frozenset({"patient", "patient.identifier", "patient:identifier"})
_AGENT: Final = frozenset({"agent", "agent.identifier", "agent:identifier"})
_JSON: Final = frozenset({"json", "application/json", "application/fhir+json"})
_SHOWN: Final = frozenset({"_pretty", "_summary", "_elements"})  # how an answer looks, and not what it holds
_RPPS_DIGITS: Final = 11
_STRUCTURE_DIGITS: Final = 10  # "1" + FINESS
_DECEMBER: Final = 12


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed search. `patients` are whom it names, to be compared with the token; `used` goes into links."""

    wanted: Wanted
    patients: tuple[str, ...] = ()
    used: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Reading:
    """What was understood so far."""

    patients: list[str] = field(default_factory=list)
    agents: set[frozenset[str]] = field(default_factory=set)
    since: int | None = None
    until: int | None = None
    count: int = DEFAULT_COUNT
    after: str | None = None

    def narrow(self, since: int | None, until: int | None) -> None:
        self.since = max((each for each in (self.since, since) if each is not None), default=None)
        self.until = min((each for each in (self.until, until) if each is not None), default=None)


def parse_search(parameters: Iterable[tuple[str, str]], *known: str) -> Search:
    """Return the search of (decoded) parameters; `known` are those that this resource takes beside the patient.

    Whatever is unknown is refused: a filter that is passed over would answer more than was asked. Raise Problem.
    """
    read = _Reading()
    used: list[tuple[str, str]] = []
    for name, value in ((name, value) for name, value in parameters if value):  # R4: without a value, as if absent
        if name in _PATIENT:
            read.patients.append(value)
            continue
        if name == "_format":
            _require_json(value)
        elif name not in _SHOWN and not _take(read, name, value, known):
            said = ", ".join(sorted({"patient", *known}))
            raise Problem(400, "parameter-unknown", f"This search takes {said}. Remove what it does not know.")
        used.append((name, value))
    if len(read.agents) > 1:
        raise Problem(400, "agent-ambiguous", "The search names two agents: name one.")
    wanted = Wanted(next(iter(read.agents), frozenset()), read.since, read.until, read.after, read.count)
    return Search(wanted, tuple(read.patients), tuple(used))


def _take(read: _Reading, name: str, value: str, known: tuple[str, ...]) -> bool:
    """Understand one parameter; False where this search has no such one."""
    if (name in _AGENT and "agent" not in known) or (name not in _AGENT and name not in known):
        return False
    if name in _AGENT:
        read.agents.add(_ids(value))
    elif name == "date":
        read.narrow(*_period(value))
    elif name == "_count":
        read.count = _number(value)
    elif name == "_after":
        read.after = value
    else:  # `status` and `_sort`: what there is is active, and the newest comes first
        return value in {"active", "-date"}
    return True


def _ids(value: str) -> frozenset[str]:
    """Return the ids that `[system|]id` may mean: RPPS or '8' + RPPS, FINESS or '1' + FINESS, or any as it is."""
    number = value.rpartition("|")[2]
    if len(number) == _RPPS_DIGITS and number.isdigit():
        return frozenset({f"8{number}"})
    finess = {number[1:]} if len(number) == _STRUCTURE_DIGITS and number.startswith("1") else set()
    return frozenset({number} | finess)


def _number(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) == 0:
        raise Problem(400, "number-form", "_count is a whole number from 1.")
    return min(int(value), MOST_COUNT)


def _require_json(value: str) -> None:
    if value.split(";", maxsplit=1)[0].strip().lower() not in _JSON:
        raise Problem(406, "format-unsupported", "This server speaks application/fhir+json only.")


def _period(value: str) -> tuple[int | None, int | None]:
    """Return what a date with its prefix asks for: from a time (ms, included) to a time (excluded); None is open."""
    match = _DATE.fullmatch(value)
    if match is None:
        raise _date_form()
    try:
        low, high = _span(match)
    except (ValueError, OverflowError):
        raise _date_form() from None
    return {
        "eq": (low, high), "ge": (low, None), "gt": (high, None), "sa": (high, None), "le": (None, high),
        "lt": (None, low), "eb": (None, low),
    }[match[1] or "eq"]  # fmt: skip


def _date_form() -> Problem:
    sentence = "date is a FHIR date or dateTime after an optional eq, ge, le, gt, lt, sa or eb; in a URL, + is %2B."
    return Problem(400, "date-form", sentence)


def _span(match: re.Match[str]) -> tuple[int, int]:
    """Return the first time (ms) that a date covers, and the first that it does not; days end by the wall clock."""
    _, year, month, day, time, second, fraction, zone = match.groups()
    text = f"{year}-{month or '01'}-{day or '01'}T{time or '00:00'}{second or ':00'}{zone or ''}"
    moment = datetime.fromisoformat(text)
    if zone is None:
        moment = moment.replace(tzinfo=_LOCAL)
    if time:
        low = _milliseconds(moment) + int((fraction or ".0")[1:].ljust(3, "0"))
        return low, low + (1 if fraction else 1_000 if second else 60_000)
    if day:
        end = moment + timedelta(days=1)
    elif month and moment.month < _DECEMBER:
        end = moment.replace(month=moment.month + 1)
    else:
        end = moment.replace(year=moment.year + 1, month=1)
    return _milliseconds(moment), _milliseconds(end)


def _milliseconds(moment: datetime) -> int:
    return (moment.astimezone(UTC) - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
