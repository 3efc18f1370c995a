"""Metadata, ciphertext and the fact about them stand together or not at all, whatever their size."""

import asyncio
from datetime import UTC, datetime

import pytest

from chassis.mongo import Mongo
from chassis.outbox import COLLECTION as OUTBOX
from chassis.outbox import Outbox
from services.documents.domain import Abandoned, Kept
from services.documents.store import MongoBlobs, MongoShelf

RECORD, DOCUMENT = "r" * 26, "d" * 26
SMALL, LARGE = b"small", b"large" * 2_000_000  # one row in the transaction; two chunks before it


class Room:
    """What documents keeps, on a database of its own."""

    def __init__(self, mongo: Mongo) -> None:
        self.mongo, self.blobs = mongo, MongoBlobs(mongo)
        self.outbox = Outbox(mongo, "documents")
        self.shelf = MongoShelf(mongo, self.blobs, self.outbox)

    async def count(self, collection: str) -> int:
        """Return how many rows a collection has."""
        return int(await self.mongo[collection].count_documents({}))

    async def deposit(self, content: bytes, version: int = 1) -> bool:
        """Bring content here, and keep it unless the version stands."""
        staged, kept = await self.blobs.put(content), _kept(len(content), version)
        stored = await self.shelf.keep(kept, staged, DOCUMENT)
        if not stored:
            await self.blobs.drop(staged)
        return stored


def _kept(size: int, version: int = 1) -> Kept:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    return Kept(RECORD, DOCUMENT, version, deposited_at=at, size=size, digest="A" * 43, metadata=b"sealed")


@pytest.fixture
async def room(database: Mongo) -> Room:
    """Prepare the collections."""
    made = Room(database)
    for each in (made.outbox, made.blobs, made.shelf):
        await each.prepare()
    return made


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_what_is_kept_comes_back(room: Room, content: bytes) -> None:
    """Ciphertext comes back as it was, of its own version, and no sweep ever takes it."""
    assert await room.deposit(content)
    assert await room.deposit(b"another", version=2)
    assert await room.blobs.sweep(0) == 0
    assert await room.blobs.get(RECORD, DOCUMENT, 1) == content
    assert await room.blobs.get(RECORD, DOCUMENT, 2) == b"another"
    assert (await room.shelf.find(RECORD, [(DOCUMENT, 1)]))[DOCUMENT] == _kept(len(content))
    assert await room.count(OUTBOX) == 2


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_of_two_tries_at_once_one_is_kept(room: Room, content: bytes) -> None:
    """The other finds the version standing; its own bytes are gone, and one fact is told."""
    assert sorted(await asyncio.gather(*(room.deposit(content) for _ in range(4)))) == [False] * 3 + [True]
    assert await room.blobs.get(RECORD, DOCUMENT, 1) == content
    assert await room.count("blobs") == (1 if content is SMALL else 2)
    assert (await room.count("documents"), await room.count(OUTBOX)) == (1, 1)


async def test_large_ciphertext_that_is_not_kept_is_swept(room: Room) -> None:
    """What stays loose goes once it is old, and not before; a deposit that comes back for it is told to begin again."""
    staged = await room.blobs.put(LARGE)
    assert await room.blobs.sweep(3_600) == 0
    assert await room.blobs.get(RECORD, DOCUMENT, 1) is None
    assert await room.blobs.sweep(0) == 2
    with pytest.raises(Abandoned):
        await room.shelf.keep(_kept(len(LARGE)), staged, DOCUMENT)
    assert [await room.count(each) for each in ("documents", "blobs", OUTBOX)] == [0, 0, 0]


async def test_small_ciphertext_stands_with_its_metadata_only(room: Room) -> None:
    """Nothing small is written before the transaction, so nothing of it can be left over."""
    await room.blobs.put(SMALL)
    assert await room.count("blobs") == 0


async def test_an_abandoned_version_takes_nothing_in(room: Room) -> None:
    """After documents has given a deposit up, its late bytes are refused and leave no trace."""
    await room.shelf.settle(RECORD, DOCUMENT, 1, "asked")
    with pytest.raises(Abandoned):
        await room.deposit(SMALL)
    assert await room.blobs.get(RECORD, DOCUMENT, 1) is None
    assert await room.shelf.find(RECORD, [(DOCUMENT, 1)]) == {}


async def test_settling_tells_what_stands_once(room: Room) -> None:
    """A stored version is told again under the same event id; while that is unsent nothing is added."""
    await room.deposit(SMALL)
    await room.shelf.settle(RECORD, DOCUMENT, 1, "asked")
    assert await room.count(OUTBOX) == 1
