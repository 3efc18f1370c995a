"""What nobody may silence: told within seconds, once, whatever consent, preferences and other events do."""

import asyncio
import time
from collections.abc import Iterator
from uuid import uuid4

import orjson
import pytest

from contracts.consent import AccessAnnounced
from contracts.registry import topic_of
from services.notifications.domain import SENTENCES, SENTENCES_FOR_ANOTHER, Kind
from tests.integration.deciding import ALLOWED, Decider, new_record
from tests.integration.notifications.conftest import REFUSED, Post, streaming
from tests.integration.observing import eventually

AT = 1_780_000_000_000


@pytest.fixture(autouse=True)
def answering(consent: Decider) -> Iterator[None]:
    """Begin and end each test with a consent that answers and allows."""
    consent.answer, consent.stopped = ALLOWED, False
    yield
    if consent.stopped:
        consent.go_on()
    consent.answer, consent.stopped = ALLOWED, False


def emergency(record: str, kind: str = "emergency") -> AccessAnnounced:
    """Return the fact that consent tells."""
    return AccessAnnounced.model_validate({"record": record, "kind": kind, "flow": uuid4().hex, "at": AT})


@pytest.mark.parametrize(
    ("kind", "told"), [("emergency", Kind.EMERGENCY_ACCESS), ("declared-care", Kind.DECLARED_CARE)]
)
async def test_it_is_told_though_consent_refuses_every_notice(
    service: Post, consent: Decider, kind: str, told: Kind
) -> None:
    """A record that is opposed, or whose notices are off: told all the same, and nobody was asked whether."""
    record = new_record()
    consent.answer = REFUSED
    fact = emergency(record, kind)
    await service.publish(fact)
    (item,) = await service.received(record, 1)
    assert (item["kind"], item["sentence"], item["read"]) == (told, SENTENCES[told], False)
    assert [each for each in consent.heard if each.record == record] == []
    assert fact.flow not in repr(await service.mongo["items"].find({"record": record}).to_list(None))


async def test_it_does_not_wait_behind_what_asks(service: Post, consent: Decider) -> None:
    """Consent hangs, and a deposit of the same record waits for it: the emergency is in the inbox within seconds."""
    record = new_record()
    consent.stopped = True
    await service.deposited(record)
    await asyncio.sleep(0.5)
    started = time.monotonic()
    await service.publish(emergency(record))
    (item,) = await service.received(record, 1, 5)
    assert time.monotonic() - started < 5
    assert item["kind"] == "emergency-access"
    consent.go_on()
    consent.stopped = False
    assert [each["kind"] for each in await service.received(record, 2, 40)] == ["new-document", "emergency-access"]


async def test_a_redelivered_event_is_told_once(service: Post) -> None:
    """The relay may publish twice: one event id is one item, another event another."""
    record = new_record()
    fact = emergency(record)
    event = await service.publish(fact)
    await service.publish(fact, event)
    await service.publish(emergency(record))
    items = await service.received(record, 2)
    await asyncio.sleep(0.5)
    assert await service.mongo["items"].count_documents({"record": record}) == len(items) == 2


async def test_the_stream_carries_it_within_seconds(service: Post) -> None:
    """Who is at her portal sees it as it is stored."""
    record = new_record()
    async with streaming(service, record) as stream:
        await asyncio.sleep(0.3)
        started = time.monotonic()
        await service.publish(emergency(record))
        event = await stream.event(5)
    assert time.monotonic() - started < 3
    assert orjson.loads(event["data"])["kind"] == "emergency-access"


async def test_a_parent_learns_that_a_small_child_s_record_was_opened(service: Post) -> None:
    """In the inbox and on the stream, in a sentence about the person they represent, who reads her own."""
    record = new_record()
    async with streaming(service, record, actor="representative") as stream:
        await asyncio.sleep(0.3)
        await service.publish(emergency(record))
        told = orjson.loads((await stream.event(5))["data"])
    (listed,) = (await service.inbox(record, actor="representative"))["items"]
    assert (told["kind"], told["sentence"]) == (
        "emergency-access", SENTENCES_FOR_ANOTHER[Kind.EMERGENCY_ACCESS],
    )  # fmt: skip
    assert listed == told
    (hers,) = (await service.inbox(record))["items"]
    assert hers == told | {"sentence": SENTENCES[Kind.EMERGENCY_ACCESS]}
    assert (await service.inbox(new_record(), actor="representative"))["items"] == []


async def test_poison_among_notices_is_set_aside_and_seen(service: Post) -> None:
    """What cannot be read is listed for the operator with the other letters, and other records are told."""
    record, topic = new_record(), topic_of(AccessAnnounced)
    await service.producer.send_and_wait(topic, b"{", key=b"poison", headers=[("ce_id", b"x")])
    await service.publish(emergency(record))
    await service.received(record, 1)

    # Two groups read this topic: one tells at once, the other asks about what was revealed.
    async def aside() -> bool:
        found = await service.mongo["dead_letters"].distinct("consumer")
        return set(found) == {"carnet.notices", "carnet.notifications"}

    await eventually(aside)
    code, listed = await service.cli("dead-letters", "list")
    assert (code, topic in listed) == (0, True)
    code, replayed = await service.cli("dead-letters", "replay")
    assert (code, replayed.split()[-1]) == (1, "Undecodable")
    await service.mongo["dead_letters"].delete_many({})
