"""One conformance suite for consent's ports, in memory and on MongoDB by both drivers: nobody sees a difference."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chassis.sealing import Unsealable
from chassis.settings import MongoSettings
from services.consent.domain.document import Document
from services.consent.domain.entry import MAIN, Entry, Outcome
from services.consent.domain.flow import Action, Reason
from services.consent.domain.record import Record
from services.consent.keys import FileRoot, MongoRecordKeys
from services.consent.ports import DocumentKeys, Fate, Journal, KeyMissing, OutcomeUnknown, RecordUnknown
from services.consent.store import MongoDocumentKeys, MongoJournal
from tests.integration.conftest import on_driver
from tests.integration.consent.processes import Process, fresh_record
from tests.unit.consent.memory import MemoryJournal, MemoryKeys
from tests.unit.consent.people import (
    CAMILLE,
    MONTH,
    MOREAU,
    NOW,
    OTHER_RECORD,
    RECORD,
    Book,
    entry,
    flow,
    opening,
    paper,
)

REPORT = Document(
    id="carnetexampledocumentaa567", version=1, type_code="11502-2", class_code="10", visibility=(),
    depositor="899700000001", organisation="750000001", deposited_at=NOW, entry=2, content_digest="c" * 43,
)  # fmt: skip
SECOND = replace(REPORT, id="carnetexampledocumentbb567")


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def ports(
    request: pytest.FixtureRequest, mongo_settings: MongoSettings, root: Path
) -> AsyncIterator[tuple[Journal, DocumentKeys]]:
    """Give both ports, in memory or on a fresh database."""
    if request.param == "memory":
        yield MemoryJournal(), MemoryKeys()
        return
    mongo = on_driver(request.param, mongo_settings)
    record_keys = MongoRecordKeys(mongo, FileRoot(root))
    journal, keys = MongoJournal(mongo, record_keys), MongoDocumentKeys(mongo, record_keys)
    for each in (record_keys, journal, keys):
        await each.prepare()
    for record in (RECORD, OTHER_RECORD):
        await record_keys.create(record)
    yield journal, keys
    await mongo.close()


@pytest.fixture
def journal(ports: tuple[Journal, DocumentKeys]) -> Journal:
    """Give the journal."""
    return ports[0]


@pytest.fixture
def keys(ports: tuple[Journal, DocumentKeys]) -> DocumentKeys:
    """Give the document keys."""
    return ports[1]


def book() -> list[Entry]:
    """Return a short journal of every kind of entry."""
    written = Book()
    document = written.deposit(paper(visibility=("MASQUE_PS",)))
    written.say("authorise", f"person:{MOREAU.id}", until=NOW + 1)
    written.ask(flow(CAMILLE, Action.LIST))
    written.ask(flow(MOREAU, Action.READ, document, because="event", deadline_ms=NOW))
    written.abandon(document)
    return written.entries


def emergency(at: int = NOW) -> Entry:
    """Return the second entry of a record: an emergency opened it."""
    asked = flow(MOREAU, Action.READ, purpose="BTG", reason=Reason("URG", "Inconscient"), auth_time=at // 1000)
    return entry(Record(RECORD, 1, 1), asked, Outcome("allowed", "rule", count=1), at)


async def _write(journal: Journal, entries: list[Entry]) -> None:
    for each in entries:
        assert await journal.append([each]) == [Fate.STANDS]


async def test_what_is_appended_is_read_as_it_was(journal: Journal) -> None:
    """By cause, by page and between versions, an entry comes back equal."""
    entries = book()
    await _write(journal, entries)
    assert list(reversed(await journal.page(RECORD, None, 100))) == entries
    assert [await journal.by_cause(RECORD, each.cause) for each in entries] == entries
    assert await journal.head(RECORD) == (entries[-1].version, entries[-1].n)


async def test_a_record_without_entries_has_no_head(journal: Journal) -> None:
    """Nothing is found of a record that was never opened, or of a cause that never was."""
    await _write(journal, book())
    assert await journal.head(OTHER_RECORD) is None
    assert await journal.by_cause(RECORD, "never") is None
    assert await journal.page(OTHER_RECORD, None, 10) == []


async def test_pages_go_back_from_a_version(journal: Journal) -> None:
    """The newest first, from below the version named, at most so many."""
    entries = book()
    await _write(journal, entries)
    assert [each.version for each in await journal.page(RECORD, 5, 2)] == [4, 3]


async def test_pages_may_be_of_a_period(journal: Journal) -> None:
    """From a time on, and before a time; a page of a period goes back from a version all the same."""
    await _write(journal, [replace(each, at=NOW + each.version) for each in book()])
    assert [each.version for each in await journal.page(RECORD, None, 9, since=NOW + 3, until=NOW + 6)] == [5, 4, 3]
    assert [each.version for each in await journal.page(RECORD, None, 9, until=NOW + 3)] == [2, 1]
    assert [each.version for each in await journal.page(RECORD, 6, 2, since=NOW + 2)] == [5, 4]


async def test_pages_may_be_of_streams(journal: Journal) -> None:
    """What stands in other streams fills no page; without any named, all of them are there."""
    streams = {2: "closed", 4: "open", 5: "closed"}
    entries = [replace(each, stream=streams.get(each.version, MAIN), n=each.version) for each in book()]
    await _write(journal, entries)
    seen = [each.version for each in entries if each.stream in {MAIN, "open"}][::-1]
    assert [each.version for each in await journal.page(RECORD, None, 3, streams={MAIN, "open"})] == seen[:3]
    assert [each.version for each in await journal.page(RECORD, seen[2], 99, streams={MAIN, "open"})] == seen[3:]
    assert [each.version for each in await journal.page(RECORD, None, 99, streams={"open"}, until=NOW * 2)] == [4]
    assert len(await journal.page(RECORD, None, 99)) == len(entries)


async def test_only_what_may_change_a_state_is_read_to_fold(journal: Journal) -> None:
    """Requests are left out; the bounds are after and up to."""
    await _write(journal, book())
    assert [each.version for each in await journal.changing(RECORD, 0, 100)] == [1, 2, 3, 6]
    assert [each.version for each in await journal.changing(RECORD, 2, 5)] == [3]


@pytest.mark.parametrize(
    "taken", [{"version": 1, "n": 9, "cause": "new"}, {"cause": f"opened-{RECORD}"}, {"n": 1, "cause": "new"}]
)
async def test_version_cause_and_place_in_the_stream_are_unique(journal: Journal, taken: dict[str, Any]) -> None:
    """Each of the three locks refuses alone, and what stands is untouched."""
    await _write(journal, [opening()])
    new = replace(opening(), **{"version": 2, "n": 2} | taken)
    assert await journal.append([new]) == [Fate.TAKEN]
    assert await journal.page(RECORD, None, 10) == [opening()]


async def test_entries_of_other_rules_than_those_demanded_are_outdated(journal: Journal) -> None:
    """Of a batch only those of the rules demanded stand; what stood before is read on, and another demand follows."""
    await _write(journal, [opening()])
    assert await journal.demanded() is None
    await journal.demand("newer")
    assert await journal.demanded() == "newer"
    newer = replace(opening(OTHER_RECORD), policies="newer")
    assert await journal.append([replace(opening(), version=2, n=2, cause="c"), newer]) == [Fate.OUTDATED, Fate.STANDS]
    assert await journal.append([replace(newer, cause="d")]) == [Fate.TAKEN]
    assert await journal.page(RECORD, None, 10) == [opening()]
    await journal.demand(opening().policies)
    assert await journal.append([replace(opening(), version=2, n=2, cause="c")]) == [Fate.STANDS]


async def test_a_batch_is_taken_entry_by_entry(journal: Journal) -> None:
    """Of several records one entry may be refused and the others stand."""
    await _write(journal, [opening()])
    assert await journal.append([opening(), opening(OTHER_RECORD)]) == [Fate.TAKEN, Fate.STANDS]
    assert await journal.head(OTHER_RECORD) == (1, 1)


async def test_of_many_at_once_one_wins(journal: Journal) -> None:
    """However many try the same version, exactly one entry stands."""
    await _write(journal, [opening()])
    rivals = [replace(opening(), version=2, n=2, cause=f"cause {number}") for number in range(20)]
    stood = await asyncio.gather(*(journal.append([each]) for each in rivals))
    assert sorted(bool(fate) for (fate,) in stood) == [False] * 19 + [True]
    assert len(await journal.page(RECORD, None, 10)) == 2


async def test_emergencies_are_found_up_to_a_version(journal: Journal) -> None:
    """Those that let somebody in, of this record's main stream, in order; neither requests nor what comes after."""
    first, last = emergency(), replace(emergency(), version=4, n=4)
    request = replace(emergency(), version=3, n=3, leaf_class="request")
    aside = replace(emergency(), version=5, n=1, stream="secret")
    await _write(journal, [opening(), opening(OTHER_RECORD), first, request, last, aside])
    assert await journal.emergencies(RECORD, 5) == [first, last]
    assert await journal.emergencies(RECORD, 3) == [first]
    assert await journal.emergencies(OTHER_RECORD, 9) == []


