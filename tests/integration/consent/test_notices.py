"""From the entry to the topic: what must be told at once is told once, whoever dies, doubles or sleeps on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chassis.settings import MongoSettings
from chassis.tokens import EVERY_RECORD
from contracts.consent import AccessAnnounced, DocumentRevealed
from contracts.registry import decode, topic_of
from services.consent import notices as notices_module
from services.consent.doctor_notices import MongoDoctorNotices
from services.consent.domain.entry import Outcome, Reviewing
from services.consent.domain.flow import Action, Change, Reason
from services.consent.domain.review import DPO, Review
from services.consent.domain.rules import Judgement, Rules
from services.consent.domain.treating_doctor import DoctorNotice
from services.consent.inscribing import Inscribe
from services.consent.notices import MongoReviews, announcing
from services.consent.ports import DoctorNotices, Due, Fate, Reviews
from services.consent.use_cases.decide import Decide
from tests.integration.conftest import on_driver
from tests.integration.consent.announcers import Announcer, Site, nothing_due
from tests.integration.consent.conftest import Start
from tests.integration.consent.processes import Process, fresh_record, now_ms
from tests.integration.observing import Tap, eventually
from tests.unit.consent.memory import MemoryDoctorNotices, MemoryReviews, Unchanging
from tests.unit.consent.people import MOREAU, NOW, OTHER_RECORD, PETIT, RECORD, entry, flow, paper

TOPIC = topic_of(AccessAnnounced)
MINUTE = 60_000
PETIT_TREATS = Change("treating-doctor", f"person:{PETIT.id}")
OFFICER = replace(MOREAU, id="899700000008", name="Claude Garde", profession=DPO)
Open = Callable[[str], Awaitable[Tap]]
# Every step from the row that is due to the fact that its relay forgets.
STEPS = (
    "consent.announce.settled", "consent.announce.review-opened", "consent.announce.doctor-added",
    "consent.announce.added", "consent.announce.told", "relay.found", "relay.sent", "relay.published", "relay.removed",
)  # fmt: skip


class Permissive(Rules):
    """Rules that allow whatever is asked: the verdict is not what is tested."""

    def judge(self, principal: tuple[str, str], action: str, context: dict[str, Any]) -> Judgement:  # noqa: ARG002 - as Rules
        """Allow."""
        return Judgement(allowed=True, rule="patient-own-record")


async def test_what_a_decider_allows_in_an_emergency_is_due_with_its_entry(announcer: Announcer) -> None:
    """List, read and declaration come due in their own insert; no other row holds the word, and entries read alike."""
    consent = announcer.consent
    decide = Decide(consent.ledger, consent.journal, consent.keys, Unchanging(Permissive()), now_ms)
    deposited = await decide.one(flow(PETIT, Action.DEPOSIT, deposit=paper(), purpose="BTG"))
    told = [
        await decide.one(flow(MOREAU, Action.READ, deposited.documents[0].id, purpose="BTG")),
        await decide.one(flow(MOREAU, Action.LIST, purpose="ETREAT")),
        await decide.one(flow(MOREAU, Action.DECLARE_CARE)),
    ]
    await decide.one(flow(MOREAU, Action.LIST))
    await consent.ask(
        MOREAU, Action.LIST, purpose="BTG", reason=Reason("URG", "Inconscient")
    )  # by the real rules: refused
    due = await announcer.notices.due(10)
    assert [(each.flow, each.kind) for each in due] == [
        (told[0].flow.id, "emergency"), (told[1].flow.id, "emergency"), (told[2].flow.id, "declared-care"),
    ]  # fmt: skip
    entries = await consent.entries()
    assert [each.announces is not None for each in entries] == [False, False, True, True, True, False, False]
    assert [each.leaf_class for each in entries][2:] == ["emergency", "emergency", "directive", "request", "request"]
    assert "due" not in entries[2].clear


async def test_an_announcement_is_one_fact_and_one_review(announcer: Announcer) -> None:
    """It names record, kind, flow and time and no more; the entry is as it was, and nothing is due."""
    access = await announcer.emergency(at=NOW)
    before = await announcer.consent.entries()
    (due,) = await announcer.notices.due(10)
    assert [await announcer.announce(due), await announcer.announce(due)] == ["told", "told-before"]
    assert await announcer.notices.due(10) == []
    ((event_id, said),) = await announcer.told()
    assert AccessAnnounced.model_validate_json(said) == AccessAnnounced(
        record=RECORD, kind="emergency", flow=access, at=NOW
    )
    assert len(event_id) == 32
    assert await announcer.open_reviews() == [access]
    assert await announcer.consent.entries() == before
    rows = repr(await announcer.consent.mongo["reviews"].find({}).to_list(None))
    assert not any(word in rows for word in (MOREAU.id, MOREAU.name, "Inconscient", "URG", "BTG"))


async def test_one_flow_id_in_two_records_silences_neither(announcer: Announcer) -> None:
    """Whoever asks gives the flow its id: the same one twice is still two events and two reviews."""
    consent, other = announcer.consent, fresh_record()
    await consent.open(other, "opened too")
    asked = flow(MOREAU, Action.READ, purpose="BTG")
    for record in (RECORD, other):
        state = await consent.ledger.folded(record)
        assert state is not None
        written = entry(state, replace(asked, record=record), Outcome("allowed", "rule"), now_ms())
        assert await consent.journal.append([written]) == [Fate.STANDS]
    ends = [await announcer.announce(each) for each in await announcer.notices.due(10)]
    assert ends == ["told", "told"]
    assert len({event for event, _ in await announcer.told()}) == 2
    assert await announcer.open_reviews() == [asked.id, asked.id]


async def test_the_first_of_an_hour_is_told_for_all(announcer: Announcer) -> None:
    """Looks in any order of announcing: the first of each hour is told, the others are due no longer."""
    looks = [await announcer.emergency(at=NOW + number * 25 * MINUTE) for number in range(6)]
    due = await announcer.notices.due(10)
    for each in reversed(due):
        await announcer.announce(each)
    assert await announcer.notices.due(10) == []
    told = {AccessAnnounced.model_validate_json(said).flow for _, said in await announcer.told()}
    assert told == {looks[0], looks[3]}
    assert set(await announcer.open_reviews()) == told


async def test_announcers_at_once_announce_once(start: Start) -> None:
    """Three processes at the same rows: each access of its own professional is one fact and one review."""
    announcers = [Announcer(await start()) for _ in range(3)]
    for each in announcers:
        await each.prepare()
    first = announcers[0]
    looks = [await first.emergency(replace(MOREAU, id=f"8997000001{number:02}")) for number in range(12)]
    due = await first.notices.due(100)
    ends = await asyncio.gather(*(each.announce(one) for one in due for each in announcers))
    assert sorted(ends) == ["told"] * 12 + ["told-before"] * 24
    told = [AccessAnnounced.model_validate_json(said).flow for _, said in await first.told()]
    assert sorted(told) == sorted(looks) == sorted(await first.open_reviews())


@asynccontextmanager
async def watching(each: Announcer, announce: Any = None) -> AsyncIterator[None]:
    """Run the role beside the block."""
    task = asyncio.create_task(announcing(each.consent.mongo, each.notices, announce or each.announce, now_ms))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_entry_that_comes_due_wakes_the_announcer(
    announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change stream, not the next look, brings it: it is told within moments."""
    monkeypatch.setattr(notices_module, "_LOOK_AGAIN_SECONDS", 100.0)
    async with watching(announcer):
        await asyncio.sleep(0.5)
        for number in range(3):
            await announcer.emergency(replace(MOREAU, id=f"8997000002{number:02}"))
            await eventually(lambda: nothing_due(announcer), 3)
    assert len(await announcer.told()) == 3


