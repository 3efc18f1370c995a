"""What identity repeats: its token keys, and that it is alive and has published all it knew."""

import asyncio

from chassis import outbox
from chassis.mongo import Mongo
from chassis.repeating import Repeated
from chassis.trust import AnnouncedKeys
from contracts.identity import BeatSent, RecordOpened, TokenKeysAnnounced
from contracts.registry import catalogue, topic_of
from services.identity.ports import Ages, Clock

COLLECTION = "beats"
_LOOK_AGAIN_SECONDS = 0.1


class Beats:
    """Beats on every partition of the records' topic.

    A beat guarantees: whatever identity had acknowledged before this round began, and every authority that had ended
    by then, stands on the topic, and in the beat's own partition before it. Readers may therefore measure their lag by
    the age of the last beat, and fail closed.
    """

    def __init__(self, mongo: Mongo, ages: Ages, clock: Clock) -> None:
        self._mongo, self._ages, self._clock = mongo, ages, clock
        self._partitions = catalogue()[topic_of(RecordOpened)].partitions

    async def prepare(self) -> None:
        """Create the collection."""
        await self._mongo.ensure(COLLECTION)

    async def __call__(self) -> list[Repeated]:
        """Return one beat a partition once the outbox has lost every row that it held when this was called."""
        began = self._clock()
        # Nobody says it in the place of the role `age`: while that is dead nothing beats, and readers refuse.
        overdue = await self._ages.due(began, 1)
        while overdue:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            overdue = await self._ages.due(began, 1)
        # A majority write first: a primary that was deposed cannot make one, so the outbox read after it is the true
        # one, with every row acknowledged until now.
        await self._mongo[COLLECTION].update_one({"_id": "last"}, {"$currentDate": {"at": True}}, upsert=True)
        standing = await self._rows({})
        # By id and not by time, because clocks differ. A row goes once the broker has its fact on all replicas; rows
        # that come meanwhile are the next round's.
        while standing:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            standing = await self._rows({"_id": {"$in": standing}})
        as_of = int(began * 1000)
        return [(BeatSent(partition=partition, as_of=as_of), partition) for partition in range(self._partitions)]

    async def _rows(self, among: dict[str, object]) -> list[str]:
        rows = await self._mongo[outbox.COLLECTION].find(among, {"_id": 1}).to_list(None)
        return [row["_id"] for row in rows]


def announced(keys: AnnouncedKeys) -> list[Repeated]:
    """Return the announcement of the token keys: the topic is short, and readers come late."""
    return [(TokenKeysAnnounced(role_certificate=keys.role_certificate, statement=keys.statement), None)]
