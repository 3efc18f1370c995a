"""Of whom too little was heard is stale: by the beats, by the letters, by the age of the look itself."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from aiokafka import ConsumerRecord

from chassis.consuming import HERE, Place
from chassis.dead_letters import Aside, key_of
from chassis.kafka import partition_of
from chassis.mongo import DatabaseError
from contracts.identity import BeatSent
from contracts.registry import Envelope
from services.consent import consumers, projection
from services.consent.projection import TOPIC, IdentityProjection
from services.consent.settings import ProjectionSettings
from services.consent.use_cases.note_beat import NoteBeat
from tests.unit.consent.memory import MemoryBeats
from tests.unit.consent.people import NOW, OTHER_RECORD, RECORD

ALLOWED_MS, PARTITIONS = 30_000, 8
T = TypeVar("T")
MINE = partition_of(RECORD.encode(), PARTITIONS)


def letter(key: bytes | None, partition: int = MINE, offset: int = 7) -> ConsumerRecord[Any, Any]:
    """Return an event that is to be set aside."""
    return ConsumerRecord(TOPIC, partition, offset, 0, 0, key, b"{", None, -1, -1, ())


@dataclass
class World:
    """Time that the test moves, what was heard, what is set aside; a database that may be away."""

    now: int = NOW
    monotonic: float = 1_000.0
    aside: Aside = field(default_factory=lambda: Aside(TOPIC))
    away: bool = False
    between: Callable[[], Awaitable[None]] | None = None  # what happens between the two reads of the next look

    def __post_init__(self) -> None:
        self.beats = MemoryBeats()
        self.noting = NoteBeat(self.beats, lambda: self.now)
        self.projection = IdentityProjection(
            self, self.set_aside, ALLOWED_MS, clock=lambda: self.now, monotonic=lambda: self.monotonic
        )

    async def note(self, partition: int, at: int, offset: int) -> None:
        """Keep a beat."""
        await self.beats.note(partition, at, offset)

    async def heard(self) -> Mapping[int, int]:
        """Return what was heard."""
        return await self._read(await self.beats.heard())

    async def set_aside(self, topic: str) -> Aside:
        """Return what is set aside, if the database is there."""
        assert topic == TOPIC
        if self.away:
            raise DatabaseError
        return await self._read(self.aside)

    async def _read(self, found: T) -> T:
        if (between := self.between) is not None:
            self.between = None
            await between()
        return found

    async def beat(self, *partitions: int) -> None:
        """Take a beat in on each partition."""
        for each in partitions:
            await self.noting(each, self.now, 1)

    async def seen(self, **said: object) -> bool:
        """Look, then say whether the record is stale."""
        for name, value in said.items():
            setattr(self, name, value)
        await self.projection.look()
        return self.projection.stale(RECORD)

    def passed(self, ms: int) -> None:
        """Let time pass on both clocks."""
        self.now, self.monotonic = self.now + ms, self.monotonic + ms / 1000


@pytest.fixture
def world() -> World:
    """Begin with nothing heard."""
    return World()


async def test_before_the_first_look_all_are_stale(world: World) -> None:
    """A process that has just begun knows nothing."""
    await world.beat(*range(PARTITIONS))
    assert world.projection.stale(RECORD)


async def test_a_partition_of_which_nothing_was_ever_heard_is_stale(world: World) -> None:
    """The other seven speak for nobody in it."""
    await world.beat(*(set(range(PARTITIONS)) - {MINE}))
    assert await world.seen()
    await world.beat(MINE)
    assert not await world.seen()


async def test_it_is_stale_past_the_allowed_time_and_no_sooner(world: World) -> None:
    """A look each second finds the same beat: at thirty seconds it is fresh, a millisecond later it is not."""
    await world.beat(MINE)
    world.passed(ALLOWED_MS)
    assert not await world.seen()
    world.passed(1)
    assert await world.seen()


async def test_it_falls_stale_between_two_looks(world: World) -> None:
    """The age of the beat is taken at each flow, not at the look."""
    await world.beat(MINE)
    world.passed(ALLOWED_MS - 500)
    assert not await world.seen()
    world.passed(501)
    assert world.projection.stale(RECORD)


async def test_a_look_that_is_too_old_proves_nothing(world: World) -> None:
    """Even where the clock stood still or was set back: the process measures the age of its look by itself."""
    await world.beat(MINE)
    assert not await world.seen()
    world.monotonic += ALLOWED_MS / 1000
    assert not world.projection.stale(RECORD)
    world.monotonic += 0.001
    assert world.projection.stale(RECORD)


@pytest.mark.parametrize(("back_ms", "stale"), [(2_000, False), (2_001, True), (3_600_000, True), (86_400_000, True)])
async def test_a_clock_that_was_set_back_hides_nothing(world: World, back_ms: int, stale: bool) -> None:
    """A beat from the time to come tells no age: beyond what clocks may be apart it is none."""
    await world.beat(MINE)
    assert await world.seen(now=NOW - back_ms) is stale


@pytest.mark.parametrize("ahead_ms", [2_001, 3_600_000, 86_400_000])
async def test_an_identity_whose_clock_is_far_ahead_proves_nothing(world: World, ahead_ms: int) -> None:
    """Its beats could be an hour late and look fresh: none is noted, and the partition falls stale."""
    assert await world.noting(MINE, NOW + ahead_ms, 1) is None
    assert world.beats.rows == {}


async def test_a_beat_is_never_later_than_its_reader_s_clock(world: World) -> None:
    """A second ahead counts as of now; what comes late keeps its own time."""
    assert await world.noting(MINE, NOW + 1_000, 1) == NOW
    assert await world.noting(0, NOW - 5_000, 1) == NOW - 5_000


async def test_a_letter_makes_its_own_record_stale(world: World) -> None:
    """Another record of the same partition is judged as ever."""
    other = next(
        name for name in (OTHER_RECORD[:-2] + a + b for a in "abcdef" for b in "abcdef")
        if partition_of(name.encode(), PARTITIONS) == MINE
    )  # fmt: skip
    await world.beat(MINE)
    aside = Aside(TOPIC, frozenset({key_of(letter(RECORD.encode()))}))
    assert await world.seen(aside=aside)
    assert not world.projection.stale(other)
    assert not await world.seen(aside=Aside(TOPIC))


async def test_a_letter_of_nobody_knows_whom_makes_all_stale(world: World) -> None:
    """Its key is lost, so its partition says nothing either."""
    await world.beat(*range(PARTITIONS))
    assert await world.seen(aside=Aside(TOPIC, unknown=True))
    assert world.projection.stale(OTHER_RECORD)


async def test_a_letter_that_was_parked_before_a_seen_beat_is_seen(world: World) -> None:
    """Letter and beat come in between the two reads of a look: no beat may vouch for a letter that was not seen."""
    letters = frozenset({key_of(letter(RECORD.encode()))})

    async def both() -> None:
        world.aside = Aside(TOPIC, letters)
        await world.beat(MINE)

    world.between = both
    assert await world.seen()


async def test_it_looks_again_and_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it saw outlives a database that is away, until it is too old; then the next look brings it back."""
    monkeypatch.setattr(projection, "_LOOK_SECONDS", 0)
    await world.beat(*range(PARTITIONS))
    running = asyncio.create_task(world.projection.run())

    async def turns() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    try:
        await turns()
        assert not world.projection.stale(RECORD)
        assert projection.STALE._value.get() == 0
        world.away = True
        await turns()
        assert not world.projection.stale(RECORD)
        world.passed(ALLOWED_MS + 1)
        await world.beat(*range(PARTITIONS))
        await turns()
        assert world.projection.stale(RECORD)
        assert projection.STALE._value.get() == PARTITIONS
        world.away = False
        await turns()
        assert not world.projection.stale(RECORD)
        world.aside = Aside(TOPIC, unknown=True)
        await turns()
        assert projection.STALE._value.get() == PARTITIONS
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_nobody_allows_more_than_the_law_does() -> None:
    """Thirty seconds is the default and the most; less than identity's own beat would refuse for ever."""
    assert ProjectionSettings().stale_seconds == 30
    for wrong in (2, 30.1):
        with pytest.raises(ValueError, match="stale_seconds"):
            ProjectionSettings(stale_seconds=wrong)


