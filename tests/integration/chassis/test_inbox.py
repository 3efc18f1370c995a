"""An event that comes again has no second effect, whenever it comes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chassis import inbox
from chassis.mongo import Mongo, Session
from chassis.settings import MongoSettings


@pytest.fixture
async def both(driver: str, mongo_settings: MongoSettings) -> AsyncIterator[Mongo]:
    """Open a database that is ready to take events in, on the driver that is tested."""
    opened = Mongo(MongoSettings.model_validate(mongo_settings.model_dump() | {"driver": driver}))
    await inbox.prepare(opened)
    await opened.ensure("effects")
    yield opened
    await opened.close()


async def take(mongo: Mongo, event_id: str, consumer: str = "test", *, slowly: bool = False) -> bool:
    """Have the effect of an event, as a handler does."""

    async def work(session: Session) -> bool:
        if not await inbox.claim(mongo, consumer, event_id, session):
            return False
        await mongo["effects"].insert_one({"event": event_id}, session=session)
        if slowly:
            await asyncio.sleep(0.05)
        return True

    return await mongo.transact(work, seconds=20)


async def test_a_redelivery_has_one_effect(both: Mongo) -> None:
    """The first claim wins, the next is told that the effect stands."""
    assert await take(both, "e1") is True
    assert await take(both, "e1") is False
    assert await both["effects"].count_documents({}) == 1


async def test_deliveries_at_once_have_one_effect(both: Mongo) -> None:
    """Eight of the same event at the same time: one has the effect, and none fails."""
    won = await asyncio.gather(*(take(both, "e1", slowly=True) for _ in range(8)))
    assert sorted(won) == [False] * 7 + [True]
    assert await both["effects"].count_documents({}) == 1


async def test_a_claim_goes_with_its_transaction(both: Mongo) -> None:
    """When the effect fails the claim does not stand, so the redelivery has the effect."""

    async def fails(session: Session) -> None:
        assert await inbox.claim(both, "test", "e1", session)
        raise LookupError

    with pytest.raises(LookupError):
        await both.transact(fails)
    assert await take(both, "e1") is True


async def test_consumers_claim_apart(both: Mongo) -> None:
    """Two consumers of one service each have their own effect of an event."""
    assert await take(both, "e1", "one") is True
    assert await take(both, "e1", "two") is True


async def test_claims_end_after_the_retention(both: Mongo) -> None:
    """A claim outlives every possible redelivery (7 days of retention), and no longer than 14 days."""
    assert (await both[inbox.COLLECTION].index_information())["at_1"]["expireAfterSeconds"] == 14 * 86_400
