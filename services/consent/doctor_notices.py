"""What treating doctors are to be told, in MongoDB: a row an emergency, for ninety days."""

import hmac
from datetime import UTC, datetime
from typing import Any

from chassis.mongo import Mongo, Session
from chassis.sealing import b64, derive
from chassis.tokens import EVERY_RECORD
from services.consent.domain.treating_doctor import DoctorNotice
from services.consent.in_force import PUBLIC
from services.consent.ports import RecordKeys

_KEPT_SECONDS = 90 * 86_400


class MongoDoctorNotices:
    """Rows `_id` `<record>:<flow>`: for whom, of which record and access, when; who and why stand in the entry.

    The doctor stands under a pseudonym that needs a key of the root: who reads the database alone does not learn who
    treats whom, though there are few enough national ids to try them all on a digest.
    """

    COLLECTION = "doctor_notices"

    def __init__(self, mongo: Mongo, keys: RecordKeys) -> None:
        self._mongo, self._rows, self._keys = mongo, mongo[self.COLLECTION], keys

    async def prepare(self) -> None:
        """Create the collection, the index by which doctors look, and the end of a row."""
        his: list[tuple[str, int]] = [("doctor", 1), ("at", -1), ("flow", -1)]
        await self._mongo.ensure(self.COLLECTION, (his, {}), ([("told_at", 1)], {"expireAfterSeconds": _KEPT_SECONDS}))

    async def add(self, notice: DoctorNotice, session: Session) -> None:
        """Add a row in the caller's transaction; one that stands stays as it is."""
        row = {
            "record": notice.record,
            "flow": notice.flow,
            "doctor": await self._pseudonym(notice.doctor),
            "at": notice.at,
            "told_at": datetime.now(UTC),
        }
        name = f"{notice.record}:{notice.flow}"
        await self._rows.update_one({"_id": name}, {"$setOnInsert": row}, upsert=True, session=session)

    async def of(self, doctor: str, record: str, before: tuple[int, str] | None, limit: int) -> list[DoctorNotice]:
        """Return what a doctor is to be told, the newest access first, from behind (at, flow)."""
        where: dict[str, Any] = {"doctor": await self._pseudonym(doctor)} | (
            {} if record == EVERY_RECORD else {"record": record}
        )
        if before is not None:
            at, flow = before
            where["$or"] = [{"at": {"$lt": at}}, {"at": at, "flow": {"$lt": flow}}]
        cursor = self._rows.find(where).sort([("at", -1), ("flow", -1)]).limit(limit)
        return [DoctorNotice(row["record"], row["flow"], doctor, row["at"]) for row in await cursor.to_list(limit)]

    async def _pseudonym(self, doctor: str) -> str:
        # No record's own key would do: he asks about all of his patients at once.
        key = derive(await self._keys.key(PUBLIC), "doctor-notices")
        return b64(hmac.digest(key, doctor.encode(), "sha256"))
