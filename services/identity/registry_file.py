"""A file of people to register (JSON): its shape, and every fault in it by path. No fault quotes a value."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from chassis.sealing import unb64
from services.identity.domain import people
from services.identity.domain.identifiers import Ins, require_finess, require_internal, require_rpps
from services.identity.domain.links import PURPOSES
from services.identity.domain.people import OFFICER, Kind, Sex, Status, Traits
from services.identity.domain.representation import TERMS, Representation, Role, Scope
from services.identity.use_cases.register_people import Fault, Registration

Name = Annotated[str, Field(min_length=1, max_length=120)]
Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Finess = Annotated[str, AfterValidator(require_finess)]
_NEEDS_INS = frozenset({"retrieved", "qualified"})
_DOCTOR = "10"
_T = TypeVar("_T")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class OrganisationEntry(_Entry):
    """A structure."""

    finess: Finess
    name: Name

    def value(self) -> people.Organisation:
        """Return the domain's value."""
        return people.Organisation(self.finess, self.name)


class ProfessionalEntry(_Entry):
    """A professional; `organisations` are the FINESS numbers of where they work, `samu` a regulating doctor.

    Who is of profession `dpo` has `internal_id`, `<FINESS>/<identifier>`, where there is no RPPS number.
    """

    rpps: Annotated[str, AfterValidator(require_rpps)] | None = None
    internal_id: Annotated[str, AfterValidator(require_internal)] | None = None
    title: Annotated[str, Field(max_length=20)] = ""
    given_name: Name
    family_name: Name
    profession: Annotated[
        str, Field(pattern=rf"^(?:[0-9]{{2}}|{OFFICER})$", description="TRE_G15 (10: doctor), or an officer.")
    ]
    organisations: Annotated[list[str], Field(min_length=1)]
    samu: bool = False

    @model_validator(mode="after")
    def _regulates_as_a_doctor(self) -> Self:
        if self.samu and self.profession != _DOCTOR:
            raise ValueError("only a doctor (profession 10) regulates for the SAMU")
        return self

    @model_validator(mode="after")
    def _is_named_as_its_kind(self) -> Self:
        if self.internal_id is not None and self.profession != OFFICER:
            raise ValueError(f"only a professional of profession {OFFICER} has an 'internal_id'")
        if (self.internal_id is None) is (self.rpps is None):
            raise ValueError(
                f"a professional has an 'rpps', and one of profession {OFFICER} without it an 'internal_id'"
            )
        if self.internal_id is not None and self.internal_id.partition("/")[0] not in self.organisations:
            raise ValueError("the organisation of the identifier is one of the officer's")
        return self

    def value(self) -> people.Professional:
        """Return the domain's value."""
        name = " ".join(part for part in (self.title, self.given_name, self.family_name) if part)
        return people.Professional(
            self.rpps, name, self.profession, frozenset(self.organisations), self.samu, self.internal_id
        )


class PublicKey(_Entry):
    """A JWK (RFC 8037): the public half, and nothing that could be the private one."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    alg: Literal["Ed25519", "EdDSA"] | None = None
    use: Literal["sig"] | None = None
    kid: str | None = None

    @model_validator(mode="after")
    def _is_a_key(self) -> Self:
        try:
            Ed25519PublicKey.from_public_bytes(unb64(self.x))
        except ValueError:
            raise ValueError("'x' is not 32 bytes in base64url without padding") from None
        return self


class ApplicationEntry(_Entry):
    """An application; a kind has purposes of its own, and no application is registered beyond them."""

    # Never like a national identifier: an assertion about a client cannot pass for one about a professional.
    client_id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,62}$")]
    name: Name
    kind: Kind
    jwk: PublicKey
    organisations: list[str] = []
    purposes: list[str] = []
    signs_patients_in: bool = False

    @model_validator(mode="after")
    def _keeps_to_its_kind(self) -> Self:
        if beyond := set(self.purposes) - PURPOSES[self.kind]:
            raise ValueError(f"the purposes {', '.join(sorted(beyond))} are not those of {self.kind}")
        if self.signs_patients_in and self.kind != "patient-frontend":
            raise ValueError("only a patient-frontend signs patients in")
        return self

    def value(self) -> people.Application:
        """Return the domain's value."""
        return people.Application(
            client_id=self.client_id,
            name=self.name,
            kind=self.kind,
            key=self.jwk.x,
            organisations=frozenset(self.organisations),
            purposes=frozenset(self.purposes),
            signs_patients_in=self.signs_patients_in,
        )


