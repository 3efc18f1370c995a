"""Refusal is immediate: whatever deciders do, a flow that began after an acknowledged withdrawal is judged by it."""

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from chassis.asking import ConsentUnreachable
from deploy.local.stack import Stack
from tests.chaos.callers import Callers, callers, replay
from tests.chaos.deciders import DECIDERS
from tests.chaos.eavesdropper import eavesdropping
from tests.chaos.size import size

READER = 99700000002


@dataclass(frozen=True)
class Change:
    """The patient's change, from its request to its acknowledgement (monotonic seconds)."""

    allows: bool
    began: float
    acknowledged: float


@dataclass(frozen=True)
class Read:
    """A professional's read: allowed or not, from its question to its answer."""

    allowed: bool
    began: float
    ended: float


def unlawful(changes: list[Change], reads: list[Read]) -> list[Read]:
    """Return the reads that were allowed although no authorisation could stand at any moment of theirs."""
    found = []
    for read in (each for each in reads if each.allowed):
        before = [each for each in changes if each.acknowledged <= read.began]
        during = [each for each in changes if each.acknowledged > read.began and each.began < read.ended]
        if not (before and before[-1].allows) and not any(each.allows for each in during):
            found.append(read)
    return found


async def _patient(via: Callers, record: str, changes: list[Change], end: float) -> None:
    """Authorise and withdraw in turn."""
    while time.monotonic() < end:
        began = time.monotonic()
        directive = await via.direct(record, {"kind": "authorise", "professional": str(READER)})
        changes.append(Change(allows=True, began=began, acknowledged=time.monotonic()))
        await asyncio.sleep(random.uniform(0, 0.15))
        began = time.monotonic()
        if random.random() < 0.5:
            await via.end(record, directive)
            changes.append(Change(allows=False, began=began, acknowledged=time.monotonic()))
        else:
            block = await via.direct(record, {"kind": "block", "professional": str(READER)})
            changes.append(Change(allows=False, began=began, acknowledged=time.monotonic()))
            await asyncio.sleep(random.uniform(0, 0.1))
            await via.end(record, block)  # lifts the block, and leaves him without authorisation
        await asyncio.sleep(random.uniform(0, 0.15))


async def _reader(via: Callers, record: str, document: str, reads: list[Read], end: float) -> None:
    token = via.professional(record, READER)
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            answer = await via.read(record, token, document)
        except ConsentUnreachable:
            continue
        allowed = answer.outcome == "allowed" and bool(answer.grants)
        reads.append(Read(allowed, began, time.monotonic()))


async def _pauser(stack: Stack, end: float) -> None:
    """Stop a decider in the middle of anything, and let it go on later."""
    while time.monotonic() < end:
        name = random.choice(DECIDERS)
        stack.signal_process(name, signal.SIGSTOP)
        await asyncio.sleep(random.uniform(0.02, 1.2))
        stack.signal_process(name, signal.SIGCONT)
        await asyncio.sleep(random.uniform(0, 0.2))


@pytest.mark.timeout(1200)
async def test_no_flow_that_began_after_an_acknowledged_withdrawal_is_allowed(deciders: Stack, tmp_path: Path) -> None:
    """Deciders stop and go on at random under load: every verdict is what the entries before it give, and no more."""
    seed = int(os.environ.get("CARNET_SEED", random.randrange(10**9)))
    random.seed(seed)
    async with callers(deciders, tmp_path) as via:
        records = [await via.open_record() for _ in range(6)]
        documents = {}
        for record in records:
            answer = await via.deposit(record, via.professional(record, 99700000001))
            documents[record] = answer.grants[0].document
        changes: dict[str, list[Change]] = {record: [] for record in records}
        reads: dict[str, list[Read]] = {record: [] for record in records}
        end = time.monotonic() + size(12, 180)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pauser(deciders, end))
            for record in records:
                group.create_task(_patient(via, record, changes[record], end))
                for _ in range(3):
                    group.create_task(_reader(via, record, documents[record], reads[record], end))
        for record in records:
            assert unlawful(changes[record], reads[record]) == [], f"seed {seed}"
            assert await replay(record, await via.entries(record), via.archive) == [], f"seed {seed}"
    allowed = sum(each.allowed for of in reads.values() for each in of)
    refused = sum(not each.allowed for of in reads.values() for each in of)
    # The campaign has to have met both, many times, or it has shown nothing.
    assert allowed > 20, f"seed {seed}"
    assert refused > 20, f"seed {seed}"


def test_the_check_of_withdrawals_sees_a_late_allow() -> None:
    """A read allowed after an acknowledged withdrawal, with no new authorisation under way, is found."""
    granted = Change(allows=True, began=0.0, acknowledged=1.0)
    withdrawn = Change(allows=False, began=2.0, acknowledged=3.0)
    again = Change(allows=True, began=4.5, acknowledged=6.0)
    late = Read(allowed=True, began=3.5, ended=4.0)
    assert unlawful([granted, withdrawn], [late]) == [late]
    assert unlawful([granted, withdrawn, again], [Read(allowed=True, began=3.5, ended=5.0)]) == []
    assert unlawful([granted, withdrawn], [Read(allowed=True, began=1.5, ended=3.5)]) == []


async def test_what_was_asked_before_a_withdrawal_is_not_answered_again_after_it(
    deciders: Stack, tmp_path: Path
) -> None:
    """The same bytes sent again after a withdrawal, in time, get no key; before it they are answered again."""
    async with callers(deciders, tmp_path) as via:
        record = await via.open_record()
        document = (await via.deposit(record, via.professional(record, 99700000001))).grants[0].document
        directive = await via.direct(record, {"kind": "authorise", "professional": str(READER)})
        async with eavesdropping(via.settings) as ear:
            assert (await via.read(record, via.professional(record, READER), document)).outcome == "allowed"
            captured = await ear.request()
            await ear.send(captured)
            assert await ear.answers(captured, 2) == 2
            await via.end(record, directive)
            await ear.send(captured)
            assert await ear.answers(captured, 3, patience=1) == 2
