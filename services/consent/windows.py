"""Windows of refusals that repeat, in MongoDB: a row each, until its number stands in the journal (ADR 0011)."""

import hmac
from hashlib import sha256
from typing import Any

from chassis.mongo import NOT_ADMITTED, DatabaseError, DuplicateKey, Mongo, refusal_of
from chassis.sealing import b64, canonical, derive
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Flow
from services.consent.domain.repeating import alike
from services.consent.ports import Counted, OutcomeUnknown, RecordKeys, Window
from services.consent.store import WINDOWS

# A flow may be heard again for as long as it may be answered, two seconds; one refusal comes less often meanwhile. A
# longer row would take longer to change, and tell how often its refusal came.
_REMEMBERED_FLOWS = 200


class MongoWindows:
    """One row a record, a refusal and a time, under a name that needs the record's key: no guess can be tried on it."""

    def __init__(self, mongo: Mongo, keys: RecordKeys) -> None:
        self._mongo, self._rows, self._keys = mongo, mongo[WINDOWS], keys

    async def prepare(self) -> None:
        """Create the collection and the index of what is over."""
        await self._mongo.ensure(WINDOWS, ([("until", 1)], {}))

    async def open(self, first: Entry, until: int) -> None:
        """Open a window behind an entry that stands."""
        row = {
            "_id": await self._name(first, until),
            "policies": first.policies,
            "until": until,
            "first": first.clear,
            "times": 0,
            "last": first.at,
            "flows": [],
        }
        try:
            await self._rows.insert_one(row)
        except DuplicateKey:
            return

    async def look(self, entry: Entry, until: int) -> Window | None:
        """Return the window of refusals like this entry."""
        row = await self._rows.find_one({"_id": await self._name(entry, until)}, {"flows": 0})
        return _window(row) if row else None

    async def count(self, window: Window, flow: Flow, at: int) -> Counted:
        """Count a refusal in one conditional write; read only where it did not count."""
        this = {"_id": window.name, "first.cause": window.first["cause"]}
        open_ = {"closing": {"$exists": False}, "until": {"$gt": at}, "flows.id": {"$ne": flow.id}}
        new = {"$each": [{"id": flow.id, "digest": flow.digest}], "$slice": -_REMEMBERED_FLOWS}
        change = {"$inc": {"times": 1}, "$push": {"flows": new}, "$max": {"last": at}}
        try:
            done = await self._rows.update_one(this | open_, change)
            if done.matched_count:
                return Counted.COUNTED
            row = await self._rows.find_one(this | {"flows.id": flow.id}, {"flows.$": 1})
        except DatabaseError as error:
            if refusal_of(error) == NOT_ADMITTED:
                return Counted.OUTDATED
            raise OutcomeUnknown from None
        if row is None:
            return Counted.OVER
        return Counted.COUNTED if row["flows"][0]["digest"] == flow.digest else Counted.OTHER

    async def over(self, before: int, after: str, limit: int) -> list[Window]:
        """Return windows that were over before a time."""
        cursor = self._rows.find({"until": {"$lt": before}, "_id": {"$gt": after}}).sort("_id", 1).limit(limit)
        return [_window(row) for row in await cursor.to_list(limit)]

    async def end(self, window: Window) -> Window:
        """Have a window count no more."""
        this = {"_id": window.name, "first.cause": window.first["cause"]}
        await self._rows.update_one(this, {"$set": {"closing": True}})
        row = await self._rows.find_one(this)
        return _window(row) if row else window

    async def drop(self, window: Window) -> None:
        """Forget a window."""
        await self._rows.delete_one({"_id": window.name, "first.cause": window.first["cause"]})

    async def _name(self, entry: Entry, until: int) -> str:
        key = derive(await self._keys.key(entry.record), "repeats")
        said = canonical(alike(entry) | {"until": until})
        return f"{entry.record}:{b64(hmac.digest(key, said, sha256))}"


def _window(row: dict[str, Any]) -> Window:
    flows = tuple(each["id"] for each in row.get("flows", ()))
    return Window(row["_id"], row["first"], row["until"], row["times"], row["last"], flows)
