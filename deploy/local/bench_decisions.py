"""`make bench`, its second part: what a decision costs consent, asked as a service asks, with nothing behind it.

Flows of 1, 20 and 100 documents, right after the deciders began (cold) and later (warm); and the same question to
a record with 5 entries and to one with 5,000. Each cost is all that consent spends: verify, fold, judge, insert, seal.
"""

import asyncio
import random
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from joserfc.jwk import OKPKey
from rich.console import Console
from rich.table import Table

from chassis.announcements import Announcements
from chassis.asking import Asker, ConsentUnreachable
from chassis.roles import background
from chassis.sealing import digest
from chassis.settings import KafkaSettings
from chassis.tokens import AccessToken, Application, Organisation, issue, patient_digest
from chassis.trust import Authority, InstanceIdentity, Trust
from contracts.consent import Action, DepositAttributes, FlowQuestion
from deploy.local.sampling import cpu_seconds
from deploy.local.stack import Stack
from deploy.local.synthetic import SYSTEM_OID

RESOURCES, RECORDS = (1, 20, 100), 40
SHORT, LONG = 5, 5_000
_IN_FLIGHT, _SECONDS, _ALONE = 32, 4.0, 100
_DECIDERS = ("consent-1", "consent-2")
_SYSTEM = f"urn:oid:{SYSTEM_OID}"


@dataclass(frozen=True, slots=True)
class Person:
    """Whose record is asked about: its id, and the INS that its tokens speak of."""

    record: str
    ins: str


