"""The query of ITI-67 (IHE MHD 4.2, PDSm TD3.1): parameters to tests on a decrypted DocumentReference.

The metadata are ciphertext at rest, so every filter runs in memory on what consent allowed.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from services.documents.fhir import systems
from services.documents.fhir.dates import EARLIEST, LATEST, Span, fhir_span
from services.documents.fhir.outcomes import FhirRejected, Issue
from services.documents.fhir.systems import Identifier

DEFAULT_COUNT: Final = 100
MAX_COUNT: Final = 500
MAX_PARAMETERS: Final = 50

Resource = dict[str, Any]
Test = Callable[[Resource], bool]

_PATIENT_NAMES: Final = frozenset(
    {"patient.identifier", "patient:identifier", "subject:identifier", "subject.identifier"}
)
_JSON: Final = frozenset({"json", "application/json", "application/fhir+json"})
_PREFIX: Final = re.compile(r"(eq|ne|ge|le|gt|lt|sa|eb|ap)?(.*)", re.DOTALL)
_OR: Final = re.compile(r"(?<!\\),")
_PIPE: Final = re.compile(r"(?<!\\)\|")
_STRICT: Final = re.compile(r"(?:^|[,;])\s*handling\s*=\s*\"?strict\"?\s*(?:$|[,;])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, repr=False)
class SearchQuery:
    """A parsed query. `patient` is the INS asked for (None when absent: the token names the record all the same)."""

    patient: Identifier | None
    tests: tuple[Test, ...]
    count: int
    offset: int
    newest_first: bool
    used: tuple[tuple[str, str], ...]  # for links: what was understood, without the patient and `_offset`

    def matches(self, resource: Resource) -> bool:
        """Tell whether a DocumentReference satisfies every parameter."""
        return all(test(resource) for test in self.tests)


def prefers_strict(prefer: str | None) -> bool:
    """Tell whether a `Prefer` header asks for `handling=strict` (R4 search, 3.1.1.3)."""
    return prefer is not None and _STRICT.search(prefer) is not None


def parse_query(parameters: Iterable[tuple[str, str]], *, strict: bool = False) -> SearchQuery:
    """Return the query of a search's (decoded) parameters, of the URL and of the form alike.

    An unknown parameter is ignored, or refused when `strict`. Raise FhirRejected for what is understood and wrong.
    """
    stated = [(name, value) for name, value in parameters if value]  # R4: without a value, as if absent
    if len(stated) > MAX_PARAMETERS:
        raise _refused("too-many-parameters", "too-costly", f"A search has at most {MAX_PARAMETERS} parameters.")
    patients = {_patient(value) for name, value in stated if name in _PATIENT_NAMES}
    if len(patients) > 1:
        raise _refused("patient-ambiguous", "invalid", "The search names two patients: name one.")
    tests: list[Test] = []
    used: list[tuple[str, str]] = []
    controls = {"_count": DEFAULT_COUNT, "_offset": 0}
    newest_first = True
    for name, value in stated:
        if name in _PATIENT_NAMES:
            continue
        if name in controls:
            controls[name] = _number(name, value)
        elif name == "_sort" and value in ("date", "-date"):
            newest_first = value == "-date"
        elif (test := _test(name, value)) is not None:
            tests.append(test)
        elif not _is_json(name, value):
            _unknown(name, strict=strict)
            continue
        if name != "_offset":
            used.append((name, value))
    return SearchQuery(
        patient=next(iter(patients), None),
        tests=tuple(tests),
        count=min(controls["_count"], MAX_COUNT),
        offset=controls["_offset"],
        newest_first=newest_first,
        used=tuple(used),
    )


def _test(name: str, value: str) -> Test | None:
    base, colon, _ = name.partition(":")
    if base not in _TOKENS and base not in _DATES:
        return None
    if colon:
        raise _refused("modifier-unsupported", "not-supported", f"{base} takes no modifier here: remove it.")
    return _token_test(base, value) if base in _TOKENS else _date_test(base, value)


def _is_json(name: str, value: str) -> bool:
    if name != "_format":
        return False
    if value.split(";", maxsplit=1)[0].strip().lower() not in _JSON:
        issue = Issue("format-unsupported", "not-supported", "This server speaks application/fhir+json only.")
        raise FhirRejected("not-acceptable", issue)
    return True


def _refused(slug: str, code: str, sentence: str) -> FhirRejected:
    return FhirRejected("malformed", Issue(slug, code, sentence))


def _unknown(name: str, *, strict: bool) -> None:
    if name.partition(":")[0] in (
        "patient",
        "subject",
    ):  # ignoring it would answer for another patient than the one asked for
        raise _refused("patient-unsupported", "not-supported", "Name the patient by patient.identifier=<system>|<INS>.")
    if strict:
        known = ", ".join(sorted({*_TOKENS, *_DATES, "patient.identifier", "_count", "_sort"}))
        sentence = f"A parameter is unknown, or its value is, and handling=strict was asked for. Known: {known}."
        raise _refused("parameter-unknown", "not-supported", sentence)


def _patient(value: str) -> Identifier:
    system, separator, ins = value.partition("|")
    if not (system and separator and ins):
        raise _refused("patient-form", "value", "patient.identifier is <system>|<INS>, such as urn:oid:<oid>|<INS>.")
    return Identifier(system, ins)


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise _refused("number-form", "value", f"{name} is a whole number.")
    return int(value)


def _unescape(text: str) -> str:
    return re.sub(r"\\([\\,|$])", r"\1", text)


def _codings(concepts: Iterable[Resource]) -> list[tuple[str, str]]:
    return [
        (systems.canonical_system(one.get("system", "")), one.get("code", ""))
        for concept in concepts
        for one in concept.get("coding", ())
    ]


def _context(resource: Resource, name: str) -> Any:
    return resource.get("context", {}).get(name, {})


def _identifiers(resource: Resource) -> list[tuple[str, str]]:
    stated = [resource.get("masterIdentifier", {}), *resource.get("identifier", ())]
    return [(one.get("system", ""), one.get("value", "")) for one in stated]


# each parameter, and where its (system, code) pairs stand in the resource
_TOKENS: Final[dict[str, Callable[[Resource], list[tuple[str, str]]]]] = {
    "status": lambda it: [("", it.get("status", ""))],
    "type": lambda it: _codings([it.get("type", {})]),
    "category": lambda it: _codings(it.get("category", ())),
    "security-label": lambda it: _codings(it.get("securityLabel", ())),
    "event": lambda it: _codings(_context(it, "event") or ()),
    "facility": lambda it: _codings([_context(it, "facilityType")]),
    "setting": lambda it: _codings([_context(it, "practiceSetting")]),
    "format": lambda it: _codings([{"coding": [one["format"] for one in it["content"] if "format" in one]}]),
    "identifier": _identifiers,
}


def _token_test(name: str, value: str) -> Test:
    extract = _TOKENS[name]
    wanted = [_token(part) for part in _OR.split(value)]

    def test(resource: Resource) -> bool:
        found = extract(resource)
        return any(
            (system is None or system == one_system) and (not code or code == one_code) and (one_code or one_system)
            for system, code in wanted
            for one_system, one_code in found
        )

    return test


def _token(text: str) -> tuple[str | None, str]:
    """Read `code`, `system|code`, `|code` (no system) or `system|`; the system is None when any will do."""
    parts = [_unescape(part) for part in _PIPE.split(text, maxsplit=1)]
    return (None, parts[0]) if len(parts) == 1 else (systems.canonical_system(parts[0]), parts[1])


# each date parameter, and the texts of its start and end ("" is open)
_DATES: Final[dict[str, Callable[[Resource], tuple[str, str] | None]]] = {
    "date": lambda it: (it["date"], it["date"]) if "date" in it else None,
    "creation": lambda it: next(
        ((one["attachment"]["creation"],) * 2 for one in it["content"] if "creation" in one["attachment"]), None
    ),
    "period": lambda it: (
        (period.get("start", ""), period.get("end", "")) if (period := _context(it, "period")) else None
    ),
}


TOKEN_PARAMETERS: Final = tuple(_TOKENS)
DATE_PARAMETERS: Final = tuple(_DATES)


def _date_test(name: str, value: str) -> Test:
    extract = _DATES[name]
    wanted = [_date(name, part) for part in _OR.split(value)]

    def test(resource: Resource) -> bool:
        texts = extract(resource)
        if texts is None:
            return False
        low = fhir_span(texts[0]).low if texts[0] else EARLIEST
        high = fhir_span(texts[1]).high if texts[1] else LATEST
        return any(_PREFIXES[prefix](Span(low, high), span) for prefix, span in wanted)

    return test


def _date(name: str, text: str) -> tuple[str, Span]:
    match = _PREFIX.fullmatch(text)
    prefix, date = (match[1] or "eq", match[2]) if match else ("", "")
    if prefix == "ap":
        raise _refused("prefix-unsupported", "not-supported", f"{name} does not take ap: use ge and le.")
    try:
        return prefix, fhir_span(date)
    except ValueError:
        sentence = (
            f"{name} is a FHIR date after an optional eq, ne, ge, le, gt, lt, sa or eb; in a URL, write + as %2B."
        )
        raise _refused("date-form", "value", sentence) from None


# R4 search 3.1.1.4.5, each prefix on (what the resource holds, what is asked for)
_PREFIXES: Final[dict[str, Callable[[Span, Span], bool]]] = {
    "eq": lambda found, wanted: wanted.low <= found.low and found.high <= wanted.high,
    "ne": lambda found, wanted: not (wanted.low <= found.low and found.high <= wanted.high),
    "gt": lambda found, wanted: found.high > wanted.high,
    "lt": lambda found, wanted: found.low < wanted.low,
    "ge": lambda found, wanted: found.high > wanted.high or (wanted.low <= found.low and found.high <= wanted.high),
    "le": lambda found, wanted: found.low < wanted.low or (wanted.low <= found.low and found.high <= wanted.high),
    "sa": lambda found, wanted: found.low >= wanted.high,
    "eb": lambda found, wanted: found.high <= wanted.low,
}
