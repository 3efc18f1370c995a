"""What must be told, by state: rows of the journal that are due, their facts, and the reviews they open."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Any

from prometheus_client import Counter, Gauge

from chassis import faults, logs
from chassis.mongo import DatabaseError, Mongo, Session
from chassis.outbox import Outbox
from chassis.sealing import canonical, derive, encrypt
from chassis.tokens import EVERY_RECORD
from contracts.consent import AccessAnnounced, DocumentRevealed
from contracts.fact import Fact
from services.consent.doctor_notices import MongoDoctorNotices
from services.consent.domain.entry import Reviewing
from services.consent.domain.review import Review
from services.consent.domain.treating_doctor import DoctorNotice
from services.consent.ports import Clock, Due, RecordKeys
from services.consent.store import MongoJournal

_BATCH = 100
_LOOK_AGAIN_SECONDS = 5.0
ANNOUNCED = Counter("carnet_consent_announced_total", "Entries that had to be told, by their end.", ["kind", "end"])
OLDEST = Gauge("carnet_consent_oldest_due_seconds", "Age of the oldest entry still to be told, at the last look.")
_log = logs.get("notices")


class MongoNotices:
    """The journal's rows that are due; what is told goes to the outbox in the transaction that says so."""

    def __init__(self, mongo: Mongo, outbox: Outbox, reviews: "MongoReviews", doctors: MongoDoctorNotices) -> None:
        self._mongo, self._rows = mongo, mongo[MongoJournal.COLLECTION]
        self._outbox, self._reviews, self._doctors = outbox, reviews, doctors

    async def due(self, limit: int) -> list[Due]:
        """Return entries that are due, the oldest first; by state, for a cursor would pass over what commits late."""
        cursor = self._rows.find({"due": {"$exists": True}}, {"body": 0}).sort("at", 1).limit(limit)
        return [
            Due(row["record"], row["cause"], row["version"], row["due"], row["at"])
            for row in await cursor.to_list(limit)
        ]

    async def tell(self, each: Due, review: Review | None = None, doctor: DoctorNotice | None = None) -> bool:
        """Add the fact, the review and the doctor's row, have the entry due no longer; False when it was not due."""
        if each.kind == "revealed":
            raise ValueError("an ordinary notice is no access that nobody may silence")
        fact = AccessAnnounced(record=each.record, kind=each.kind, flow=each.flow, at=each.at)
        # A flow id is given by whoever asks: used for two records, it must silence neither.
        event_id = _event_id("access-announced", each.record, each.flow)

        async def work(session: Session) -> bool:
            if not await self._settle(each, session):
                return False
            faults.point("consent.announce.settled")
            if review is not None:
                await self._reviews.open(review, session)
                faults.point("consent.announce.review-opened")
            if doctor is not None:
                await self._doctors.add(doctor, session)
                faults.point("consent.announce.doctor-added")
            await self._add(each, fact, event_id, session)
            faults.point("consent.announce.added")
            return True

        told: bool = await self._mongo.transact(work)
        faults.point("consent.announce.told")
        return told

    async def reveal(self, each: Due, documents: Sequence[str]) -> bool:
        """Add a fact a document, have the entry due no longer; False when it was not due."""

        async def work(session: Session) -> bool:
            if not await self._settle(each, session):
                return False
            faults.point("consent.reveal.settled")
            for document in documents:
                fact = DocumentRevealed(record=each.record, document=document, at=each.at)
                # By document and not by flow: whoever announces it again tells nothing new.
                event_id = _event_id("document-revealed", each.record, document)
                await self._add(each, fact, event_id, session)
            faults.point("consent.reveal.added")
            return True

        told: bool = await self._mongo.transact(work)
        faults.point("consent.reveal.told")
        return told

    async def pass_over(self, each: Due) -> None:
        """Have an entry due no longer."""
        await self._settle(each, None)
        faults.point("consent.announce.passed-over")

    async def _add(self, each: Due, fact: Fact, event_id: str, session: Session) -> None:
        # A journal that was restored from a backup may be due again while the first fact still waits here.
        if not await self._outbox.holds(event_id, session):
            await self._outbox.add(fact, session, correlation_id=each.flow, causation_id=each.flow, event_id=event_id)

    async def _settle(self, each: Due, session: Session) -> bool:
        where = {"record": each.record, "version": each.version, "due": {"$exists": True}}
        found = await self._rows.update_one(where, {"$unset": {"due": ""}}, session=session)
        return bool(found.matched_count)


