"""Whether a person is told, by consent's verdict: no verdict, no item."""

from dataclasses import dataclass, field

import pytest

from chassis.consuming import DependencyUnreachable
from services.notifications.domain import SENTENCES, Item, Kind, NotDecided
from services.notifications.use_cases.notify import Notify


@dataclass
class Said:
    """A consent that says one thing, and remembers what it was asked."""

    verdict: bool | Exception
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)

    async def allows(self, record: str, document: str, event_id: str, correlation_id: str) -> bool:
        """Say it."""
        self.asked.append((record, document, event_id, correlation_id))
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


@dataclass
class Shelf:
    """What was put into inboxes."""

    told: list[tuple[str, str, Kind]] = field(default_factory=list)

    async def holds(self, record: str, event_id: str) -> bool:
        """Say whether it was put."""
        return any(each[:2] == (record, event_id) for each in self.told)

    async def put(self, record: str, event_id: str, kind: Kind) -> bool:
        """Put it, once an event."""
        if await self.holds(record, event_id):
            return False
        self.told.append((record, event_id, kind))
        return True

    async def before(self, record: str, number: int | None, limit: int) -> list[Item]:
        """Not asked here."""
        raise NotImplementedError

    async def after(self, record: str, number: int, limit: int) -> list[Item]:
        """Not asked here."""
        raise NotImplementedError

    async def last(self, record: str) -> int:
        """Not asked here."""
        raise NotImplementedError

    async def mark_read(self, record: str, number: int) -> bool:
        """Not asked here."""
        raise NotImplementedError


async def told(consent: Said, shelf: Shelf) -> bool:
    """Bring one event."""
    return await Notify(consent, shelf)(record="r", document="d", event_id="e", correlation_id="c")


async def test_allowed_is_told_once() -> None:
    """The second delivery finds the item, and does not ask again."""
    consent, shelf = Said(verdict=True), Shelf()
    assert await told(consent, shelf)
    assert await told(consent, shelf)
    assert shelf.told == [("r", "e", Kind.NEW_DOCUMENT)]
    assert consent.asked == [("r", "d", "e", "c")]


async def test_refused_is_not_told() -> None:
    """Nothing is stored, not even that something was refused."""
    shelf = Shelf()
    assert not await told(Said(verdict=False), shelf)
    assert shelf.told == []


@pytest.mark.parametrize("error", [DependencyUnreachable(), NotDecided()])
async def test_without_a_verdict_nothing_is_told(error: Exception) -> None:
    """The error goes up to the consumer, which waits or sets aside; nothing is stored."""
    shelf = Shelf()
    with pytest.raises(type(error)):
        await told(Said(error), shelf)
    assert shelf.told == []


def test_every_kind_has_its_sentence() -> None:
    """The patient reads French for whatever an item tells."""
    assert set(SENTENCES) == set(Kind)
