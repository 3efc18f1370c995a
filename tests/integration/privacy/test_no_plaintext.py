"""No plaintext: after care, refusals, bad input, poison and crashes, canaries stand in identity's files only."""

import asyncio
import gzip
import sys
from dataclasses import dataclass

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pymongo import MongoClient

from deploy.local.caller import Answer
from deploy.local.stack import ROOT, SERVICES, Stack
from tests.integration.observing import eventually
from tests.integration.privacy import traffic
from tests.integration.privacy.canaries import STEMS
from tests.integration.privacy.collector import Collector
from tests.integration.privacy.conftest import Carnet
from tests.integration.privacy.people import People
from tests.integration.privacy.searching import Hit, Search, written

CONTROL_TOPIC = "control"
CONTROL_DATABASE = "control"


@dataclass(frozen=True)
class Aftermath:
    """What was answered, and all that the search found, as places under the stack's folder or of our own."""

    care: dict[str, Answer]
    bad: list[int]
    crashes: dict[str, Answer]
    hits: frozenset[Hit]
    letters: dict[str, str]

    def leaks(self, *places: str) -> list[Hit]:
        """Return the hits in these places that are neither controls nor the poison in its own topic."""
        return sorted(
            hit
            for hit in self.hits
            if hit.place.startswith(places)
            and hit.name != "control"
            and not (hit.name == "poison" and hit.place.startswith(f"kafka/logs/{traffic.TOPIC}-"))
        )

    def controls(self, place: str) -> set[str]:
        """Return the forms in which the control was found in a place."""
        return {hit.form for hit in self.hits if hit.name == "control" and hit.place.startswith(place)}


@pytest.fixture(scope="module")
async def aftermath(carnet: Carnet) -> Aftermath:
    """Let everything happen, flush the databases, and search everything."""
    stack, people, collector = carnet.stack, carnet.people, carnet.collector
    care = await traffic.care(people)
    bad = await traffic.bad_input(stack, people)
    # What the processes that are about to die have counted and traced.
    answers = {f"metrics/{name}": body for name, body in (await metrics(stack, people)).items()}
    await asyncio.sleep(1.2)
    await traffic.poison(stack, people.record)
    crashes = await traffic.crashes(stack, people)
    services = ("consent", "notifications")
    letters = dict(zip(services, await asyncio.gather(*(_letters(stack, each) for each in services)), strict=True))
    answers |= {f"metrics-after/{name}": body for name, body in (await metrics(stack, people)).items()}
    answers |= {f"dead-letters/{service}": said.encode() for service, said in letters.items()}
    await plant(stack, collector, people.session)
    answers |= {f"spans/{number}": body for number, body in enumerate(collector.bodies)}

    def searched() -> set[Hit]:
        for service in SERVICES:
            with MongoClient[dict[str, str]](stack.mongo_uri(service)) as client:
                client.admin.command("fsync")
        search = Search(STEMS | people.secrets())
        found = search.folder(stack.data)
        for place, body in answers.items():
            found |= search.bytes(place, body)
        return found

    return Aftermath(care, bad, crashes, frozenset(await asyncio.to_thread(searched)), letters)


async def metrics(stack: Stack, people: People) -> dict[str, bytes]:
    """Return each process's metrics."""
    found = {}
    for name in stack.processes:
        async with people.session.get(f"http://127.0.0.1:{stack.port_of(name)}/metrics") as answer:
            assert answer.status == 200
            found[name] = await answer.read()
    return found


async def plant(stack: Stack, collector: Collector, session: aiohttp.ClientSession) -> None:
    """Put the control, in every form, into a database, a topic, a log and a span."""
    control = written(STEMS["control"])

    def stored() -> None:
        with MongoClient[dict[str, bytes]](stack.mongo_uri("documents"), w="majority", journal=True) as client:
            client[CONTROL_DATABASE]["control"].insert_one(dict(control))

    await asyncio.to_thread(stored)
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(CONTROL_TOPIC, 1, 1)])
    await admin.close()
    async with traffic.producing(stack) as producer:
        for each in control.values():
            await producer.send_and_wait(CONTROL_TOPIC, each)
    stack.log_of("control").write_bytes(b"\n".join(control.values()))
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="control")
    for form, each in control.items():
        span.attributes.add(key=form).value.bytes_value = each
    body, headers = gzip.compress(request.SerializeToString()), {"Content-Encoding": "gzip"}
    async with session.post(f"{collector.endpoint}/v1/traces", data=body, headers=headers) as answer:
        assert answer.status == 200


