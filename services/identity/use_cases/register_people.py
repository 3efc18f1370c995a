"""Register who there is, whole or not at all: every fault of a file is found before anything is written."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import uuid4

from services.identity.domain.identifiers import Ins
from services.identity.domain.people import Application, Organisation, Person, Professional
from services.identity.domain.representation import TERMS, Representation, begins, crowded
from services.identity.ports import Clock, Register


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a file: where (`persons[2].ins`), and why, quoting no value."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Registration:
    """What a file asks for, each entry with its path; and the faults that reading it found already."""

    organisations: dict[str, Organisation] = field(default_factory=dict)
    professionals: dict[str, Professional] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)
    persons: dict[str, Person] = field(default_factory=dict)
    representations: dict[str, Representation] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Registered:
    """What was done: how many entries are new, changed or unchanged, by collection; and each reference's record."""

    counts: dict[str, Counter[str]]
    records: dict[str, str]


class RegistrationRefused(ValueError):
    """Nothing was written; `faults` holds all that is wrong."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


class RegisterPeople:
    """Idempotent: the same file again changes nothing, and finishes what a crash interrupted."""

    def __init__(self, register: Register, clock: Clock, *, test_identities: bool) -> None:
        self._register, self._clock, self._test_identities = register, clock, test_identities

    async def __call__(self, asked: Registration) -> Registered:
        """Write every entry; raise RegistrationRefused, or Crowded when others registered at the same time."""
        faults = [*asked.faults, *_repeated(asked), *await self._unknown(asked), *await self._collisions(asked)]
        faults += [*await self._strangers(asked), *await self._crowds(asked), *_to_come(asked, self._clock())]
        if not self._test_identities:
            faults += [
                Fault(f"{path}.system", "a test identity has no place in production")
                for path, person in asked.persons.items()
                if person.ins and person.ins.is_test
            ]
        if faults:
            raise RegistrationRefused(sorted(faults, key=lambda fault: fault.path))
        counts: dict[str, Counter[str]] = {}
        # Organisations first: nobody ever works in, or acts for, one that does not stand.
        parts: dict[str, dict[str, Any]] = {
            "organisations": asked.organisations,
            "professionals": asked.professionals,
            "applications": asked.applications,
        }
        for name, entries in parts.items():
            counts[name] = Counter([await self._register.put(entry) for entry in entries.values()])
        records, changes, run = {}, Counter[str](), uuid4().hex
        for person in asked.persons.values():
            records[person.reference], change = await self._register.put_person(person, self._clock(), run)
            changes[change] += 1
        acting = Counter[str]()
        for reference, new in _by_represented(asked).items():
            acting.update(await self._register.put_representations(reference, new, self._clock(), run))
        return Registered(counts | {"persons": changes, "representations": acting}, records)

    async def _unknown(self, asked: Registration) -> list[Fault]:
        """Find organisations that are named, and neither stand in the file nor in the register."""
        entries: dict[str, Professional | Application] = {**asked.professionals, **asked.applications}
        named = [
            (f"{path}.organisations", finess)
            for path, entry in entries.items()
            for finess in sorted(entry.organisations)
        ]
        known = {each.finess for each in asked.organisations.values()}
        known |= await self._register.organisations({finess for _, finess in named} - known)
        return [Fault(path, f"no organisation {finess} is registered") for path, finess in named if finess not in known]

    async def _collisions(self, asked: Registration) -> list[Fault]:
        """Find an INS that would change hands: a record is its person's for ever."""
        inses = [person.ins for person in asked.persons.values() if person.ins]
        standing = await self._register.persons([each.reference for each in asked.persons.values()], inses)
        by_reference = {each.reference: each for each in standing}
        holder = {_pair(each.ins): each.reference for each in standing if each.ins}
        faults = []
        for path, person in asked.persons.items():
            if person.ins is None:
                continue
            known = by_reference.get(person.reference)
            if known and known.ins and not known.ins.may_become(person.ins):
                faults.append(Fault(f"{path}.ins", "this reference stands under another INS"))
            elif holder.get(_pair(person.ins), person.reference) != person.reference:
                faults.append(Fault(f"{path}.ins", "this INS stands under another reference"))
        return faults

    async def _strangers(self, asked: Registration) -> list[Fault]:
        """Find who represents or is represented, and neither stands in the file nor in the register."""
        named = [
            (f"{path}.{part}", getattr(each, part))
            for path, each in asked.representations.items()
            for part in ("represented", "holder")
        ]
        known = {each.reference for each in asked.persons.values()}
        unknown = {reference for _, reference in named} - known
        known |= {each.reference for each in await self._register.persons(unknown, ())}
        return [
            Fault(path, "no person is registered under this reference")
            for path, reference in named
            if reference not in known
        ]

    async def _crowds(self, asked: Registration) -> list[Fault]:
        """Find persons for whom too many would act, with those who do already."""
        now, new = self._clock(), _by_represented(asked)
        whole = {_place(each): each for each in await self._register.representations(new)}
        whole |= {_place(each): each for each in asked.representations.values()}
        over = {of: crowded((each for each in whole.values() if each.represented == of), now) for of in new}
        return [
            Fault(path, f"at most {TERMS[each.role].most} may act for one person as {each.role}: others end by 'until'")
            for path, each in asked.representations.items()
            if each.role in over[each.represented]
        ]


def _by_represented(asked: Registration) -> dict[str, list[Representation]]:
    """Return the representations of each represented person: they are written together."""
    found: dict[str, list[Representation]] = {}
    for each in asked.representations.values():
        found.setdefault(each.represented, []).append(each)
    return found


def _to_come(asked: Registration, now: float) -> list[Fault]:
    """Find deaths to come."""
    return [
        Fault(f"{path}.deceased", "a death in the future")
        for path, each in asked.persons.items()
        if isinstance(each.deceased, date) and begins(each.deceased) > now
    ]


def _repeated(asked: Registration) -> list[Fault]:
    """Find entries that stand twice in the file."""
    persons = asked.persons.items()
    keys: list[tuple[str, str, object]] = [
        *((f"{path}.finess", "FINESS number", each.finess) for path, each in asked.organisations.items()),
        *((f"{path}.rpps", "RPPS number", each.rpps) for path, each in asked.professionals.items() if each.rpps),
        *(
            (f"{path}.internal_id", "identifier", each.internal_id)
            for path, each in asked.professionals.items()
            if each.internal_id
        ),
        *((f"{path}.client_id", "client id", each.client_id) for path, each in asked.applications.items()),
        *((f"{path}.reference", "reference", each.reference) for path, each in persons),
        *((f"{path}.ins", "INS", _pair(each.ins)) for path, each in persons if each.ins),
        *((path, "pair of persons", _place(each)) for path, each in asked.representations.items()),
    ]
    times = Counter((kind, key) for _, kind, key in keys)
    return [Fault(path, f"this {kind} stands twice in the file") for path, kind, key in keys if times[kind, key] > 1]


def _place(each: Representation) -> tuple[str, str, bool]:
    return each.represented, each.holder, each.of_the_dead


def _pair(ins: Ins) -> tuple[str, str]:
    return ins.system, ins.value
