"""The main job, end to end, as people and acts: real engines, every service, through the front door."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine
from io import StringIO
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from rich.console import Console

from chassis.tokens import Application, Organisation
from deploy.local import demo, story
from deploy.local.caller import Answer, Caller
from deploy.local.stack import Stack
from deploy.local.synthetic import document_reference, laboratory_report
from tests.conformance.cases import samples
from tests.journeys.records import PATIENT, Opened, doctor

CDA = samples("cda", "*.xml")
SIMPLIFIED = samples("fhir", "*iti105*.json")
GIVEN_UP_MS = 2_500
As = Callable[..., Coroutine[Any, Any, Caller]]


@pytest.fixture
async def people(stack: Stack) -> dict[str, Any]:
    """Read what `make up` leaves in demo.json."""
    told: dict[str, Any] = orjson.loads((stack.data / "demo.json").read_bytes())
    return told


@pytest.fixture
def as_(stack: Stack, people: dict[str, Any], session: aiohttp.ClientSession) -> As:
    """Make the software of a demo person, with a token from identity's own endpoint."""

    async def caller(who: str, record_of: str = "") -> Caller:
        patient = people["patients"][record_of or who]
        token = await demo.token(stack, who, record_of or who)
        return Caller(session, people["base"], token, f"{patient['system']}|{patient['ins']}")

    return caller


async def eventually(ask: Callable[[], Coroutine[Any, Any, Answer]], holds: Callable[[Answer], bool]) -> Answer:
    """Ask until it holds; fail after 15 s."""
    end = time.monotonic() + 15
    while not holds(answer := await ask()):
        assert time.monotonic() < end, answer.body[:500]
        await asyncio.sleep(0.05)
    return answer


def content_of(path: Path) -> bytes:
    """Return a sample as it is."""
    return path.read_bytes()


def deposited(answer: Answer) -> str:
    """Return the id of what was deposited."""
    assert answer.status == 201, answer.body
    return str(answer.json()["id"])


async def authorised(record: Opened, rpps: str) -> None:
    """Have the patient authorise a professional."""
    assert (await record.caller(PATIENT).begin(kind="authorise", professional=rpps)).status == 201


async def test_make_up_tells_its_story_twice(stack: Stack) -> None:
    """What `make up` ends with holds, and holds again on the same data; each telling ends with the journal."""
    for _ in range(2):
        said = StringIO()
        await story.tell(stack, Console(file=said, width=80))
        assert "The story holds" in said.getvalue()
        journal = said.getvalue().partition("Camille reads her journal")[2]
        for phrase in (
            "a déposé un document, pour vos soins. Autorisé. Un professionnel de santé dépose",
            "a voulu lire un document, pour vos soins. Refusé. La personne a bloqué ce professionnel ou sa structure.",
            "Refusé, et aucun accord ne peut le permettre. Un assureur ou une mutuelle ne peut jamais accéder",
        ):
            assert phrase in journal


async def test_a_story_that_does_not_hold_says_which_step(stack: Stack, as_: As) -> None:
    """The teller has been seen red: when Camille opposed her record, it stops with one plain sentence."""
    camille = await as_("camille")
    directive = (await camille.begin(kind="oppose")).json()["id"]
    try:
        with pytest.raises(story.StoryBroken, match="Camille has opposed her record"):
            await story.tell(stack, Console(file=StringIO()))
    finally:
        assert (await camille.end(directive)).status == 200


async def test_step_1_a_deposit_is_answered_and_told_without_its_content(as_: As) -> None:
    """201 with id, location and version; the inbox gets one item more, and it names neither type nor title nor id."""
    moreau, malik = await as_("moreau", "malik"), await as_("malik")
    before = (await malik.inbox()).json()["items"]
    ins = malik.patient.partition("|")[2]
    report = laboratory_report(ins=ins, title="TITRE-CANARI", body="CONTENU-CANARI")
    answer = await moreau.deposit(orjson.dumps(document_reference(report, ins=ins, title="TITRE-CANARI")))
    document = deposited(answer)
    assert answer.headers["Location"].endswith(f"/fhir/DocumentReference/{document}/_history/1")
    assert answer.headers["ETag"] == 'W/"1"'
    told = await eventually(malik.inbox, lambda seen: len(seen.json()["items"]) > len(before))
    assert len(told.json()["items"]) == len(before) + 1
    assert told.json()["items"][0]["sentence"] == "Un nouvel élément est arrivé dans votre dossier."
    for secret in (document.encode(), b"CANARI", b"11502-2", ins.encode()):
        assert secret not in told.body


