"""The local stack's engines, for real, on free ports and in a temporary folder."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import MongoClient

from deploy.local.machine import Ports, PortsTaken, is_free
from deploy.local.processes import DidNotStart
from deploy.local.stack import Stack
from deploy.local.trust_material import ServiceProcess
from services.consent.domain.rules import Rules

TOPIC = "kept"


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run the engines and the front door of a stack, and no service."""
    stack = Stack(tmp_path_factory.mktemp("stack"), ports=Ports.free())
    try:
        await stack.start_engines()
        await stack.start_process("front-door")
        yield stack
    finally:
        await stack.stop()


def written(stack: Stack) -> int:
    """Insert a document with majority and journal; return how many there are."""
    with MongoClient[dict[str, int]](stack.mongo_uri("consent"), w="majority", journal=True) as client:
        client["probe"]["kept"].insert_one({"n": 1})
        return client["probe"]["kept"].count_documents({})


async def produced(stack: Stack) -> int:
    """Send a message and read the topic from its beginning; return how many it holds."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        last = (await producer.send_and_wait(TOPIC, b"fact")).offset
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(TOPIC, 0)])
        await consumer.seek_to_beginning()
        count = 0
        async for record in consumer:
            count += 1
            if record.offset == last:
                return count
    finally:
        await consumer.stop()
    raise AssertionError


async def answered(stack: Stack, path: str, body: bytes = b"{}") -> tuple[int, str, dict[str, Any]]:
    """Post through the front door; return status, content type and the JSON."""
    async with aiohttp.ClientSession() as session, session.post(stack.base + path, data=BytesIO(body)) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.json(content_type=None)


async def test_mongod_is_a_writable_replica_set_and_keeps_what_a_kill_interrupts(stack: Stack) -> None:
    """A majority write survives SIGKILL of mongod, and the same folder starts again."""
    before = written(stack)
    await stack.stop_process("mongod", signal.SIGKILL)
    await stack.start_process("mongod")
    assert written(stack) == before + 1


async def test_kafka_keeps_acknowledged_messages_over_a_kill(stack: Stack) -> None:
    """An acknowledged message survives SIGKILL of the broker, which serves again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    await admin.close()
    assert await produced(stack) == 1
    await stack.stop_process("kafka", signal.SIGKILL)
    async with asyncio.timeout(30):
        await stack.start_process("kafka")
    assert await produced(stack) == 2


async def test_a_topic_is_never_created_by_mistake(stack: Stack) -> None:
    """A topic that no catalogue names does not come into being because somebody asks for it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    try:
        await admin.describe_topics(["misspelt"])
        assert "misspelt" not in await admin.list_topics()
    finally:
        await admin.close()


def activations(stack: Stack) -> list[str]:
    """Return the digest of each activation of rules, the oldest first."""
    with MongoClient[dict[str, Any]](stack.mongo_uri("consent")) as client:
        rows = client["carnet_consent"]["journal"].find({"record": "public"}).sort("version", 1)
        return [row["policies"] for row in rows]


async def test_the_source_s_rules_are_in_force(stack: Stack) -> None:
    """A start activates them, the next one does not, and one after a change of the source does again if need be."""
    await stack.activate_rules()
    assert activations(stack) == [Rules().digest]
    with MongoClient[dict[str, Any]](stack.mongo_uri("consent")) as client:
        client["carnet_consent"]["bundles"].delete_many({})
    await stack.activate_rules()
    with MongoClient[dict[str, Any]](stack.mongo_uri("consent")) as client:
        assert client["carnet_consent"]["bundles"].count_documents({}) == 0
    (stack.data / "rules").write_text("of an older source", encoding="ascii")
    await stack.activate_rules()
    with MongoClient[dict[str, Any]](stack.mongo_uri("consent")) as client:
        assert client["carnet_consent"]["bundles"].count_documents({}) == 1
    assert activations(stack) == [Rules().digest]


async def test_start_again_leaves_running_processes_alone(stack: Stack) -> None:
    """Starting what runs already changes no pid; only what is dead is started."""
    pids = {name: stack.pid_of(name) for name in stack.engines}
    await stack.stop_process("mongod", signal.SIGKILL)
    await stack.start_engines()
    assert stack.pid_of("kafka") == pids["kafka"] is not None
    assert stack.pid_of("mongod") not in {None, pids["mongod"]}


async def test_a_killed_engine_has_left_its_port(stack: Stack) -> None:
    """When stopping returns, no dying thread holds the port any more: the next start would find it taken."""
    for _ in range(3):
        await stack.stop_process("mongod", signal.SIGKILL)
        assert is_free(stack.port_of("mongod"))
        await stack.start_process("mongod")


async def test_another_command_finds_and_stops_what_this_one_started(stack: Stack) -> None:
    """A second Stack on the same folder sees the first one's processes as its own."""
    other = Stack(stack.data, ports=stack.ports)
    assert other.pid_of("front-door") == stack.pid_of("front-door") is not None
    await other.stop_process("front-door")
    assert stack.pid_of("front-door") is None
    await stack.start_process("front-door")


