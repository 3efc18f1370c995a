"""Load on a stack: professionals and patients at work on a few records, and a ledger of what each was told."""

import asyncio
import os
import random
import time
from base64 import b32encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp

from chassis import kafka
from chassis.settings import KafkaSettings
from chassis.tokens import LIFETIME_SECONDS, AccessToken, Application, Organisation, issue, patient_digest, signing_jwk
from chassis.trust import AnnouncedKeys
from contracts.identity import RecordOpened, TokenKeysAnnounced
from contracts.registry import Envelope, encode, topic_of
from deploy.local.caller import Answer, Caller
from deploy.local.stack import Stack
from deploy.local.trust_material import ServiceProcess, TrustMaterial
from tests import synthetic

SYSTEM = f"urn:oid:{synthetic.SYSTEM_OID}"
PATIENT = "patient"
BROKEN = 0  # the status of a call whose connection broke: it may have had its effect or not
MIX: Mapping[str, int] = {"deposit": 6, "again": 2, "twice": 1, "read": 3, "list": 1}
_ACKNOWLEDGED = {200, 201}
_BACK_OFF_SECONDS = 0.2
_Ask = Callable[[Caller], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Doctor:
    """A professional acting for an organisation."""

    rpps: str
    organisation: str

    @property
    def id(self) -> str:
        """The national id: '8' and the RPPS."""
        return f"8{self.rpps}"


DOCTORS = (Doctor("99700000001", "1000000001"), Doctor("99700000002", "1000000002"))


@dataclass(frozen=True, slots=True)
class Call:
    """One request as its caller saw it; times in seconds of this process's monotonic clock.

    `document` is the FHIR id asked for or answered, `seen` what a list showed.
    """

    what: str
    record: str
    actor: str
    began: float
    ended: float
    status: int
    code: str | None = None
    document: str | None = None
    seen: tuple[str, ...] = ()
    body: bytes = field(default=b"", repr=False)

    @property
    def acknowledged(self) -> bool:
        """Whether the caller was told that it was done."""
        return self.status in _ACKNOWLEDGED


@dataclass(slots=True)
class Paper:
    """One content under one masterIdentifier, deposited once or several times with the same bytes."""

    record: str
    doctor: Doctor
    content: bytes = field(repr=False)
    request: bytes = field(repr=False)
    tries: list[Call] = field(default_factory=list)

    @property
    def ids(self) -> set[str]:
        """The ids under which it was acknowledged: none, or one if nothing is wrong."""
        return {each.document for each in self.tries if each.acknowledged and each.document}


class Load:
    """Who asks, and the ledger: `papers` for what was deposited, `calls` for everything in the order of its end."""

    def __init__(self, base: str, token_keys: Path, session: aiohttp.ClientSession, records: Sequence[str]) -> None:
        keys = AnnouncedKeys.load(token_keys)
        self._base, self._session, self._key = base, session, signing_jwk(*keys.private[0])
        self._tokens: dict[tuple[str, str], tuple[float, str]] = {}
        self.records = list(records)
        self.papers: list[Paper] = []
        self.calls: list[Call] = []

    def paper(self, record: str, doctor: Doctor = DOCTORS[0], size: int = 0) -> Paper:
        """Write a report of at least `size` bytes with a masterIdentifier of its own; deposit it yourself."""
        content = synthetic.laboratory_report(size=size)
        written = Paper(record, doctor, content, synthetic.deposit_request(content))
        self.papers.append(written)
        return written

    async def deposit(self, paper: Paper) -> Call:
        """Deposit a paper, or deposit it again."""
        call = await self._called("deposit", paper.record, paper.doctor, lambda c: c.deposit(paper.request))
        paper.tries.append(call)
        return call

    async def read(self, record: str, document: str, who: Doctor | None = None) -> Call:
        """Read a document; the bytes stand in `body`. Nobody named: the patient."""
        return await self._called("read", record, who, lambda c: c.read(document), document)

    async def list(self, record: str, who: Doctor | None = None) -> Call:
        """List a record."""
        return await self._called("list", record, who, lambda c: c.search(_count="500"))

    async def directives(self, record: str) -> Call:
        """Have the patient read the directives: consent's serving process writes the record's journal then."""
        return await self._called("directives", record, None, lambda c: c.directives())

    @asynccontextmanager
    async def running(self, seed: str, workers: int = 6, mix: Mapping[str, int] = MIX) -> AsyncIterator[None]:
        """Keep workers at work while the block runs; leaving it waits for the calls in hand.

        `mix` weighs: `deposit` a new paper, `again` a known one, `twice` a new one by two calls at once, `read`,
        `list`, `large` (600 KB) and `directives`.
        """
        over = asyncio.Event()
        tasks = [
            asyncio.create_task(self._work(random.Random(f"{seed}/{number}"), mix, over)) for number in range(workers)
        ]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def _work(self, chance: random.Random, mix: Mapping[str, int], over: asyncio.Event) -> None:
        while not over.is_set():
            what = chance.choices(list(mix), list(mix.values()))[0]
            call = await self._one(what, chance.choice(self.records), chance)
            if call is not None and not call.acknowledged:
                await asyncio.sleep(_BACK_OFF_SECONDS)

    async def _one(self, what: str, record: str, chance: random.Random) -> Call | None:  # noqa: PLR0911 - a table
        match what:
            case "deposit":
                return await self.deposit(self.paper(record))
            case "large":
                return await self.deposit(self.paper(record, size=600_000))
            case "twice":
                paper = self.paper(record)
                return (await asyncio.gather(self.deposit(paper), self.deposit(paper)))[0]
            case "directives":
                return await self.directives(record)
            case "again":
                return await self.deposit(chance.choice(self.papers)) if self.papers else None
            case "read":
                stored = [each for each in self.papers if each.ids]
                if not stored:
                    return None
                paper = chance.choice(stored)
                return await self.read(paper.record, next(iter(paper.ids)), chance.choice([None, *DOCTORS]))
        return await self.list(record, chance.choice([None, *DOCTORS]))

    async def _called(self, what: str, record: str, who: Doctor | None, ask: _Ask, document: str | None = None) -> Call:
        caller = Caller(self._session, self._base, self.token(record, who), f"{SYSTEM}|{synthetic.INS}")
        made = partial(Call, what, record, who.id if who else PATIENT, time.monotonic())
        try:
            answer = await ask(caller)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            call = made(time.monotonic(), BROKEN, type(error).__name__, document)
        else:
            call = _read(made, what, answer, document)
        self.calls.append(call)
        return call

    def token(self, record: str, who: Doctor | None = None) -> str:
        """Return a token as identity would issue it, fresh for at least a minute; nobody named: the patient's."""
        name, now = (record, who.id if who else PATIENT), time.time()
        if (known := self._tokens.get(name)) and known[0] > now + 60:
            return known[1]
        claims = AccessToken(
            sub=who.id if who else record,
            actor="professional" if who else "patient",
            name="Dr Essai" if who else "Camille Essai",
            profession="10" if who else None,
            organisation=Organisation(id=who.organisation, name="Cabinet Essai") if who else None,
            application=Application(id="essai", name="Essai", kind="care-software" if who else "patient-frontend"),
            purpose="TREAT" if who else "PATRQT",
            record=record,
            patient=patient_digest(SYSTEM, synthetic.INS, record),
            auth_time=int(now),
            iat=int(now),
            exp=int(now) + LIFETIME_SECONDS,
            jti=os.urandom(8).hex(),
        )
        self._tokens[name] = (now + LIFETIME_SECONDS, issue(claims, self._key))
        return self._tokens[name][1]


def _read(made: Callable[..., Call], what: str, answer: Answer, document: str | None) -> Call:
    done = answer.status in _ACKNOWLEDGED
    if done and what == "deposit":
        document = answer.json()["id"]
    return made(
        time.monotonic(),
        answer.status,
        None if done else answer.code,
        document,
        tuple(answer.ids) if done and what == "list" else (),
        answer.body if done and what == "read" else b"",
    )


def token_keys(stack: Stack) -> Path:
    """Return the file of the keys with which this stack's tokens are signed."""
    return Path(TrustMaterial(stack.data / "trust").of(ServiceProcess("identity"))["CARNET_IDENTITY_TOKEN_KEYS"])


async def open_records(stack: Stack, count: int) -> list[str]:
    """Open new records by the facts that identity publishes, and announce its keys once; return their ids."""
    keys = AnnouncedKeys.load(token_keys(stack))
    announced = TokenKeysAnnounced(role_certificate=keys.role_certificate, statement=keys.statement)
    records = [b32encode(os.urandom(16)).decode().rstrip("=").lower() for _ in range(count)]
    opened = [RecordOpened(record=each, version=1, identity_status="qualified") for each in records]
    async with kafka.started(kafka.producer(KafkaSettings(bootstrap=stack.kafka))) as producer:
        for fact in (announced, *opened):
            envelope = Envelope(source="carnet/identity", type=fact.TYPE, subject=fact.record_id, correlation_id="load")
            await producer.send_and_wait(
                topic_of(type(fact)), encode(fact), key=fact.record_id.encode(), headers=envelope.to_headers()
            )
    return records
