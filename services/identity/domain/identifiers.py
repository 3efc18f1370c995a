"""Identifiers and their keys: the INS of a person, the RPPS of a professional, the FINESS of a structure."""

import re
from dataclasses import dataclass

_INS_ROOT = "urn:oid:1.2.250.1.213.1.4"
NIR, NIA = f"{_INS_ROOT}.8", f"{_INS_ROOT}.9"
TEST_SYSTEMS = frozenset({f"{_INS_ROOT}.10", f"{_INS_ROOT}.11"})
INS_SYSTEMS = frozenset({NIR, NIA}) | TEST_SYSTEMS
# Of a national person identifier (1.2.250.1.71.4.2.1): made of an RPPS, or of what a structure calls its own staff.
RPPS_PREFIX, STAFF_PREFIX = "8", "3"

_MATRICULE = re.compile(r"[0-9]{5}(?:[0-9]{2}|2[AB])[0-9]{6}[0-9]{2}", re.ASCII)
_BETWEEN = re.compile(r"[\s.-]+")
_RPPS = re.compile(r"[0-9]{11}", re.ASCII)
_STAFF = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)
_FINESS = re.compile(r"(?:[0-9]{2}|2[AB])[0-9]{7}", re.ASCII)


class BadIdentifier(ValueError):
    """An identifier whose form or check digit is wrong; the message never quotes it."""


def quotes_matricule(text: str) -> bool:
    """Say whether a text holds what may be an INS, however it is spaced."""
    return _MATRICULE.search(_BETWEEN.sub("", text)) is not None


def luhn_holds(digits: str) -> bool:
    """Say whether the last digit is the Luhn key of the others (ISO/IEC 7812-1)."""
    doubled = (sum(divmod(int(digit) * (1 + at % 2), 10)) for at, digit in enumerate(reversed(digits)))
    return sum(doubled) % 10 == 0


def ins_key(number: str) -> int:
    """Return the key of a 13-character NIR or NIA: 97 - (number mod 97), Corsica's 2A as 19 and 2B as 18."""
    department = {"2A": "19", "2B": "18"}.get(number[5:7], number[5:7])
    return 97 - int(number[:5] + department + number[7:]) % 97


def require_rpps(value: str) -> str:
    """Return an RPPS number; raise BadIdentifier."""
    if not _RPPS.fullmatch(value):
        raise BadIdentifier("an RPPS number has 11 digits")
    if not luhn_holds(value):
        raise BadIdentifier("the last digit is not the Luhn key of this RPPS number")
    return value


def require_finess(value: str) -> str:
    """Return a FINESS number; raise BadIdentifier. Corsica's (2A, 2B) hold a letter and are not checked by Luhn."""
    if not _FINESS.fullmatch(value):
        raise BadIdentifier("a FINESS number has 9 characters: the department (2A, 2B), then digits")
    if value.isdigit() and not luhn_holds(value):
        raise BadIdentifier("the last digit is not the Luhn key of this FINESS number")
    return value


def require_internal(value: str) -> str:
    """Return what a structure calls one of its staff, `<FINESS>/<identifier>`; raise BadIdentifier."""
    finess, slash, name = value.partition("/")
    if not slash:
        raise BadIdentifier("an internal identifier is written FINESS/identifier")
    require_finess(finess)
    if not _STAFF.fullmatch(name):
        raise BadIdentifier(
            "behind its FINESS number an internal identifier has 1 to 32 letters, digits, '.', '_', '-'"
        )
    return value


@dataclass(frozen=True, slots=True, repr=False)
class Ins:
    """A national health identity number under its system (`urn:oid:...`); no `repr`, so that no log quotes it."""

    system: str
    value: str

    def __post_init__(self) -> None:
        """Raise BadIdentifier unless the system is one of the INS and the key holds."""
        if self.system not in INS_SYSTEMS:
            raise BadIdentifier(f"the system of an INS is {_INS_ROOT}.8 (NIR), .9 (NIA), .10 (test) or .11 (demo)")
        if not _MATRICULE.fullmatch(self.value):
            raise BadIdentifier("an INS has 15 characters: 13 of a NIR or NIA (2A or 2B for Corsica), and its key")
        if ins_key(self.value[:13]) != int(self.value[13:]):
            raise BadIdentifier("the key of this INS does not hold: it is 97 - (number mod 97)")

    @classmethod
    def parse(cls, token: str) -> "Ins":
        """Read `<system>|<INS>`, as FHIR's token search parameters write it; raise BadIdentifier."""
        system, bar, value = token.partition("|")
        if not bar:
            raise BadIdentifier("a patient is written <system>|<INS>")
        return cls(system, value)

    @property
    def is_test(self) -> bool:
        """Whether it belongs to nobody: the test and demonstration systems."""
        return self.system in TEST_SYSTEMS

    def may_become(self, other: "Ins") -> bool:
        """Say whether a record may pass to that INS: the same, or a NIA that gives way to a NIR."""
        return (self.system, self.value) == (other.system, other.value) or (self.system, other.system) == (NIA, NIR)