async def test_another_stream_does_not_move_the_main_one(journal: Journal) -> None:
    """The head's second number is the main stream's."""
    await _write(journal, [opening(), replace(opening(), version=2, cause="other", stream="reserved", n=1)])
    assert await journal.head(RECORD) == (2, 1)
    assert MAIN == "main"


async def test_the_entries_of_one_verdict_stand_together_or_not_at_all(journal: Journal) -> None:
    """Two streams' entries in one insert; where one of them cannot stand, neither does."""
    await _write(journal, [opening()])
    main = replace(opening(), version=2, n=2, cause="a")
    secret = replace(opening(), version=3, n=1, cause="a.1", stream="secret")
    assert await journal.append_together([main, secret])
    assert (await journal.last(RECORD, MAIN), await journal.last(RECORD, "secret")) == (2, 1)
    assert await journal.last(RECORD, "other") == 0
    late = [replace(main, version=4, n=3, cause="b"), replace(secret, version=5, n=1, cause="b.1")]
    assert not await journal.append_together(late)
    assert await journal.head(RECORD) == (3, 2)
    assert await journal.by_cause(RECORD, "b") is None


async def test_whoever_reads_sees_the_streams_that_are_open(journal: Journal) -> None:
    """Pages count the main stream; what stands between in open streams comes along, and nothing of the others."""
    entries = [opening()]
    for number in range(2, 10):
        stream = {4: "open", 6: "closed", 7: "open"}.get(number, MAIN)
        n = sum(each.stream == stream for each in entries) + 1
        entries.append(replace(opening(), version=number, n=n, cause=f"cause {number}", stream=stream))
    await _write(journal, entries)
    assert [each.version for each in await journal.seen(RECORD, {MAIN}, None, 3)] == [9, 8, 5]
    first = await journal.seen(RECORD, {MAIN, "open"}, None, 3)
    assert [each.version for each in first] == [9, 8, 7, 5]
    assert [each.version for each in await journal.seen(RECORD, {MAIN, "open"}, first[-1].n, 10)] == [4, 3, 2, 1]
    assert await journal.seen(OTHER_RECORD, {MAIN, "open"}, None, 3) == []


