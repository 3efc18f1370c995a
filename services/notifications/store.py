"""Inboxes in MongoDB: collection `items`, one document an item."""

from datetime import UTC, datetime
from typing import Any

from chassis.mongo import DuplicateKey, Mongo
from services.notifications.domain import Item, Kind

COLLECTION = "items"


class MongoItems:
    """Items by record and number; `_id` is `<record>:<number>`, so that a change names its record."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo, self._items = mongo, mongo[COLLECTION]

    async def prepare(self) -> None:
        """Create the collection and its indexes, which are the lock: one item a number, one item an event."""
        await self._mongo.ensure(
            COLLECTION,
            ([("record", 1), ("number", -1)], {"unique": True}),
            ([("record", 1), ("event_id", 1)], {"unique": True}),
        )

    async def holds(self, record: str, event_id: str) -> bool:
        """Say whether this event has its item already."""
        return await self._items.find_one({"record": record, "event_id": event_id}) is not None

    async def put(self, record: str, event_id: str, kind: Kind) -> bool:
        """Add one item under the next number; False when the event has one."""
        while True:
            number = await self.last(record) + 1
            row = {
                "_id": f"{record}:{number}",
                "record": record,
                "number": number,
                "event_id": event_id,
                "kind": kind,
                "at": datetime.now(UTC),
                "read_at": None,
            }
            try:
                await self._items.insert_one(row)
            except DuplicateKey:
                if await self.holds(record, event_id):
                    return False
            else:
                return True

    async def before(self, record: str, number: int | None, limit: int) -> list[Item]:
        """Return the newest items under a number, the newest first."""
        below = {} if number is None else {"number": {"$lt": number}}
        cursor = self._items.find({"record": record, **below}).sort("number", -1).limit(limit)
        return [_item(row) for row in await cursor.to_list(limit)]

    async def after(self, record: str, number: int, limit: int) -> list[Item]:
        """Return the items above a number, the oldest first."""
        cursor = self._items.find({"record": record, "number": {"$gt": number}}).sort("number", 1).limit(limit)
        return [_item(row) for row in await cursor.to_list(limit)]

    async def last(self, record: str) -> int:
        """Return the number of the newest item, 0 for an empty inbox."""
        newest = await self.before(record, None, 1)
        return newest[0].number if newest else 0

    async def mark_read(self, record: str, number: int) -> bool:
        """Remember when the item was first read; False when there is no such item."""
        now = {"$set": {"read_at": {"$ifNull": ["$read_at", "$$NOW"]}}}
        done = await self._items.update_one({"record": record, "number": number}, [now])
        return bool(done.matched_count)


def record_of(item_id: str) -> str:
    """Return the record of an item's `_id`."""
    return item_id.partition(":")[0]


def _item(row: dict[str, Any]) -> Item:
    return Item(
        record=row["record"], number=row["number"], kind=Kind(row["kind"]), at=row["at"], read_at=row["read_at"]
    )
