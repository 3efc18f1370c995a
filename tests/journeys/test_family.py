"""Families, through the front door: who acts for a minor and until when, and the hole that a parent looks for."""

import asyncio
import re
from typing import Any

import orjson
import pytest

from contracts.identity import Holder
from deploy.local.caller import Answer, Caller
from deploy.local.stack import Stack
from deploy.local.synthetic import document_reference
from services.documents.fhir.systems import TRE_A07
from tests.journeys.records import PATIENT, Opened, acting, doctor, open_record, represent

PARENT, CAREGIVER = "p" * 26, "c" * 26
ALL: tuple[Any, ...] = ("read", "govern", "deposit", "journal")
GYNAECOLOGIST = doctor("10000000025", "920000025") | {"name": "Dre Confidente"}
_CHANCE = re.compile(
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]+)?|[0-9]+ [^ ]+ [0-9]{4} .{1,3} [0-9:]{8}|[0-9a-f]{32}"
    rb'|[0-9]{13}|"hash":"[^"]+"|2[.]25[.][0-9]+|"size":[0-9]+'
)


async def child(record: Opened) -> Caller:
    """Make a record a minor's with one parent; return the parent."""
    await represent(record, Holder(holder=PARENT, role="parent", scopes=ALL), minor=True)
    return record.caller(acting(PARENT))


def secret_report(record: Opened) -> bytes:
    """Return the deposit of a report that the minor's parents are not to see."""
    labels = ((TRE_A07, "INVISIBLE_REPRESENTANTS_LEGAUX"),)
    return orjson.dumps(document_reference(record.report(), ins=record.ins, labels=labels))


@pytest.fixture
async def twin(stack: Stack, session: Any) -> Opened:
    """Open a second record, to hold against the first."""
    return await open_record(stack, session)


async def test_a_parent_acts_until_the_child_is_of_age(record: Opened) -> None:
    """A parent reads, governs and is named in the journal; at 18 each of it is refused, and the rule is told."""
    parent, moreau = await child(record), record.caller(doctor())
    document = (await moreau.deposit(record.request())).json()["id"]
    assert (await parent.search()).ids == [document]
    assert (await parent.read(document)).status == 200
    assert (await parent.begin(kind="block", professional="10000000009")).status == 201
    assert (await moreau.read(document)).status == 404
    entries = (await record.caller(PATIENT).journal(_count=100)).json()["entries"]
    named = [each["phrase"] for each in entries if each.get("who", {}).get("kind") == "representative"]
    assert sum("Alex Synthétique, en votre nom (logiciel Portail) " in each for each in named) == 3
    assert (await parent.inbox()).json()["items"][0]["kind"] == "new-document"

    await represent(record, Holder(holder=PARENT, role="parent", scopes=ALL))
    for answer in (await parent.search(), await parent.read(document)):
        assert (answer.status, answer.code) == (403, "parent-of-an-adult")
    for answer in (await parent.journal(), await parent.directives()):
        assert (answer.status, answer.json()["rule"]) == (403, "parent-of-an-adult")
    assert (await record.caller(PATIENT).search()).ids == [document]


async def test_a_caregiver_reads_and_does_not_manage(record: Opened) -> None:
    """Documents and journal, yes; the sharing, no: and who gave only the reading gave no journal."""
    await represent(record, Holder(holder=CAREGIVER, role="caregiver", scopes=("read",)))
    caregiver = record.caller(acting(CAREGIVER, "caregiver"))
    document = (await record.caller(doctor()).deposit(record.request())).json()["id"]
    assert (await caregiver.search()).ids == [document]
    for answer in (await caregiver.journal(), await caregiver.begin(kind="close")):
        assert (answer.status, answer.json()["rule"]) == (403, "beyond-delegation")


async def test_death_closes_reading(record: Opened) -> None:
    """Nobody reads the record any more; what is still to be filed may be; an error is taken back."""
    moreau, patient = record.caller(doctor()), record.caller(PATIENT)
    document = (await moreau.deposit(record.request())).json()["id"]
    await represent(record, deceased=True)
    assert (await moreau.read(document)).status == 404
    assert (await moreau.search()).ids == []
    assert ((await patient.read(document)).status, (await patient.read(document)).code) == (403, "deceased")
    assert (await moreau.deposit(record.request(record.report(body="post mortem")))).status == 201
    await represent(record)
    assert (await patient.read(document)).status == 200