async def test_step_1_a_retry_returns_the_first_result(record: Opened) -> None:
    """The same bytes again are the same document, told once; other bytes under the same identifier are a conflict."""
    software, patient, request = record.caller(doctor()), record.caller(PATIENT), record.request()
    first = deposited(await software.deposit(request))
    assert {deposited(each) for each in await asyncio.gather(*(software.deposit(request) for _ in range(4)))} == {first}
    assert (await patient.search()).ids == [first]
    await eventually(patient.inbox, lambda seen: len(seen.json()["items"]) == 1)
    content = laboratory_report(ins=record.ins, document_oid="2.25.77")
    deposited(await software.deposit(record.request(content)))
    other = laboratory_report(ins=record.ins, document_oid="2.25.77", body="autre")
    answer = await software.deposit(record.request(other))
    assert (answer.status, answer.code) == (409, "deposit-differs")
    await eventually(patient.inbox, lambda seen: len(seen.json()["items"]) == 2)


async def test_step_2_the_patient_lists_and_reads_byte_for_byte(record: Opened) -> None:
    """Her list counts her documents; each is read as the bytes that were deposited, or as a FHIR Binary of them."""
    reports = [record.report(size=size) for size in (2_000, 30_000, 2_000_000)]
    ids = [deposited(await record.caller(doctor()).deposit(record.request(each))) for each in reports]
    patient = record.caller(PATIENT)
    listed = await patient.search()
    assert (listed.json()["total"], set(listed.ids)) == (3, set(ids))
    for document, report in zip(ids, reports, strict=True):
        read = await patient.read(document)
        assert (read.status, read.body) == (200, report)
        assert read.headers["Content-Type"].startswith("application/xml")
        assert read.headers["Cache-Control"] == "no-store"
        binary = await patient.ask("GET", f"/fhir/Binary/{document}", headers={"Accept": "application/fhir+json"})
        assert binary.json()["data"] == b64encode(report).decode()


async def test_step_3_who_is_authorised_reads_and_who_is_not_sees_nothing(record: Opened) -> None:
    """A colleague sees nothing, then all of it once authorised, then nothing once the authorisation ended."""
    document = deposited(await record.caller(doctor()).deposit(record.request(report := record.report())))
    colleague, patient = record.caller(doctor("10000000017", "920000017")), record.caller(PATIENT)

    async def sees() -> tuple[list[str], int]:
        return (await colleague.search()).ids, (await colleague.read(document)).status

    assert await sees() == ([], 404)
    directive = (await patient.begin(kind="authorise", professional="10000000017")).json()["id"]
    assert await sees() == ([document], 200)
    assert (await colleague.read(document)).body == report
    assert (await patient.end(directive)).status == 200
    assert await sees() == ([], 404)


async def test_step_4_a_block_holds_from_the_very_next_request(record: Opened) -> None:
    """However often she changes her mind, the next request is judged by what she said last; deposits pass."""
    moreau, patient = record.caller(doctor()), record.caller(PATIENT)
    document = deposited(await moreau.deposit(record.request()))
    for _ in range(10):
        await authorised(record, "10000000009")
        assert (await moreau.read(document)).status == 200
        block = (await patient.begin(kind="block", professional="10000000009")).json()["id"]
        assert (await moreau.read(document)).status == 404
        assert (await moreau.search()).ids == []
        deposited(await moreau.deposit(record.request()))
        assert (await patient.end(block)).status == 200
        # His own deposits he finds again, but what he was authorised to see must be authorised again.
        assert (await moreau.read(document)).status == 200


