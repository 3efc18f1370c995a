"""MongoDB to domain and back: the journal and the document keys."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from chassis.mongo import DatabaseError, Mongo, PartlyRefused, Session, duplicates_of
from chassis.sealing import canonical, decrypt, encrypt, new_key
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.record import Document
from services.consent.keys import entry_key, unwrap_document_key, wrap_document_key
from services.consent.ports import Held, KeyMissing, OutcomeUnknown, RecordKeys, Unconfirmed

_CHANGING = ["deposit", "directive", "other", "emergency"]
_REMEMBERED_KEYS = 50_000


class MongoJournal:
    """Entries with three unique indexes that are the lock: (record, version), (record, cause), (record, stream, n)."""

    COLLECTION = "journal"

    def __init__(self, mongo: Mongo, keys: RecordKeys) -> None:
        self._mongo, self._rows, self._keys = mongo, mongo[self.COLLECTION], keys

    async def prepare(self) -> None:
        """Create the collection and its indexes."""
        await self._mongo.ensure(
            self.COLLECTION,
            ([("record", 1), ("version", 1)], {"unique": True}),
            ([("record", 1), ("cause", 1)], {"unique": True}),
            ([("record", 1), ("stream", 1), ("n", 1)], {"unique": True}),
        )

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Insert entries, at most one a record; True where one stands durably, False where a version or cause stood."""
        rows = [await self._sealed(entry) for entry in entries]
        try:
            await self._rows.insert_many(rows, ordered=False)
        except PartlyRefused as error:
            refused = duplicates_of(error)
            if refused is None:
                raise OutcomeUnknown from None
            return [position not in refused for position in range(len(entries))]
        except DatabaseError:
            raise OutcomeUnknown from None
        return [True] * len(entries)

    async def head(self, record: str) -> tuple[int, int] | None:
        """Return (version, n of the main stream) of the newest entry; None while there is none."""
        version = await self._rows.find_one({"record": record}, {"version": 1}, sort=[("version", -1)])
        if version is None:
            return None
        # A version that was read bounds the stream: entries behind it only have a greater n.
        where = {"record": record, "stream": MAIN, "version": {"$lte": version["version"]}}
        main = await self._rows.find_one(where, {"n": 1}, sort=[("n", -1)])
        return version["version"], main["n"] if main else 0

    async def changing(self, record: str, after: int, to: int) -> list[Entry]:
        """Return in order the entries between two versions whose class may change a state (requests do not)."""
        where = {"record": record, "version": {"$gt": after, "$lte": to}, "class": {"$in": _CHANGING}}
        return await self._opened(record, self._rows.find(where).sort("version", 1))

    async def by_cause(self, record: str, cause: str) -> Entry | None:
        """Return the entry that a flow or an event caused."""
        found = await self._opened(record, self._rows.find({"record": record, "cause": cause}))
        return found[0] if found else None

    async def page(self, record: str, before: int | None, limit: int) -> list[Entry]:
        """Return entries, the newest first, from below a version."""
        where: dict[str, Any] = {"record": record}
        if before is not None:
            where["version"] = {"$lt": before}
        return await self._opened(record, self._rows.find(where).sort("version", -1).limit(limit))

    async def _sealed(self, entry: Entry) -> dict[str, Any]:
        key = entry_key(await self._keys.key(entry.record))
        clear = entry.clear
        return {**clear, "body": encrypt(key, canonical(entry.private), clear)}

    async def _opened(self, record: str, cursor: Any) -> list[Entry]:
        key = entry_key(await self._keys.key(record))
        entries = []
        for row in await cursor.to_list(None):
            clear = {name: held for name, held in row.items() if name not in {"_id", "body"}}
            entries.append(Entry.read(clear, orjson.loads(decrypt(key, bytes(row["body"]), clear))))
        return entries