async def test_a_parent_finds_no_hole(record: Opened, twin: Opened) -> None:
    """Two children live the same; one also sees a doctor in secret. Her parent is answered the same, in everything."""
    parents = [await child(opened) for opened in (record, twin)]
    await _levelled(record, twin)
    for opened, parent in zip((record, twin), parents, strict=True):
        patient, moreau = opened.caller(PATIENT), opened.caller(doctor())
        confidente = opened.caller(GYNAECOLOGIST, secret=True)
        code = (await patient.ask("POST", "/consent/codes", json={"count": 1})).json()["codes"][0]
        document = (await moreau.deposit(opened.request())).json()["id"]
        await _told(patient)
        if opened is twin:
            await _in_secret(opened, patient, confidente, code)
        assert len((await patient.search()).ids) == 1 + (opened is twin)
        assert (await parent.search()).ids == [document]
        assert (await parent.begin(kind="authorise", professional="10000000009")).status == 201
        assert (await moreau.search()).status == 200
    await asyncio.sleep(1)  # a notice of the secret would have come
    for question in _QUESTIONS:
        answers = [await _asked(opened, question) for opened in (record, twin)]
        told = [_without_chance(answer, opened) for answer, opened in zip(answers, (record, twin), strict=True)]
        assert told[0] == told[1], (question, _first_difference(told[0][2], told[1][2]))
        assert answers[0].status in {200, 404}
    # The control: to the child herself the two differ.
    hers = [len((await opened.caller(PATIENT).journal(_count=500)).json()["entries"]) for opened in (record, twin)]
    assert hers[1] >= hers[0] + 6


async def _levelled(*opened: Opened) -> None:
    """Bring two journals to the same number: waiting for identity's word took as many looks as it took."""
    numbers = [(await each.caller(PATIENT).journal()).json()["entries"][0]["n"] for each in opened]
    for each, number in zip(opened, numbers, strict=True):
        for _ in range(max(numbers) - number):
            await each.caller(PATIENT).journal()


async def _in_secret(opened: Opened, patient: Caller, confidente: Caller, code: str) -> None:
    """Live through a secret consultation: a code, a report in and out, a choice about it, and attempts that fail."""
    shown = await confidente.ask("POST", "/consent/care", json={"evidence": "code", "code": code})
    assert shown.status == 202
    deposited = await confidente.deposit(secret_report(opened))
    assert deposited.status == 201
    secret = deposited.json()["id"]
    assert (await confidente.search()).ids == [secret]
    assert (await confidente.read(secret)).status == 200
    assert (await patient.read(secret)).status == 200
    assert (await confidente.deposit(opened.request())).status == 403
    hidden = await patient.begin(kind="hide", document=secret)
    assert hidden.status == 201
    assert (await patient.end(hidden.json()["id"])).status == 200
    opened.said[0] = secret.rpartition("-")[2]


async def _told(patient: Caller) -> None:
    """Wait for the notice that there is to be."""
    async with asyncio.timeout(20):
        while len((await patient.inbox()).json()["items"]) < 1:  # noqa: ASYNC110 - another process's event
            await asyncio.sleep(0.05)


_SECRET = "{secret}"
_QUESTIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/consent/journal?_count=4", None),
    ("GET", "/fhir/DocumentReference?patient.identifier={patient}&status=current", None),
    ("GET", "/fhir/Binary/{record}-{secret}", None),
    ("GET", "/fhir/DocumentReference/{record}-{secret}", None),
    ("GET", "/consent/directives", None),
    ("POST", "/consent/directives/preview", {"kind": "close"}),
    ("POST", "/consent/directives/preview", {"kind": "hide", "document": _SECRET}),
    ("POST", "/consent/directives", {"kind": "hide", "document": _SECRET}),
    ("GET", "/consent/see-as?situation=emergency", None),
    ("GET", "/consent/see-as?situation=representatives", None),
    ("GET", "/consent/see-as?professional=10000000025", None),
    ("GET", "/consent/fhir/AuditEvent?patient={record}&_count=12", None),
    ("GET", "/consent/fhir/Consent?patient={record}", None),
    ("GET", "/consent/fhir/AuditEvent?patient={record}&agent=810000000025", None),
    ("GET", "/notifications/inbox", None),
    ("GET", "/consent/journal?_count=18", None),
]


async def _asked(opened: Opened, question: tuple[str, str, dict[str, Any] | None]) -> Answer:
    """Ask as the parent; in the record without a secret, of a document that never was."""
    method, path, body = question
    secret = opened.said[0] if opened.said[0] != opened.record else "a" * 26
    place = path.format(secret=secret, record=opened.record, patient=opened.patient)
    sent = {name: value.format(secret=secret) for name, value in (body or {}).items()}
    return await opened.caller(acting(PARENT)).ask(method, place, **({"json": sent} if body else {}))


def _without_chance(answer: Answer, opened: Opened) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return an answer without what two records never share: their names, random ids and times."""
    body = answer.body
    for name in (opened.record, opened.ins, opened.said[0]):
        body = body.replace(name.encode(), b"~")
    body = re.sub(rb"\b[a-z2-7]{26}\b", b"~", _CHANCE.sub(b"~", body))
    headers = [(name, value) for name, value in answer.headers.items() if name not in {"Date", "Content-Length"}]
    return answer.status, headers, body


def _first_difference(one: bytes, other: bytes) -> list[bytes]:
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return [each[max(at - 80, 0) : at + 80] for each in (one, other)]
