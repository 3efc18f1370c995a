"""Identity's register on a real database, families to register in it, and a clock that the test moves."""

import json
from datetime import date
from typing import Any

import pytest

from chassis.mongo import Mongo
from chassis.outbox import COLLECTION as OUTBOX
from chassis.outbox import Outbox
from services.identity.domain.identifiers import ins_key
from services.identity.domain.representation import begins, majority
from services.identity.registry_file import parse
from services.identity.store import MongoPeople
from services.identity.use_cases.age import Age
from services.identity.use_cases.register_people import RegisterPeople, RegistrationRefused
from tests.integration.test_identity import TEST

TODAY = begins(date(2026, 6, 1))
BORN = date(2014, 3, 9)
OF_AGE = majority(BORN)
EVERYTHING = ["deposit", "govern", "journal", "read"]


def ins(order: int) -> str:
    """Return an INS of the test system."""
    number = f"2790351215{order:03}"
    return f"{number}{ins_key(number):02}"


def person(reference: str, order: int, **changed: Any) -> dict[str, Any]:
    """Return an adult to register, or whoever `birth_date` makes of them."""
    traits = {
        "birth_name": "NOM", "first_names": [reference.upper()], "sex": "F",
        "birth_date": changed.pop("birth_date", "1979-03-28"), "birth_place": "51215",
    }  # fmt: skip
    entry = {"reference": reference, "status": "qualified", "system": TEST, "ins": ins(order), "traits": traits}
    return entry | changed


NOA = person("noa", 1, birth_date=BORN.isoformat())
CAMILLE, MALIK, SACHA = (person(name, order) for order, name in enumerate(("camille", "malik", "sacha"), 2))
ADULTS = [CAMILLE, MALIK, SACHA]


def parent(holder: str, represented: str = "noa", **changed: Any) -> dict[str, Any]:
    """Return a parent to register."""
    return {"represented": represented, "holder": holder, "role": "parent", "scopes": EVERYTHING} | changed


def caregiver(holder: str, represented: str = "malik", **changed: Any) -> dict[str, Any]:
    """Return a caregiver to register."""
    cares = {"role": "caregiver", "scopes": ["read"], "attestation": True}
    return parent(holder, represented) | cares | changed


class Register:
    """Identity's register in one database, as a process whose clock can be moved has it."""

    def __init__(self, mongo: Mongo) -> None:
        self.mongo, self.now = mongo, TODAY
        self.people = MongoPeople(mongo, Outbox(mongo, "identity"))
        self.age = Age(self.people, lambda: self.now)
        self.records: dict[str, str] = {}

    async def prepare(self) -> None:
        """Create the collections."""
        await Outbox(self.mongo, "identity").prepare()
        await self.people.prepare()

    async def put(self, **parts: Any) -> dict[str, int]:
        """Register what a file says; return what was done to its representations."""
        register = RegisterPeople(self.people, lambda: self.now, test_identities=True)
        done = await register(parse(json.dumps(parts).encode()))
        self.records |= done.records
        return dict(done.counts["representations"])

    async def faults(self, **parts: Any) -> dict[str, str]:
        """Register what must be refused; return the faults by path."""
        with pytest.raises(RegistrationRefused) as error:
            await self.put(**parts)
        return {fault.path: fault.reason for fault in error.value.faults}

    async def said(self, reference: str = "noa") -> list[dict[str, Any]]:
        """Return what waits in the outbox of whom a record obeys, by version."""
        rows = await self.mongo[OUTBOX].find({"key": self.records[reference].encode()}).to_list(None)
        facts = [json.loads(row["value"]) for row in rows]
        return sorted((each for each in facts if "holders" in each), key=lambda each: int(each["version"]))

    async def last(self, reference: str = "noa") -> tuple[int, bool, bool, dict[str, str]]:
        """Return version, minor, deceased and the holders' roles by reference, as they were said last."""
        newest, named = (await self.said(reference))[-1], {record: name for name, record in self.records.items()}
        holders = {named[each["holder"]]: each["role"] for each in newest["holders"]}
        return newest["version"], newest["minor"], newest["deceased"], holders
