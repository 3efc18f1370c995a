"""`make bench`: deposits, lists and reads at 1, 8 and 32 in flight, on a stack of its own; and where the CPU goes.

Then what a decision costs (bench_decisions.py), and whether a clock can tell what answers do not (bench_timing.py).

1,000 patients, 30 KB documents, lists of 20, every process with its defaults, all of it and the load on this machine.
Each cell is three rounds: latencies are those of all its requests, the rate is the median round's.
"""

import asyncio
import json
import os
import random
import secrets
import shutil
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from joserfc.jwk import OKPKey
from rich.console import Console
from rich.table import Table

from chassis.mongo import Mongo
from chassis.settings import MongoSettings
from chassis.tokens import AccessToken, Application, Organisation, issue, patient_digest, signing_jwk
from chassis.trust import AnnouncedKeys
from deploy.local import Trouble
from deploy.local.bench_decisions import Decisions, Person
from deploy.local.bench_timing import Timing
from deploy.local.machine import Ports
from deploy.local.sampling import cpu_seconds
from deploy.local.stack import ROOT, Stack
from deploy.local.synthetic import SYSTEM_OID

PATIENTS, WITH_LISTS, LIST_OF, BYTES = 1_000, 100, 20, 30_000
IN_FLIGHT, ROUNDS, ROUND_SECONDS = (1, 8, 32), 3, 5.0
KINDS = ("read", "list", "deposit")
_SYSTEM = f"urn:oid:{SYSTEM_OID}"
# More than any of these makes in a round; deposits are made whole beforehand, and weigh 50 KB each.
_MOST = {"read": 8_000, "list": 6_000, "deposit": 2_500}
# A request that failed is in the figures; more of them than this make the figures worthless.
_FAILED_AT_MOST = 0.05
_SAMPLED = ("documents-1", "consent-1", "consent-2")
"""The processes whose Python is sampled."""


class BenchFailed(Trouble):
    """A request was not answered as it must be: there is nothing to measure then."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A registered person and what the load asks about."""

    ins: str
    record: str
    documents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave: latencies, rate, and CPU seconds of each process."""

    latencies_ms: list[float]
    per_s: float
    cpu_seconds: dict[str, float]


async def measure(stack: Stack, console: Console | None = None) -> None:
    """Measure on a fresh stack beside the given one's data, print a table, write `bench.json` there."""
    console = console or Console()
    bench = Stack(stack.data / "bench", ports=Ports.free())
    await bench.stop()
    shutil.rmtree(bench.data, ignore_errors=True)
    if any(stack.pid_of(name) for name in stack.names):
        console.print("Note: another Carnet runs on this machine ('make down' would leave it all to the bench).")
    try:
        await bench.start()
        results = await _Bench(bench, console).measured()
    finally:
        await bench.stop()
    out = stack.data / "bench.json"
    out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    console.print(f"\nWritten to {out}", highlight=False)


