"""MongoDB, and the only file that imports a driver: Motor by default, PyMongo's async client by setting (ADR 0004)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pymongo import AsyncMongoClient, WriteConcern
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    PyMongoError,
    WTimeoutError,
)

from chassis.settings import MongoSettings

# A session and a collection look alike in both drivers, and neither driver's type says so.
Session = Any
Collection = Any
Document = dict[str, Any]
T = TypeVar("T")

DUPLICATE_KEY, NOT_ADMITTED = 11000, 121
_TRANSACTION_SECONDS = 5.0


class RowsHeld(PyMongoError):
    """Another transaction held the same rows for as long as we tried: a dead process's lives on for some seconds."""


def refusals_of(error: BulkWriteError) -> dict[int, int] | None:
    """Return what an unordered batch was refused: position -> DUPLICATE_KEY (a unique index) or NOT_ADMITTED (`admit`).

    None when anything else went wrong: nothing is certain of the batch then.
    """
    failures = error.details.get("writeErrors", [])
    if error.details.get("writeConcernErrors"):
        return None
    refused = {int(each["index"]): int(each["code"]) for each in failures}
    return refused if set(refused.values()) <= {DUPLICATE_KEY, NOT_ADMITTED} else None


def refusal_of(error: PyMongoError) -> int | None:
    """Return why a single write was refused, as `refusals_of` does; None when anything else went wrong."""
    code = getattr(error, "code", None)
    return code if code in {DUPLICATE_KEY, NOT_ADMITTED} else None


class Mongo:
    """One service's database on a replica set; every write is acknowledged by a majority and journalled."""

    def __init__(self, settings: MongoSettings) -> None:
        options: dict[str, Any] = {
            "w": "majority",
            "journal": True,
            "retryWrites": True,
            "serverSelectionTimeoutMS": 3_000,
            "connectTimeoutMS": 3_000,
            # A server that hangs is one that is away: a decider must not wait for it for ever.
            "socketTimeoutMS": 15_000,
            "tz_aware": True,
            "maxPoolSize": 64,
            # What is read and acted upon must survive a failover.
            "readConcernLevel": "majority",
        }
        self._motor = settings.driver == "motor"
        if self._motor:
            # Imported on demand: Motor is deprecated, and a deployment on PyMongo needs none of its thread pool.
            from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415

            self._client: Any = AsyncIOMotorClient(settings.uri, **options)
        else:
            self._client = AsyncMongoClient(settings.uri, **options)
        self._database = self._client[settings.database]

    def __getitem__(self, name: str) -> Collection:
        """Return a collection: `insert_one`, `find(...)`, ... are awaited alike in both drivers."""
        return self._database[name]

    def hasty(self, name: str) -> Collection:
        """Return a collection whose writes are answered before they are durable.

        Only for what a later transaction checks and makes durable: reads see durable writes only, and may miss it.
        """
        return self._database[name].with_options(write_concern=WriteConcern(w=1, j=False))

    async def ping(self) -> None:
        """Return when the primary answers; raise a driver error when it does not within 3 s."""
        await self._client.admin.command("ping")

    async def ensure(self, name: str, *indexes: tuple[list[tuple[str, int]], dict[str, Any]]) -> None:
        """Create a collection and its indexes before its first transaction (else: write conflicts)."""
        if name not in await self._database.list_collection_names():
            try:
                await self._database.create_collection(name)
            except PyMongoError as error:
                if getattr(error, "code", None) != 48 and "already exists" not in str(error):  # noqa: PLR2004
                    raise
        for keys, options in indexes:
            await self._database[name].create_index(keys, **options)

    async def admit(self, name: str, rows: dict[str, Any], *, changes: bool = False) -> None:
        """Have a collection take in only rows that match (a query); durable on return, and for every client.

        The server holds the collection alone while it changes this: whatever is inserted after the return matches, and
        what was taken in before stands durably. Rows that stand and do not match may still be changed, unless `changes`
        are to match too.
        """
        await self._database.command(
            {
                "collMod": name,
                "validator": rows,
                "validationLevel": "strict" if changes else "moderate",
                "validationAction": "error",
                "writeConcern": {"w": "majority", "j": True},
            }
        )

    async def admitted(self, name: str) -> dict[str, Any]:
        """Return what rows of a collection must match, as of now; empty when nothing was asked of them."""
        found = await self._database.command({"listCollections": 1, "filter": {"name": name}})
        options = [each["options"] for each in found["cursor"]["firstBatch"]]
        return dict(options[0].get("validator", {})) if options else {}

    async def transact(self, work: Callable[[Session], Awaitable[T]], seconds: float = _TRANSACTION_SECONDS) -> T:
        """Run `work(session)` in a transaction and commit; retry what the server calls transient, at most `seconds`.

        Raises RowsHeld when another transaction held the same rows all the time.
        `work` may run more than once, so it must read again what it decides on. An unknown commit is committed again:
        the server makes that idempotent.
        """
        deadline = time.monotonic() + seconds
        started = self._client.start_session()
        session = await started if self._motor else started
        async with session:
            while True:
                begun = session.start_transaction(write_concern=WriteConcern(w="majority", j=True))
                if not self._motor:
                    await begun
                try:
                    result = await work(session)
                except BaseException as error:
                    if session.in_transaction:
                        await session.abort_transaction()
                    if not _labelled(error, "TransientTransactionError"):
                        raise
                    if time.monotonic() >= deadline:
                        raise error if isinstance(error, ConnectionFailure) else RowsHeld from None
                    await asyncio.sleep(0.005)
                    continue
                if await self._committed(session, deadline):
                    return result

    @staticmethod
    async def _committed(session: Session, deadline: float) -> bool:
        while True:
            try:
                await session.commit_transaction()
            except PyMongoError as error:
                if time.monotonic() >= deadline:
                    raise
                if _labelled(error, "UnknownTransactionCommitResult"):
                    continue
                if _labelled(error, "TransientTransactionError"):
                    return False
                raise
            return True

    @asynccontextmanager
    async def changes(
        self, name: str, operation: str, *, having: str | None = None
    ) -> AsyncIterator[Callable[[float], Awaitable[Any]]]:
        """Watch a collection; the value given waits so many seconds for a change and returns its `_id`, or None.

        With `having`, only documents that come with this field are seen: the server passes over the others.
        """
        where: dict[str, Any] = {"operationType": operation}
        if having is not None:
            where[f"fullDocument.{having}"] = {"$exists": True}
        pipeline: list[Mapping[str, Any]] = [{"$match": where}, {"$project": {"documentKey": 1}}]
        opened = self._database[name].watch(pipeline, max_await_time_ms=1_000)
        stream = opened if self._motor else await opened
        async with stream:

            async def wait(seconds: float) -> Any:
                # The server holds `getMore` for a second at most: ask until the time is over.
                end = time.monotonic() + seconds
                while (left := end - time.monotonic()) > 0:
                    if (change := await stream.try_next()) is not None:
                        return change["documentKey"]["_id"]
                    if left < 1:
                        break
                return None

            yield wait

    async def close(self) -> None:
        """Close the connections."""
        closing = self._client.close()
        if closing is not None:
            await closing


def _labelled(error: BaseException, label: str) -> bool:
    return isinstance(error, PyMongoError) and error.has_error_label(label)


# What a caller may meet: a key that stands, a batch refused in part, a database that cannot be reached.
DuplicateKey = DuplicateKeyError
PartlyRefused = BulkWriteError
Unreachable = (ConnectionFailure, AutoReconnect, WTimeoutError, RowsHeld)
DatabaseError = PyMongoError