async def test_a_month_s_end_is_due_once(keys: DocumentKeys) -> None:
    """What was deposited unannounced is found by its time, until the journal tells of it; nothing else is."""
    secret = replace(REPORT, id="s" * 26, visibility=("INVISIBLE_PATIENT",), deposited_at=1_000)
    await keys.hold([(RECORD, REPORT), (RECORD, secret)])
    assert await keys.unannounced_since(MONTH + 999, 10) == []
    assert await keys.unannounced_since(MONTH + 1_000, 10) == [(RECORD, secret.id)]
    await keys.told(RECORD, secret.id)
    assert await keys.unannounced_since(MONTH + 1_000, 10) == []


async def test_a_key_is_held_released_and_confirmed(keys: DocumentKeys) -> None:
    """A key is the same when it is made and at each release; first pending, then live."""
    made, _ = await keys.hold([(RECORD, REPORT), (OTHER_RECORD, REPORT)])
    ((first,), (other,)) = await keys.release([(RECORD, [REPORT]), (OTHER_RECORD, [REPORT])])
    assert first.state == "pending"
    assert len(first.key) == 32
    assert first.key != other.key
    assert made == first
    await keys.confirm(RECORD, REPORT.id, 1, "d" * 43)
    for _ in range(2):  # looked up, then remembered
        ((again,), (others,)) = await keys.release([(RECORD, [REPORT]), (OTHER_RECORD, [REPORT])])
        assert (again.state, again.key) == ("live", first.key)
        assert (others.state, others.key) == ("pending", other.key)


async def test_only_what_stands_is_released(keys: DocumentKeys) -> None:
    """A document without a key is left out, and each caller gets his own documents in his own order."""
    await keys.hold([(RECORD, REPORT), (RECORD, SECOND)])
    await keys.destroy(RECORD, REPORT.id, 1)
    answers = await keys.release(
        [(RECORD, [REPORT]), (RECORD, [REPORT, SECOND]), (RECORD, []), (OTHER_RECORD, [SECOND])]
    )
    assert [[held.document.id for held in each] for each in answers] == [[], [SECOND.id], [], []]


async def test_a_live_key_is_never_destroyed(keys: DocumentKeys) -> None:
    """Pending keys go, once; live ones stay, and the answer says so."""
    await keys.hold([(RECORD, REPORT), (RECORD, SECOND)])
    await keys.confirm(RECORD, SECOND.id, 1, "d" * 43)
    assert await keys.destroy(RECORD, REPORT.id, 1)
    assert not await keys.destroy(RECORD, REPORT.id, 1)
    assert not await keys.destroy(RECORD, SECOND.id, 1)
    ((held,),) = await keys.release([(RECORD, [REPORT, SECOND])])
    assert held.document == SECOND