class Decisions:
    """Asks consent as a documents service would, from this process."""

    def __init__(self, stack: Stack, asker: Asker, key: OKPKey) -> None:
        self._stack, self._asker, self._key = stack, asker, key
        self._tokens: dict[tuple[str, str], tuple[float, str]] = {}

    @classmethod
    @asynccontextmanager
    async def opened(cls, stack: Stack, key: OKPKey) -> AsyncIterator["Decisions"]:
        """Certify an instance under the stack's root, and wait until it can ask."""
        authority, file = Authority(stack.data / "trust" / "authority"), stack.data / "bench-asker.json"
        actions = [Action.DEPOSIT, Action.LIST, Action.READ]
        authority.instance(
            role="documents", instance="bench", actions=[*actions], reply_partitions=[15], out=Path(file)
        )
        trust, settings = Trust(authority.root_public), KafkaSettings(bootstrap=stack.kafka)
        asker = Asker(settings, "documents", InstanceIdentity.load(file), trust)
        async with background(Announcements(settings, trust, "sealing", asker.use).run()), asker.running():
            async with asyncio.timeout(20):
                while not await asker.ready():  # noqa: ASYNC110 - another process's event
                    await asyncio.sleep(0.05)
            yield cls(stack, asker, key)

    async def measured(self, people: Sequence[Person], console: Console) -> dict[str, Any]:
        """Return the figures, and print them as a table."""
        began = time.monotonic()
        chosen = people[:RECORDS]
        filled = [(each, await self._filled(each, max(RESOURCES))) for each in chosen]
        short, long = people[RECORDS], people[RECORDS + 1]
        ends = {SHORT: (short, await self._filled(short, SHORT - 1)), LONG: (long, await self._filled(long, LONG - 1))}
        console.print(f"  {RECORDS * max(RESOURCES) + LONG} documents for the decisions: {_since(began)}")
        found: dict[str, Any] = {"cold": {}, "warm": {}}
        for count in RESOURCES:
            await self._begun_again()
            # Whatever a process meets for the first time is paid by one other record.
            await self._read(*filled[-1], count)
            found["cold"][str(count)] = await self._once(filled[:-1], count)
            found["warm"][str(count)] = await self._load(filled, count)
        found["entries"] = {str(entries): {} for entries in ends}
        for state in ("unfolded_ms", "snapshot_ms"):  # the first fold of a long journal leaves a snapshot
            await self._begun_again()
            await self._read(*filled[-1], 1)
            for entries, (person, documents) in ends.items():
                found["entries"][str(entries)][state] = round(await self._timed(person, documents), 2)
        for entries, (person, documents) in ends.items():
            warm = statistics.median([await self._timed(person, documents) for _ in range(_ALONE)])
            spent = await self._load([(person, documents)], 1, in_flight=1)
            found["entries"][str(entries)] |= {"warm_p50_ms": round(warm, 2), **spent}
        console.print(_table(found))
        return found

    async def _filled(self, person: Person, count: int) -> list[str]:
        """Deposit so many documents; nothing is stored: consent judges a pending one as a live one."""

        async def one(_: int) -> str:
            attributes = DepositAttributes(
                master_identifier=f"urn:uuid:{secrets.token_hex(16)}", content_digest=digest(secrets.token_bytes(8)),
                type_code="11502-2", type_system="http://loinc.org", class_code="10",
            )  # fmt: skip
            token = self._token(person, "professional")
            question = FlowQuestion(action=Action.DEPOSIT, token=token, deposit=attributes)
            while True:
                try:
                    return (await self._asker.ask(person.record, question)).grants[0].document
                except ConsentUnreachable:
                    await asyncio.sleep(0.1)

        found: list[str] = []
        for start in range(0, count, _IN_FLIGHT):
            found += await asyncio.gather(*(one(each) for each in range(min(_IN_FLIGHT, count - start))))
        return found

    async def _read(self, person: Person, documents: list[str], count: int) -> None:
        named = tuple(random.sample(documents, count))
        question = FlowQuestion(action=Action.READ, token=self._token(person, "patient"), documents=named)
        answer = await self._asker.ask(person.record, question)
        if len(answer.grants) != count:
            raise RuntimeError(f"{count} documents were asked for, {len(answer.grants)} keys came")

    async def _timed(self, person: Person, documents: list[str]) -> float:
        began = time.perf_counter()
        await self._read(person, documents, 1)
        return (time.perf_counter() - began) * 1000

    async def _once(self, filled: list[tuple[Person, list[str]]], count: int) -> dict[str, float]:
        """Ask about each record once, one after the other."""
        before, began = self._cpu(), time.monotonic()
        for person, documents in filled:
            await self._read(person, documents, count)
        return _figures(len(filled), self._cpu() - before, time.monotonic() - began)

    async def _load(
        self, filled: list[tuple[Person, list[str]]], count: int, in_flight: int = _IN_FLIGHT
    ) -> dict[str, float]:
        done, end = 0, time.monotonic() + _SECONDS

        async def worker() -> None:
            nonlocal done
            while time.monotonic() < end:
                await self._read(*filled[done % len(filled)], count)
                done += 1

        before, began = self._cpu(), time.monotonic()
        await asyncio.gather(*(worker() for _ in range(in_flight)))
        return _figures(done, self._cpu() - before, time.monotonic() - began)

    async def _begun_again(self) -> None:
        for name in _DECIDERS:
            await self._stack.stop_process(name)
            await self._stack.start_process(name)

    def _cpu(self) -> float:
        return sum(cpu_seconds(pid) for name in _DECIDERS if (pid := self._stack.pid_of(name)))

    def _token(self, person: Person, actor: Literal["patient", "professional"]) -> str:
        now = time.time()
        if (known := self._tokens.get((person.record, actor))) and known[0] > now + 60:
            return known[1]
        doctor = {
            "sub": "810000000009", "name": "Dr Bench", "profession": "10", "purpose": "TREAT",
            "organisation": Organisation(id="920000009", name="Cabinet Bench"),
            "application": Application(id="logiciel", name="Logiciel", kind="care-software"),
        }  # fmt: skip
        patient = {
            "sub": person.record, "name": "Alix Synthétique", "purpose": "PATRQT",
            "application": Application(id="portail", name="Portail", kind="patient-frontend"),
        }  # fmt: skip
        claims: dict[str, Any] = doctor if actor == "professional" else patient
        token = AccessToken(
            actor=actor, record=person.record, patient=patient_digest(_SYSTEM, person.ins, person.record),
            auth_time=int(now), iat=int(now), exp=int(now) + 300, jti=secrets.token_hex(8), **claims,
        )  # fmt: skip
        self._tokens[person.record, actor] = (now + 300, issue(token, self._key))
        return self._tokens[person.record, actor][1]


def _figures(flows: int, cpu: float, seconds: float) -> dict[str, float]:
    return {"per_s": round(flows / seconds, 1), "cpu_us": round(cpu / flows * 1_000_000, 0)}


def _table(found: dict[str, Any]) -> Table:
    table = Table("documents a flow", "cold", "warm", title="A decision: CPU us of consent; flows a second")
    for count in map(str, RESOURCES):
        cells = (found[state][count] for state in ("cold", "warm"))
        table.add_row(count, *(f"{one['cpu_us']:.0f} us  {one['per_s']:.0f}/s" for one in cells))
    for entries, one in found["entries"].items():
        cold = f"first {one['unfolded_ms']:.1f} ms, by snapshot {one['snapshot_ms']:.1f} ms"
        warm = f"{one['warm_p50_ms']:.1f} ms  {one['cpu_us']:.0f} us"
        table.add_row(f"1, of {entries} entries", cold, warm)
    return table


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"
