"""Keys as they are announced on a real topic: the highest version under the pinned root holds, whatever else comes."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from chassis import roles
from chassis.announcements import Announcements
from chassis.trust import AnnouncedKeys, Authority, Statement, Trust
from contracts.consent import SealingKeysAnnounced
from contracts.registry import Envelope, encode, topic_of
from tests.integration.conftest import Engines
from tests.integration.observing import eventually

TOPIC = topic_of(SealingKeysAnnounced)


@pytest.fixture
def new_authority(tmp_path: Path) -> Callable[[], Authority]:
    """Found roots: the topic is shared by all tests, so each pins its own."""
    return lambda: Authority(tmp_path / secrets.token_hex(4))


def rotated(authority: Authority, out: Path) -> AnnouncedKeys:
    """Make the next version of consent's keys."""
    authority.consent_keys(out=out, rotate=True)
    return AnnouncedKeys.load(out)


async def announce(producer: AIOKafkaProducer, role_certificate: str, statement: str) -> None:
    """Publish a statement."""
    fact = SealingKeysAnnounced(role_certificate=role_certificate, statement=statement)
    envelope = Envelope(source="carnet/consent", type=fact.TYPE, subject="public", correlation_id="test")
    await producer.send_and_wait(TOPIC, encode(fact), key=b"public", headers=envelope.to_headers())


async def test_the_highest_version_holds(
    engines: Engines, producer: AIOKafkaProducer, new_authority: Callable[[], Authority], tmp_path: Path
) -> None:
    """A newer statement is believed, a repeated or older one is passed over, whoever sends it again."""
    authority, believed = new_authority(), list[Statement]()
    first, second, third = (rotated(authority, tmp_path / "keys.json") for _ in range(3))
    await announce(producer, first.role_certificate, first.statement)
    follower = Announcements(engines.kafka, Trust(authority.root_public), "sealing", believed.append)
    assert not await follower.known()
    async with roles.background(follower.run()):
        await eventually(follower.known)  # also what was announced before it began
        await announce(producer, second.role_certificate, second.statement)
        await announce(producer, first.role_certificate, first.statement)
        await announce(producer, second.role_certificate, second.statement)
        await announce(producer, third.role_certificate, third.statement)

        async def up_to_date() -> bool:
            return believed[-1].version == 3

        await eventually(up_to_date)
    assert [each.version for each in believed] == [1, 2, 3]
    assert believed[-1].keys == third.public


async def test_what_the_root_did_not_vouch_for_is_ignored(
    engines: Engines, producer: AIOKafkaProducer, new_authority: Callable[[], Authority], tmp_path: Path
) -> None:
    """Neither a foreign root's higher version, nor another role's or use's statement, nor garbage is believed."""
    authority, foreign, believed = new_authority(), new_authority(), list[Statement]()
    mine, theirs = rotated(authority, tmp_path / "mine.json"), rotated(foreign, tmp_path / "theirs.json")
    theirs = rotated(foreign, tmp_path / "theirs.json")
    authority.token_keys(out=tmp_path / "tokens.json")
    tokens = AnnouncedKeys.load(tmp_path / "tokens.json")
    await announce(producer, theirs.role_certificate, theirs.statement)
    await announce(producer, mine.role_certificate, theirs.statement)
    await announce(producer, tokens.role_certificate, tokens.statement)
    await announce(producer, mine.role_certificate, "a.b.c")
    await producer.send_and_wait(TOPIC, b"\xff", key=b"public")
    await announce(producer, mine.role_certificate, mine.statement)
    follower = Announcements(engines.kafka, Trust(authority.root_public), "sealing", believed.append)
    async with roles.background(follower.run()):
        await eventually(follower.known)
    assert [(each.version, each.keys) for each in believed] == [(1, mine.public)]


async def test_following_survives_a_silent_broker(
    engines: Engines, producer: AIOKafkaProducer, new_authority: Callable[[], Authority], tmp_path: Path
) -> None:
    """What is announced after an outage is heard."""
    authority, believed = new_authority(), list[Statement]()
    first = rotated(authority, tmp_path / "keys.json")
    await announce(producer, first.role_certificate, first.statement)
    follower = Announcements(engines.kafka, Trust(authority.root_public), "sealing", believed.append)
    async with roles.background(follower.run()):
        await eventually(follower.known)
        second = rotated(authority, tmp_path / "keys.json")
        with engines.kafka_paused():
            await asyncio.sleep(2)
        await announce(producer, second.role_certificate, second.statement)

        async def heard() -> bool:
            return believed[-1].version == 2

        await eventually(heard, 40)