@pytest.mark.parametrize("key", [None, b"", b"\xff\xfe", b"x", RECORD.encode() + b"a", b"public"])
def test_what_is_keyed_by_no_record_queues_with_nothing(key: bytes | None) -> None:
    """Two beats, or two events whose keys are lost, wait for one another no more than strangers do."""
    assert key_of(letter(key, offset=1)) != key_of(letter(key, offset=2))
    assert key_of(letter(RECORD.encode(), offset=1)) == key_of(letter(RECORD.encode(), offset=2))


class _Bound:
    """Stands where Consuming does."""

    def __init__(self) -> None:
        self.handlers: dict[Any, Any] = {}

    def on(self, _: str, *facts: Any) -> None:
        """Bind."""
        self.handlers |= dict(facts)


@pytest.fixture
def beat(world: World) -> Any:
    """Hand a beat over as the consumer does."""
    bound, none = _Bound(), Any
    consumers.subscribe(bound, none, none, none, none, noting=world.noting)  # type: ignore[arg-type]
    envelope = Envelope(source="carnet/identity", type=BeatSent.TYPE, subject="public", correlation_id="beat")

    async def take(fact: BeatSent, partition: int, **more: Any) -> dict[int, int]:
        HERE.set(Place(TOPIC, partition, 12))
        await bound.handlers[BeatSent](envelope.model_copy(update=more), fact)
        return await world.beats.heard()

    return take


async def test_a_beat_counts_from_the_beginning_of_its_round(world: World, beat: Any) -> None:
    """The round may have waited for the outbox; without that time, the envelope's holds."""
    assert await beat(BeatSent(partition=3, as_of=NOW - 9_000), 3) == {3: NOW - 9_000}
    time = datetime.fromtimestamp((NOW - 4_000) / 1000, UTC)
    assert await beat(BeatSent(partition=4), 4, time=time) == {3: NOW - 9_000, 4: NOW - 4_000}
    assert world.beats.rows[3] == (NOW - 9_000, 12)


async def test_a_beat_in_another_s_place_proves_nothing(beat: Any) -> None:
    """It stands behind none of the events that it speaks of."""
    assert await beat(BeatSent(partition=3, as_of=NOW), 4) == {}
