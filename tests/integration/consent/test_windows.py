"""Windows of refusals that repeat: a conformance suite, in memory and on MongoDB; deciders and sweepers."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from chassis.mongo import Mongo
from chassis.settings import MongoSettings
from services.consent.domain.entry import Entry, Outcome
from services.consent.domain.flow import Action, Flow
from services.consent.domain.record import Record
from services.consent.domain.repeating import over_at
from services.consent.inscribing import Inscribe
from services.consent.keys import FileRoot, MongoRecordKeys
from services.consent.ports import Counted, Journal, OutcomeUnknown, Window, Windows
from services.consent.repeats import Repeats
from services.consent.store import MongoJournal
from services.consent.use_cases.close_windows import SETTLED_MS, CloseWindows
from services.consent.use_cases.decide import Decide
from services.consent.windows import MongoWindows
from tests.integration.conftest import on_driver
from tests.integration.consent.conftest import Start
from tests.integration.consent.processes import Deaf, Process, asked, now_ms
from tests.integration.consent.test_activation import NEWER
from tests.integration.consent.test_deciders import replayed
from tests.unit.consent.memory import MemoryJournal, MemoryWindows
from tests.unit.consent.people import ABSENT, MOREAU, NOW, OTHER_RECORD, PETIT, RECORD, RULES, entry, flow

UNTIL = NOW + 600_000
LASTS = 600_000


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def ports(
    request: pytest.FixtureRequest, mongo_settings: MongoSettings, root: Path
) -> AsyncIterator[tuple[Journal, Windows]]:
    """Give a journal and its windows, in memory or on a fresh database."""
    if request.param == "memory":
        kept = MemoryJournal()
        yield kept, MemoryWindows(kept)
        return
    mongo = on_driver(request.param, mongo_settings)
    keys = MongoRecordKeys(mongo, FileRoot(root))
    journal, windows = MongoJournal(mongo, keys), MongoWindows(mongo, keys)
    for each in (keys, journal, windows):
        await each.prepare()
    for record in (RECORD, OTHER_RECORD):
        await keys.create(record)
    yield journal, windows
    await mongo.close()


@pytest.fixture
def windows(ports: tuple[Journal, Windows]) -> Windows:
    """Give the windows."""
    return ports[1]


def refusal(record: str = RECORD, who: Flow | None = None) -> Entry:
    """Return the entry of a refused read."""
    said = who or flow(MOREAU, Action.READ, ABSENT, record=record)
    return entry(Record(record), said, Outcome("refused", "no-relation", refused=(("no-relation", 1),)), NOW)


async def opened(windows: Windows, first: Entry | None = None) -> Window:
    """Open a window and look at it."""
    first = first or refusal()
    await windows.open(first, UNTIL)
    found = await windows.look(first, UNTIL)
    assert found is not None
    return found


async def test_a_window_is_found_by_what_is_alike(windows: Windows) -> None:
    """By any refusal like the first, of this record and this time, and by no other."""
    first = refusal()
    found = await opened(windows, first)
    assert (found.first, found.until, found.times, found.record) == (first.clear, UNTIL, 0, RECORD)
    assert await windows.look(refusal(), UNTIL) == found
    assert await windows.look(refusal(), UNTIL + LASTS) is None
    assert await windows.look(refusal(OTHER_RECORD), UNTIL) is None
    assert await windows.look(refusal(who=flow(PETIT, Action.READ, ABSENT)), UNTIL) is None


async def test_the_first_to_open_stays(windows: Windows) -> None:
    """Two deciders that opened at once: one window, of whichever came first."""
    found = await opened(windows)
    await windows.open(refusal(), UNTIL)
    assert await windows.look(refusal(), UNTIL) == found


async def test_a_request_counts_once(windows: Windows) -> None:
    """Again and again, at once too; another request under its id is told apart."""
    window, once = await opened(windows), flow(MOREAU, Action.READ, ABSENT)
    assert await windows.count(window, once, NOW + 5) is Counted.COUNTED
    again = await asyncio.gather(*(windows.count(window, once, NOW + 9) for _ in range(8)))
    assert set(again) == {Counted.COUNTED}
    assert await windows.count(window, replace(once, digest="another"), NOW + 9) is Counted.OTHER
    others = await asyncio.gather(*(windows.count(window, flow(MOREAU, Action.READ), NOW + 7) for _ in range(8)))
    assert set(others) == {Counted.COUNTED}
    ended = await windows.end(window)
    assert (ended.times, ended.last) == (9, NOW + 7)
    assert len(ended.flows) == 9
    assert once.id in ended.flows


async def test_a_window_that_is_over_takes_no_more(windows: Windows) -> None:
    """At its end, when it was ended, when it was dropped; what was counted in time is still known."""
    window, once = await opened(windows), flow(MOREAU, Action.READ, ABSENT)
    assert await windows.count(window, once, UNTIL - 1) is Counted.COUNTED
    assert await windows.count(window, flow(MOREAU, Action.READ), UNTIL) is Counted.OVER
    assert await windows.count(window, once, UNTIL) is Counted.COUNTED
    assert (await windows.end(window)).times == 1
    assert await windows.count(window, flow(MOREAU, Action.READ), NOW) is Counted.OVER
    assert (await windows.end(window)).times == 1
    await windows.drop(window)
    assert await windows.count(window, flow(MOREAU, Action.READ), NOW) is Counted.OVER
    assert await windows.over(UNTIL + 1, "", 9) == []


async def test_a_later_window_of_the_name_is_not_dropped_with_it(windows: Windows) -> None:
    """A sweeper that was slow drops the window that it closed, not the one that was opened since."""
    window = await opened(windows)
    await windows.drop(window)
    later = await opened(windows)
    await windows.drop(window)
    assert await windows.look(refusal(), UNTIL) == later


async def test_what_is_over_is_found_page_by_page(windows: Windows) -> None:
    """Windows that were over before a time, each once."""
    for record in (RECORD, OTHER_RECORD):
        await opened(windows, refusal(record))
    assert await windows.over(UNTIL, "", 9) == []
    (first,) = await windows.over(UNTIL + 1, "", 1)
    (second,) = await windows.over(UNTIL + 1, first.name, 9)
    assert {first.record, second.record} == {RECORD, OTHER_RECORD}


async def test_rules_that_are_in_force_no_more_count_nothing(ports: tuple[Journal, Windows]) -> None:
    """From the moment the journal takes no entry of them; their windows are closed all the same."""
    journal, windows = ports
    await journal.demand(RULES.digest)
    window = await opened(windows)
    assert await windows.count(window, flow(MOREAU, Action.READ), NOW) is Counted.COUNTED
    await journal.demand("of-newer-rules")
    assert await windows.count(window, flow(MOREAU, Action.READ), NOW) is Counted.OUTDATED
    assert (await windows.end(window)).times == 1
    await windows.drop(window)
    assert await windows.look(refusal(), UNTIL) is None


async def test_causes_that_have_an_entry_are_told(ports: tuple[Journal, Windows]) -> None:
    """Of this record, and of those that were asked about."""
    journal = ports[0]
    written = refusal()
    await journal.append([written])
    assert await journal.caused(RECORD, [written.cause, "none"]) == {written.cause}
    assert await journal.caused(OTHER_RECORD, [written.cause]) == set()
    assert await journal.caused(RECORD, []) == set()


async def test_a_row_says_nothing_of_who_and_what(mongo: Mongo, root: Path) -> None:
    """Whoever reads the database finds neither actor nor document, and can try no guess on the window's name."""
    keys = MongoRecordKeys(mongo, FileRoot(root))
    windows = MongoWindows(mongo, keys)
    for each in (keys, windows):
        await each.prepare()
    await keys.create(RECORD)
    window = await opened(windows)
    await windows.count(window, flow(MOREAU, Action.READ, ABSENT), NOW)
    (row,) = await mongo["windows"].find({}).to_list(None)
    assert set(row) == {"_id", "policies", "until", "first", "times", "last", "flows"}
    said = str(row)
    assert not any(word in said for word in (MOREAU.id, MOREAU.name, ABSENT, "TREAT", "no-relation", "read"))
    await mongo["record_keys"].delete_many({})
    other = MongoRecordKeys(mongo, FileRoot(root))
    await other.create(RECORD)
    assert await MongoWindows(mongo, other).look(refusal(), UNTIL) is None


