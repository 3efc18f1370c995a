"""Who there is: persons with their INS, professionals, organisations, applications."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Literal

from services.identity.domain.identifiers import RPPS_PREFIX, STAFF_PREFIX, Ins
from services.identity.domain.representation import Authority, Representation, authority

Status = Literal["provisional", "retrieved", "validated", "qualified"]
Sex = Literal["F", "M", "I"]
Kind = Literal["care-software", "patient-frontend", "insurer", "employer", "advertiser", "commercial", "public-service"]

OFFICER = "dpo"  # a data protection officer (GDPR, article 37): no health profession, so no code of TRE_G15


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
    """A person under the reference of whoever registers them; `record` and `version` are given at the first time.

    `deceased`: whether they died, or when; None in a file that does not say. `representations`: who may act for them.
    """

    reference: str
    status: Status
    traits: Traits
    ins: Ins | None = None
    record: str = ""
    version: int = 0
    deceased: bool | date | None = None
    representations: tuple[Representation, ...] = ()

    @property
    def name(self) -> str:
        """The name as it is printed."""
        return f"{self.traits.first_birth_name.title()} {self.traits.birth_name}"

    def authority(self, dead: Collection[str], now: float) -> Authority:
        """Return whom this person's record obeys now; `dead` are those of the representatives who died."""
        return authority(self.traits.birth_date, bool(self.deceased), self.representations, dead, now)

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
    """A health professional and the organisations where they work; `profession` is a code of TRE_G15 (10: doctor).

    Or an organisation's data protection officer, who without an RPPS number has the organisation's own identifier
    (`<FINESS>/<identifier>`). `samu`: a regulating doctor, as Pro Santé Connect's `Acces_Regulation_Medicale` says.
    """

    rpps: str | None
    name: str
    profession: str
    organisations: frozenset[str]
    samu: bool = False
    internal_id: str | None = None

    @property
    def national_id(self) -> str:
        """The national person identifier."""
        return RPPS_PREFIX + self.rpps if self.rpps else f"{STAFF_PREFIX}{self.internal_id}"


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
