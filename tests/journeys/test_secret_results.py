"""Results that the patient may not know of yet, through the front door: not a trace, and then all of it."""

import asyncio
from typing import Any

import orjson

from deploy.local.caller import Answer
from deploy.local.synthetic import document_reference
from services.documents.fhir.systems import TRE_A07
from tests.integration.observing import eventually
from tests.journeys.records import PATIENT, Opened, doctor

COLLEAGUE = doctor("10000000017", "920000017")


def _secret(record: Opened) -> bytes:
    labels = ((TRE_A07, "INVISIBLE_PATIENT"),)
    return orjson.dumps(document_reference(record.report(), ins=record.ins, labels=labels))


async def _entries(record: Opened) -> list[dict[str, Any]]:
    """Return her journal without this look at it, the oldest entry first."""
    answer = await record.caller(PATIENT).journal(_count=200)
    return [each for each in answer.json()["entries"] if each.get("action") != "read-journal"][::-1]


def _told(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.body


async def test_an_unannounced_result_leaves_no_trace_and_then_appears(record: Opened) -> None:
    """Deposited, listed and read by doctors: she finds nothing, anywhere; announced, she finds each of these acts."""
    moreau, colleague, patient = record.caller(doctor()), record.caller(COLLEAGUE), record.caller(PATIENT)
    await patient.begin(kind="authorise", professional="10000000017")
    before, inbox = await _entries(record), (await patient.inbox()).body
    deposited = await moreau.deposit(_secret(record))
    assert deposited.status == 201
    document = deposited.json()["id"]
    assert (await colleague.search()).ids == [document]
    assert (await colleague.read(document)).status == 200
    await asyncio.sleep(1)  # a notice would have come
    assert (await patient.search()).ids == []
    assert (await patient.search()).json()["total"] == 0
    absent = f"{record.record}-{'a' * 26}"
    assert _told(await patient.read(document)) == _told(await patient.read(absent))
    assert (await patient.inbox()).body == inbox
    quiet = [each for each in await _entries(record) if each.get("who", {}).get("kind") == "professional"]
    assert [(each["action"], each["outcome"], each["count"], each["refused"]) for each in quiet] == [
        ("list", "allowed", 0, {})
    ]
    assert document.rpartition("-")[2] not in str(quiet)
    numbers = [each["n"] for each in (await patient.journal(_count=200)).json()["entries"]]
    assert numbers == list(range(numbers[0], 0, -1))

    announced = await colleague.ask("POST", "/consent/announcements", json={"document": document})
    assert announced.status == 202
    assert (await patient.search()).ids == [document]

    async def told() -> bool:
        return [each["kind"] for each in (await patient.inbox()).json()["items"]] == ["new-document"]

    await eventually(told, 10)
    assert (await patient.read(document)).status == 200
    since = [each for each in await _entries(record) if each not in before]
    hers = [(each["action"], each["who"]["id"]) for each in since if each.get("stream") != "main"]
    assert ("deposit", "810000000009") in hers
    assert ("read", "810000000017") in hers
    assert any(each["action"] == "announce" and each["stream"] == "main" for each in since)


async def test_a_stranger_s_announcement_looks_like_any_other(record: Opened) -> None:
    """Whoever does not treat her is answered alike, and opens nothing."""
    moreau, stranger = record.caller(doctor()), record.caller(COLLEAGUE)
    document = (await moreau.deposit(_secret(record))).json()["id"]
    there = await stranger.ask("POST", "/consent/announcements", json={"document": document})
    nowhere = await stranger.ask("POST", "/consent/announcements", json={"document": f"{record.record}-{'a' * 26}"})
    assert (there.status, nowhere.status) == (202, 202)
    assert (await record.caller(PATIENT).search()).ids == []
    assert (
        await record.caller(PATIENT).ask("POST", "/consent/announcements", json={"document": document})
    ).status == 403
