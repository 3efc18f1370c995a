"""Callers of consent in the test's own process: askers with certificates of the stack's root, and consent's journal."""

import asyncio
import random
import secrets
import time
from base64 import b32encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiohttp

from chassis import kafka
from chassis.announcements import Announcements
from chassis.asking import Asker
from chassis.mongo import Mongo
from chassis.roles import background
from chassis.sealing import digest
from chassis.settings import KafkaSettings, MongoSettings
from chassis.tokens import (
    AccessToken,
    Application,
    Organisation,
    issue,
    patient_digest,
    signing_jwk,
)
from chassis.trust import AnnouncedKeys, Authority, InstanceIdentity, Trust
from contracts.consent import Action, DepositAttributes, FlowAnswer, FlowQuestion
from contracts.identity import RecordOpened
from contracts.registry import Envelope, encode, topic_of
from deploy.local.stack import Stack
from services.consent.bundles import MongoBundles
from services.consent.domain.entry import Entry
from services.consent.domain.judging import judge
from services.consent.domain.record import Record
from services.consent.in_force import Archive
from services.consent.keys import FileRoot, MongoRecordKeys
from services.consent.store import MongoJournal

INS, SYSTEM = "279035121518989", "urn:oid:1.2.250.1.213.1.4.10"
_REPLY_PARTITION = 15