async def test_what_no_change_announced_is_found_by_looking_again(
    announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is due again without an insert (a restored database) is told within the interval, under its old id."""
    monkeypatch.setattr(notices_module, "_LOOK_AGAIN_SECONDS", 1.5)
    await announcer.emergency()
    async with watching(announcer):
        await eventually(lambda: nothing_due(announcer), 5)
        before = await announcer.told()
        await announcer.consent.mongo["journal"].update_one({"class": "emergency"}, {"$set": {"due": "emergency"}})
        await eventually(lambda: nothing_due(announcer), 6)
    assert await announcer.told() == before
    assert len(await announcer.open_reviews()) == 1


async def test_what_cannot_be_told_silences_no_other(announcer: Announcer) -> None:
    """One entry fails again and again: the others are told, and it stays due."""
    looks = [await announcer.emergency(replace(MOREAU, id=f"8997000003{number:02}")) for number in range(3)]

    async def announce(each: Due) -> str:
        if each.flow == looks[0]:
            raise LookupError
        return await announcer.announce(each)

    async def others_told() -> bool:
        return [each.flow for each in await announcer.notices.due(10)] == looks[:1]

    async with watching(announcer, announce):
        await eventually(others_told)
    assert len(await announcer.told()) == 2


async def test_an_entry_altered_in_the_database_is_told_all_the_same(announcer: Announcer) -> None:
    """What can no more be opened names no professional: the person is told, and the error is not hers to bear."""
    access = await announcer.emergency()
    await announcer.consent.mongo["journal"].update_one({"class": "emergency"}, {"$set": {"body": b"altered"}})
    (due,) = await announcer.notices.due(10)
    assert await announcer.announce(due) == "told"
    ((_, said),) = await announcer.told()
    assert AccessAnnounced.model_validate_json(said).flow == access
    assert await announcer.open_reviews() == []


@pytest.mark.parametrize("point", STEPS)
async def test_a_kill_at_any_step_neither_loses_nor_doubles(site: Site, tap: Open, point: str) -> None:
    """SIGKILL between any two steps, then another start: one event, one review, one row for the treating doctor."""
    record = fresh_record()
    await site.announcer.consent.open(record, f"opened-{record}")
    await site.announcer.consent.say(PETIT_TREATS, record)
    heard = await tap(TOPIC)
    access = await site.announcer.emergency(record=record)
    await site.dies_at(point)
    await site.recovers()
    published = await heard.take(2, seconds=3)
    facts = [decode(each.headers, each.value) for each in published]
    assert {envelope.id for envelope, _ in facts} == {facts[0][0].id}
    assert {fact for _, fact in facts} == {facts[0][1]}
    fact = facts[0][1]
    assert isinstance(fact, AccessAnnounced)
    assert (fact.record, fact.flow, published[0].key) == (record, access, record.encode())
    if point not in {"relay.sent", "relay.published"}:  # there the broker may have had it before the relay knew
        assert len(facts) == 1
    assert await site.announcer.open_reviews() == [access]
    his = await site.announcer.doctors.of(PETIT.id, EVERY_RECORD, None, 10)
    assert [(each.record, each.flow) for each in his] == [(record, access)]


async def test_a_kill_while_others_are_passed_over_tells_the_first(site: Site, tap: Open) -> None:
    """The announcer dies after it passed over a later look: the first is told, the rest is passed over."""
    record = fresh_record()
    await site.announcer.consent.open(record, f"opened-{record}")
    heard = await tap(TOPIC)
    # By the decider's clock the later look seems the older: it is dealt with first.
    first = await site.announcer.emergency(record=record, at=NOW)
    for number in range(1, 4):
        await site.announcer.emergency(record=record, at=NOW - number)
    await site.dies_at("consent.announce.passed-over")
    assert not await nothing_due(site.announcer)
    await site.recovers()
    (published,) = await heard.take(2, seconds=3)
    _, fact = decode(published.headers, published.value)
    assert isinstance(fact, AccessAnnounced)
    assert fact.flow == first
    assert await site.announcer.open_reviews() == [first]


async def _revealed(announcer: Announcer, record: str) -> str:
    """Have a result deposited that she may not know of, and announced by its depositor; return the document."""
    secret, decide = paper(uuid4().hex, visibility=("INVISIBLE_PATIENT",)), announcer.consent.decide
    document = (await decide.one(flow(MOREAU, Action.DEPOSIT, record=record, deposit=secret))).documents[0].id
    await decide.one(flow(MOREAU, Action.ANNOUNCE, document, record=record))
    return document


async def test_what_is_announced_or_revealed_is_due_with_its_entry(announcer: Announcer) -> None:
    """A professional's entry and the sweep's: each comes due in its own insert, and is one fact of its document."""
    consent = announcer.consent
    first = await _revealed(announcer, RECORD)
    inscribe = Inscribe(consent.ledger, consent.journal, consent.in_force, now_ms)
    secret = paper("second", visibility=("INVISIBLE_PATIENT",))
    second = (await consent.decide.one(flow(MOREAU, Action.DEPOSIT, deposit=secret))).documents[0].id
    await inscribe(RECORD, f"revealed-{second}", "revealed", about=second)
    due = await announcer.notices.due(10)
    assert [each.kind for each in due] == ["revealed", "revealed"]
    ends = [await announcer.announce(each) for each in due for _ in range(2)]
    assert ends == ["told", "told-before"] * 2
    facts = [DocumentRevealed.model_validate_json(said) for _, said in await announcer.told()]
    assert {(each.record, each.document) for each in facts} == {(RECORD, first), (RECORD, second)}
    assert [each.at for each in facts] == [each.at for each in due]
    assert await announcer.open_reviews() == []


async def test_a_document_announced_twice_is_one_event(announcer: Announcer) -> None:
    """Nobody can fill her inbox by announcing the same result again and again."""
    document = await _revealed(announcer, RECORD)
    for _ in range(3):
        await announcer.consent.decide.one(flow(MOREAU, Action.ANNOUNCE, document))
    assert [await announcer.announce(each) for each in await announcer.notices.due(10)] == ["told"] * 4
    assert len(await announcer.told()) == 1


@pytest.mark.parametrize("point", ["consent.reveal.added", "consent.reveal.told"])
async def test_a_kill_while_a_revealed_document_is_told_neither_loses_nor_doubles(
    site: Site, tap: Open, point: str
) -> None:
    """SIGKILL in and after the transaction, then another start: one event, and nothing left due."""
    record = fresh_record()
    await site.announcer.consent.open(record, f"opened-{record}")
    heard = await tap(TOPIC)
    document = await _revealed(site.announcer, record)
    await site.dies_at(point)
    await site.recovers()
    (published,) = await heard.take(2, seconds=2)
    _, fact = decode(published.headers, published.value)
    assert isinstance(fact, DocumentRevealed)
    assert (fact.record, fact.document, published.key) == (record, document, record.encode())


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def shelf(
    request: pytest.FixtureRequest, mongo_settings: MongoSettings, root: Path
) -> AsyncIterator[tuple[Reviews, Callable[[Review], Awaitable[None]]]]:
    """Give reviews, and the way to open one, in memory or on a fresh database."""
    if request.param == "memory":
        memory = MemoryReviews()

        async def open_there(review: Review) -> None:
            memory.open(review)

        yield memory, open_there
        return
    mongo = on_driver(request.param, mongo_settings)
    process = Process(mongo, root)
    await process.prepare()
    reviews = MongoReviews(mongo, process.record_keys)
    await reviews.prepare()
    for record in (RECORD, OTHER_RECORD):
        await process.record_keys.create(record)

    async def open_here(review: Review) -> None:
        await mongo.transact(lambda session: reviews.open(review, session))

    yield reviews, open_here
    await mongo.close()


_SAID = Reviewing("f" * 32, NOW, OFFICER, "Le motif était réel et noté.", True)


def _review(flow_id: str, at: int = NOW, **more: Any) -> Review:
    return replace(Review(RECORD, flow_id, "750000001", at, at + 1), **more)


async def test_reviews_are_owed_by_organisation_in_order(
    shelf: tuple[Reviews, Callable[[Review], Awaitable[None]]],
) -> None:
    """The oldest first, page by page, of one organisation, of one record or of all; a closed one is owed no more."""
    reviews, open_one = shelf
    mine = [_review("a", NOW + 1), _review("b", NOW), _review("c", NOW, record=OTHER_RECORD)]
    for each in [*mine, *mine, _review("d", organisation="750000002"), _review("b", NOW + 9)]:
        await open_one(each)
    a, b, c = mine
    assert await reviews.owed("750000001", EVERY_RECORD, None, 10) == [b, c, a]
    assert await reviews.owed("750000001", EVERY_RECORD, None, 2) == [b, c]
    assert await reviews.owed("750000001", EVERY_RECORD, (NOW, "b"), 10) == [c, a]
    assert await reviews.owed("750000001", OTHER_RECORD, None, 10) == [c]
    assert await reviews.find("750000001", EVERY_RECORD, "a") == a
    assert await reviews.find("750000001", OTHER_RECORD, "a") is None
    assert await reviews.find("750000002", EVERY_RECORD, "a") is None
    for _ in range(2):
        await reviews.close(b, _SAID)
    assert await reviews.owed("750000001", EVERY_RECORD, None, 10) == [c, a]
    assert await reviews.find("750000001", EVERY_RECORD, "b") == replace(b, state="closed")


async def test_an_open_review_is_found_before_a_closed_one_of_its_flow(
    shelf: tuple[Reviews, Callable[[Review], Awaitable[None]]],
) -> None:
    """A flow id in two records: the review that is still owed is the one that is answered."""
    reviews, open_one = shelf
    one, two = _review("a"), _review("a", record=OTHER_RECORD)
    for each in (one, two):
        await open_one(each)
    await reviews.close(one, _SAID)
    assert await reviews.find("750000001", EVERY_RECORD, "a") == two
    await reviews.close(two, _SAID)
    found = await reviews.find("750000001", EVERY_RECORD, "a")
    assert found is not None
    assert found.state == "closed"


async def test_an_answer_is_sealed_in_its_row(announcer: Announcer) -> None:
    """Neither the text nor the finding nor the officer stands in clear, in the row or in the journal."""
    access = await announcer.emergency()
    (due,) = await announcer.notices.due(1)
    await announcer.announce(due)
    review = await announcer.reviews.find(str(MOREAU.organisation), EVERY_RECORD, access)
    assert review is not None
    await announcer.reviews.close(review, _SAID)
    (row,) = await announcer.consent.mongo["reviews"].find({}).to_list(None)
    assert row["state"] == "closed"
    said = repr(row).encode() + bytes(row["answer"])
    for secret in ("motif", "réel", "justified", OFFICER.id, OFFICER.name):
        assert secret.encode() not in said


async def test_a_treating_doctor_s_row_comes_with_the_announcement_and_goes_by_itself(announcer: Announcer) -> None:
    """Which record, which flow and when; nobody's number, his own included; an index ends it after ninety days."""
    await announcer.consent.say(PETIT_TREATS)
    access = await announcer.emergency(at=NOW)
    (due,) = await announcer.notices.due(10)
    assert await announcer.announce(due) == "told"
    (row,) = await announcer.consent.mongo["doctor_notices"].find({}).to_list(None)
    assert row == {
        "_id": f"{RECORD}:{access}", "record": RECORD, "flow": access, "doctor": row["doctor"], "at": NOW,
        "told_at": row["told_at"],
    }  # fmt: skip
    assert not any(number in repr(row) for number in (PETIT.id, PETIT.id[1:], MOREAU.id))
    indexes = await announcer.consent.mongo["doctor_notices"].index_information()
    assert [(each["key"], each["expireAfterSeconds"]) for each in indexes.values() if "expireAfterSeconds" in each] == [
        ([("told_at", 1)], 90 * 86_400)
    ]


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def rows(
    request: pytest.FixtureRequest, mongo_settings: MongoSettings, root: Path
) -> AsyncIterator[tuple[DoctorNotices, Callable[[DoctorNotice], Awaitable[None]]]]:
    """Give treating doctors' rows, and the way to add one, in memory or on a fresh database."""
    if request.param == "memory":
        memory = MemoryDoctorNotices()

        async def add_there(notice: DoctorNotice) -> None:
            memory.add(notice)

        yield memory, add_there
        return
    mongo = on_driver(request.param, mongo_settings)
    process = Process(mongo, root)
    await process.prepare()
    doctors = MongoDoctorNotices(mongo, process.record_keys)
    await doctors.prepare()

    async def add_here(notice: DoctorNotice) -> None:
        await mongo.transact(lambda session: doctors.add(notice, session))

    yield doctors, add_here
    await mongo.close()


async def test_a_doctor_s_rows_come_newest_first(
    rows: tuple[DoctorNotices, Callable[[DoctorNotice], Awaitable[None]]],
) -> None:
    """His alone, page by page, of one record or of all; one that stands stays as it was."""
    doctors, add = rows
    a, b, c = (
        DoctorNotice(RECORD, "a", MOREAU.id, NOW),
        DoctorNotice(RECORD, "b", MOREAU.id, NOW),
        DoctorNotice(OTHER_RECORD, "c", MOREAU.id, NOW + 1),
    )
    for each in (a, b, c, a, replace(a, doctor=PETIT.id), DoctorNotice(RECORD, "d", PETIT.id, NOW)):
        await add(each)
    assert await doctors.of(MOREAU.id, EVERY_RECORD, None, 10) == [c, b, a]
    assert await doctors.of(MOREAU.id, EVERY_RECORD, None, 2) == [c, b]
    assert await doctors.of(MOREAU.id, EVERY_RECORD, (NOW, "b"), 10) == [a]
    assert await doctors.of(MOREAU.id, RECORD, None, 10) == [b, a]
    assert await doctors.of("nobody", EVERY_RECORD, None, 10) == []