async def test_step_4_lifting_a_block_does_not_bring_the_authorisation_back(record: Opened) -> None:
    """After a block is lifted, consent must be asked again."""
    document = deposited(await record.caller(doctor()).deposit(record.request()))
    colleague, patient = record.caller(doctor("10000000017", "920000017")), record.caller(PATIENT)
    await authorised(record, "10000000017")
    block = (await patient.begin(kind="block", professional="10000000017")).json()["id"]
    assert (await patient.end(block)).status == 200
    assert (await colleague.read(document)).status == 404


@pytest.mark.parametrize(
    ("kind", "purpose", "rule"),
    [
        ("insurer", "COVERAGE", "red-line-insurance"),
        ("insurer", "TREAT", "red-line-insurance"),
        ("care-software", "COVERAGE", "red-line-insurance"),
        ("employer", "EMPLOYMENT", "red-line-employment"),
        ("advertiser", "HMARKT", "red-line-advertising"),
        ("commercial", "COMMERCE", "red-line-commerce"),
    ],
)
async def test_step_5_a_red_line_holds_against_consent(record: Opened, kind: str, purpose: str, rule: str) -> None:
    """The patient authorised this very organisation: 403 all the same, with the public rule, its law and sentence."""
    document = deposited(await record.caller(doctor()).deposit(record.request()))
    assert (await record.caller(PATIENT).begin(kind="authorise", organisation="920000025")).status == 201
    for actor in ("application", "professional"):
        asker = record.caller({
            "actor": actor,
            "sub": "asker",
            "name": "Qui demande",
            "organisation": Organisation(id="920000025", name="Structure"),
            "application": Application(id="asker", name="Logiciel", kind=kind),
            "purpose": purpose,
        })  # fmt: skip
        for answer in (await asker.search(), await asker.read(document)):
            assert (answer.status, answer.code) == (403, rule)
            assert "code de la santé publique" in answer.json()["issue"][0]["diagnostics"]
    journal = (await record.caller(PATIENT).journal()).json()["entries"]
    assert sum(each.get("outcome") == "red-line" and each["rule"]["id"] == rule for each in journal) == 4


@pytest.fixture
async def without_consent(stack: Stack) -> AsyncIterator[Callable[[], Coroutine[Any, Any, None]]]:
    """Stop every process of consent; give what starts them again, which happens at the latest at the end."""
    names = [each.name for each in stack.processes.values() if each.service == "consent"]

    async def start() -> None:
        await asyncio.gather(*(stack.start_process(each) for each in names))

    await asyncio.gather(*(stack.stop_process(each) for each in names))
    yield start
    await start()


@pytest.fixture
async def filled(record: Opened) -> tuple[Opened, str]:
    """Deposit one report, and wait until its inbox item came."""
    document = deposited(await record.caller(doctor()).deposit(record.request()))
    await eventually(record.caller(PATIENT).inbox, lambda seen: bool(seen.json()["items"]))
    return record, document


