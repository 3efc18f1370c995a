"""`kill -9` under load: at each await of a deposit, at random times, and of the engines; nothing acknowledged is lost.

The seed of a campaign is printed when it fails; `CARNET_CHAOS_SEED=<seed>` runs the same plan again.
"""

import asyncio
import os
import random
import re
import signal
import time
from collections.abc import AsyncIterator
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
        "documents.deposit.received", *_ASKING, "documents.deposit.approved", "documents.deposit.absent",
        "documents.deposit.encrypted", "documents.deposit.blob-stored", "documents.deposit.inserted",
        "documents.deposit.blob-kept", "documents.deposit.told", "documents.deposit.kept", "documents.deposit.found",
        "relay.found", "relay.sent", "relay.published", "relay.removed",
    ),
    "consent-1": (*_DECIDING, *_CONSUMING, "consent.confirm.confirmed"),
    "consent-2": _DECIDING,
    "notifications-1": (
        *_CONSUMING, *_ASKING, "notifications.notify.allowed", "inbox.claimed", "notifications.notify.inserted",
        "notifications.notify.put",
    ),
}  # fmt: skip
# Passed only when two meet: the same bytes by two calls at once, two deciders at one record, a question heard twice.
MEETING: dict[str, tuple[str, ...]] = {
    "documents-1": ("documents.deposit.dropped",),
    "consent-1": ("consent.decide.overtaken", "consent.decide.repeated"),
    "consent-2": ("consent.decide.overtaken", "consent.decide.repeated"),
}
# Passed when a deposit was approved and never stored.
UNCONFIRMED: dict[str, tuple[str, ...]] = {
    "consent-1": (
        "consent.question.noted", "consent.question.asked", "relay.found", "relay.sent", "relay.published",
        "relay.removed", "consent.abandon.appended", "consent.abandon.destroyed",
    ),
    "documents-1": ("documents.settle.given-up", "documents.settle.told"),
}  # fmt: skip
_NEVER = 1_000_000


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
    chosen = os.environ.get("CARNET_CHAOS_SEED") or str(random.SystemRandom().randrange(10**9))
    print(f"CARNET_CHAOS_SEED={chosen}")  # noqa: T201 - pytest shows it with a failure
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
            victim, point = places[(number - number // 4) % len(places)]
            blows.append(Blow(victim, point, 1 if (victim, point) in places else chance.randrange(1, 12), 0))
    return blows


def test_the_campaign_knows_every_fault_point() -> None:
    """Each point that the services and the chassis have is in the plan of a campaign, and no other."""
    known = {point for table in (DEPOSIT, MEETING, UNCONFIRMED) for points in table.values() for point in points}
    found = {
        name
        for folder in ("chassis", "services")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'faults\.point\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert known == found


@pytest.mark.timeout(0)
async def test_what_was_acknowledged_survives_the_kill_of_any_process_at_any_await(site: Site, seed: str) -> None:
    """Killed anywhere under load: nothing acknowledged is lost, nothing stands twice, everything is told in the end."""
    chance = random.Random(seed)
    told, missed, deposits = [], [], 0
    everything: list[tuple[Load, Paper]] = []
    for number, blow in enumerate(plan(chance, size(12, 240))):
        load, began = await site.records(2), time.monotonic()
        mix = {"deposit": 5, "twice": 3, "again": 2, "read": 1, "list": 1, "large": 1}
        async with load.running(f"{seed}/{number}", mix=mix):
            if not await site.strike(blow):
                missed.append(blow)
            await asyncio.sleep(0.3)
        await site.stack.start_process(blow.victim)
        wrong = await site.recovered(load, load.papers)
        assert not wrong, f"seed {seed}, round {number}, {blow}: {wrong}"
        deposits += len(load.papers)
        everything += [(load, paper) for paper in load.papers]
        told.append(f"{number} {blow}: {len(load.papers)} papers, {time.monotonic() - began:.1f} s")
        print(told[-1])  # noqa: T201
    print(f"{len(told)} kills, {len(missed)} beside their point, {deposits} deposits")  # noqa: T201
    for load, paper in chance.sample(everything, min(100, len(everything))):
        assert not await lost(load, [paper])
