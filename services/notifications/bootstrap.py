"""The one place where the domain meets its engines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from chassis import logs, roles
from chassis.announcements import Announcements
from chassis.asking import Asker
from chassis.consuming import Consuming
from chassis.dead_letters import DeadLetters
from chassis.mongo import DatabaseError, Mongo
from chassis.tokens import TokenVerifier
from chassis.trust import InstanceIdentity, Trust
from chassis.web import Check
from services.notifications.consumers import AskedConsent, subscribe, subscribe_at_once
from services.notifications.settings import NotificationsSettings
from services.notifications.store import COLLECTION, MongoItems, record_of
from services.notifications.use_cases.follow import Follow
from services.notifications.use_cases.notify import Notify
from services.notifications.use_cases.tell import Tell

_log = logs.get("notifications")


@dataclass(frozen=True)
class Room:
    """What the roles share; each role adds its own checks when it begins."""

    mongo: Mongo
    items: MongoItems
    verifier: TokenVerifier
    tokens: Announcements
    sealing: Announcements
    asker: Asker
    letters: DeadLetters
    consuming: Consuming
    untold: DeadLetters
    telling: Consuming
    follow: Follow
    checks: dict[str, Check] = field(default_factory=dict)


@asynccontextmanager
async def bootstrap(settings: NotificationsSettings) -> AsyncIterator[Room]:
    """Put the room together; leaving the block closes it."""
    trust = Trust(settings.trust.root)
    identity = InstanceIdentity.load(settings.trust.instance)
    verifier = TokenVerifier()
    asker = Asker(settings.kafka, "notifications", identity, trust)
    async with AsyncExitStack() as stack:
        mongo = Mongo(settings.mongo)
        stack.push_async_callback(mongo.close)
        items = MongoItems(mongo)
        await items.prepare()
        letters, untold = DeadLetters(mongo, "carnet.notifications"), DeadLetters(mongo, "carnet.notices")
        await letters.prepare()
        consuming = Consuming("notifications", settings.kafka, letters, settings.instance)
        subscribe(consuming, Notify(AskedConsent(asker), items))
        # Apart: an event that waits for consent holds up every event behind it.
        telling = Consuming("notices", settings.kafka, untold, settings.instance)
        subscribe_at_once(telling, Tell(items))

        async def reachable() -> bool:
            await mongo.ping()
            return True

        yield Room(
            mongo=mongo,
            items=items,
            verifier=verifier,
            tokens=Announcements(settings.kafka, trust, "tokens", lambda said: verifier.use({"keys": list(said.keys)})),
            sealing=Announcements(settings.kafka, trust, "sealing", asker.use),
            asker=asker,
            letters=letters,
            consuming=consuming,
            untold=untold,
            telling=telling,
            follow=Follow(items),
            checks={"mongo": reachable},
        )


@asynccontextmanager
async def serve(room: Room) -> AsyncIterator[None]:
    """Follow identity's keys, and wake the streams."""
    room.checks["tokens"] = room.tokens.known
    async with roles.background(room.tokens.run(), _watch(room), _close_at_the_end(room.follow)):
        yield


@asynccontextmanager
async def consume(room: Room) -> AsyncIterator[None]:
    """Take events in: ask consent about each, but for what is told at once."""
    room.checks["sealing"], room.checks["answers"] = room.sealing.known, room.asker.ready
    async with (
        roles.background(room.sealing.run()),
        room.asker.running(),
        room.consuming.running(),
        room.telling.running(),
    ):
        yield


async def _watch(room: Room) -> None:
    """Wake whoever listens to a record that changed: one change stream for the whole process."""
    while True:
        try:
            async with room.mongo.changes(COLLECTION, "insert") as changed:
                room.follow.wake()  # what came while nobody watched
                while True:
                    if (item := await changed(60)) is not None:
                        room.follow.wake(record_of(item))
        except DatabaseError as error:
            _log.warning("interrupted", error=type(error).__name__)
            await asyncio.sleep(1)


async def _close_at_the_end(follow: Follow) -> None:
    await roles.ending()
    follow.close()