class Site:
    """A process of consent that tells refusals by their number, and its sweeper."""

    def __init__(self, process: Process, clock: int | None = None) -> None:
        self.windows = MongoWindows(process.mongo, process.record_keys)
        repeats = Repeats(self.windows, LASTS)
        # All of a test in one window, whatever the hour.
        self.now = over_at(clock or now_ms(), LASTS) - LASTS
        self.decide = Decide(
            process.ledger, process.journal, process.keys, process.in_force, self.clock, repeats=repeats
        )  # fmt: skip
        inscribe = Inscribe(process.ledger, process.journal, process.in_force, self.clock)
        self.close = CloseWindows(self.windows, process.journal, inscribe, self.clock)

    def clock(self) -> int:
        """Return a time within the window, which passes."""
        self.now += 1
        return self.now


@pytest.mark.parametrize("driver", ["motor"], indirect=True)
async def test_whatever_meets_each_flow_is_told_once(start: Start) -> None:
    """Four deciders, one of them deaf, questions heard twice and at once, four sweepers: entries and numbers add up."""
    processes = [await start() for _ in range(3)] + [await start(Deaf)]
    sites, lots = [Site(each) for each in processes], random.Random(11)
    flows = [asked(who, Action.READ, ABSENT) for who in (MOREAU, PETIT) for _ in range(40)]
    deaf = processes[-1].journal
    assert isinstance(deaf, Deaf)

    async def ask(question: Flow) -> None:
        deaf.deaf = lots.random() < 0.3
        heard = [lots.choice(sites).decide(question) for _ in range(lots.choice([1, 2, 3]))]
        for answer in await asyncio.gather(*heard, return_exceptions=True):
            assert isinstance(answer, OutcomeUnknown) or (answer and answer.outcome)  # type: ignore[union-attr]

    # Without a deadline: a question that took long must not be dropped here.
    lots.shuffle(flows)
    flows = [replace(each, deadline_ms=None) for each in flows]
    for start_at in range(0, len(flows), 8):
        await asyncio.gather(*(ask(each) for each in flows[start_at : start_at + 8]))
    deaf.deaf = False
    assert await sites[0].windows.over(now_ms() + 10 * LASTS, "", 9)
    for site in sites:
        site.now += LASTS + SETTLED_MS + 1_000
    await asyncio.gather(*(site.close() for site in sites))
    entries = await processes[0].entries()
    replayed(entries)
    told = {each.cause for each in entries if each.flow}
    numbers = [each.repeated for each in entries if each.repeated]
    assert len(told) + sum(each.times for each in numbers) == len(flows)
    assert {each.by.id for each in numbers} == {MOREAU.id, PETIT.id}
    # Nearly all of them: what raced to be the first is an entry, and no more than that.
    assert len(told) <= 2 * len(sites)
    assert await processes[0].mongo["windows"].count_documents({}) == 0


@pytest.mark.parametrize("driver", ["motor"], indirect=True)
async def test_an_activation_ends_what_was_counted_under_the_old_rules(start: Start) -> None:
    """A decider of the old rules counts nothing after the activation; its number under them is told by the new ones."""
    process = await start()
    site = Site(process)
    for _ in range(3):
        await site.decide.one(replace(asked(MOREAU, Action.READ, ABSENT), deadline_ms=None))
    other = await start()
    await other.activate(NEWER)
    decided = await site.decide.one(replace(asked(MOREAU, Action.READ, ABSENT), deadline_ms=None))
    assert decided.entry is not None
    assert decided.entry.policies == NEWER.digest
    site.now += LASTS + SETTLED_MS + 1_000
    await site.close()
    newest = (await process.entries())[-1]
    assert newest.repeated is not None
    assert (newest.repeated.times, newest.policies) == (2, NEWER.digest)
