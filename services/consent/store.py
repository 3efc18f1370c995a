"""MongoDB to domain and back: the journal and the document keys."""

import contextlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from chassis.mongo import DUPLICATE_KEY, DatabaseError, Mongo, PartlyRefused, Session, refusal_of, refusals_of
from chassis.sealing import Unsealable, canonical, decrypt, derive, encrypt, new_key
from services.consent.domain.document import Document, month_after
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import UNANNOUNCED
from services.consent.domain.record import Record
from services.consent.domain.snapshot import dump, load
from services.consent.keys import entry_key, unwrap_document_key, wrap_document_key
from services.consent.ports import Fate, Held, KeyMissing, OutcomeUnknown, RecordKeys, Unconfirmed

_CHANGING = ["deposit", "directive", "other", "emergency"]
_REMEMBERED_KEYS = 50_000
# The collection of windows.py, where a refusal may be counted in the place of an entry.
WINDOWS = "windows"
# What a row holds beside its entry. `due` says that the entry must be told, until it was (notices.py): it goes then, so
# it stands neither in the entry nor under the encryption's associated data.
_BESIDE = frozenset({"_id", "body", "due"})


class MongoJournal:
    """Entries with three unique indexes that are the lock: (record, version), (record, cause), (record, stream, n)."""

    COLLECTION = "journal"

    def __init__(self, mongo: Mongo, keys: RecordKeys) -> None:
        self._mongo, self._rows, self._keys = mongo, mongo[self.COLLECTION], keys

    async def prepare(self) -> None:
        """Create the collection and its indexes."""
        await self._mongo.ensure(WINDOWS)
        await self._mongo.ensure(
            self.COLLECTION,
            ([("record", 1), ("version", 1)], {"unique": True}),
            ([("record", 1), ("cause", 1)], {"unique": True}),
            ([("record", 1), ("stream", 1), ("n", 1)], {"unique": True}),
            # Both hold next to nothing: an insert that is no emergency pays for neither.
            ([("at", 1)], {"partialFilterExpression": {"due": {"$exists": True}}}),
            ([("record", 1), ("class", 1), ("version", 1)], {"partialFilterExpression": {"class": "emergency"}}),
        )

    async def append(self, entries: Sequence[Entry]) -> list[Fate]:
        """Insert entries, at most one a record, and tell the fate of each."""
        rows = [sealed_row(await self._keys.key(entry.record), entry) for entry in entries]
        try:
            await self._rows.insert_many(rows, ordered=False)
        except PartlyRefused as error:
            refused = refusals_of(error)
            if refused is None:
                raise OutcomeUnknown from None
            return [_fate(refused.get(position)) for position in range(len(entries))]
        except DatabaseError:
            raise OutcomeUnknown from None
        return [Fate.STANDS] * len(entries)

    async def append_together(self, entries: Sequence[Entry]) -> Fate:
        """Insert entries of one record in one transaction, and tell their fate."""
        rows = [sealed_row(await self._keys.key(entry.record), entry) for entry in entries]

        async def work(session: Session) -> None:
            for row in rows:
                await self._rows.insert_one(dict(row), session=session)

        try:
            await self._mongo.transact(work)
        except DatabaseError as error:
            if (refused := refusal_of(error)) is None:
                raise OutcomeUnknown from None
            return _fate(refused)
        return Fate.STANDS

    async def last(self, record: str, stream: str) -> int:
        """Return the number of a stream's newest entry."""
        found = await self._rows.find_one({"record": record, "stream": stream}, {"n": 1}, sort=[("n", -1)])
        return int(found["n"]) if found else 0

    async def seen(self, record: str, streams: Collection[str], before: int | None, limit: int) -> list[Entry]:
        """Return entries of these streams, the newest first."""
        below: dict[str, Any] = {} if before is None else {"n": {"$lt": before}}
        cursor = self._rows.find({"record": record, "stream": MAIN, **below}).sort("n", -1).limit(limit)
        entries = await self._opened(record, cursor)
        if others := [each for each in streams if each != MAIN]:
            between: dict[str, Any] = {}
            if len(entries) == limit:
                between["$gt"] = entries[-1].version
            if before is not None:
                edge = await self._rows.find_one({"record": record, "stream": MAIN, "n": before}, {"version": 1})
                between["$lt"] = edge["version"] if edge else 0
            where = {"record": record, "stream": {"$in": others}} | ({"version": between} if between else {})
            entries += await self._opened(record, self._rows.find(where))
            entries.sort(key=lambda each: each.version, reverse=True)
        return entries

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

    async def caused(self, record: str, causes: Collection[str]) -> set[str]:
        """Return which of these causes have an entry."""
        cursor = self._rows.find({"record": record, "cause": {"$in": list(causes)}}, {"cause": 1})
        return {row["cause"] for row in await cursor.to_list(None)}

    async def page(  # noqa: PLR0917 - what narrows a search
        self, record: str, before: int | None, limit: int, since: int | None = None, until: int | None = None,
        streams: Collection[str] | None = None,
    ) -> list[Entry]:  # fmt: skip
        """Return entries, the newest first, from below a version; of a period (ms), of some streams."""
        where: dict[str, Any] = {"record": record}
        if streams is not None:
            where["stream"] = {"$in": list(streams)}
        if before is not None:
            where["version"] = {"$lt": before}
        if period := {name: at for name, at in (("$gte", since), ("$lt", until)) if at is not None}:
            where["at"] = period
        return await self._opened(record, self._rows.find(where).sort("version", -1).limit(limit))

    async def emergencies(self, record: str, to: int) -> list[Entry]:
        """Return in order, up to a version, the entries by which an emergency opened a record, of the main stream.

        What stands elsewhere was told to nobody, so nothing may count as told with it.
        """
        where = {"record": record, "class": "emergency", "stream": MAIN, "version": {"$lte": to}}
        return await self._opened(record, self._rows.find(where).sort("version", 1))

    async def demand(self, policies: str) -> None:
        """Take in only entries of the rules of this digest, whoever inserts, and count no refusal by others."""
        counted = {"$or": [{"policies": policies}, {"closing": True}]}
        await self._mongo.admit(WINDOWS, counted, changes=True)
        await self._mongo.admit(self.COLLECTION, {"policies": policies})

    async def demanded(self) -> str | None:
        """Return the digest of the rules whose entries are taken in; None while none was demanded."""
        return (await self._mongo.admitted(self.COLLECTION)).get("policies")

    async def _opened(self, record: str, cursor: Any) -> list[Entry]:
        key = await self._keys.key(record)
        return [opened_row(key, row) for row in await cursor.to_list(None)]