class _Bench:
    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack, self._console = stack, console
        held = AnnouncedKeys.load(Path(stack.env_of("identity-1")["CARNET_IDENTITY_TOKEN_KEYS"]))
        self._key: OKPKey = signing_jwk(*held.private[0])
        self._random = random.Random(1)  # noqa: S311 - a load, not a secret
        self._patients: list[Patient] = []

    async def measured(self) -> dict[str, Any]:
        """Return the whole of `bench.json`."""
        self._patients = await self._registered()
        await self._filled()
        results: dict[str, Any] = {kind: {} for kind in KINDS} | {"cpu_ms": {}}
        for kind in KINDS:
            for in_flight in IN_FLIGHT:
                rounds = [await self._round(kind, in_flight) for _ in range(ROUNDS)]
                results[kind][str(in_flight)] = _cell(rounds)
                self._say(f"{kind}, {in_flight} in flight", results[kind][str(in_flight)])
            results["cpu_ms"][kind] = _cpu_ms(rounds)
        await self._sampling()
        for kind in KINDS:
            spent = await self._spent(kind, max(IN_FLIGHT))
            results["cpu_ms"][kind]["decision"] = spent.decision(results["cpu_ms"][kind])
            self._console.print(spent.table(kind, results["cpu_ms"][kind]))
        async with Decisions.opened(self._stack, self._key) as decisions:
            # Records that the lists do not use.
            people = [Person(each.record, each.ins) for each in self._patients[WITH_LISTS:]]
            results["decision"] = await decisions.measured(people, self._console)
        await self._quiet()
        async with aiohttp.ClientSession() as session:
            timing = Timing(self._stack, session, self._key)
            nobodys = [_ins(PATIENTS + each) for each in range(3)]
            results["timing"] = await timing.measured(self._register, nobodys, self._console)
        self._console.print(_answered(results))
        self._console.print(_spent(results))
        return results

    def _say(self, what: str, found: dict[str, float]) -> None:
        self._console.print(
            f"  {what:<24} {found['per_s']:7.0f}/s   p50 {found['p50_ms']:6.1f} ms   p99 {found['p99_ms']:6.1f} ms",
            highlight=False,
        )

    # -- who and what there is

    async def _registered(self) -> list[Patient]:
        """Register the patients by identity's own command, and wait until consent has opened their records."""
        began = time.monotonic()
        ins = {f"bench-{number:04}": _ins(number) for number in range(PATIENTS)}
        traits = {"birth_name": "SYNTHETIQUE", "first_names": ["ALIX"], "sex": "F", "birth_date": "1979-03-28",
                  "birth_place": "51215"}  # fmt: skip
        records = await self._register({"persons": [
            {"reference": reference, "status": "qualified", "system": _SYSTEM, "ins": value, "traits": traits}
            for reference, value in ins.items()
        ]})  # fmt: skip
        await self._opened(len(records))
        self._console.print(f"  {len(records)} patients registered, their records open: {_since(began)}")
        return [Patient(ins[reference], record) for reference, record in records.items()]

    async def _register(self, people: dict[str, Any]) -> dict[str, str]:
        """Register people by identity's own command; return their records by reference."""
        file = self._stack.data / "people.json"
        file.write_bytes(orjson.dumps(people))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.identity", "register", str(file), "--records", cwd=ROOT,
            env=os.environ | self._stack.env_of("identity-1"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, wrong = await process.communicate()
        if process.returncode != 0:
            raise BenchFailed(f"the patients could not be registered:\n{wrong.decode(errors='replace')[-2_000:]}")
        return dict(line.split() for line in said.decode().splitlines())

    async def _opened(self, wanted: int) -> None:
        async with self._database("consent") as mongo, asyncio.timeout(120):
            while await mongo["journal"].count_documents({"version": 1}) < wanted:  # noqa: ASYNC110 - not ours
                await asyncio.sleep(0.1)

    async def _quiet(self) -> None:
        """Wait until every deposit has its item: notifications work after the deposits, and would be measured."""
        async with self._database("documents") as documents, self._database("notifications") as notifications:
            wanted = await documents["documents"].count_documents({})
            async with asyncio.timeout(600):
                while await notifications["items"].count_documents({}) < wanted:  # noqa: ASYNC110 - not ours
                    await asyncio.sleep(0.1)

    @asynccontextmanager
    async def _database(self, service: str) -> AsyncIterator[Mongo]:
        mongo = Mongo(MongoSettings(uri=self._stack.mongo_uri(service), database=f"carnet_{service}"))
        try:
            yield mongo
        finally:
            await mongo.close()

    async def _filled(self) -> None:
        """Deposit one document into each record, and twenty into some."""
        began = time.monotonic()
        wanted = [each for each in self._patients[:WITH_LISTS] for _ in range(LIST_OF)] + self._patients[WITH_LISTS:]
        self._random.shuffle(wanted)
        result = await self._load("deposit", 16, wanted, seconds=300, most=len(wanted), insist=True)
        found: dict[str, list[str]] = {each.record: [] for each in self._patients}
        for number, document in result["ids"].items():
            found[wanted[int(number)].record].append(document)
        self._patients = [Patient(each.ins, each.record, tuple(found[each.record])) for each in self._patients]
        self._console.print(f"  {len(wanted)} documents deposited to begin with: {_since(began)}")

    # -- the load

    async def _round(self, kind: str, in_flight: int) -> Round:
        await self._quiet()
        targets = self._targets(kind)
        result = await self._load(kind, in_flight, targets, seconds=ROUND_SECONDS, most=_MOST[kind])
        latencies = result["latencies_ms"]
        return Round(latencies, len(latencies) / result["seconds"], result["cpu"])

    def _targets(self, kind: str) -> list[Patient]:
        if kind == "list":
            chosen = self._patients[:WITH_LISTS]
        elif kind == "read":
            chosen = [
                Patient(each.ins, each.record, (document,)) for each in self._patients for document in each.documents
            ]
        else:
            chosen = self._patients[WITH_LISTS:]  # a list of twenty stays one of twenty
        return self._random.sample(chosen, len(chosen))

    async def _load(
        self, kind: str, in_flight: int, targets: list[Patient], *, seconds: float, most: int, insist: bool = False
    ) -> dict[str, Any]:  # fmt: skip
        """Run one round; return its results, and the CPU seconds of each process as `cpu`."""
        tokens = {each.record: self._token(each, kind) for each in targets}
        plan = self._stack.data / "plan.json"
        plan.write_bytes(orjson.dumps({
            "base": self._stack.base, "kind": kind, "in_flight": in_flight, "seconds": seconds, "most": most,
            "bytes": BYTES, "insist": insist,
            "targets": [
                {"token": tokens[each.record], "ins": each.ins, "system": _SYSTEM,
                 "document": each.documents[0] if each.documents else ""}
                for each in targets
            ],
        }))  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.local.load", str(plan), cwd=ROOT, limit=2**26,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        if process.stdin is None or process.stdout is None or await process.stdout.readline() != b"ready\n":
            raise BenchFailed("the load generator did not start")
        async with self._counted() as cpu:
            process.stdin.write(b"go\n")
            result: dict[str, Any] = orjson.loads(await process.stdout.readline())
        await process.wait()
        if failed := sum(result["failed"].values()):
            said = f"{kind}, {in_flight} in flight: {failed} of {len(result['latencies_ms'])} requests failed"
            self._console.print(f"  {said}, such as {next(iter(result['failed']))}", markup=False, highlight=False)
            if not insist and failed > _FAILED_AT_MOST * len(result["latencies_ms"]):
                raise BenchFailed(said)
        return result | {"cpu": cpu | {"load": result["cpu_seconds"]}}

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[dict[str, float]]:
        pids = {name: self._stack.pid_of(name) for name in self._stack.names}
        before = {name: cpu_seconds(pid) for name, pid in pids.items() if pid}
        spent: dict[str, float] = {}
        yield spent
        spent |= {name: cpu_seconds(pid) - before[name] for name, pid in pids.items() if pid}

    def _token(self, patient: Patient, kind: str) -> str:
        """Return a token made beforehand: of Dr Bench's software for deposits, of the patient's for the rest."""
        now = int(time.time())
        said: dict[str, Any] = {
            "record": patient.record,
            "patient": patient_digest(_SYSTEM, patient.ins, patient.record),
            "auth_time": now, "iat": now, "exp": now + 300, "jti": secrets.token_hex(8),
        }  # fmt: skip
        if kind == "deposit":
            said |= {
                "sub": "810000000009", "actor": "professional", "name": "Dr Bench", "profession": "10",
                "organisation": Organisation(id="920000009", name="Cabinet Bench"), "purpose": "TREAT",
                "application": Application(id="logiciel", name="Logiciel", kind="care-software"),
            }  # fmt: skip
        else:
            said |= {
                "sub": patient.record, "actor": "patient", "name": "Alix Synthétique", "purpose": "PATRQT",
                "application": Application(id="portail", name="Portail", kind="patient-frontend"),
            }  # fmt: skip
        return issue(AccessToken(**said), self._key)

    # -- where the time goes

    async def _sampling(self) -> None:
        """Start the processes that are sampled again, with a sampler inside."""
        folder = self._stack.data / "sampling"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(
            "import os, pathlib\nfrom deploy.local.sampling import Sampler\n"
            "Sampler(pathlib.Path(os.environ['CARNET_SAMPLES'])).install()\n",
            encoding="utf-8",
        )
        for name in _SAMPLED:
            path = f"{folder}:{ROOT}"
            await self._stack.start_process(name, PYTHONPATH=path, CARNET_SAMPLES=str(folder / f"{name}.json"))

    async def _spent(self, kind: str, in_flight: int) -> "Spent":
        folder = self._stack.data / "sampling"
        await self._round(kind, in_flight)  # caches of the new processes
        for name in _SAMPLED:
            (folder / f"{name}.json").unlink(missing_ok=True)
            self._stack.signal_process(name, signal.SIGUSR2)
        answered = len((await self._round(kind, in_flight)).latencies_ms)
        for name in _SAMPLED:
            self._stack.signal_process(name, signal.SIGUSR2)
        async with asyncio.timeout(10):
            while not all((folder / f"{name}.json").exists() for name in _SAMPLED):  # noqa: ASYNC110 - not ours
                await asyncio.sleep(0.05)
        return Spent.read({name: folder / f"{name}.json" for name in _SAMPLED}, answered)


# What a stack's frames say it is about: the first line that matches one of them, from the innermost frame on.
_ABOUT = (
    ("services/consent/domain/", "rules (Cedar) and judging"),
    ("cedarpy/", "rules (Cedar) and judging"),
    ("services/consent/store.py", "journal and document keys"),
    ("services/consent/ledger.py", "journal and document keys"),
    ("services/consent/use_cases/decide.py", "journal and document keys"),
    ("services/consent/flows.py", "answers and tokens"),
    ("chassis/hearing.py", "flow protocol: seal, sign, verify"),
    ("chassis/asking.py", "flow protocol: seal, sign, verify"),
    ("services/documents/fhir/", "FHIR and CDA"),
    ("services/documents/cda.py", "FHIR and CDA"),
    ("services/documents/store.py", "database"),
    ("chassis/relay.py", "outbox relay"),
    ("chassis/consuming.py", "events taken in"),
    ("services/documents/use_cases/", "use cases: encrypt, decrypt"),
    ("services/documents/api.py", "routes"),
    ("chassis/logs.py", "logs and metrics"),
    ("structlog/", "logs and metrics"),
    ("chassis/web.py", "HTTP"),
    ("fastapi/", "HTTP"),
    ("starlette/", "HTTP"),
    ("uvicorn/", "HTTP"),
    ("aiokafka/", "Kafka client"),
    ("motor/", "database driver"),
    ("pymongo/", "database driver"),
)
_DECISION = "services/consent/use_cases/decide.py"
_IN_THREADS = "database driver's threads"
_REST = "event loop and the rest"


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of sampled processes by what they are about; and of all that, the decision's."""

    seconds: dict[str, Counter[str]]
    deciding: float
    answered: int

    @classmethod
    def read(cls, files: dict[str, Path], answered: int) -> "Spent":
        """Read what the samplers wrote."""
        seconds: dict[str, Counter[str]] = {}
        deciding = 0.0
        for name, file in files.items():
            said, service = orjson.loads(file.read_bytes()), name.partition("-")[0]
            spent = seconds.setdefault(service, Counter())
            spent[_IN_THREADS] += said["threads"]
            for stack, time_spent in said["stacks"]:
                spent[_about(stack)] += time_spent
                if service == "consent" and any(_DECISION in frame for frame in stack):
                    deciding += time_spent
            if service == "consent":  # its threads serve the journal and the keys, and nothing else under load
                deciding += said["threads"]
        return cls(seconds, deciding, answered)

    def decision(self, cpu_ms: dict[str, Any]) -> float:
        """Return the decision's part of consent's CPU (ms an operation): fold, judge, insert the entry, fetch keys.

        The share is the sampled round's, the whole that of the rounds without a sampler.
        """
        whole = sum(value for name, value in cpu_ms.items() if name.startswith("consent"))
        share = self.deciding / max(sum(self.seconds["consent"].values()), 1e-9)
        return float(round(whole * share, 3))

    def table(self, kind: str, cpu_ms: dict[str, Any]) -> Table:
        """Return the shares of each service, in ms an operation."""
        table = Table("service", "about", "CPU ms", title=f"Where the CPU goes: {kind}, {max(IN_FLIGHT)} in flight")
        for service, spent in self.seconds.items():
            whole = sum(value for name, value in cpu_ms.items() if name.startswith(service))
            for about, seconds in spent.most_common():
                if (share := seconds / max(sum(spent.values()), 1e-9)) >= 0.01:  # noqa: PLR2004 - one per cent
                    table.add_row(service, about, f"{whole * share:.2f}")
        return table


def _about(stack: list[str]) -> str:
    for frame in stack:
        for place, about in _ABOUT:
            if place in frame:
                return about
    return _REST


def _cell(rounds: list[Round]) -> dict[str, float]:
    latencies = sorted(each for one in rounds for each in one.latencies_ms)
    return {
        "p50_ms": round(statistics.median(latencies), 2),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)], 2),
        "per_s": round(statistics.median(one.per_s for one in rounds), 1),
    }


