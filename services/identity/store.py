"""Who there is, in MongoDB: persons, professionals, organisations, applications; and the assertions already used."""

import secrets
from base64 import b32encode
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from chassis.mongo import DuplicateKey, Mongo, Session
from chassis.outbox import Outbox
from chassis.sealing import digest
from contracts.identity import RecordOpened
from services.identity.domain import Application, Ins, Organisation, Person, Professional, Traits
from services.identity.ports import Change

_KEPT_AFTER_EXPIRY = timedelta(minutes=10)  # so that the database's clock may be ahead of ours


class MongoPeople:
    """People by their identifiers; persons have the record id as their key, and a unique reference and INS."""

    def __init__(self, mongo: Mongo, outbox: Outbox) -> None:
        self._mongo, self._outbox = mongo, outbox

    async def prepare(self) -> None:
        """Create the collections and their indexes."""
        held = {"partialFilterExpression": {"ins": {"$exists": True}}}
        await self._mongo.ensure(
            "persons",
            ([("reference", 1)], {"unique": True}),
            ([("ins", 1), ("system", 1)], {"unique": True, **held}),
        )
        for name in ("organisations", "professionals", "applications"):
            await self._mongo.ensure(name)

    async def application(self, client_id: str) -> Application | None:
        """Return an application."""
        row = await self._mongo["applications"].find_one({"_id": client_id})
        return row and Application(
            client_id=row["_id"],
            name=row["name"],
            kind=row["kind"],
            key=row["key"],
            organisations=frozenset(row["organisations"]),
            purposes=frozenset(row["purposes"]),
            signs_patients_in=row["signs_patients_in"],
        )

    async def professional(self, national_id: str) -> Professional | None:
        """Return a professional by the national identifier."""
        row = await self._mongo["professionals"].find_one({"_id": national_id})
        return row and Professional(row["rpps"], row["name"], row["profession"], frozenset(row["organisations"]))

    async def organisation(self, finess: str) -> Organisation | None:
        """Return an organisation."""
        row = await self._mongo["organisations"].find_one({"_id": finess})
        return row and Organisation(row["_id"], row["name"])

    async def person(self, ins: Ins) -> Person | None:
        """Return whom this INS belongs to."""
        row = await self._mongo["persons"].find_one({"ins": ins.value, "system": ins.system})
        return row and _person(row)

    async def organisations(self, among: Iterable[str]) -> set[str]:
        """Return those of these FINESS numbers that are registered."""
        rows = await self._mongo["organisations"].find({"_id": {"$in": list(among)}}, {"_id": 1}).to_list(None)
        return {row["_id"] for row in rows}

    async def persons(self, references: Iterable[str], inses: Iterable[Ins]) -> list[Person]:
        """Return the persons under any of these references or INS."""
        any_of = [{"reference": {"$in": list(references)}}, {"ins": {"$in": [each.value for each in inses]}}]
        return [_person(row) for row in await self._mongo["persons"].find({"$or": any_of}).to_list(None)]

    async def put(self, entry: Organisation | Professional | Application) -> Change:
        """Write an entry whole."""
        name, row = _row(entry)
        key = {"_id": row.pop("_id")}
        done = await self._mongo[name].update_one(key, {"$set": row}, upsert=True)
        if done.upserted_id is not None:
            return "new"
        return "changed" if done.modified_count else "unchanged"

    async def put_person(self, person: Person, correlation_id: str) -> tuple[str, Change]:
        """Write a person; the record's opening, and each change of status, is announced in the same transaction."""

        async def work(session: Session) -> tuple[str, Change]:
            persons = self._mongo["persons"]
            known = await persons.find_one({"reference": person.reference}, session=session)
            row = _person_row(person)
            if known is None:
                row |= {"_id": _new_record_id(), "version": 1}
                await persons.insert_one(row, session=session)
                await self._announce(row, session, correlation_id)
                return row["_id"], "new"
            # What is not said again stands: an INS, once bound, stays bound.
            row = known | row
            if row == known:
                return known["_id"], "unchanged"
            if row["status"] != known["status"]:
                row["version"] += 1
                await self._announce(row, session, correlation_id)
            await persons.replace_one({"_id": known["_id"]}, row, session=session)
            return known["_id"], "changed"

        return await self._mongo.transact(work)

    async def _announce(self, row: dict[str, Any], session: Session, correlation_id: str) -> None:
        fact = RecordOpened(record=row["_id"], version=row["version"], identity_status=row["status"])
        await self._outbox.add(fact, session, correlation_id=correlation_id)


class MongoUsedAssertions:
    """Used assertions by (client, use, digest of the jti), forgotten ten minutes after they expired."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def prepare(self) -> None:
        """Create the collection and its TTL index."""
        await self._mongo.ensure("assertions", ([("until", 1)], {"expireAfterSeconds": 0}))

    async def first_use(self, client_id: str, use: str, jti: str, exp: float) -> bool:
        """Return True once for each (client, use, jti)."""
        name = f"{client_id}:{use}:{digest(jti.encode())}"
        until = datetime.fromtimestamp(exp, UTC) + _KEPT_AFTER_EXPIRY
        try:
            await self._mongo["assertions"].insert_one({"_id": name, "until": until})
        except DuplicateKey:
            return False
        return True


def _new_record_id() -> str:
    """Return 128 random bits in base32, lower case: contracts.fact.RecordId."""
    return b32encode(secrets.token_bytes(16)).rstrip(b"=").decode().lower()


def _row(entry: Organisation | Professional | Application) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, Organisation):
        return "organisations", {"_id": entry.finess, "name": entry.name}
    if isinstance(entry, Professional):
        return "professionals", {
            "_id": entry.national_id,
            "rpps": entry.rpps,
            "name": entry.name,
            "profession": entry.profession,
            "organisations": sorted(entry.organisations),
        }
    return "applications", {
        "_id": entry.client_id,
        "name": entry.name,
        "kind": entry.kind,
        "key": entry.key,
        "organisations": sorted(entry.organisations),
        "purposes": sorted(entry.purposes),
        "signs_patients_in": entry.signs_patients_in,
    }


def _person_row(person: Person) -> dict[str, Any]:
    traits = person.traits
    row: dict[str, Any] = {
        "reference": person.reference,
        "status": person.status,
        "traits": {
            "birth_name": traits.birth_name,
            "first_names": list(traits.first_names),
            "first_birth_name": traits.first_birth_name,
            "sex": traits.sex,
            "birth_date": traits.birth_date.isoformat(),
            "birth_place": traits.birth_place,
        },
    }
    return row | ({"ins": person.ins.value, "system": person.ins.system} if person.ins else {})


def _person(row: dict[str, Any]) -> Person:
    traits = row["traits"]
    return Person(
        reference=row["reference"],
        status=row["status"],
        traits=Traits(
            birth_name=traits["birth_name"],
            first_names=tuple(traits["first_names"]),
            first_birth_name=traits["first_birth_name"],
            sex=traits["sex"],
            birth_date=date.fromisoformat(traits["birth_date"]),
            birth_place=traits["birth_place"],
        ),
        ins=Ins(row["system"], row["ins"]) if "ins" in row else None,
        record=row["_id"],
        version=row["version"],
    )
