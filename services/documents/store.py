"""MongoDB: metadata as ciphertext, and the blob port's local form, in chunks below BSON's 16 MB."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from chassis import faults
from chassis.mongo import DuplicateKey, Mongo, Session
from chassis.outbox import Outbox
from contracts.documents import DepositAbandoned, Deposited
from services.documents.domain import Abandoned, Kept, Staged

_CHUNK = 8 * 1024 * 1024
_SMALL = 1024 * 1024


class MongoBlobs:
    """One row a chunk. What is small comes in with its metadata; what is large stands before, `loose` until then."""

    COLLECTION = "blobs"

    def __init__(self, mongo: Mongo) -> None:
        self._mongo, self._rows = mongo, mongo[self.COLLECTION]
        self._hasty = mongo.hasty(self.COLLECTION)

    async def prepare(self) -> None:
        """Create the collection, and an index of what is loose only."""
        loose = {"partialFilterExpression": {"loose": True}}
        await self._mongo.ensure(self.COLLECTION, ([("at", 1)], loose), ([("blob", 1), ("chunk", 1)], {"unique": True}))

    async def put(self, ciphertext: bytes) -> Staged:
        """Store large ciphertext under a name that this try has for itself; `keep` finds out whether it stands."""
        if len(ciphertext) <= _SMALL:
            return Staged(None, ciphertext)
        loose, at = uuid4().hex, datetime.now(UTC)
        chunks = [ciphertext[start : start + _CHUNK] for start in range(0, len(ciphertext), _CHUNK)]
        rows = [
            {"blob": loose, "chunk": number, "data": chunk, "at": at, "loose": True}
            for number, chunk in enumerate(chunks)
        ]
        await self._hasty.insert_many(rows)
        return Staged(loose, ciphertext)

    async def get(self, record: str, document: str, version: int) -> bytes | None:
        """Return the chunks as one."""
        rows = await self._rows.find({"blob": _name(record, document, version)}).sort("chunk", 1).to_list(None)
        return b"".join(bytes(row["data"]) for row in rows) if rows else None

    async def drop(self, staged: Staged) -> None:
        """Remove what was not kept."""
        if staged.loose is not None:
            await self._rows.delete_many({"blob": staged.loose, "loose": True})

    async def sweep(self, older_than_seconds: float) -> int:
        """Remove what stayed loose for so long."""
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        return int((await self._rows.delete_many({"loose": True, "at": {"$lt": before}})).deleted_count)

    async def keep(self, staged: Staged, name: str, session: Session) -> bool:
        """Keep a blob in the caller's transaction; False when not all of it is there (swept, lost with a primary)."""
        if staged.loose is None:
            await self._rows.insert_one({"blob": name, "chunk": 0, "data": staged.ciphertext}, session=session)
            return True
        update = {"$set": {"blob": name}, "$unset": {"loose": "", "at": ""}}
        kept = await self._rows.update_many({"blob": staged.loose}, update, session=session)
        return bool(kept.modified_count == -(-len(staged.ciphertext) // _CHUNK))


class MongoShelf:
    """A row a document version; `abandoned` rows stand for ever, so that nothing comes after them."""

    COLLECTION = "documents"

    def __init__(self, mongo: Mongo, blobs: MongoBlobs, outbox: Outbox) -> None:
        self._mongo, self._blobs, self._outbox = mongo, blobs, outbox
        self._rows = mongo[self.COLLECTION]

    async def prepare(self) -> None:
        """Create the collection."""
        await self._mongo.ensure(self.COLLECTION)

    async def keep(self, kept: Kept, staged: Staged, correlation_id: str) -> bool:
        """Store metadata, keep their blob and tell `Deposited`, all or nothing; False when the version stands."""
        name = _name(kept.record, kept.document, kept.version)

        async def work(session: Session) -> None:
            await self._rows.insert_one(_row(kept), session=session)
            faults.point("documents.deposit.inserted")
            if not await self._blobs.keep(staged, name, session):
                raise Abandoned  # swept: more than a day went by
            faults.point("documents.deposit.blob-kept")
            fact = _deposited(kept)
            await self._outbox.add(fact, session, correlation_id=correlation_id, event_id=_told(fact))
            faults.point("documents.deposit.told")

        try:
            await self._mongo.transact(work)
        except DuplicateKey:
            row = await self._rows.find_one({"_id": name})
            if row is None or row.get("abandoned"):
                raise Abandoned from None
            return False
        return True

    async def find(self, record: str, versions: Sequence[tuple[str, int]]) -> dict[str, Kept]:
        """Return by document id what stands of these (document, version)."""
        names = [_name(record, document, version) for document, version in versions]
        rows = await self._rows.find({"_id": {"$in": names}, "abandoned": {"$exists": False}}).to_list(None)
        return {row["document"]: _kept(row) for row in rows}

    async def settle(self, record: str, document: str, version: int, event_id: str) -> None:
        """Tell `Deposited` again if the version stands; else give it up for good and tell `DepositAbandoned`."""
        name = _name(record, document, version)

        async def work(session: Session) -> None:
            row = await self._rows.find_one({"_id": name}, session=session)
            fact: Deposited | DepositAbandoned
            if row is not None and not row.get("abandoned"):
                fact = _deposited(_kept(row))
            else:
                fact = DepositAbandoned(record=record, document=document, version=version)
            if row is None:
                tombstone = {"_id": name, "record": record, "document": document, "abandoned": datetime.now(UTC)}
                await self._rows.insert_one(tombstone, session=session)
                faults.point("documents.settle.given-up")
            told = _told(fact)
            if not await self._outbox.holds(told, session):
                await self._outbox.add(fact, session, correlation_id=document, causation_id=event_id, event_id=told)
            faults.point("documents.settle.told")

        try:
            await self._mongo.transact(work)
        except DuplicateKey:
            # The deposit was stored between the read and the insert: it stands.
            await self.settle(record, document, version, event_id)


def _told(fact: Deposited | DepositAbandoned) -> str:
    """Return the event's id: told again it is the same event, and nobody is notified twice."""
    return f"{'deposited' if isinstance(fact, Deposited) else 'abandoned'}-{fact.document}-{fact.version}"


def _name(record: str, document: str, version: int) -> str:
    return f"{record}:{document}:{version}"


def _deposited(kept: Kept) -> Deposited:
    return Deposited(
        record=kept.record, document=kept.document, version=kept.version, digest=kept.digest, size=kept.size
    )


def _row(kept: Kept) -> dict[str, Any]:
    fields = {name: getattr(kept, name) for name in Kept.__slots__}
    return {"_id": _name(kept.record, kept.document, kept.version), **fields}


def _kept(row: dict[str, Any]) -> Kept:
    return Kept(**{name: row[name] for name in Kept.__slots__} | {"metadata": bytes(row["metadata"])})
