"""What treating doctors are to be told, in MongoDB: a row an emergency, for ninety days."""

from datetime import UTC, datetime
from typing import Any

from chassis.mongo import Mongo, Session
from services.consent.domain.review import EVERY_RECORD
from services.consent.domain.treating_doctor import DoctorNotice

_KEPT_SECONDS = 90 * 86_400


class MongoDoctorNotices:
    """Rows `_id` `<record>:<flow>`: whom, which record and access, when. Who and why stand in the encrypted entry."""

    COLLECTION = "doctor_notices"

    def __init__(self, mongo: Mongo) -> None:
        self._mongo, self._rows = mongo, mongo[self.COLLECTION]

    async def prepare(self) -> None:
        """Create the collection, the index by which doctors look, and the end of a row."""
        his: list[tuple[str, int]] = [("doctor", 1), ("at", -1), ("flow", -1)]
        await self._mongo.ensure(self.COLLECTION, (his, {}), ([("told_at", 1)], {"expireAfterSeconds": _KEPT_SECONDS}))

    async def add(self, notice: DoctorNotice, session: Session) -> None:
        """Add a row in the caller's transaction; one that stands stays as it is."""
        row = {name: getattr(notice, name) for name in notice.__slots__} | {"told_at": datetime.now(UTC)}
        name = f"{notice.record}:{notice.flow}"
        await self._rows.update_one({"_id": name}, {"$setOnInsert": row}, upsert=True, session=session)

    async def of(self, doctor: str, record: str, before: tuple[int, str] | None, limit: int) -> list[DoctorNotice]:
        """Return what a doctor is to be told, the newest access first, from behind (at, flow)."""
        where: dict[str, Any] = {"doctor": doctor} | ({} if record == EVERY_RECORD else {"record": record})
        if before is not None:
            at, flow = before
            where["$or"] = [{"at": {"$lt": at}}, {"at": at, "flow": {"$lt": flow}}]
        cursor = self._rows.find(where).sort([("at", -1), ("flow", -1)]).limit(limit)
        return [
            DoctorNotice(**{name: row[name] for name in DoctorNotice.__slots__}) for row in await cursor.to_list(limit)
        ]