@dataclass
class Callers:
    """What a campaign asks with, and what it reads the truth from."""

    asker: Asker
    web: aiohttp.ClientSession
    consent: str
    journal: MongoJournal
    archive: Archive
    mongo: Mongo
    settings: KafkaSettings
    keys: AnnouncedKeys
    organisation: str = "100000001"
    records: list[str] = field(default_factory=list)

    def patient(self, record: str) -> str:
        """Return the token of a record's own patient."""
        return self._token("patient", record, record, "PATRQT", "patient-frontend")

    def professional(self, record: str, number: int) -> str:
        """Return the token of a professional for a record."""
        return self._token("professional", f"8{number:011d}", record, "TREAT", "care-software")

    def _token(self, actor: str, sub: str, record: str, purpose: str, kind: str) -> str:
        now = int(time.time())
        claims = {
            "sub": sub,
            "actor": actor,
            "name": f"Personne {sub[-4:]}",
            "application": Application(id="app", name="Logiciel", kind=kind),
            "purpose": purpose,
            "record": record,
            "patient": patient_digest(SYSTEM, INS, record),
            "auth_time": now,
            "iat": now,
            "exp": now + 300,
            "jti": uuid4().hex,
        }
        if actor == "professional":
            claims["profession"] = "10"
            claims["organisation"] = Organisation(id=f"{self.organisation[:-1]}{sub[-1]}", name="Cabinet")
        return issue(AccessToken.model_validate(claims), signing_jwk(*self.keys.private[0]))

    async def open_record(self) -> str:
        """Open a record as identity's event does, and wait until consent has."""
        record = b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
        fact = RecordOpened(record=record, version=1, identity_status="qualified")
        headers = Envelope(source="carnet/identity", type=fact.TYPE, subject=record, correlation_id="test").to_headers()
        async with kafka.started(kafka.producer(self.settings)) as producer:
            await producer.send_and_wait(topic_of(RecordOpened), encode(fact), key=record.encode(), headers=headers)
        end = time.monotonic() + 20
        while await self.journal.head(record) is None:
            assert time.monotonic() < end, "consent did not open the record"
            await asyncio.sleep(0.05)
        self.records.append(record)
        return record

    async def deposit(self, record: str, token: str, identifier: str | None = None) -> FlowAnswer:
        """Ask for a deposit; nothing is stored: consent judges a pending document as a live one."""
        attributes = DepositAttributes(
            master_identifier=identifier or uuid4().urn,
            content_digest=digest(b"content"),
            type_code="11502-2",
            type_system="http://loinc.org",
            class_code="10",
        )
        return await self.asker.ask(record, FlowQuestion(action=Action.DEPOSIT, token=token, deposit=attributes))

    async def read(self, record: str, token: str, document: str) -> FlowAnswer:
        """Ask for a document's keys."""
        return await self.asker.ask(record, FlowQuestion(action=Action.READ, token=token, documents=(document,)))

    async def direct(self, record: str, body: dict[str, str]) -> str:
        """Begin a directive as the patient; return its id once it is acknowledged."""
        headers = {"Authorization": f"Bearer {self.patient(record)}"}
        async with self.web.post(f"{self.consent}/consent/directives", json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return str((await answer.json())["id"])

    async def end(self, record: str, directive: str) -> None:
        """End a directive as the patient, and return once that is acknowledged."""
        headers = {"Authorization": f"Bearer {self.patient(record)}"}
        async with self.web.delete(f"{self.consent}/consent/directives/{directive}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def entries(self, record: str) -> list[Entry]:
        """Return a record's whole journal, the oldest first."""
        return list(reversed(await self.journal.page(record, None, 0)))

    async def versions(self) -> dict[str, int]:
        """Return each record's newest version."""
        heads = {record: await self.journal.head(record) for record in self.records}
        return {record: head[0] if head else 0 for record, head in heads.items()}


async def replay(record: str, entries: list[Entry], archive: Archive) -> list[str]:
    """Return what is wrong with a journal: a gap, or a verdict that its past does not give under its own rules."""
    rules = {digest: await archive.rules(digest) for digest in {entry.policies for entry in entries}}
    wrong, state = [], Record(record)
    for expected, entry in enumerate(entries, start=1):
        if entry.version != expected:
            wrong.append(f"version {entry.version} where {expected} was due")
        if entry.flow is not None and entry.outcome is not None:
            judged = judge(state, entry.flow, entry.at, rules[entry.policies], entry.outcome.document or "")
            again = judged.in_stream(entry.stream)
            if again != entry.outcome:
                wrong.append(f"entry {entry.version}: {entry.outcome} but its past gives {again}")
        if entry.version > state.version:
            state.apply(entry)
    return wrong


@asynccontextmanager
async def callers(stack: Stack, folder: Path, serving: str = "consent-1") -> AsyncIterator[Callers]:
    """Connect to a running stack as an instance of documents with a partition of its own."""
    trust_folder = stack.data / "trust"
    authority = Authority(trust_folder / "authority")
    identity_file = folder / f"caller-{random.randrange(10**9)}.json"
    authority.instance(
        role="documents",
        instance="documents-test",
        actions=["deposit", "list", "read"],
        reply_partitions=[_REPLY_PARTITION],
        out=identity_file,
    )
    kafka_settings = KafkaSettings(bootstrap=stack.kafka)
    trust = Trust(authority.root_public)
    asker = Asker(kafka_settings, "documents", InstanceIdentity.load(identity_file), trust)
    mongo = Mongo(MongoSettings(uri=stack.mongo_uri("consent"), database="carnet_consent"))
    record_keys = MongoRecordKeys(mongo, FileRoot(trust_folder / "consent-root.key"))
    async with AsyncExitStack() as opened:
        opened.push_async_callback(mongo.close)
        web = await opened.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
        await opened.enter_async_context(background(Announcements(kafka_settings, trust, "sealing", asker.use).run()))
        await opened.enter_async_context(asker.running())
        end = time.monotonic() + 20
        while not await asker.ready():
            assert time.monotonic() < end, "consent announced no keys"
            await asyncio.sleep(0.05)
        yield Callers(
            asker=asker,
            web=web,
            consent=f"http://127.0.0.1:{stack.port_of(serving)}",
            journal=MongoJournal(mongo, record_keys),
            archive=Archive(MongoBundles(mongo, record_keys)),
            mongo=mongo,
            settings=kafka_settings,
            keys=AnnouncedKeys.load(trust_folder / "token-keys.json"),
        )
