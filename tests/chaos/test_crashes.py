"""`kill -9` under load: at each await of a deposit, at random times, and of the engines; nothing acknowledged is lost.

The seed of a campaign is printed when it fails; `CARNET_SEED=<seed>` runs the same plan again.
"""

import asyncio
import itertools
import os
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from deploy.local.machine import Ports
from deploy.local.stack import ROOT, Stack
from tests.chaos.load import Load, Paper, open_records, token_keys
from tests.chaos.size import size
from tests.chaos.surviving import Truth, accepted, lost, quiet, truth

_ASKING = ("asking.sent", "asking.answered")
_CONSUMING = ("consuming.taken", "consuming.ended", "consuming.committed")
_DECIDING = (
    "hearing.heard", "hearing.judged", "hearing.answered",
    "consent.decide.folded", "consent.decide.held", "consent.decide.appended", "consent.decide.released",
)  # fmt: skip
# Every await of a deposit, by the process that comes past it: from the request to the item in the inbox.
DEPOSIT: dict[str, tuple[str, ...]] = {
    "documents-1": (
        "documents.deposit.received", *_ASKING, "documents.deposit.approved",
        "documents.deposit.encrypted", "documents.deposit.blob-stored", "documents.deposit.inserted",
        "documents.deposit.blob-kept", "documents.deposit.told", "documents.deposit.kept",
        "relay.found", "relay.sent", "relay.published", "relay.removed",
    ),
    "consent-1": (*_DECIDING, *_CONSUMING, "consent.confirm.confirmed"),
    "consent-2": _DECIDING,
    "notifications-1": (
        *_CONSUMING, *_ASKING, "notifications.notify.allowed", "notifications.notify.put",
    ),
}  # fmt: skip
_AT_ONE_RECORD = ("consent.decide.overtaken", "consent.decide.repeated")
# Passed only when two meet: the same bytes by two calls at once, two deciders at one record, a question heard twice.
MEETING: dict[str, tuple[str, ...]] = {
    "documents-1": ("documents.deposit.dropped", "documents.deposit.found"),
    "consent-1": _AT_ONE_RECORD,
    "consent-2": _AT_ONE_RECORD,
}
# Passed when a deposit was approved and never stored.
UNCONFIRMED: dict[str, tuple[str, ...]] = {
    "consent-1": (
        "consent.question.noted", "consent.question.asked", "relay.found", "relay.sent", "relay.published",
        "relay.removed", "consent.abandon.appended", "consent.abandon.destroyed",
    ),
    "documents-1": ("documents.settle.given-up", "documents.settle.told"),
}  # fmt: skip
# Passed by what a deposit never meets. Their kills stand beside the rest of their tests, a process for each:
# tests/integration/consent/test_notices.py and test_reviews.py, tests/integration/notifications/test_killed.py.
TOLD_AT_ONCE: dict[str, tuple[str, ...]] = {
    "consent-1": (
        "consent.announce.settled", "consent.announce.review-opened", "consent.announce.added", "consent.announce.told",
        "consent.announce.doctor-added", "consent.announce.passed-over",
        "consent.reveal.settled", "consent.reveal.added", "consent.reveal.told",
        "consent.review.looked", "consent.review.written", "consent.review.closed", "consent.emergencies.told",
    ),
    "notifications-1": ("notifications.tell.put",),
}  # fmt: skip
# Passed by a command that puts rules in force: tests/integration/consent/test_activation.py kills it at each.
ACTIVATING = ("consent.activate.kept", "consent.activate.demanded", "consent.activate.entered")
_UNCONFIRMED_SECONDS = "4"
_PAUSED_SECONDS = 0.9  # a question is asked again after 0.4 s and is late after 2 s
_MOST_SECONDS = size(300, 0)  # 0: as long as it takes


