"""One conformance suite for `chassis.mongo`, run on both drivers: whoever changes the setting sees no difference."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.errors import OperationFailure, PyMongoError

from chassis.mongo import (
    DUPLICATE_KEY,
    NOT_ADMITTED,
    DuplicateKey,
    Mongo,
    PartlyRefused,
    RowsHeld,
    Session,
    Unreachable,
    refusals_of,
)
from chassis.settings import MongoSettings
from tests.integration.conftest import on_driver


@pytest.fixture
async def both(driver: str, mongo_settings: MongoSettings) -> AsyncIterator[Mongo]:
    """Open a fresh database on the driver that is tested."""
    opened = on_driver(driver, mongo_settings)
    yield opened
    await opened.close()


async def numbers(mongo: Mongo) -> list[int]:
    """Return what stands in the collection of these tests."""
    return sorted(row["n"] for row in await mongo["rows"].find({}).to_list(None))


async def test_a_transaction_commits_all_of_its_writes(both: Mongo) -> None:
    """What `work` returned is returned, and every write of it stands."""
    await both.ensure("rows")

    async def work(session: Session) -> str:
        await both["rows"].insert_one({"n": 1}, session=session)
        await both["rows"].insert_one({"n": 2}, session=session)
        return "done"

    assert await both.transact(work) == "done"
    assert await numbers(both) == [1, 2]


async def test_a_failed_transaction_leaves_nothing(both: Mongo) -> None:
    """An exception in `work` reaches the caller as it is, and no write of it stands."""
    await both.ensure("rows")

    async def work(session: Session) -> None:
        await both["rows"].insert_one({"n": 1}, session=session)
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        await both.transact(work)
    assert await numbers(both) == []


async def test_a_duplicate_in_a_transaction_is_the_callers_to_meet(both: Mongo) -> None:
    """A key that stands is no transient error: it is raised at once, and the transaction leaves nothing."""
    await both.ensure("rows", ([("n", 1)], {"unique": True}))
    await both["rows"].insert_one({"n": 2})
    runs = 0

    async def work(session: Session) -> None:
        nonlocal runs
        runs += 1
        await both["rows"].insert_one({"n": 1}, session=session)
        await both["rows"].insert_one({"n": 2}, session=session)

    with pytest.raises(DuplicateKey):
        await both.transact(work)
    assert (runs, await numbers(both)) == (1, [2])


async def test_colliding_transactions_run_again(both: Mongo) -> None:
    """Ten transactions that read and write one row at once lose no update: the server's conflicts are retried."""
    await both.ensure("rows")
    await both["rows"].insert_one({"_id": "counter", "n": 0})

    async def work(session: Session) -> None:
        row = await both["rows"].find_one({"_id": "counter"}, session=session)
        await asyncio.sleep(0.002)
        await both["rows"].update_one({"_id": "counter"}, {"$set": {"n": row["n"] + 1}}, session=session)

    await asyncio.gather(*(both.transact(work, seconds=20) for _ in range(10)))
    assert await numbers(both) == [10]


async def test_a_transient_error_is_retried_until_its_time_is_over(both: Mongo) -> None:
    """What stays transient is raised after the seconds given, not after the driver's two minutes."""
    runs, started = 0, time.monotonic()

    async def work(_: Session) -> None:
        nonlocal runs
        runs += 1
        raise OperationFailure("planted", 112, {"errorLabels": ["TransientTransactionError"]})

    with pytest.raises(PyMongoError):
        await both.transact(work, seconds=0.3)
    assert runs > 2
    assert time.monotonic() - started < 2


async def test_rows_that_another_transaction_holds_are_waited_for(both: Mongo) -> None:
    """The transaction of a dead process holds its rows for seconds: whoever meets them is told to wait, not to fail."""
    await both.ensure("rows")
    held, over = asyncio.Event(), asyncio.Event()

    async def insert(session: Session) -> None:
        await both["rows"].insert_one({"_id": "one", "n": 1}, session=session)

    async def hold(session: Session) -> None:
        await insert(session)
        held.set()
        await over.wait()
        raise LookupError("never committed")

    holding = asyncio.create_task(both.transact(hold))
    await held.wait()
    with pytest.raises(RowsHeld):
        await both.transact(insert, seconds=0.3)
    assert issubclass(RowsHeld, Unreachable)
    over.set()
    await asyncio.gather(holding, return_exceptions=True)
    await both.transact(insert)
    assert await numbers(both) == [1]


