"""Software that asks again and again: slowed down before anything is asked for it, and its refusals fill nothing."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiokafka import TopicPartition

from chassis import kafka
from chassis.flows import REQUESTS
from chassis.settings import KafkaSettings
from contracts.registry import catalogue
from deploy.local.stack import Stack
from tests.journeys.records import PATIENT, Opened, doctor, open_record

_MOST = 3
_DOCUMENTS = "documents-1"


async def asked(stack: Stack) -> int:
    """Return how many questions were ever put to consent."""
    places = [TopicPartition(REQUESTS, each) for each in range(catalogue()[REQUESTS].partitions)]
    async with kafka.started(kafka.consumer(KafkaSettings(bootstrap=stack.kafka))) as reader:
        return sum((await reader.end_offsets(places)).values())


@pytest.fixture
async def strict(stack: Stack) -> AsyncIterator[None]:
    """Start documents with a small limit for professionals, and as it was at the end."""
    await stack.stop_process(_DOCUMENTS)
    await stack.start_process(_DOCUMENTS, CARNET_LIMITS_PROFESSIONAL_PER_MINUTE=str(_MOST))
    yield
    await stack.stop_process(_DOCUMENTS)
    await stack.start_process(_DOCUMENTS)


@pytest.mark.usefixtures("strict")
async def test_past_the_limit_nothing_is_asked(stack: Stack, session: aiohttp.ClientSession) -> None:
    """429 with Retry-After and no question on the topic, for a record that is there and for one that never was."""
    record = await open_record(stack, session)
    known = record.caller(doctor("10000000077"))
    nowhere = Opened(record.base, session, record.key, record.kafka).caller(doctor("10000000077"))
    assert [(await known.search()).status for _ in range(_MOST)] == [200] * _MOST
    before = await asked(stack)
    refused = [await known.search(), await nowhere.search(), await known.deposit(record.request())]
    assert [(each.status, each.code) for each in refused] == [(429, "too-many-requests")] * 3
    assert len({each.body for each in refused}) == 1
    assert all(0 < int(each.headers["Retry-After"]) <= 60 / _MOST for each in refused)
    assert await asked(stack) == before
    # The person herself is not held up by it.
    assert (await record.caller(PATIENT).search()).status == 200


async def test_refusals_that_repeat_do_not_fill_her_journal(record: Opened) -> None:
    """Ten times the same refused search: one answer, and one entry (two if ten minutes ended meanwhile)."""
    stranger = record.caller(doctor("10000000078"))
    answers = [await stranger.search() for _ in range(10)]
    assert {each.status for each in answers} == {200}
    assert len({each.body for each in answers}) == 1
    entries = (await record.caller(PATIENT).journal(_count=50)).json()["entries"]
    assert 1 <= sum(each.get("action") == "list" and each["who"]["kind"] == "professional" for each in entries) <= 2