class MongoReviews:
    """A row per review, `_id` `<record>:<flow>`; the answer is sealed under the record's key."""

    COLLECTION = "reviews"

    def __init__(self, mongo: Mongo, keys: RecordKeys) -> None:
        self._mongo, self._rows, self._keys = mongo, mongo[self.COLLECTION], keys

    async def prepare(self) -> None:
        """Create the collection and the index by which officers look."""
        owed = [("organisation", 1), ("state", 1), ("opened_at", 1), ("flow", 1)]
        await self._mongo.ensure(self.COLLECTION, (owed, {}), ([("flow", 1)], {}))

    async def open(self, review: Review, session: Session) -> None:
        """Open a review in the caller's transaction; one that stands stays as it is."""
        row = {name: getattr(review, name) for name in review.__slots__}
        await self._rows.update_one({"_id": _name(review)}, {"$setOnInsert": row}, upsert=True, session=session)

    async def owed(self, organisation: str, record: str, after: tuple[int, str] | None, limit: int) -> list[Review]:
        """Return open reviews of an organisation, the oldest first, from behind (opened at, flow)."""
        where: dict[str, Any] = {"organisation": organisation, "state": "open", **_of(record)}
        if after is not None:
            at, flow = after
            where["$or"] = [{"opened_at": {"$gt": at}}, {"opened_at": at, "flow": {"$gt": flow}}]
        cursor = self._rows.find(where).sort([("opened_at", 1), ("flow", 1)]).limit(limit)
        return [_review(row) for row in await cursor.to_list(limit)]

    async def find(self, organisation: str, record: str, flow: str) -> Review | None:
        """Return a review of an organisation, an open one first."""
        where = {"organisation": organisation, "flow": flow, **_of(record)}
        row = await self._rows.find_one(where, sort=[("state", -1)])  # "open" comes behind "closed"
        return _review(row) if row else None

    async def close(self, review: Review, said: Reviewing) -> None:
        """Keep the answer and close the review; a closed one stays as it is."""
        key = derive(await self._keys.key(review.record), "review")
        context = {"use": "review", "record": review.record, "flow": review.flow}
        sealed = encrypt(key, canonical({"answer": said.answer, "justified": said.justified}), context)
        await self._rows.update_one(
            {"_id": _name(review), "state": "open"}, {"$set": {"state": "closed", "answer": sealed}}
        )


async def announcing(
    mongo: Mongo, notices: MongoNotices, announce: Callable[[Due], Awaitable[str]], clock: Clock
) -> None:  # fmt: skip
    """Announce what is due until cancelled: woken by each entry that comes due, and every few seconds by itself."""
    while True:
        try:
            # The watch begins before the look, so nothing falls between; a fresh one each time has no backlog.
            async with mongo.changes(MongoJournal.COLLECTION, "insert", having="due") as changed:
                while await _announced(await notices.due(_BATCH), announce, clock()):
                    pass
                await changed(_LOOK_AGAIN_SECONDS)
        except DatabaseError as error:
            _log.warning("interrupted", error=type(error).__name__, where=logs.where(error.__traceback__))
            await asyncio.sleep(1)


async def _announced(due: list[Due], announce: Callable[[Due], Awaitable[str]], now: int) -> int:
    """Announce a batch; return how many entries are due no longer."""
    OLDEST.set((now - due[0].at) / 1000 if due else 0)
    done = 0
    for each in due:
        try:
            end = await announce(each)
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be told must not silence the others
            _log.error("not announced", flow=each.flow, error=type(error).__name__)
            ANNOUNCED.labels(each.kind, "failed").inc()
        else:
            ANNOUNCED.labels(each.kind, end).inc()
            done += 1
    return done


def _event_id(*names: str) -> str:
    """Return the same id for the same event, so that readers know a repeat."""
    return sha256(":".join(names).encode()).hexdigest()[:32]


def _name(review: Review) -> str:
    return f"{review.record}:{review.flow}"


def _of(record: str) -> dict[str, str]:
    return {} if record == EVERY_RECORD else {"record": record}


def _review(row: dict[str, Any]) -> Review:
    return Review(**{name: row[name] for name in Review.__slots__})
