"""Who there is: persons with their INS, professionals, organisations, applications; and the links between them."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

Status = Literal["provisional", "retrieved", "validated", "qualified"]
Sex = Literal["F", "M", "I"]
Kind = Literal["care-software", "patient-frontend", "insurer", "employer", "advertiser", "commercial", "public-service"]

_INS_ROOT = "urn:oid:1.2.250.1.213.1.4"
NIR, NIA = f"{_INS_ROOT}.8", f"{_INS_ROOT}.9"
TEST_SYSTEMS = frozenset({f"{_INS_ROOT}.10", f"{_INS_ROOT}.11"})
INS_SYSTEMS = frozenset({NIR, NIA}) | TEST_SYSTEMS
RPPS_PREFIX = "8"  # of a national person identifier (1.2.250.1.71.4.2.1) made of an RPPS

# Purposes of use: HL7 v3 PurposeOfUse, and the local codes EMPLOYMENT and COMMERCE, which it lacks. What the red lines
# refuse has a code too: whoever asks for it is to be refused by a public rule, and told which.
PURPOSES: dict[Kind, frozenset[str]] = {
    "care-software": frozenset({"TREAT"}),
    "patient-frontend": frozenset({"PATRQT"}),
    "insurer": frozenset({"COVERAGE"}),
    "employer": frozenset({"EMPLOYMENT"}),
    "advertiser": frozenset({"HMARKT"}),
    "commercial": frozenset({"COMMERCE"}),
    "public-service": frozenset({"PUBHLTH"}),
}
PROFESSIONAL_PURPOSES = frozenset({"TREAT"})
PATIENT_PURPOSE = "PATRQT"
# Who acts through these is a professional or a patient, never the application alone.
_ACTED_THROUGH = frozenset({"care-software", "patient-frontend"})

_MATRICULE = re.compile(r"[0-9]{5}(?:[0-9]{2}|2[AB])[0-9]{6}[0-9]{2}", re.ASCII)
_RPPS = re.compile(r"[0-9]{11}", re.ASCII)
_FINESS = re.compile(r"(?:[0-9]{2}|2[AB])[0-9]{7}", re.ASCII)


class BadIdentifier(ValueError):
    """An identifier whose form or check digit is wrong; the message never quotes it."""


class Refused(Exception):
    """No token: `slug` is stable, the sentence tells the way out and quotes nobody."""

    def __init__(self, slug: str, sentence: str) -> None:
        super().__init__(slug)
        self.slug, self.sentence = slug, sentence


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


@dataclass(frozen=True, slots=True, repr=False)
class Traits:
    """What identities are compared by (RNIV); `birth_place` is an INSEE code."""

    birth_name: str
    first_names: tuple[str, ...]
    first_birth_name: str
    sex: Sex
    birth_date: date
    birth_place: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """A person under the reference of whoever registers them; `record` and `version` are given at the first time."""

    reference: str
    status: Status
    traits: Traits
    ins: Ins | None = None
    record: str = ""
    version: int = 0

    @property
    def name(self) -> str:
        """The name as it is printed."""
        return f"{self.traits.first_birth_name.title()} {self.traits.birth_name}"

    @property
    def carried(self) -> Ins | None:
        """The matricule that others may see: a qualified identity's only."""
        return self.ins if self.status == "qualified" else None


@dataclass(frozen=True, slots=True)
class Organisation:
    """A structure, by its FINESS number."""

    finess: str
    name: str


@dataclass(frozen=True, slots=True)
class Professional:
    """A health professional and the organisations where they work; `profession` is a code of TRE_G15 (10: doctor)."""

    rpps: str
    name: str
    profession: str
    organisations: frozenset[str]

    @property
    def national_id(self) -> str:
        """The national person identifier."""
        return RPPS_PREFIX + self.rpps


@dataclass(frozen=True, slots=True)
class Application:
    """A piece of software: its Ed25519 public key (base64url), whom it acts for, what it may ask for."""

    client_id: str
    name: str
    kind: Kind
    key: str
    organisations: frozenset[str]
    purposes: frozenset[str]
    signs_patients_in: bool = False


def require_links(application: Application, professional: Professional | None, organisation: str, purpose: str) -> None:
    """Raise Refused unless this professional, in this organisation, may ask for this through this application."""
    if organisation not in application.organisations:
        raise Refused("application-not-of-organisation", "The application does not act for this organisation.")
    if professional is None:
        raise Refused("professional-unknown", "No professional is registered under this national identifier.")
    if organisation not in professional.organisations:
        raise Refused("professional-not-in-organisation", "The professional does not work in this organisation.")
    if purpose not in application.purposes & PROFESSIONAL_PURPOSES:
        raise Refused("purpose-not-allowed", "The application and the professional may not ask for this purpose.")


def require_alone(application: Application, purpose: str) -> None:
    """Raise Refused unless the application may ask for this with nobody behind it."""
    if application.kind in _ACTED_THROUGH:
        raise Refused("nobody-behind", "This kind of application acts for a professional or a patient, never alone.")
    if purpose not in application.purposes:
        raise Refused("purpose-not-allowed", "The application may not ask for this purpose.")


def require_person(person: Person | None) -> Person:
    """Return the person; raise Refused for nobody, and alike for one whose identity is not qualified."""
    if person is None or person.carried is None:
        raise Refused("patient-unknown", "No qualified identity is registered under this INS.")
    return person