async def test_step_6_without_consent_nothing_moves(
    filled: tuple[Opened, str], without_consent: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Every flow is answered 503 within 2 s; after the restart all works, and the journal has no flow of the outage."""
    record, document = filled
    software, patient, request = record.caller(doctor()), record.caller(PATIENT), record.request()
    answers = await asyncio.gather(
        software.deposit(request),
        software.search(),
        software.read(document),
        patient.search(),
        patient.read(document),
        patient.ask("GET", f"/fhir/DocumentReference/{document}"),
        patient.begin(kind="oppose"),
        patient.directives(),
        patient.journal(),
    )
    assert [(each.status, each.code) for each in answers] == [(503, "consent-unreachable")] * 9
    assert max(each.ms for each in answers) < GIVEN_UP_MS
    assert all("Retry-After" in each.headers for each in answers)
    assert (await patient.inbox()).status == 200  # an inbox is no health datum: it needs no flow
    await without_consent()
    listed = await eventually(patient.search, lambda seen: seen.status == 200)
    assert listed.ids == [document]
    entries = (await patient.journal()).json()["entries"]
    assert [each.get("action") for each in entries[::-1]] == [None, "deposit", "notify", "list", "read-journal"]
    assert len({deposited(await software.deposit(request)), document}) == 2
    assert (await software.read(document)).status == 200


async def test_step_7_the_journal_tells_who_what_why_and_by_which_rule(record: Opened) -> None:
    """Allowed and refused alike: person, organisation, software, purpose, time, rule, law and a French sentence."""
    software, patient = record.caller(doctor()), record.caller(PATIENT)
    document = deposited(await software.deposit(record.request()))
    assert (await record.caller(doctor("10000000017", "920000017")).read(document)).status == 404
    told = (await patient.journal()).json()
    assert told["record"] == record.record
    entries = {(each.get("action"), each.get("outcome")): each for each in told["entries"]}
    for (action, outcome), rule in {
        ("deposit", "allowed"): "care-professional-deposits",
        ("read", "refused"): "not-authorised",
    }.items():
        entry = entries[action, outcome]
        assert entry["who"]["name"] == "Dr Synthétique"
        assert entry["who"]["organisation"] == "Cabinet synthétique"
        assert entry["who"]["software"] == "Logiciel"
        assert (entry["purpose"], entry["rule"]["id"]) == ("TREAT", rule)
        assert entry["rule"]["law"]
        for said in ("Dr Synthétique", "Cabinet synthétique", "logiciel Logiciel", "pour vos soins",
                     entry["rule"]["sentence"]):  # fmt: skip
            assert said in entry["phrase"]
        assert entry["documents"] == [document.rpartition("-")[2]]
    assert entries["read", "refused"]["who"]["id"] == "810000000017"


async def test_step_7_the_journal_is_the_patients_alone(record: Opened) -> None:
    """A professional, even authorised, reads neither journal nor directives, and changes none; the attempt is told."""
    await authorised(record, "10000000009")
    software = record.caller(doctor())
    for answer in (await software.journal(), await software.directives(), await software.begin(kind="oppose")):
        assert answer.status == 403
    entries = (await record.caller(PATIENT).journal()).json()["entries"]
    refused = [each["action"] for each in entries if each.get("outcome") == "refused"]
    assert refused == ["change-directives", "read-directives", "read-journal"]


@pytest.mark.skipif(not CDA, reason="the official samples are not here")
async def test_all_eight_official_samples_are_here() -> None:
    """The test below runs on each of the eight."""
    assert len(CDA) == 8


@pytest.mark.parametrize("path", CDA, ids=lambda path: path.stem)
async def test_an_official_sample_goes_in_as_it_is_and_comes_out_byte_for_byte(as_: As, path: Path) -> None:
    """The samples are about the demo patient Dominique: deposited unchanged, listed, read; again: the same document."""
    moreau, dominique = await as_("moreau", "dominique"), await as_("dominique")
    content = content_of(path)
    resource = document_reference(content)
    for name in ("type", "author", "contained"):
        del resource[name]
    document = deposited(await moreau.deposit(orjson.dumps(resource)))
    assert deposited(await moreau.deposit(orjson.dumps(resource))) == document
    listed = await dominique.search()
    (entry,) = (each["resource"] for each in listed.json()["entry"] if each["resource"]["id"] == document)
    assert entry["content"][0]["attachment"]["size"] == len(content)
    assert (await dominique.read(document)).body == content
    assert (await (await as_("camille")).read(document)).status == 404


@pytest.mark.parametrize("path", SIMPLIFIED, ids=lambda path: path.stem)
async def test_the_official_deposit_goes_in_with_a_patient_and_a_document(record: Opened, path: Path) -> None:
    """The guide's ITI-105 example, its patient and its stand-in data replaced and nothing else, is taken and found."""
    resource, software = orjson.loads(content_of(path)), record.caller(doctor())
    answer = await software.deposit(orjson.dumps(resource))
    assert (answer.status, answer.code) == (422, "cda-id-missing")
    report = record.report(document_oid="1.2.250.1.213.1.4.8.99999.1")
    resource["subject"]["reference"] = f"Patient?identifier={record.patient}"
    resource["content"][0]["attachment"]["data"] = b64encode(report).decode()
    document = deposited(await software.deposit(orjson.dumps(resource)))
    assert (await record.caller(PATIENT).search(type="http://loinc.org|11488-4")).ids == [document]
    assert (await record.caller(PATIENT).read(document)).body == report
