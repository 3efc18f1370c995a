"""Events that no retry could mend, and the later events of their key that queue behind them.

A letter is a position in a topic, a class of error and no more: an error's message or an event's bytes may quote
anything. Replay reads the event from its topic again, as long as the topic keeps it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from aiokafka import ConsumerRecord
from prometheus_client import Counter
from pydantic import TypeAdapter, ValidationError

from chassis.mongo import DuplicateKey, Mongo
from chassis.sealing import digest
from contracts.fact import RecordId

COLLECTION = "dead_letters"
_EVERYBODY = b"public"
_RECORD = TypeAdapter[str](RecordId)
_MOST_TOLD_APART = 10_000
LETTERS = Counter("carnet_dead_letters_total", "Events set aside.", ["consumer", "state"])


@dataclass(frozen=True, slots=True)
class Letter:
    """One event set aside: `failed` blocks its key, `parked` waits behind it."""

    id: str
    topic: str
    partition: int
    offset: int
    key: str
    state: Literal["failed", "parked"]
    error: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Aside:
    """What of one topic was set aside when it was looked at."""

    topic: str
    keys: frozenset[str] = frozenset()
    unknown: bool = False  # whose it is, nobody can say

    def holds(self, key: bytes) -> bool:
        """Say whether an event of this key may be among it."""
        return self.unknown or _queue(self.topic, key) in self.keys


def key_of(record: ConsumerRecord) -> str:
    """Return the key under which letters queue: a digest, because a broken key may quote anything.

    What has no one record for its key queues with nothing, its place is its key: facts about everybody come again and
    again and hold no order, and among events whose keys are lost there is none to hold.
    """
    place = b"" if _whose(record) == "record" else f"\0{record.partition}:{record.offset}".encode()
    return _queue(record.topic, (record.key or b"") + place)


def _queue(topic: str, key: bytes) -> str:
    return digest(topic.encode() + b"\0" + key)


def _whose(record: ConsumerRecord) -> Literal["record", "everybody", "unknown"]:
    if record.key == _EVERYBODY:
        return "everybody"
    try:
        _RECORD.validate_python((record.key or b"").decode())
    except (ValidationError, UnicodeDecodeError):
        return "unknown"
    return "record"


class DeadLetters:
    """The letters of one consumer, in its service's own database."""

    def __init__(self, mongo: Mongo, consumer: str) -> None:
        self._letters, self._mongo, self._consumer = mongo[COLLECTION], mongo, consumer
        self._blocked: set[str] | None = None
        self._forgotten = 0

    async def prepare(self) -> None:
        """Create the collection and its index."""
        await self._mongo.ensure(COLLECTION, ([("consumer", 1), ("key", 1), ("partition", 1), ("offset", 1)], {}))

    async def blocked(self, key: str) -> bool:
        """Say whether an earlier event of this key was set aside.

        Keys without letters are remembered to have none: letters of a key are added by the one member of the group that
        has its partition. Whoever is given a partition must `forget`.
        """
        while self._blocked is None:
            before = self._forgotten
            found = set(await self._letters.distinct("key", {"consumer": self._consumer}))
            if before == self._forgotten:
                self._blocked = found
        return key in self._blocked and await self.first(key) is not None

    def forget(self) -> None:
        """Look anew at which keys have letters."""
        self._blocked, self._forgotten = None, self._forgotten + 1

    async def add(self, record: ConsumerRecord, error: BaseException | None) -> None:
        """Set an event aside: failed by this error, or parked behind another."""
        state = "parked" if error is None else "failed"
        letter = {
            "_id": f"{self._consumer}:{record.topic}:{record.partition}:{record.offset}",
            "consumer": self._consumer,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "key": key_of(record),
            "whose": _whose(record),
            "state": state,
            "error": None if error is None else type(error).__name__,
            "at": datetime.now(UTC),
        }
        if self._blocked is not None:
            self._blocked.add(letter["key"])
        try:
            await self._letters.insert_one(letter)
        except DuplicateKey:
            return
        LETTERS.labels(self._consumer, state).inc()

    async def first(self, key: str) -> Letter | None:
        """Return the letter that must be handled before all others of its key."""
        found = await self._find({"key": key}, limit=1)
        return found[0] if found else None

    async def all(self) -> list[Letter]:
        """Return every letter, in the order in which replay takes them."""
        return await self._find({}, limit=100_000)

    async def aside(self, topic: str) -> Aside:
        """Return what of a topic is set aside now; whose it is counts as unknown where there is too much of it."""
        cursor = self._letters.find({"consumer": self._consumer, "topic": topic}, {"key": 1, "whose": 1})
        rows = await cursor.limit(_MOST_TOLD_APART + 1).to_list(_MOST_TOLD_APART + 1)
        # Letters from before `whose` was kept do not say: they count as unknown until they are replayed.
        unknown = len(rows) > _MOST_TOLD_APART or any(row.get("whose", "unknown") == "unknown" for row in rows)
        return Aside(topic, frozenset(row["key"] for row in rows), unknown)

    async def drop(self, letter: str) -> bool:
        """Forget a letter, by its id, whose event nobody will handle; False when there is none."""
        found = await self._letters.delete_one({"_id": letter, "consumer": self._consumer})
        return bool(found.deleted_count)

    async def remove(self, letter: Letter) -> None:
        """Forget a letter whose event was handled."""
        await self._letters.delete_one({"_id": letter.id})

    async def _find(self, where: dict[str, Any], limit: int) -> list[Letter]:
        cursor = self._letters.find({"consumer": self._consumer, **where}).sort(
            [("topic", 1), ("partition", 1), ("offset", 1)]
        )
        return [
            Letter(
                id=row["_id"],
                topic=row["topic"],
                partition=row["partition"],
                offset=row["offset"],
                key=row["key"],
                state=row["state"],
                error=row["error"],
                at=row["at"],
            )
            for row in await cursor.limit(limit).to_list(limit)
        ]
