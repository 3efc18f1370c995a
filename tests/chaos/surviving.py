"""What must hold on a quiet stack, whatever was killed before: read from the databases and by the front door."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from chassis.mongo import Mongo
from chassis.sealing import digest
from chassis.settings import MongoSettings
from deploy.local.stack import Stack
from services.consent.bundles import MongoBundles
from services.consent.domain.record import Record
from services.consent.in_force import Archive
from services.consent.keys import FileRoot, MongoRecordKeys
from services.consent.store import MongoJournal
from tests.chaos.callers import replay
from tests.chaos.load import Load, Paper

_QUIET_SECONDS = 45.0
_ACCEPTED_SECONDS = 45.0
_AT_ONCE = 6
_CONSUMERS = ("consent", "documents", "notifications")


class Truth:
    """The databases of a stack, read past its services."""

    def __init__(self, stack: Stack) -> None:
        self.of = {
            name: Mongo(MongoSettings(uri=stack.mongo_uri(name), database=f"carnet_{name}")) for name in _CONSUMERS
        }
        keys = MongoRecordKeys(self.of["consent"], FileRoot(stack.data / "trust" / "consent-root.key"))
        self.journal = MongoJournal(self.of["consent"], keys)
        self.archive = Archive(MongoBundles(self.of["consent"], keys))

    async def rows(self, service: str, collection: str, records: Sequence[str]) -> list[dict[str, Any]]:
        """Return a collection's rows of some records."""
        found = self.of[service][collection].find({"record": {"$in": list(records)}})
        return list(await found.to_list(None))

    async def documents(self, records: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of what documents holds; what it gave up for good is left out."""
        return [row for row in await self.rows("documents", "documents", records) if "abandoned" not in row]

    async def keys(self, records: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return consent's rows by `<record>:<document>:<version>`."""
        return {row["_id"]: row for row in await self.rows("consent", "document_keys", records)}

    async def state(self, record: str) -> Record:
        """Return a record as its journal tells it."""
        folded = Record(record)
        for entry in reversed(await self.journal.page(record, None, 0)):
            folded.apply(entry)
        return folded

    async def unsettled(self, records: Sequence[str]) -> list[str]:
        """Return what is still on its way: facts unpublished, deposits unconfirmed or unannounced."""
        left = {each: await self.of[each]["outbox"].count_documents({}) for each in ("consent", "documents")}
        waiting = [f"{rows} rows in the outbox of {service}" for service, rows in left.items() if rows]
        stored, keys = await self.documents(records), await self.keys(records)
        pending = [row["_id"] for row in stored if keys.get(row["_id"], {}).get("state") != "live"]
        if pending:
            waiting.append(f"stored, and no live key: {pending}")
        due = Counter(row["record"] for row in stored)
        told = Counter(row["record"] for row in await self.rows("notifications", "items", records))
        if due != told:
            waiting.append(f"documents {dict(due)}, items {dict(told)}")
        return waiting

    async def violations(self, records: Sequence[str], papers: Iterable[Paper]) -> list[str]:
        """Return what contradicts the promises on these records, whose papers were all acknowledged in the end."""
        stored, keys = await self.documents(records), await self.keys(records)
        wrong = await self.unsettled(records)
        wrong += self._twice(stored, list(papers))
        wrong += await self._without_ciphertext(stored)
        wrong += [f"{row['_id']}: another digest" for row in stored if keys[row["_id"]].get("digest") != row["digest"]]
        for record in records:
            wrong += await self._untold(record, {row["document"] for row in stored if row["record"] == record})
        for service in _CONSUMERS:
            if letters := await self.of[service]["dead_letters"].count_documents({}):
                wrong.append(f"{letters} dead letters of {service}")
        return wrong

    @staticmethod
    def _twice(stored: list[dict[str, Any]], papers: list[Paper]) -> list[str]:
        wrong = [f"a paper has the ids {paper.ids}" for paper in papers if len(paper.ids) != 1]
        answered = Counter(name for paper in papers for name in paper.ids)
        wrong += [f"{name} answers {times} papers" for name, times in answered.items() if times > 1]
        standing = {f"{row['record']}-{row['document']}" for row in stored}
        wrong += [f"{name} was acknowledged and is not stored" for name in answered.keys() - standing]
        return wrong + [f"{name} is stored and answers no paper" for name in standing - answered.keys()]

    async def _without_ciphertext(self, stored: list[dict[str, Any]]) -> list[str]:
        wrong = []
        for row in stored:
            chunks = await self.of["documents"]["blobs"].find({"blob": row["_id"]}).sort("chunk", 1).to_list(None)
            whole = b"".join(bytes(each["data"]) for each in chunks)
            if len(whole) != row["size"] or digest(whole) != row["digest"]:
                wrong.append(f"{row['_id']}: metadata without its ciphertext ({len(chunks)} chunks)")
            if any("loose" in each for each in chunks):
                wrong.append(f"{row['_id']}: its ciphertext would be swept")
        return wrong

    async def _untold(self, record: str, stored: set[str]) -> list[str]:
        """Hold the journal against itself and against what is stored."""
        entries = list(reversed(await self.journal.page(record, None, 0)))
        wrong = [f"{record}: {each}" for each in await replay(record, entries, self.archive)]
        numbers = [each.n for each in entries]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong.append(f"{record}: the main stream is not numbered one by one")
        known = await self.state(record)
        wrong += [f"{record}: the journal knows nothing of {name}" for name in stored - known.documents.keys()]
        return wrong + [f"{record}: {name} was approved twice" for name in known.documents.keys() - stored]


@asynccontextmanager
async def truth(stack: Stack) -> AsyncIterator[Truth]:
    """Open the databases of a stack."""
    opened = Truth(stack)
    try:
        yield opened
    finally:
        for each in opened.of.values():
            await each.close()


async def accepted(load: Load, papers: Iterable[Paper]) -> None:
    """Deposit again, with the same bytes, whatever was never acknowledged, until it is."""
    end, turns = time.monotonic() + _ACCEPTED_SECONDS, asyncio.Semaphore(_AT_ONCE)

    async def one(paper: Paper) -> None:
        async with turns:
            while not paper.ids:
                call = await load.deposit(paper)
                assert time.monotonic() < end, f"a deposit is still answered {call.status} {call.code}"
                if not call.acknowledged:
                    await asyncio.sleep(0.3)

    await asyncio.gather(*(one(paper) for paper in papers))


async def quiet(held: Truth, records: Sequence[str]) -> None:
    """Return when nothing is on its way any more; fail after 45 s."""
    end = time.monotonic() + _QUIET_SECONDS
    while waiting := await held.unsettled(records):
        assert time.monotonic() < end, f"never quiet: {waiting}"
        await asyncio.sleep(0.2)


async def lost(load: Load, papers: Iterable[Paper]) -> list[str]:
    """Return which acknowledged papers the patient cannot read back byte for byte."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(paper: Paper) -> str | None:
        (name,) = paper.ids
        async with turns:
            call = await load.read(paper.record, name)
            for _ in range(3):
                if call.status not in {0, 503}:
                    break
                call = await load.read(paper.record, name)
        return None if call.body == paper.content else f"{name}: {call.status} {call.code}, {len(call.body)} bytes"

    return [each for each in await asyncio.gather(*(one(paper) for paper in papers)) if each]