@dataclass(frozen=True, slots=True)
class Blow:
    """One kill: at the nth passage of a point, or (no point) some seconds after the load began."""

    victim: str
    point: str | None
    passage: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Site:
    """A stack to be hurt, and what is needed to hurt it."""

    stack: Stack
    session: aiohttp.ClientSession
    truth: Truth
    fault: Path

    async def records(self, number: int) -> Load:
        """Open new records, and give a load that works on them."""
        load = Load(self.stack.base, token_keys(self.stack), self.session, await open_records(self.stack, number))
        end = time.monotonic() + 30
        for record in load.records:
            while not (await load.list(record)).acknowledged:
                assert time.monotonic() < end, "consent did not open the record"
                await asyncio.sleep(0.1)
        return load

    def arm(self, victim: str, point: str, passage: int = 1) -> None:
        """Have a process kill itself at the nth passage of a point from now."""
        self.fault.write_text(f"{point}:{passage}", encoding="ascii")
        self.stack.signal_process(victim, signal.SIGUSR1)

    async def dead(self, name: str, seconds: float) -> bool:
        """Wait for a process to be dead; say whether it is."""
        end = time.monotonic() + seconds
        while self.stack.pid_of(name) is not None:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.02)
        return True

    async def strike(self, blow: Blow) -> bool:
        """Kill under the load that runs; say whether it was at the point that was meant."""
        if blow.point is None:
            await asyncio.sleep(blow.seconds)
            await self.stack.stop_process(blow.victim, signal.SIGKILL)
            return True
        await asyncio.sleep(0.3)
        if blow.point == "consent.decide.repeated":
            # Its questions are asked again of the other decider meanwhile, whose entries it then meets.
            self.stack.signal_process(blow.victim, signal.SIGSTOP)
            await asyncio.sleep(_PAUSED_SECONDS)
            self.arm(blow.victim, blow.point, blow.passage)
            self.stack.signal_process(blow.victim, signal.SIGCONT)
        else:
            self.arm(blow.victim, blow.point, blow.passage)
        if await self.dead(blow.victim, 4):
            return True
        await self.stack.stop_process(blow.victim, signal.SIGKILL)
        return False

    async def recovered(self, load: Load, papers: list[Paper]) -> list[str]:
        """Deposit again what was not acknowledged, wait until nothing moves; return what contradicts the promises."""
        dead = [name for name in self.stack.names if self.stack.pid_of(name) is None]
        assert not dead, f"{dead} died of it"
        await accepted(load, papers)
        for paper in papers[:3]:
            await load.deposit(paper)
        await quiet(self.truth, load.records)
        return [*await self.truth.violations(load.records, papers), *await lost(load, papers)]


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Run a whole stack whose processes can be told to die at a point."""
    async with hurt(tmp_path_factory.mktemp("crashes")) as opened:
        yield opened


@asynccontextmanager
async def hurt(folder: Path) -> AsyncIterator[Site]:
    """Start a stack that can be hurt, give it, stop it."""
    fault = folder / "fault"
    stack = Stack(folder, ports=Ports.free(), environment={"CARNET_FAULT": f"@{fault}"})
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        await stack.start()
        async with (
            truth(stack) as opened,
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            yield Site(stack, session, opened, fault)
    finally:
        await stack.stop()


@pytest.fixture
def seed() -> str:
    """Choose a campaign, and print which."""
    chosen = os.environ.get("CARNET_SEED") or str(random.SystemRandom().randrange(10**9))
    print(f"CARNET_SEED={chosen}")  # noqa: T201 - pytest shows it with a failure
    return chosen


def plan(chance: random.Random, rounds: int) -> list[Blow]:
    """Return so many blows: each point in turn, one kill in four at a random time, in random order."""
    places = [(victim, point) for victim, points in DEPOSIT.items() for point in points]
    places += [(victim, point) for victim, points in MEETING.items() for point in points]
    chance.shuffle(places)
    victims = [*DEPOSIT, "identity-1"]
    blows = []
    for number in range(rounds):
        if number % 4 == 3:
            blows.append(Blow(chance.choice(victims), None, 1, chance.uniform(0.2, 1.5)))
        else:
            lap, place = divmod(number - number // 4, len(places))
            victim, point = places[place]
            # The first time round at the first passage; then later, when more is on its way.
            blows.append(Blow(victim, point, chance.randrange(2, 9) if lap else 1, 0))
    return blows


def test_the_campaign_knows_every_fault_point() -> None:
    """Each point that the services and the chassis have is in the plan of a campaign, and no other."""
    known = {
        point
        for table in (DEPOSIT, MEETING, UNCONFIRMED, TOLD_AT_ONCE)
        for points in table.values()
        for point in points
    }
    known |= set(ACTIVATING)
    found = {
        name
        for folder in ("chassis", "services")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'faults\.point\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert known == found


@pytest.mark.timeout(_MOST_SECONDS)
async def test_what_was_acknowledged_survives_the_kill_of_any_process_at_any_await(site: Site, seed: str) -> None:
    """Killed anywhere under load: nothing acknowledged is lost, nothing stands twice, everything is told in the end."""
    chance = random.Random(seed)
    missed, deposits, blows = [], 0, plan(chance, size(12, 240))
    kept: list[tuple[Load, Paper]] = []
    for number, blow in enumerate(blows):
        # Enough records for each decider to hear of some: a record's questions go to one partition.
        load, began = await site.records(5), time.monotonic()
        mix = {"deposit": 5, "twice": 3, "again": 2, "read": 1, "list": 1, "large": 1, "directives": 2}
        async with load.running(f"{seed}/{number}", mix=mix):
            if not await site.strike(blow):
                missed.append(blow)
            await asyncio.sleep(0.3)
        struck = time.monotonic()
        await site.stack.start_process(blow.victim)
        started = time.monotonic()
        wrong = await site.recovered(load, load.papers)
        assert not wrong, f"seed {seed}, round {number}, {blow}: {wrong}"
        deposits += len(load.papers)
        kept += [(load, paper) for paper in chance.sample(load.papers, min(8, len(load.papers)))]
        seconds = f"{struck - began:.1f} s, started {started - struck:.1f} s, whole {time.monotonic() - started:.1f} s"
        print(f"{number} {blow.victim} at {blow.point}:{blow.passage}: {len(load.papers)} papers; {seconds}")  # noqa: T201
    beside = [f"{blow.victim} at {blow.point}:{blow.passage}" for blow in missed]
    print(f"{len(blows)} kills, {deposits} deposits; points not passed in time: {beside}")  # noqa: T201
    for load, paper in kept:
        assert not await lost(load, [paper]), f"seed {seed}: lost by a later kill"


async def half_done(site: Site, load: Load) -> tuple[Paper, Paper]:
    """Leave one deposit approved and never stored, another stored and never told; documents is dead then."""
    (record,) = load.records
    never, untold = load.paper(record), load.paper(record)
    for paper, point in ((never, "documents.deposit.blob-stored"), (untold, "documents.deposit.kept")):
        await site.stack.start_process("documents-1")
        site.arm("documents-1", point)
        await load.deposit(paper)
        assert await site.dead("documents-1", 5), f"{point} was not passed"
    return never, untold


@asynccontextmanager
async def impatient_consent(site: Site) -> AsyncIterator[list[float]]:
    """Have consent ask about deposits after seconds; start it whenever it is dead; give the times at which it was."""
    deaths: list[float] = []

    async def watch() -> None:
        while True:
            if site.stack.pid_of("consent-1") is None:
                deaths.append(time.monotonic())
                await start()
            await asyncio.sleep(0.05)

    async def start() -> None:
        await site.stack.start_process("consent-1", CARNET_CONSENT_UNCONFIRMED_SECONDS=_UNCONFIRMED_SECONDS)

    await start()
    watching = asyncio.create_task(watch())
    try:
        yield deaths
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 40) -> None:
    """Wait for a condition; fail with the sentence given."""
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.1)


@pytest.mark.timeout(_MOST_SECONDS)
async def test_a_deposit_that_nothing_was_heard_of_is_confirmed_or_given_up_with_its_key(site: Site, seed: str) -> None:
    """Consent asks, documents answers; only then is a key destroyed, and the same bytes are deposited afresh."""
    places: list[tuple[str, str]] = [(victim, point) for victim, points in UNCONFIRMED.items() for point in points]
    random.Random(seed).shuffle(places)
    for victim, point in itertools.islice(itertools.cycle(places), size(1, 3 * len(places))):
        # Patient again: an answer before both deposits are half done would be no answer to them.
        await site.stack.start_process("consent-1")
        load, began = await site.records(1), time.monotonic()
        never, untold = await half_done(site, load)
        async with impatient_consent(site) as deaths:
            await unconfirmed(site, load.records, victim, point, deaths)
        await load.deposit(untold)
        (confirmed,) = await site.truth.documents(load.records)
        assert untold.ids == {f"{confirmed['record']}-{confirmed['document']}"}
        wrong = await site.recovered(load, [never, untold])
        assert not wrong, f"seed {seed}, {victim} at {point}: {wrong}"
        print(f"{victim} at {point}: {time.monotonic() - began:.1f} s")  # noqa: T201
    await site.stack.start_process("consent-1")


async def unconfirmed(site: Site, records: list[str], victim: str, point: str, deaths: list[float]) -> None:
    """See consent ask about two deposits, documents answer, and one process die on the way."""

    async def asked() -> bool:
        keys = await site.truth.keys(records)
        assert [row["state"] for row in keys.values()] == ["pending", "pending"], f"{point}: nobody has answered yet"
        return all("asked" in row for row in keys.values())

    async def answered() -> bool:
        keys = await site.truth.keys(records)
        return [row["state"] for row in keys.values()] == ["live"] and not await site.truth.unsettled(records)

    async def died() -> bool:
        return bool(deaths)

    if victim == "consent-1":
        site.arm(victim, point)
    await until(asked, f"{point}: consent did not ask")
    if victim == "documents-1":
        await site.stack.start_process(victim, wait=False, CARNET_FAULT=f"{point}:1")
        assert await site.dead(victim, 20), f"{point} was not passed"
    await site.stack.start_process("documents-1")
    await until(answered, f"{point}: not one confirmed and one given up")
    if victim == "consent-1":
        await until(died, f"{point} was not passed", 5)


@pytest.mark.timeout(_MOST_SECONDS)
@pytest.mark.parametrize("engine", ["mongod", "kafka"])
async def test_what_was_acknowledged_survives_the_kill_of_an_engine(site: Site, seed: str, engine: str) -> None:
    """Killed under load and started again: services go on by themselves, and nothing acknowledged is lost."""
    for name in site.stack.processes:
        await site.stack.start_process(name)  # whatever a campaign that failed left dead or armed
    for number in range(size(1, 5)):
        load = await site.records(2)
        async with load.running(f"{seed}/{engine}/{number}"):
            await asyncio.sleep(1)
            await site.stack.stop_process(engine, signal.SIGKILL)
            await asyncio.sleep(1)
            await site.stack.start_process(engine)
            await asyncio.sleep(1)
        wrong = await site.recovered(load, load.papers)
        assert not wrong, f"seed {seed}, {engine}, round {number}: {wrong}"
        print(f"{engine}: {len(load.papers)} papers")  # noqa: T201