async def test_a_confirmation_of_what_has_no_key_is_an_error(keys: DocumentKeys) -> None:
    """Documents stores what consent has no key for: that is said, and no row is made of it."""
    with pytest.raises(KeyMissing):
        await keys.confirm(RECORD, REPORT.id, 1, "d" * 43)
    ((),) = await keys.release([(RECORD, [REPORT])])
    assert await keys.pending_since(NOW * 2, 10) == []


async def test_nothing_readable_is_stored(consent: Process) -> None:
    """No name, id of a person, type, purpose or identifier of a document stands in a row, and no key in clear."""
    document = await _deposited(consent)
    ((held,),) = await consent.keys.release([(RECORD, [document])])
    record_key = await consent.record_keys.key(RECORD)
    for name in ("journal", "document_keys", "record_keys"):
        rows = await consent.mongo[name].find({}).to_list(None)
        assert rows
        said = repr(rows).encode() + b"".join(
            bytes(value) for row in rows for value in row.values() if isinstance(value, bytes)
        )
        for secret in (MOREAU.name, MOREAU.id, "11502-2", "TREAT", "2.25.report", "allowed"):
            assert secret.encode() not in said
        assert held.key not in said
        assert record_key not in said


async def _deposited(consent: Process) -> Document:
    decided = await consent.ask(MOREAU, Action.DEPOSIT, deposit=paper())
    assert decided is not None
    return decided.documents[0]


@pytest.mark.parametrize("name", ["version", "at", "class", "policies", "cause"])
async def test_a_row_altered_in_the_database_is_not_believed(consent: Process, name: str) -> None:
    """Whoever writes to the database cannot move an entry or date it anew: reading it fails."""
    await _deposited(consent)
    change = {"class": "directive", "policies": "other", "cause": "other"}.get(name, 99)
    rows = consent.mongo["journal"]
    await rows.update_one({"record": RECORD, "version": 2}, {"$set": {name: change}}, bypass_document_validation=True)
    with pytest.raises(Unsealable):
        await consent.journal.page(RECORD, None, 10)


async def test_swapped_entries_and_keys_are_not_believed(consent: Process) -> None:
    """Bodies exchanged between two entries, or keys between two documents, open nothing."""
    first = await _deposited(consent)
    second = await consent.ask(MOREAU, Action.DEPOSIT, deposit=paper("second"))
    assert second is not None
    for collection, field, names in (
        ("journal", "body", [{"record": RECORD, "version": 2}, {"record": RECORD, "version": 3}]),
        ("document_keys", "wrapped", [{"document": first.id}, {"document": second.documents[0].id}]),
    ):
        rows = [await consent.mongo[collection].find_one(name) for name in names]
        for name, other in zip(names, reversed(rows), strict=True):
            await consent.mongo[collection].update_one(name, {"$set": {field: other[field]}})
    with pytest.raises(Unsealable):
        await consent.keys.release([(RECORD, [first])])
    with pytest.raises(Unsealable):
        await consent.journal.by_cause(RECORD, second.flow.id)


async def test_a_snapshot_moved_or_altered_is_not_read(consent: Process) -> None:
    """It opens under its own record and version only; a newer one is not overwritten by an older one."""
    await _deposited(consent)
    state = await consent.ledger.folded(RECORD)
    assert state is not None
    await consent.snapshots.save(state)
    assert await consent.snapshots.load(RECORD) == state
    older = replace(state, version=1)
    await consent.snapshots.save(older)
    assert await consent.snapshots.load(RECORD) == state
    rows = consent.mongo["snapshots"]
    held = await rows.find_one({"_id": RECORD})
    assert MOREAU.id.encode() not in bytes(held["body"])
    await rows.update_one({"_id": RECORD}, {"$set": {"version": 1}})
    assert await consent.snapshots.load(RECORD) is None
    other = fresh_record()
    await consent.open(other, "opened")
    await rows.insert_one({**held, "_id": other})
    assert await consent.snapshots.load(other) is None


async def test_a_record_key_is_made_once(consent: Process, root: Path) -> None:
    """Whoever comes second makes nothing, and both use the first one's key."""
    record = fresh_record()
    others = [MongoRecordKeys(consent.mongo, FileRoot(root)) for _ in range(5)]
    assert sorted(await asyncio.gather(*(each.create(record) for each in others))) == [False] * 4 + [True]
    assert len({await each.key(record) for each in others}) == 1
    with pytest.raises(RecordUnknown):
        await consent.record_keys.key(fresh_record())


async def test_a_database_that_is_away_leaves_the_outcome_unknown(consent: Process) -> None:
    """What the driver could not say is said: nobody may take it for a yes or a no."""
    await consent.record_keys.key(RECORD)
    await consent.mongo.close()
    with pytest.raises(OutcomeUnknown):
        await consent.journal.append([replace(opening(), version=2, n=2, cause="c")])