def sealed_row(record_key: bytes, entry: Entry) -> dict[str, Any]:
    """Return an entry as it is stored: its clear part, and the rest encrypted and bound to it."""
    clear = entry.clear
    row = {**clear, "body": encrypt(entry_key(record_key), canonical(entry.private), clear)}
    # In the entry's own insert: nothing can stand that must be told and is not due.
    return row | {"due": entry.announces} if entry.announces else row


def opened_row(record_key: bytes, row: dict[str, Any]) -> Entry:
    """Return the entry of a row; raise Unsealable when it was not written by consent, for this place."""
    clear = {name: held for name, held in row.items() if name not in _BESIDE}
    return Entry.read(clear, orjson.loads(decrypt(entry_key(record_key), bytes(row["body"]), clear)))


class MongoSnapshots:
    """One row a record: its state at a version, encrypted under the record's key and bound to both."""

    COLLECTION = "snapshots"

    def __init__(self, mongo: Mongo, keys: RecordKeys) -> None:
        self._mongo, self._rows, self._keys = mongo, mongo[self.COLLECTION], keys

    async def prepare(self) -> None:
        """Create the collection."""
        await self._mongo.ensure(self.COLLECTION)

    async def load(self, record: str) -> Record | None:
        """Return the newest that can be read."""
        row = await self._rows.find_one({"_id": record})
        if row is None:
            return None
        key = derive(await self._keys.key(record), "snapshot")
        try:
            held = orjson.loads(decrypt(key, bytes(row["body"]), _snapshot_context(record, row["version"])))
        except Unsealable:
            return None
        return load(record, held)

    async def save(self, state: Record) -> None:
        """Keep a state unless a newer one stands."""
        record, version, clear = state.id, state.version, canonical(dump(state))
        key = derive(await self._keys.key(record), "snapshot")
        row = {"_id": record, "version": version, "body": encrypt(key, clear, _snapshot_context(record, version))}
        # What came first or is newer stays: a snapshot saves time, and nothing depends on it.
        with contextlib.suppress(DatabaseError):
            await self._rows.replace_one({"_id": record, "version": {"$lt": version}}, row, upsert=True)

    async def drop(self, record: str) -> None:
        """Forget a record's."""
        await self._rows.delete_one({"_id": record})


class MongoDocumentKeys:
    """A row per document version, its key wrapped by the record's."""

    COLLECTION = "document_keys"

    def __init__(self, mongo: Mongo, keys: RecordKeys) -> None:
        self._mongo, self._rows, self._keys = mongo, mongo[self.COLLECTION], keys
        # A live row stands as long as its record: whether its key may go out, the journal says. Wrapped, as in the row.
        self._live: dict[str, bytes] = {}

    async def prepare(self) -> None:
        """Create the collection, the index of the sweep, and one of what the patient may not know of yet only."""
        unannounced = {"partialFilterExpression": {"visible_at": {"$exists": True}}}
        await self._mongo.ensure(self.COLLECTION, ([("state", 1), ("at", 1)], {}), ([("visible_at", 1)], unannounced))

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
                    **({"visible_at": month_after(each.deposited_at)} if UNANNOUNCED in each.visibility else {}),
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

    async def unannounced_since(self, now: int, limit: int) -> list[tuple[str, str]]:
        """Return (record, document) of what became visible by itself and is not told yet."""
        cursor = self._rows.find({"visible_at": {"$lte": now}}).sort("visible_at", 1).limit(limit)
        return [(row["record"], row["document"]) for row in await cursor.to_list(limit)]

    async def told(self, record: str, document: str) -> None:
        """Note that the journal tells of a document now."""
        await self._rows.update_many({"record": record, "document": document}, {"$unset": {"visible_at": ""}})

    async def asked(self, each: Unconfirmed, session: Session) -> None:
        """Note that documents was asked about a row, in the transaction that asks."""
        name = _name(each.record, each.document, each.version)
        await self._rows.update_one({"_id": name}, {"$set": {"asked": datetime.now(UTC)}}, session=session)


def _snapshot_context(record: str, version: int) -> dict[str, Any]:
    return {"use": "snapshot", "record": record, "version": version}


def _fate(refused: int | None) -> Fate:
    if refused is None:
        return Fate.STANDS
    return Fate.TAKEN if refused == DUPLICATE_KEY else Fate.OUTDATED


def _held(record_key: bytes, record: str, document: Document, wrapped: bytes, state: Any) -> Held:
    return Held(document, unwrap_document_key(record_key, record, document, wrapped), state)


def _name(record: str, document: str, version: int) -> str:
    return f"{record}:{document}:{version}"
