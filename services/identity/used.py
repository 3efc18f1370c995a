"""What may be had so many times, in MongoDB: an assertion once, emergency tokens up to their limits."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.mongo import DuplicateKey, Mongo, Session
from chassis.sealing import digest
from services.identity.domain.emergency import Full, Limit

_KEPT_AFTER_EXPIRY = timedelta(minutes=10)  # so that the database's clock may be ahead of ours


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


class MongoEmergencyCounts:
    """The times of emergency tokens by the name of their limit, no longer than the limit looks back."""

    COLLECTION = "emergencies"

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def prepare(self) -> None:
        """Create the collection and its TTL index."""
        await self._mongo.ensure(self.COLLECTION, ([("until", 1)], {"expireAfterSeconds": 0}))

    async def count(self, limits: Sequence[Limit], now: float) -> Full | None:
        """Count one under each limit in one transaction; a full one ends it, and nothing is counted."""

        async def work(session: Session) -> None:
            for limit in limits:
                row = await self._mongo[self.COLLECTION].find_one_and_update(
                    {"_id": limit.name}, _one_more(limit, now), upsert=True, return_document=True, session=session
                )
                if not row["counted"]:
                    raise _LimitReached(Full(limit, sorted(row["times"])[-limit.most] + limit.seconds))

        try:
            await self._mongo.transact(work)
        except _LimitReached as reached:
            return reached.full
        return None


class _LimitReached(Exception):
    """Ends the transaction that counts."""

    def __init__(self, full: Full) -> None:
        super().__init__()
        self.full = full


def _one_more(limit: Limit, now: float) -> list[dict[str, Any]]:
    """Return the update that forgets what is too old, then counts one if there is room, and says whether it did."""
    young = {"$gt": ["$$this", now - limit.seconds]}
    until = datetime.fromtimestamp(now + limit.seconds, UTC) + _KEPT_AFTER_EXPIRY
    return [
        {"$set": {"times": {"$filter": {"input": {"$ifNull": ["$times", []]}, "cond": young}}}},
        {"$set": {"counted": {"$lt": [{"$size": "$times"}, limit.most]}, "until": until}},
        {"$set": {"times": {"$cond": ["$counted", {"$concatArrays": ["$times", [now]]}, "$times"]}}},
    ]
