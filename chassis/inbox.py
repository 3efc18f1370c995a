"""Events already taken in: claimed in the effect's own transaction, so a redelivery has no second effect."""

from datetime import UTC, datetime

from chassis import faults
from chassis.mongo import Mongo, Session

COLLECTION = "inbox"
_KEPT_DAYS = 14  # twice the topics' retention: no redelivery can be older


async def prepare(mongo: Mongo) -> None:
    """Create the collection; claims go after 14 days."""
    await mongo.ensure(COLLECTION, ([("at", 1)], {"expireAfterSeconds": _KEPT_DAYS * 86_400}))


async def claim(mongo: Mongo, consumer: str, event_id: str, session: Session) -> bool:
    """Return True once for each event; False says that its effect stands already.

    It reads first, because a duplicate insert would abort the transaction; of two at once the server lets one win and
    the other's transaction runs again.
    """
    name = f"{consumer}:{event_id}"
    if await mongo[COLLECTION].find_one({"_id": name}, session=session) is not None:
        return False
    await mongo[COLLECTION].insert_one({"_id": name, "at": datetime.now(UTC)}, session=session)
    faults.point("inbox.claimed")
    return True
