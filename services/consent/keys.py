"""Root -> record key -> document key: AES-256-GCM, each wrapping bound to what it is for."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

from chassis.mongo import DuplicateKey, Mongo
from chassis.sealing import canonical, decrypt, derive, digest, encrypt, new_key, unb64
from services.consent.domain.document import Document
from services.consent.ports import RecordUnknown, RootKey

_CACHED_KEYS = 50_000


class FileRoot:
    """The root as a file: for the local stack only, production refuses it."""

    def __init__(self, path: Path) -> None:
        self._key = unb64(path.read_text(encoding="utf-8").strip())
        self.name = f"file:{digest(b'carnet-root' + self._key)[:12]}"

    async def wrap(self, record: str, key: bytes) -> bytes:
        """Return the record key, wrapped for this record alone."""
        return encrypt(self._key, key, self._context(record))

    async def unwrap(self, record: str, wrapped: bytes) -> bytes:
        """Return the record key."""
        return decrypt(self._key, wrapped, self._context(record))

    def _context(self, record: str) -> dict[str, Any]:
        return {"use": "record-key", "record": record, "root": self.name}


class MongoRecordKeys:
    """Record keys, wrapped by the root; unwrapped ones are remembered in memory only."""

    COLLECTION = "record_keys"

    def __init__(self, mongo: Mongo, root: RootKey) -> None:
        self._rows, self._root = mongo[self.COLLECTION], root
        self._mongo = mongo
        self._known: OrderedDict[str, bytes] = OrderedDict()

    async def prepare(self) -> None:
        """Create the collection."""
        await self._mongo.ensure(self.COLLECTION)

    async def key(self, record: str) -> bytes:
        """Return a record's key; raise RecordUnknown."""
        known = self._known.get(record)
        if known is not None:
            self._known.move_to_end(record)
            return known
        row = await self._rows.find_one({"_id": record})
        if row is None:
            raise RecordUnknown
        key = await self._root.unwrap(record, bytes(row["wrapped"]))
        self._known[record] = key
        if len(self._known) > _CACHED_KEYS:
            self._known.popitem(last=False)
        return key

    async def create(self, record: str) -> bool:
        """Create a record's key, durably; False when it stands already."""
        wrapped = await self._root.wrap(record, new_key())
        try:
            await self._rows.insert_one({"_id": record, "wrapped": wrapped, "root": self._root.name})
        except DuplicateKey:
            return False
        return True


def entry_key(record_key: bytes) -> bytes:
    """Return the key that encrypts a record's entries."""
    return derive(record_key, "entry")


def wrap_document_key(record_key: bytes, record: str, document: Document, key: bytes) -> bytes:
    """Return a document version's key, bound to its record, its number and its immutable attributes."""
    return encrypt(derive(record_key, "document-keys"), key, _document_context(record, document))


def unwrap_document_key(record_key: bytes, record: str, document: Document, wrapped: bytes) -> bytes:
    """Return a document version's key; raise Unsealable when row and entry do not tell the same document."""
    return decrypt(derive(record_key, "document-keys"), wrapped, _document_context(record, document))


def _document_context(record: str, document: Document) -> dict[str, Any]:
    # What a deposit's entry says for ever; labels and status may change and are not bound.
    attributes = {
        "type": document.type_code,
        "class": document.class_code,
        "depositor": document.depositor,
        "organisation": document.organisation,
        "content": document.content_digest,
    }
    return {
        "use": "document-key",
        "record": record,
        "document": document.id,
        "version": document.version,
        "attributes": digest(canonical(attributes)),
    }