async def test_named_brokers_are_used_and_none_is_started(stack: Stack, tmp_path: Path) -> None:
    """With brokers from outside the stack starts no Kafka; it says so plainly when they do not answer."""
    other = Stack(tmp_path, ports=Ports.free(), kafka=stack.kafka)
    try:
        await other.start_engines()
        assert other.engines == ["mongod"]
        assert other.env_of("consent-1")["CARNET_KAFKA"] == stack.kafka
    finally:
        await other.stop()
    with pytest.raises(DidNotStart, match="CARNET_KAFKA"):
        await Stack(tmp_path, ports=Ports.free(), kafka=f"127.0.0.1:{Ports.free().kafka}").start_engines()


async def test_a_process_that_cannot_start_shows_its_last_words(stack: Stack) -> None:
    """A process that ends at once is reported with its name and the end of its log, not waited for."""
    processes = [ServiceProcess("consent", 2, ("nonsense",))]
    with pytest.raises(DidNotStart, match=r"(?s)consent-2 ended instead of starting.*no role nonsense"):
        await Stack(stack.data, ports=stack.ports, processes=processes).start_process("consent-2")


async def test_new_ports_keep_the_data(tmp_path: Path) -> None:
    """A mongod that is moved to another port is a primary there, with what it held."""
    stack = Stack(tmp_path, ports=Ports.free())
    try:
        await stack.start_process("mongod")
        written(stack)
        await stack.stop()
        stack = Stack(tmp_path, ports=Ports.free())
        await stack.start_process("mongod")
        assert written(stack) == 2
    finally:
        await stack.stop()


async def test_uncompressed_mongods_show_what_they_hold(tmp_path: Path) -> None:
    """With one mongod a service, a long text that is stored can be found in that service's files, and in no other's."""
    canary = "canary-" * 400
    stack = Stack(tmp_path, ports=Ports.free(), mongods="per-service")
    try:
        await asyncio.gather(stack.start_process("mongod-documents"), stack.start_process("mongod-identity"))
        with MongoClient[dict[str, str]](stack.mongo_uri("documents"), journal=True) as client:
            client["carnet_documents"]["probe"].insert_one({"text": canary})
            client.admin.command("fsync")
    finally:
        await stack.stop()

    def holders(name: str) -> list[Path]:
        files = [path for path in stack.data_of(name).rglob("*") if path.is_file()]
        return [path for path in files if canary.encode() in path.read_bytes()]

    assert {path.parent.name for path in holders("mongod-documents")} >= {"journal"}
    assert any(path.suffix == ".wt" for path in holders("mongod-documents"))
    assert not holders("mongod-identity")


@pytest.mark.parametrize("service", ["identity", "consent", "notifications"])
async def test_the_front_door_says_which_service_is_down(stack: Stack, service: str) -> None:
    """With nobody behind it, a path answers 503 with the problem document of its service."""
    status, content_type, problem = await answered(stack, f"/{service}/anything")
    code = f"{service}-unreachable"
    assert (status, content_type) == (503, "application/problem+json")
    assert problem["type"] == f"https://carnet.example/problems/{code}"
    assert (problem["status"], problem["code"]) == (503, code)