class TraitsEntry(_Entry):
    """The traits of an identity (RNIV)."""

    birth_name: Name
    first_names: Annotated[list[Name], Field(min_length=1)]
    first_birth_name: Name | None = None
    sex: Sex
    birth_date: date
    birth_place: Annotated[str, Field(pattern=r"^(?:[0-9]{2}|2[AB])[0-9]{3}$", description="INSEE.")] | None = None

    def value(self) -> Traits:
        """Return the domain's value; the first birth name is the first of the first names unless it is said."""
        return Traits(
            birth_name=self.birth_name,
            first_names=tuple(self.first_names),
            first_birth_name=self.first_birth_name or self.first_names[0],
            sex=self.sex,
            birth_date=self.birth_date,
            birth_place=self.birth_place,
        )


class PersonEntry(_Entry):
    """A person under the registrar's own reference, which never changes."""

    reference: Reference
    status: Status
    system: str | None = None
    ins: str | None = None
    traits: TraitsEntry
    deceased: bool | date | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.ins is None) is not (self.system is None):
            raise ValueError("'ins' and 'system' go together")
        if self.ins is not None and self.system is not None:
            Ins(self.system, self.ins)
        if self.status in _NEEDS_INS and (self.ins is None or self.traits.birth_place is None):
            raise ValueError(f"a {self.status} identity has an INS and a birth place")
        if isinstance(self.deceased, date) and self.deceased < self.traits.birth_date:
            raise ValueError("a death before the birth")
        return self

    def value(self) -> people.Person:
        """Return the domain's value."""
        ins = Ins(self.system, self.ins) if self.system and self.ins else None
        return people.Person(self.reference, self.status, self.traits.value(), ins, deceased=self.deceased)


class RepresentationEntry(_Entry):
    """Who acts for whom, by their references; `until` is the first day without it."""

    represented: Reference
    holder: Reference
    role: Role
    scopes: Annotated[list[Scope], Field(min_length=1)]
    until: date | None = None
    attestation: bool = False

    @model_validator(mode="after")
    def _keeps_to_its_role(self) -> Self:
        terms = TERMS[self.role]
        if self.represented == self.holder:
            raise ValueError("nobody represents themselves")
        if len(set(self.scopes)) < len(self.scopes):
            raise ValueError("a scope stands twice")
        if beyond := set(self.scopes) - terms.scopes:
            raise ValueError(f"the scopes {', '.join(sorted(beyond))} are not those of the role {self.role}")
        if terms.attested and not self.attestation:
            raise ValueError(f"the role {self.role} takes a signed attestation: 'attestation' is true")
        if self.attestation and not terms.attested:
            raise ValueError(f"the role {self.role} takes no attestation")
        return self

    def value(self) -> Representation:
        """Return the domain's value."""
        return Representation(
            self.represented, self.holder, self.role, frozenset(self.scopes), self.until, self.attestation
        )


_PARTS: dict[
    str, type[OrganisationEntry | ProfessionalEntry | ApplicationEntry | PersonEntry | RepresentationEntry]
] = {
    "organisations": OrganisationEntry,
    "professionals": ProfessionalEntry,
    "applications": ApplicationEntry,
    "persons": PersonEntry,
    "representations": RepresentationEntry,
}


def read(path: Path) -> Registration:
    """Read a file; OSError when it cannot be opened. Everything wrong with it stands in `faults`."""
    return parse(path.read_bytes())


def parse(content: bytes) -> Registration:
    """Read JSON: an object of lists named as the parts of `Registration`."""
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return Registration(faults=(Fault("", f"not JSON: line {error.lineno}, column {error.colno}"),))
    if not isinstance(whole, dict):
        return Registration(faults=(Fault("", "not a JSON object"),))
    faults = [Fault(name, f"unknown; the parts are {', '.join(_PARTS)}") for name in whole if name not in _PARTS]

    def entries(name: str, value: Callable[[Any], _T]) -> dict[str, _T]:
        return _entries(whole, name, value, faults)

    return Registration(
        organisations=entries("organisations", OrganisationEntry.value),
        professionals=entries("professionals", ProfessionalEntry.value),
        applications=entries("applications", ApplicationEntry.value),
        persons=entries("persons", PersonEntry.value),
        representations=entries("representations", RepresentationEntry.value),
        faults=tuple(faults),
    )


def _entries(whole: dict[str, Any], name: str, value: Callable[[Any], _T], faults: list[Fault]) -> dict[str, _T]:
    """Return the entries of one part that hold, by path; the others leave their faults."""
    part = whole.get(name, [])
    if not isinstance(part, list):
        faults.append(Fault(name, "not a list"))
        return {}
    found: dict[str, _T] = {}
    for at, raw in enumerate(part):
        path = f"{name}[{at}]"
        try:
            found[path] = value(_PARTS[name].model_validate(raw))
        except ValidationError as error:
            faults += [_fault(path, each) for each in error.errors(include_url=False, include_input=False)]
    return found


def _fault(path: str, error: Any) -> Fault:
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"])
    ours = error["type"] == "value_error"  # raised here or by the domain; pydantic's own are in `msg`
    reason = str(error["ctx"]["error"]) if ours else error["msg"].lower()
    return Fault(path + steps, reason)