async def test_an_unknown_commit_is_committed_again(both: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit whose answer got lost is asked for again, and the writes stand once."""
    await both.ensure("rows")
    asked = 0

    async def work(session: Session) -> None:
        commit = session.commit_transaction

        async def lossy() -> None:
            nonlocal asked
            asked += 1
            await commit()
            if asked == 1:
                raise OperationFailure("planted", 50, {"errorLabels": ["UnknownTransactionCommitResult"]})

        monkeypatch.setattr(session, "commit_transaction", lossy, raising=False)
        await both["rows"].insert_one({"n": 1}, session=session)

    await both.transact(work)
    assert (asked, await numbers(both)) == (2, [1])


async def test_an_unordered_batch_names_its_duplicates(both: Mongo) -> None:
    """Every row that could stand stands, and the positions that the index refused are told."""
    await both.ensure("rows", ([("n", 1)], {"unique": True}))
    await both["rows"].insert_many([{"n": 1}, {"n": 3}])
    batch = [{"n": each} for each in (0, 1, 2, 3, 4, 4)]
    with pytest.raises(PartlyRefused) as refused:
        await both["rows"].insert_many(batch, ordered=False)
    assert refusals_of(refused.value) == dict.fromkeys((1, 3, 5), DUPLICATE_KEY)
    assert await numbers(both) == [0, 1, 2, 3, 4]


async def test_a_batch_names_what_is_not_admitted(both: Mongo) -> None:
    """A row that the collection does not admit is told apart from a duplicate, and the others stand."""
    await both.ensure("rows", ([("n", 1)], {"unique": True}))
    await both["rows"].insert_many([{"n": 1}, {"n": 9}])
    await both.admit("rows", {"n": {"$lt": 5}})
    with pytest.raises(PartlyRefused) as refused:
        await both["rows"].insert_many([{"n": each} for each in (1, 8, 2, 9)], ordered=False)
    assert refusals_of(refused.value) == {0: DUPLICATE_KEY, 1: NOT_ADMITTED, 3: NOT_ADMITTED}
    assert await numbers(both) == [1, 2, 9]


async def test_what_is_admitted_is_told_and_leaves_old_rows_alone(both: Mongo) -> None:
    """Nothing at first; then what was asked last. What stood before may be changed, though it would not be taken in."""
    assert await both.admitted("rows") == {}
    await both.ensure("rows")
    assert await both.admitted("rows") == {}
    await both["rows"].insert_one({"n": 9})
    for most in (5, 7):
        await both.admit("rows", {"n": {"$lt": most}})
        assert await both.admitted("rows") == {"n": {"$lt": most}}
    changed = await both["rows"].update_one({"n": 9}, {"$set": {"flag": True}})
    assert changed.modified_count == 1


async def test_nothing_slips_in_once_another_is_admitted(both: Mongo) -> None:
    """Writers at full speed: after `admit` has returned, not one more row of the kind before is counted."""
    await both.ensure("rows")
    done = False

    async def writer() -> None:
        while not done:
            with contextlib.suppress(PartlyRefused):
                await both["rows"].insert_many([{"kind": "old"} for _ in range(20)], ordered=False)

    writers = [asyncio.create_task(writer()) for _ in range(4)]
    await asyncio.sleep(0.1)
    await both.admit("rows", {"kind": "new"})
    counted = await both["rows"].count_documents({"kind": "old"})
    await asyncio.sleep(0.2)
    done = True
    await asyncio.gather(*writers)
    assert await both["rows"].count_documents({"kind": "old"}) == counted > 0


@pytest.mark.parametrize(
    "details",
    [
        {"writeErrors": [{"index": 0, "code": DUPLICATE_KEY}, {"index": 1, "code": 50}]},
        {"writeErrors": [{"index": 0, "code": NOT_ADMITTED}], "writeConcernErrors": [{"code": 64}]},
    ],
)
def test_any_other_failure_leaves_a_batch_uncertain(details: dict[str, Any]) -> None:
    """A time-out, a majority that did not answer: no row of the batch passes for refused."""
    assert refusals_of(PartlyRefused(details)) is None


async def test_a_watcher_wakes_up(both: Mongo) -> None:
    """An insert ends the wait at once and names the row; without one the wait ends by its time."""
    await both.ensure("rows")
    async with both.changes("rows", "insert") as changed:
        waiting = asyncio.ensure_future(changed(10))
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await both["rows"].insert_one({"_id": "one", "n": 1})
        assert await waiting == "one"
        assert time.monotonic() - started < 0.5
        started = time.monotonic()
        assert await changed(1) is None
        assert 0.5 < time.monotonic() - started < 2.5


async def test_a_watcher_sees_what_came_before_its_first_wait(both: Mongo) -> None:
    """The watch begins where its block does, so nothing falls between a first look and the first wait."""
    await both.ensure("rows")
    async with both.changes("rows", "insert") as changed:
        await both["rows"].insert_one({"_id": "early", "n": 1})
        await both["others"].insert_one({"n": 1})  # a stream opened only now would begin here
        assert await changed(2) == "early"


async def test_a_watcher_passes_over_other_operations(both: Mongo) -> None:
    """Only the operation that was asked for wakes it."""
    await both.ensure("rows")
    await both["rows"].insert_one({"_id": "one", "n": 1})
    async with both.changes("rows", "insert") as changed:
        await both["rows"].delete_one({"_id": "one"})
        assert await changed(1) is None


async def test_a_watcher_may_pass_over_what_lacks_a_field(both: Mongo) -> None:
    """Only a document that comes with the field wakes it, whatever else is inserted meanwhile."""
    await both.ensure("rows")
    async with both.changes("rows", "insert", having="due") as changed:
        await both["rows"].insert_many([{"n": number} for number in range(20)])
        await both["rows"].insert_one({"_id": "late", "due": "soon"})
        assert await changed(2) == "late"
        await both["rows"].insert_one({"n": 21})
        assert await changed(1) is None


async def test_ensuring_twice_changes_nothing(both: Mongo) -> None:
    """Two instances that start together both succeed, and the index stands once."""
    index: tuple[list[tuple[str, int]], dict[str, Any]] = ([("n", 1)], {"unique": True})
    await asyncio.gather(both.ensure("rows", index), both.ensure("rows", index))
    await both.ensure("rows", index)
    assert set(await both["rows"].index_information()) == {"_id_", "n_1"}


async def test_writes_are_acknowledged_by_a_journalled_majority(both: Mongo) -> None:
    """The client's own defaults carry it: no caller can forget."""
    assert both["rows"].write_concern.document == {"w": "majority", "j": True}
