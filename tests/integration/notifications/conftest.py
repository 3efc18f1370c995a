"""The real service as a process, on real engines, before a consent whose one answer the test chooses."""

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from chassis import kafka
from chassis.mongo import Mongo
from chassis.settings import MongoSettings
from chassis.tokens import AccessToken, Application, issue, signing_jwk
from chassis.trust import AnnouncedKeys
from contracts.consent import DocumentRevealed, FlowAnswer, SealingKeysAnnounced
from contracts.documents import Deposited
from contracts.fact import Fact
from contracts.identity import TokenKeysAnnounced
from contracts.registry import Envelope, encode, topic_of
from tests.integration.conftest import Engines
from tests.integration.deciding import ALLOWED, DOCUMENT, Decider, World
from tests.integration.observing import eventually

_ROOT = Path(__file__).parents[3]
REFUSED = FlowAnswer(outcome="refused")


@dataclass
class Post:
    """The service, and whoever surrounds it."""

    world: World
    engines: Engines
    producer: AIOKafkaProducer
    tokens: AnnouncedKeys
    mongo: Mongo
    database: str
    http: aiohttp.ClientSession
    port: int
    process: Process | None = None
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What the process is told."""
        return {
            **os.environ,
            "CARNET_ENVIRONMENT": "local",
            "CARNET_INSTANCE": "notifications-1",
            "CARNET_KAFKA": self.engines.kafka.bootstrap,
            "CARNET_MONGO": self.engines.mongo,
            "CARNET_MONGO_DATABASE": self.database,
            "CARNET_HTTP_PORT": str(self.port),
            "CARNET_TRUST_ROOT": self.world.authority.root_public,
            "CARNET_TRUST_INSTANCE": str(self.world.folder / "notifications-1.json"),
        }

    async def announce(self) -> None:
        """Say which keys hold, as identity and consent do every few seconds."""
        sealing, tokens = self.world.sealing, self.tokens
        for fact in (
            SealingKeysAnnounced(role_certificate=sealing.role_certificate, statement=sealing.statement),
            TokenKeysAnnounced(role_certificate=tokens.role_certificate, statement=tokens.statement),
        ):
            await self.publish(fact)

    async def publish(self, fact: Fact, event_id: str | None = None) -> str:
        """Publish a fact as its owner would."""
        envelope = Envelope(
            source="carnet/test",
            type=fact.TYPE,
            subject=fact.record_id,
            correlation_id="conversation",
            id=event_id or uuid4().hex,
        )
        await self.producer.send_and_wait(
            topic_of(type(fact)), encode(fact), key=fact.record_id.encode(), headers=envelope.to_headers()
        )
        return envelope.id

    async def deposited(self, record: str, event_id: str | None = None, document: str = DOCUMENT) -> str:
        """Say that a document stands; return the event's id."""
        fact = Deposited(record=record, document=document, version=1, digest="A" * 43, size=1)
        return await self.publish(fact, event_id)

    async def revealed(self, record: str, event_id: str | None = None) -> str:
        """Say that a document that was kept from the patient is hers now; return the event's id."""
        return await self.publish(DocumentRevealed(record=record, document=DOCUMENT, at=1_780_000_000_000), event_id)

    def token(self, record: str, *, actor: str = "patient", role: str = "parent", seconds: int = 300) -> dict[str, str]:
        """Return the headers of a request with a token of this record."""
        now = int(time.time())
        kid, private = self.tokens.private[0]
        parent = {"representative": {"holder": "holder", "role": role}} if actor == "representative" else {}
        token = AccessToken.model_validate(
            {
                "sub": "somebody", "actor": actor, "name": "Camille Dupont", "purpose": "PATRQT", "record": record,
                "application": Application(id="portail", name="Portail", kind="patient-frontend"), "patient": "A" * 43,
                "auth_time": now, "iat": now, "exp": now + seconds, "jti": uuid4().hex,
            }
            | parent
        )  # fmt: skip
        return {"Authorization": f"Bearer {issue(token, signing_jwk(kid, private))}"}

    def url(self, path: str) -> str:
        """Return an address of the service."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def inbox(self, record: str, query: str = "", *, actor: str = "patient") -> Any:
        """Return the record's inbox as its patient sees it, or whoever represents her."""
        headers = self.token(record, actor=actor)
        async with self.http.get(self.url(f"/notifications/inbox{query}"), headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def received(self, record: str, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait until the inbox holds so many items; return them."""

        async def enough() -> list[dict[str, Any]] | None:
            items: list[dict[str, Any]] = (await self.inbox(record))["items"]
            return items if len(items) >= count else None

        return await eventually(enough, seconds) or []

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[Process]:
        """Run the service's process; leaving the block stops it by SIGTERM."""
        command = (sys.executable, "-m", "services.notifications", "run", *names)
        process = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, env=self.environment, stdout=PIPE)
        reading = asyncio.create_task(self._read(process))
        try:
            await eventually(self.ready, 60)
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 20)
            await reading

    async def ready(self) -> bool:
        """Say whether the process does its work."""
        try:
            async with self.http.get(self.url("/health/ready")) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.log.append(orjson.loads(line))

    async def cli(self, *arguments: str) -> tuple[int | None, str]:
        """Run a command of the service; return its exit code and what it printed."""
        command = (sys.executable, "-m", "services.notifications", *arguments)
        process = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, env=self.environment, stdout=PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, out.decode()


class Stream:
    """An open stream, read as a browser reads it."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def event(self, seconds: float = 30) -> dict[str, str]:
        """Return the next event that has data, as its fields; an empty one at the end of the stream."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(seconds):
            async for line in self._answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "data" in fields:
                    return fields
                else:
                    fields = {}
        return {}


@asynccontextmanager
async def streaming(
    service: Post, record: str, *, seconds: int = 300, actor: str = "patient", **headers: str
) -> AsyncIterator[Stream]:
    """Open a record's stream."""
    said = service.token(record, actor=actor, seconds=seconds) | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    async with service.http.get(service.url("/notifications/stream"), headers=said) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield Stream(answer)


@pytest.fixture(scope="module")
async def post(engines: Engines, world: World) -> AsyncIterator[Post]:
    """Surround a service that does not run yet: its keys are announced, its database is empty."""
    world.authority.token_keys(out=world.folder / "tokens.json")
    world.authority.instance(
        role="notifications", instance="notifications-1", actions=["notify"], reply_partitions=[15],
        out=world.folder / "notifications-1.json",
    )  # fmt: skip
    database = f"test_{uuid4().hex[:12]}"
    mongo = Mongo(MongoSettings(uri=engines.mongo, database=database))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    async with kafka.started(kafka.producer(engines.kafka)) as producer, aiohttp.ClientSession() as http:
        tokens = AnnouncedKeys.load(world.folder / "tokens.json")
        opened = Post(world, engines, producer, tokens, mongo, database, http, port)
        await opened.announce()
        yield opened
    await mongo.close()


@pytest.fixture(scope="module")
async def consent(world: World) -> AsyncIterator[Decider]:
    """Decide as the test says."""
    async with world.deciding("consent-n") as decider:
        yield decider


@pytest.fixture(scope="module")
async def service(post: Post, consent: Decider) -> AsyncIterator[Post]:
    """Run the service with every role."""
    assert consent.answer == ALLOWED
    async with post.running("all"):
        yield post
