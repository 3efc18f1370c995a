"""What announces, in process and as a process of its own that dies where it is told to."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from chassis.outbox import Outbox
from chassis.tokens import EVERY_RECORD, signing_jwk
from chassis.trust import AnnouncedKeys
from services.consent.doctor_notices import MongoDoctorNotices
from services.consent.domain.entry import Outcome
from services.consent.domain.flow import Action, Actor, Reason
from services.consent.notices import MongoNotices, MongoReviews
from services.consent.ports import Fate
from services.consent.use_cases.announce import Announce
from tests.integration.consent.processes import Process, now_ms
from tests.integration.observing import eventually
from tests.unit.consent.people import MOREAU, RECORD, entry, flow
from tests.unit.consent.tokens import access_token

_ROOT = Path(__file__).parents[3]


@dataclass
class Announcer:
    """What a process announces with: its own look at the shared database."""

    consent: Process

    async def prepare(self) -> None:
        """Create the collections."""
        await self.outbox.prepare()
        await self.reviews.prepare()
        await self.doctors.prepare()

    @property
    def outbox(self) -> Outbox:
        """What the relay would publish."""
        return Outbox(self.consent.mongo, "consent")

    @property
    def reviews(self) -> MongoReviews:
        """The reviews."""
        return MongoReviews(self.consent.mongo, self.consent.record_keys)

    @property
    def doctors(self) -> MongoDoctorNotices:
        """What treating doctors are to be told."""
        return MongoDoctorNotices(self.consent.mongo, self.consent.record_keys)

    @property
    def notices(self) -> MongoNotices:
        """What is due."""
        return MongoNotices(self.consent.mongo, self.outbox, self.reviews, self.doctors)

    @property
    def announce(self) -> Announce:
        """The use case."""
        return Announce(self.notices, self.consent.journal, self.consent.ledger, now_ms)

    async def emergency(self, actor: Actor = MOREAU, *, at: int | None = None, record: str = RECORD) -> str:
        """Have an emergency open a record; return the flow."""
        state = await self.consent.ledger.folded(record)
        assert state is not None
        asked = flow(actor, Action.READ, purpose="BTG", record=record, reason=Reason("URG", "Inconscient"))
        written = entry(state, asked, Outcome("allowed", "rule", count=1), now_ms() if at is None else at)
        assert await self.consent.journal.append([written]) == [Fate.STANDS]
        return asked.id

    async def told(self) -> list[tuple[str, str]]:
        """Return what waits in the outbox, as (event id, fact)."""
        rows = await self.consent.mongo["outbox"].find({}).to_list(None)
        return [(row["_id"], bytes(row["value"]).decode()) for row in rows]

    async def open_reviews(self) -> list[str]:
        """Return the flows that are to be reviewed."""
        return [each.flow for each in await self.reviews.owed(str(MOREAU.organisation), EVERY_RECORD, None, 100)]


async def nothing_due(announcer: Announcer) -> bool:
    """Say whether all was told."""
    return await announcer.notices.due(1) == []


@dataclass
class Site:
    """A process of consent on this test's database, which dies where it is told to."""

    announcer: Announcer
    environment: dict[str, str]
    token_keys: AnnouncedKeys
    http: aiohttp.ClientSession

    @property
    def base(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.environment['CARNET_HTTP_PORT']}"

    async def start(self, *roles: str, fault: str = "") -> asyncio.subprocess.Process:
        """Start it, to die at a point if one is named."""
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.consent", "run", *roles, cwd=_ROOT,
            env={**os.environ, **self.environment, "CARNET_FAULT": fault}, stdout=DEVNULL, stderr=DEVNULL,
        )  # fmt: skip

    async def told(self, *words: str) -> tuple[int, str]:
        """Run a command of the service to its end; return its exit code and the last line that it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.consent", *words, cwd=_ROOT,
            env={**os.environ, **self.environment}, stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, said.decode().splitlines()[-1]

    @asynccontextmanager
    async def serving(self, fault: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        """Run it with routes and announcer while the block does; the block may find it dead."""
        process = await self.start("serve", "announce", fault=fault)
        try:
            await eventually(self._ready, 60)
            yield process
        finally:
            await ended(process)

    async def quiet(self) -> bool:
        """Say whether nothing is on its way."""
        waiting = await self.announcer.consent.mongo["outbox"].count_documents({})
        return waiting == 0 and await nothing_due(self.announcer)

    async def dies_at(self, point: str) -> None:
        """Have it announce and relay until it is dead by its own hand at that point."""
        process = await self.start("announce", "relay", fault=f"{point}:1")
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL

    async def recovers(self) -> None:
        """Have it announce and relay until nothing is on its way."""
        process = await self.start("announce", "relay")
        try:
            await eventually(self.quiet, 60)
        finally:
            await ended(process)

    async def ask(
        self, actor: Actor, method: str, path: str, body: Any = None, *, record: str = EVERY_RECORD, **said: Any
    ) -> tuple[int, Any]:
        """Ask as an actor, with a token as identity gives it; return status and body. A server that dies: status 0."""
        kid, private = self.token_keys.private[0]
        token = access_token(actor, record=record, key=signing_jwk(kid, private), **said)
        try:
            async with self.http.request(
                method, self.base + path, json=body, headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                return answer.status, await answer.json(content_type=None)
        except aiohttp.ClientError:
            return 0, None

    async def _ready(self) -> bool:
        try:
            async with self.http.get(f"{self.base}/health/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


async def ended(process: asyncio.subprocess.Process) -> None:
    """End a process that may be dead."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.wait(), 20)