class MongoDocumentKeys:
    """A row per document version, its key wrapped by the record's."""

    COLLECTION = "document_keys"

    def __init__(self, mongo: Mongo, keys: RecordKeys) -> None:
        self._mongo, self._rows, self._keys = mongo, mongo[self.COLLECTION], keys
        # A live row stands as long as its record: whether its key may go out, the journal says. Wrapped, as in the row.
        self._live: dict[str, bytes] = {}

    async def prepare(self) -> None:
        """Create the collection and the index of the sweep."""
        await self._mongo.ensure(self.COLLECTION, ([("state", 1), ("at", 1)], {}))

    async def hold(self, documents: Sequence[tuple[str, Document]]) -> Sequence[Held]:
        """Create and return a fresh key for each new (record, document), as `pending`, durably."""
        held = [Held(each, new_key(), "pending") for _, each in documents]
        await self._rows.insert_many(
            [
                {
                    "_id": _name(record, each.id, each.version),
                    "record": record,
                    "document": each.id,
                    "version": each.version,
                    "wrapped": wrap_document_key(await self._keys.key(record), record, each, new.key),
                    "state": new.state,
                    "at": datetime.now(UTC),
                }
                for (record, each), new in zip(documents, held, strict=True)
            ],
            ordered=False,
        )
        return held

    async def release(self, wanted: Sequence[tuple[str, Sequence[Document]]]) -> Sequence[tuple[Held, ...]]:
        """Return for each (record, documents) the keys that stand; a destroyed one is left out."""
        names = {_name(record, each.id, each.version) for record, documents in wanted for each in documents}
        found: dict[str, tuple[bytes, Any]] = {name: (self._live[name], "live") for name in names & self._live.keys()}
        if unknown := list(names - found.keys()):
            for row in await self._rows.find({"_id": {"$in": unknown}}).to_list(None):
                found[row["_id"]] = bytes(row["wrapped"]), row["state"]
                if row["state"] == "live":
                    self._live[row["_id"]] = bytes(row["wrapped"])
            if len(self._live) > _REMEMBERED_KEYS:
                self._live.clear()
        released = []
        for record, documents in wanted:
            key = await self._keys.key(record)
            rows = ((each, found.get(_name(record, each.id, each.version))) for each in documents)
            released.append(tuple(_held(key, record, each, *row) for each, row in rows if row is not None))
        return released

    async def confirm(self, record: str, document: str, version: int, digest: str) -> None:
        """Make a row live: its ciphertext, of this digest, is durable."""
        update = {"$set": {"state": "live", "digest": digest}}
        found = await self._rows.update_one({"_id": _name(record, document, version)}, update)
        if not found.matched_count:
            raise KeyMissing

    async def destroy(self, record: str, document: str, version: int) -> bool:
        """Destroy the key of a version that is pending; a live one stays, and the answer is False."""
        where = {"_id": _name(record, document, version), "state": "pending"}
        return bool((await self._rows.delete_one(where)).deleted_count)

    async def pending_since(self, before_ms: int, limit: int) -> list[Unconfirmed]:
        """Return rows that are pending since before a time and that were not asked about for a day."""
        before = datetime.fromtimestamp(before_ms / 1000, UTC)
        quiet = {"$or": [{"asked": {"$exists": False}}, {"asked": {"$lt": datetime.now(UTC) - timedelta(days=1)}}]}
        cursor = self._rows.find({"state": "pending", "at": {"$lt": before}, **quiet}).limit(limit)
        return [Unconfirmed(row["record"], row["document"], row["version"]) for row in await cursor.to_list(limit)]

    async def asked(self, each: Unconfirmed, session: Session) -> None:
        """Note that documents was asked about a row, in the transaction that asks."""
        name = _name(each.record, each.document, each.version)
        await self._rows.update_one({"_id": name}, {"$set": {"asked": datetime.now(UTC)}}, session=session)


def _held(record_key: bytes, record: str, document: Document, wrapped: bytes, state: Any) -> Held:
    return Held(document, unwrap_document_key(record_key, record, document, wrapped), state)


def _name(record: str, document: str, version: int) -> str:
    return f"{record}:{document}:{version}"