def _cpu_ms(rounds: list[Round]) -> dict[str, Any]:
    """Return CPU milliseconds an operation of each process."""
    operations = sum(len(one.latencies_ms) for one in rounds)
    names = rounds[0].cpu_seconds
    return {name: round(sum(one.cpu_seconds[name] for one in rounds) / operations * 1000, 3) for name in names}


def _answered(results: dict[str, Any]) -> Table:
    table = Table("", *(f"{count} in flight" for count in IN_FLIGHT), title="Answers a second; p50 and p99 in ms")
    for kind in KINDS:
        cells = [results[kind][str(count)] for count in IN_FLIGHT]
        table.add_row(kind, *(f"{one['per_s']:.0f}/s  {one['p50_ms']:.1f}  {one['p99_ms']:.1f}" for one in cells))
    return table


def _spent(results: dict[str, Any]) -> Table:
    table = Table("", *KINDS, title=f"CPU ms an operation, {max(IN_FLIGHT)} in flight")
    rows = results["cpu_ms"]
    for name in rows[KINDS[0]]:
        label = "of which the decision" if name == "decision" else name
        table.add_row(label, *(f"{rows[kind][name]:.2f}" for kind in KINDS))
    whole = {kind: sum(value for name, value in rows[kind].items() if name != "decision") for kind in KINDS}
    table.add_row("together", *(f"{whole[kind]:.2f}" for kind in KINDS), style="bold")
    return table


def _ins(number: int) -> str:
    """Return a synthetic matricule with its key."""
    body = f"2790351{number:06}"
    return f"{body}{97 - int(body) % 97:02}"


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"
