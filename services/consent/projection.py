"""Whether what consent knows of who represents whom is fresh enough to act upon; where it is not, it fails closed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from prometheus_client import Gauge

from chassis import logs
from chassis.dead_letters import Aside
from chassis.kafka import partition_of
from chassis.mongo import DatabaseError, DuplicateKey, Mongo
from contracts.identity import RepresentationChanged
from contracts.registry import catalogue, topic_of
from services.consent.ports import CLOCKS_APART_MS, Beats, Clock

TOPIC = topic_of(RepresentationChanged)
_LOOK_SECONDS = 1.0
STALE = Gauge("carnet_consent_stale_partitions", "Partitions of identity's records whose delegations are refused.")
_log = logs.get("projection")


class MongoBeats:
    """A row a partition: `at` (Unix ms), and the offset of the beat that said so, for an operator who looks."""

    COLLECTION = "identity_beats"

    def __init__(self, mongo: Mongo) -> None:
        self._mongo, self._rows = mongo, mongo[self.COLLECTION]

    async def prepare(self) -> None:
        """Create the collection."""
        await self._mongo.ensure(self.COLLECTION)

    async def note(self, partition: int, at: int, offset: int) -> None:
        """Keep what a beat says, unless a newer one stands."""
        try:
            await self._rows.update_one(
                {"_id": partition, "at": {"$lt": at}}, {"$set": {"at": at, "offset": offset}}, upsert=True
            )
        except DuplicateKey:  # the row stands, and is no older
            return

    async def heard(self) -> Mapping[int, int]:
        """Return each partition that was ever heard of, and until when."""
        return {row["_id"]: row["at"] for row in await self._rows.find({}).to_list(None)}


@dataclass(frozen=True, slots=True)
class _Look:
    began: float  # monotonic seconds
    heard: Mapping[int, int]
    aside: Aside


class IdentityProjection:
    """What a process looked up about a second ago, and the judgement of how old that is.

    Let identity acknowledge a restriction, and a beat of its partition say "as of" a later time: the restriction then
    stands on the topic before the beat. Consent takes events in their order, and each is durably handled, or durably
    set aside, before the next: once the beat is noted, the restriction is in the journal or among the letters. A look
    reads the beats first and the letters after them, so a letter that was set aside before a beat that the look saw is
    seen too. (The other way round, event and beat could both fall between the two reads: the beat would vouch for a
    letter that was not seen.) So who is not stale is judged by all that identity acknowledged before the allowed time,
    whatever failed since; clocks may add CLOCKS_APART_MS, once for identity's and once for ours.

    An event whose key is lost may be about anybody, whatever its partition: until it is dealt with, all are stale. One
    that is about everybody is a beat: the next says the same.
    """

    def __init__(
        self, beats: Beats, aside: Callable[[str], Awaitable[Aside]], allowed_ms: int, *, clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        self._beats, self._aside, self._allowed_ms = beats, aside, allowed_ms
        self._clock, self._monotonic = clock, monotonic
        self._partitions = catalogue()[TOPIC].partitions
        self._seen: _Look | None = None

    def stale(self, record: str) -> bool:
        """Say whether whom a record obeys may have changed without consent knowing it."""
        seen, key = self._seen, record.encode()
        return seen is None or self._unheard(seen, partition_of(key, self._partitions)) or seen.aside.holds(key)

    def _unheard(self, seen: _Look, partition: int) -> bool:
        if self._monotonic() - seen.began > self._allowed_ms / 1000:
            return True
        at = seen.heard.get(partition)
        # A beat from the time to come: this clock was set back, and cannot tell how old it is.
        return at is None or not -CLOCKS_APART_MS <= self._clock() - at <= self._allowed_ms

    async def look(self) -> None:
        """Look the beats up, then what is set aside: in this order."""
        began = self._monotonic()
        heard = await self._beats.heard()
        self._seen = _Look(began, heard, await self._aside(TOPIC))

    async def run(self) -> None:
        """Look about every second until cancelled; a database that is away makes all stale by and by."""
        while True:
            try:
                await self.look()
            except DatabaseError as error:
                _log.warning("interrupted", error=type(error).__name__, where=logs.where(error.__traceback__))
            STALE.set(self._stale_partitions())
            await asyncio.sleep(_LOOK_SECONDS)

    def _stale_partitions(self) -> int:
        seen = self._seen
        if seen is None or seen.aside.unknown:
            return self._partitions
        return sum(self._unheard(seen, each) for each in range(self._partitions))