@pytest.mark.parametrize(
    ("path", "service"),
    [("/fhir", "documents"), ("/fhir/DocumentReference?x=1", "documents"), ("/consent/fhir", "consent"),
     ("/consent/fhir/AuditEvent?x=1", "consent")],
)  # fmt: skip
async def test_the_front_door_speaks_fhir_where_its_services_do(stack: Stack, path: str, service: str) -> None:
    """With its service down, a FHIR path and what lies under it answer 503 with an OperationOutcome: transient."""
    status, content_type, outcome = await answered(stack, path)
    assert (status, content_type, outcome["resourceType"]) == (503, "application/fhir+json", "OperationOutcome")
    (issue,) = outcome["issue"]
    assert (issue["code"], issue["details"]["coding"][0]["code"]) == ("transient", f"{service}-unreachable")


@pytest.mark.parametrize("path", ["/", "/metrics", "/health/ready", "/fhirs", "/consent-other", "//metrics"])
async def test_the_front_door_opens_nothing_else(stack: Stack, path: str) -> None:
    """Health, metrics and unknown paths are not reachable from outside."""
    status, _, problem = await answered(stack, path)
    assert (status, problem["code"]) == (404, "not-found")


@pytest.fixture
async def upstream(stack: Stack) -> AsyncIterator[Stack]:
    """Stand in for documents and notifications: echo what is asked for, and stream two events."""

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"asked": request.raw_path, "size": len(await request.read())})

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await asyncio.Event().wait()
        return response

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    app = web.Application(client_max_size=40_000_000)
    app.router.add_get("/notifications/stream", stream)
    app.router.add_get("/fhir/broken", broken)
    app.router.add_route("*", "/{rest:.*}", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    for name in ("documents-1", "notifications-1"):
        await web.TCPSite(runner, "127.0.0.1", stack.port_of(name)).start()
    try:
        yield stack
    finally:
        await runner.cleanup()


async def test_the_front_door_passes_requests_on_as_they_are(upstream: Stack) -> None:
    """Path, query and body reach the service unchanged; a body of 29 MB passes."""
    path = "/fhir/DocumentReference?patient.identifier=a%7Cb&status=current"
    status, _, echo = await answered(upstream, path, bytes(29_000_000))
    assert (status, echo) == (200, {"asked": path, "size": 29_000_000})


async def test_the_front_door_refuses_bodies_over_30_mb(upstream: Stack) -> None:
    """A larger body, announced or not, is answered 413 as its path's clients read it, and FHIR's are told too-long."""
    status, _, problem = await answered(upstream, "/notifications/x", bytes(31_000_000))
    assert (status, problem["code"]) == (413, "content-too-large")
    status, content_type, outcome = await answered(upstream, "/fhir/Binary", bytes(31_000_000))
    assert (status, content_type, outcome["issue"][0]["code"]) == (413, "application/fhir+json", "too-long")


async def test_the_front_door_streams_notifications_at_once(upstream: Stack) -> None:
    """An event reaches the reader while the stream goes on."""
    async with (
        asyncio.timeout(3),
        aiohttp.ClientSession() as session,
        session.get(f"{upstream.base}/notifications/stream") as answer,
    ):
        assert await answer.content.readline() == b"data: 1\n"


async def test_the_front_door_logs_no_url(upstream: Stack) -> None:
    """Requests that fail before or within an answer, and whose query holds an INS, leave no trace of it in the log."""
    query = "?patient.identifier=urn:oid:1.2.250.1.213.1.4.10|279035121518989"
    await answered(upstream, f"/consent/x{query}")
    async with aiohttp.ClientSession() as session, session.get(f"{upstream.base}/fhir/broken{query}") as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    log = upstream.log_of("front-door").read_text(encoding="utf-8")
    assert "serving initial configuration" in log
    assert "279035121518989" not in log


async def test_a_held_port_is_reported_with_its_holder(stack: Stack, tmp_path: Path) -> None:
    """A port conflict names the port, what needs it, who holds it and the way out, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        ports = Ports(mongo=port, kafka=stack.ports.kafka)
        other = Stack(tmp_path, ports=ports)
        with pytest.raises(PortsTaken) as caught:
            await other.start_engines()
    said = str(caught.value)
    assert f"port {port} (mongod) is held by process" in said
    assert f"port {stack.ports.kafka} (kafka) is held by process {stack.pid_of('kafka')}" in said
    assert "CARNET_PORTS_BASE=" in said
    assert [other.pid_of(name) for name in other.engines] == [None, None]
