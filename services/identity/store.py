"""Who there is, in MongoDB: persons and who acts for them, professionals, organisations, applications."""

import secrets
from base64 import b32encode
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from chassis.mongo import Mongo, Session
from chassis.outbox import Outbox
from contracts.identity import Holder, RecordOpened, RepresentationChanged
from services.identity.domain.identifiers import Ins
from services.identity.domain.people import Application, Organisation, Person, Professional, Traits
from services.identity.domain.representation import TERMS, Representation, crowded
from services.identity.ports import Change, Crowded

# What a record obeys of which nothing was announced: the living adult whom it is about.
_NOBODY = {"version": 0, "minor": False, "deceased": False, "holders": [], "heirs": []}


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
            ([("representations.holder", 1)], {"sparse": True}),
            ([("due", 1)], {}),
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
        return row and Professional(
            rpps=row["rpps"],
            name=row["name"],
            profession=row["profession"],
            organisations=frozenset(row["organisations"]),
            samu=row.get("samu", False),  # rows of before there was one
            internal_id=row.get("internal_id"),
        )

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

    async def representations(self, references: Iterable[str]) -> list[Representation]:
        """Return who represents the persons under these references, by reference."""
        represented = await self.persons(references, ())
        holders = [each.holder for person in represented for each in person.representations]
        rows = await self._mongo["persons"].find({"_id": {"$in": holders}}, {"reference": 1}).to_list(None)
        named = {row["_id"]: row["reference"] for row in rows}
        return [
            replace(each, represented=person.reference, holder=named[each.holder])
            for person in represented
            for each in person.representations
        ]

    async def put_person(self, person: Person, now: float, correlation_id: str) -> tuple[str, Change]:
        """Write a person; what is new to other services is announced in the same transaction."""

        async def work(session: Session) -> tuple[str, Change]:
            persons = self._mongo["persons"]
            known = await persons.find_one({"reference": person.reference}, session=session)
            row = _person_row(person)
            if known is None:
                row |= {"_id": _new_record_id(), "version": 1}
                await self._announce(row, session, correlation_id)
                await self._say_authority(row, now, session, correlation_id)
                await persons.insert_one(row, session=session)
                return row["_id"], "new"
            # What is not said again stands: an INS, once bound, stays bound.
            row = known | row
            if row == known:
                return known["_id"], "unchanged"
            if row["status"] != known["status"]:
                row["version"] += 1
                await self._announce(row, session, correlation_id)
            await self._say_authority(row, now, session, correlation_id)
            await persons.replace_one({"_id": known["_id"]}, row, session=session)
            if bool(row.get("deceased")) is not bool(known.get("deceased")):
                for each in await persons.find({"representations.holder": row["_id"]}, session=session).to_list(None):
                    await self._say_authority(each, now, session, correlation_id)
                    await persons.replace_one({"_id": each["_id"]}, each, session=session)
            return known["_id"], "changed"

        return await self._mongo.transact(work)

    async def put_representations(
        self, represented: str, new: Sequence[Representation], now: float, correlation_id: str
    ) -> list[Change]:
        """Write who acts for a person, in that person's row: one row is one lock, however many register at once."""

        async def work(session: Session) -> list[Change]:
            persons = self._mongo["persons"]
            row = await persons.find_one({"reference": represented}, session=session)
            rows = row.get("representations", [])
            standing = {(each["holder"], TERMS[each["role"]].of_the_dead): each for each in rows}
            changes: list[Change] = []
            for each in new:
                holder = await persons.find_one({"reference": each.holder}, {"_id": 1}, session=session)
                place = holder["_id"], each.of_the_dead
                entry, known = _representation_row(each, holder["_id"]), standing.get(place)
                changes.append("unchanged" if entry == known else "changed" if known else "new")
                standing[place] = entry
                if entry != known:
                    # Touched, so that a death that is registered meanwhile is seen here, or sees this.
                    await persons.update_one({"_id": holder["_id"]}, {"$inc": {"touched": 1}}, session=session)
            row["representations"] = list(standing.values())
            if crowded(_person(row).representations, now):
                raise Crowded
            await self._say_authority(row, now, session, correlation_id)
            await persons.replace_one({"_id": row["_id"]}, row, session=session)
            return changes

        return await self._mongo.transact(work)

    async def due(self, now: float, most: int) -> list[str]:
        """Return records whose date has come, and those of before there was one."""
        where = {"$or": [{"due": None}, {"due": {"$lte": now}}]}
        return [row["_id"] for row in await self._mongo["persons"].find(where, {"_id": 1}).limit(most).to_list(most)]

    async def age(self, record: str, now: float, correlation_id: str) -> None:
        """Announce whom a record obeys now, if that was not said yet, and note its next date."""

        async def work(session: Session) -> None:
            row = await self._mongo["persons"].find_one({"_id": record}, session=session)
            await self._say_authority(row, now, session, correlation_id)
            await self._mongo["persons"].replace_one({"_id": record}, row, session=session)

        await self._mongo.transact(work)

    async def _say_authority(self, row: dict[str, Any], now: float, session: Session, correlation_id: str) -> None:
        """Put into a person's row whom the record obeys and when time will change it; announce it if it is news."""
        person = _person(row)
        holders = [each.holder for each in person.representations]
        dead = {"_id": {"$in": holders}, "deceased": {"$nin": [None, False]}}
        rows = await self._mongo["persons"].find(dead, {"_id": 1}, session=session).to_list(None) if holders else []
        found = person.authority({each["_id"] for each in rows}, now)
        row["due"] = found.due
        said = _NOBODY | row.get("represented", {})  # rows of before there were heirs
        acting = [each for each in found.holders if not each.of_the_dead]
        fact = RepresentationChanged(
            record=row["_id"],
            version=said["version"] + 1,
            minor=found.minor,
            deceased=found.deceased,
            holders=tuple(
                Holder(holder=each.holder, role=each.role, scopes=tuple(sorted(each.scopes)))  # type: ignore[arg-type]
                for each in acting
            ),
            heirs=tuple(each.holder for each in found.holders if each not in acting),
        )
        state = fact.model_dump(mode="json", include={"minor", "deceased", "holders", "heirs"})
        if state != {name: said[name] for name in state}:
            row["represented"] = state | {"version": fact.version}
            await self._outbox.add(fact, session, correlation_id=correlation_id)

    async def _announce(self, row: dict[str, Any], session: Session, correlation_id: str) -> None:
        fact = RecordOpened(record=row["_id"], version=row["version"], identity_status=row["status"])
        await self._outbox.add(fact, session, correlation_id=correlation_id)


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
            "samu": entry.samu,
            "internal_id": entry.internal_id,
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
    if person.ins:
        row |= {"ins": person.ins.value, "system": person.ins.system}
    if (deceased := person.deceased) is not None:
        row["deceased"] = deceased if isinstance(deceased, bool) else deceased.isoformat()
    return row


def _representation_row(each: Representation, holder: str) -> dict[str, Any]:
    return {
        "holder": holder,
        "role": each.role,
        "scopes": sorted(each.scopes),
        "until": each.until.isoformat() if each.until else None,
        "attested": each.attested,
    }


def _representation(row: dict[str, Any], represented: str) -> Representation:
    return Representation(
        represented=represented,
        holder=row["holder"],
        role=row["role"],
        scopes=frozenset(row["scopes"]),
        until=date.fromisoformat(row["until"]) if row["until"] else None,
        attested=row["attested"],
    )


def _person(row: dict[str, Any]) -> Person:
    traits, deceased = row["traits"], row.get("deceased")
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
        deceased=date.fromisoformat(deceased) if isinstance(deceased, str) else deceased,
        representations=tuple(_representation(each, row["_id"]) for each in row.get("representations", ())),
    )