async def _letters(stack: Stack, service: str) -> str:
    """Return what the command line says of a service's dead letters, once there are some."""

    async def command(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"services.{service}", "dead-letters", *words, cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", **stack.env_of(f"{service}-1")},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return said.decode()

    async def listed() -> str:
        return await command("list")

    said = await eventually(listed, 20)
    # Replaying is the chassis's: once is enough.
    return said + (await command("replay") if service == "consent" else "")


async def test_everything_did_happen(aftermath: Aftermath, carnet: Carnet) -> None:
    """The search means something: care was given and refused, the patient was told, and her journal names people."""
    care, ins = aftermath.care, carnet.people.ins
    assert [care["small"].status, care["large"].status, care["conflict"].status] == [201, 201, 409]
    assert care["large camille"].body == care["large moreau"].body
    assert len(care["large camille"].body) == len(traffic.large(ins)[0]) > 8 * 1024 * 1024
    assert STEMS["document"].encode() in care["small moreau"].body
    before = care["before"].json()["total"]
    lists = [care[f"list {name}"].json()["total"] for name in ("camille", "moreau", "petit")]
    assert lists == [before + 2, before + 2, 0]
    assert [care[f"small {name}"].status for name in ("petit", "insurer")] == [404, 403]
    # Consent holds the names: in its own ciphertext, because the next tests find them nowhere else.
    assert STEMS["person"].encode() in care["journal"].body
    assert all(status >= 400 for status in aftermath.bad), aftermath.bad
    crashes = {name: answer.status for name, answer in aftermath.crashes.items()}
    assert crashes.pop("again") == 201
    assert all(status >= 500 for status in crashes.values()), crashes
    assert all("Undecodable" in said for said in aftermath.letters.values()), aftermath.letters


@pytest.mark.parametrize(
    "place",
    ["mongod-documents/collection", "mongod-documents/journal", "kafka/logs/control-0", "logs/control", "spans"],
)
async def test_the_search_finds_what_was_planted(aftermath: Aftermath, place: str) -> None:
    """A text in a database's collection and journal, in a topic, in a log and in a span is found in each form."""
    assert aftermath.controls(place) == set(written("any"))


async def test_identity_holds_who_people_are(aftermath: Aftermath) -> None:
    """The INS and the names stand readable in identity's own files: the search would find them elsewhere too."""
    found = {hit.name for hit in aftermath.hits if hit.place.startswith("mongod-identity/")}
    assert {"ins", "person", "rpps-moreau"} <= found


async def test_identity_holds_nothing_else(aftermath: Aftermath) -> None:
    """No token, no assertion, no text of a document or of a bad request stands in identity's files."""
    known = {"ins", "person", "rpps-moreau", "rpps-petit"}
    assert [hit for hit in aftermath.leaks("mongod-identity/") if hit.name not in known] == []


@pytest.mark.parametrize("service", ["documents", "notifications", "consent"])
async def test_databases_hold_no_plaintext(aftermath: Aftermath, service: str) -> None:
    """No file of the database of documents, notifications or consent holds a canary."""
    assert aftermath.leaks(f"mongod-{service}/") == []


async def test_topics_hold_no_plaintext(aftermath: Aftermath) -> None:
    """No topic holds a canary, but for the poison where we put it."""
    assert aftermath.leaks("kafka/") == []
    assert any(hit.name == "poison" and hit.place.startswith("kafka/") for hit in aftermath.hits)


async def test_logs_hold_no_plaintext(aftermath: Aftermath) -> None:
    """No log of any process, engines and front door included, holds a canary."""
    assert aftermath.leaks("logs/") == []


async def test_spans_hold_no_plaintext(aftermath: Aftermath, carnet: Carnet) -> None:
    """No exported span holds a canary; each service exported some, compressed."""
    assert aftermath.leaks("spans/") == []
    assert {span.service for span in carnet.collector.spans()} >= {f"carnet-{service}" for service in SERVICES}
    assert carnet.collector.compressed > 1


async def test_metrics_hold_no_plaintext(aftermath: Aftermath) -> None:
    """No answer of /metrics holds a canary, before and after the crashes."""
    assert aftermath.leaks("metrics") == []


async def test_dead_letters_hold_no_plaintext(aftermath: Aftermath) -> None:
    """What the command line says of dead letters, when it lists and when it replays them, holds no canary."""
    assert aftermath.leaks("dead-letters/") == []


async def test_nothing_else_of_the_stack_holds_plaintext(aftermath: Aftermath) -> None:
    """No other file that the stack wrote holds a canary."""
    assert [hit for hit in aftermath.leaks("") if not hit.place.startswith("mongod-identity/")] == []
