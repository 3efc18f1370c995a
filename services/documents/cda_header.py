"""The values of a CDA R2 header. What tells of a person is never printed: these have no `repr`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Warned:
    """A defect of the header that is recorded as it is."""

    slug: str
    sentence: str


@dataclass(frozen=True, slots=True, repr=False)
class InstanceId:
    """An HL7 v3 instance identifier: root (OID or UUID) and extension (may be empty, may be an INS)."""

    root: str
    extension: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Coded:
    """A code, the OID of its system, and its display."""

    code: str
    system: str
    display: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class PersonName:
    """A name as written: titles before and after, given names, family name."""

    family: str
    given: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Traits:
    """The patient's traits: names of the birth certificate, names in use, birth date, sex, INSEE code of the place."""

    birth_family: str
    birth_given: tuple[str, ...]
    used_family: str
    used_given: str
    birth_date: str
    sex: str
    birth_place: str


@dataclass(frozen=True, slots=True, repr=False)
class Organisation:
    """An organisation: its identifiers and its name."""

    ids: tuple[InstanceId, ...]
    name: str


@dataclass(frozen=True, slots=True, repr=False)
class Author:
    """An author: identifiers, name (None for a device), profession, organisation, when (FHIR), software's name."""

    ids: tuple[InstanceId, ...]
    name: PersonName | None
    profession: Coded | None
    organisation: Organisation | None
    time: str
    software: str


@dataclass(frozen=True, slots=True, repr=False)
class Act:
    """A documented act: its code and its period (FHIR dateTimes, empty when absent)."""

    code: Coded | None
    start: str
    end: str


@dataclass(frozen=True, slots=True, repr=False)
class Related:
    """A link to another document: RPLC (replaces), APND (appends), XFRM (transforms)."""

    type_code: str
    ids: tuple[InstanceId, ...]


@dataclass(frozen=True, slots=True, repr=False)
class CdaHeader:
    """The header. Times are FHIR dateTimes with an offset; what is absent is None, empty, or an empty tuple."""

    id: InstanceId
    set_id: InstanceId | None
    version_number: int | None
    code: Coded | None
    title: str
    effective_time: str
    confidentiality: Coded | None
    language: str
    patient_ids: tuple[InstanceId, ...]
    patient: Traits
    authors: tuple[Author, ...]
    custodian: Organisation | None
    related: tuple[Related, ...]
    acts: tuple[Act, ...]
    encounter: InstanceId | None
    body: str  # "nonXMLBody", "structuredBody" or ""
    body_media_type: str
    warnings: tuple[Warned, ...]
