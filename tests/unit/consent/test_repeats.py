"""Refusals that repeat: the first is an entry, the rest are a number, each counted once, and judged first."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Action, Care, Change, Reason
from services.consent.domain.repeating import over_at
from services.consent.domain.rules import Rules
from services.consent.ledger import Ledger
from services.consent.ports import Fate, OutcomeUnknown
from services.consent.repeats import Repeats
from services.consent.use_cases.decide import Decide
from tests.unit.consent.counting import LASTS, Bench
from tests.unit.consent.memory import MemoryJournal, MemorySnapshots, MemoryWindows, Unchanging
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    INSURER,
    MOREAU,
    NOW,
    PARENT,
    PERSON,
    PETIT,
    RULES,
    flow,
    paper,
)


@pytest.fixture
def bench() -> Bench:
    """Return deciders of an open record, which has authorised nobody."""
    return Bench()


async def test_refusals_that_repeat_are_the_first_and_one_number(bench: Bench) -> None:
    """Five times the same refused read: one entry, and behind the window one that says four, by whom and until when."""
    answers = []
    for _ in range(5):
        answers.append(await bench.ask())
        bench.now += 1_000
    first = answers[0]
    assert [each.cause for each in bench.entries] == [first.flow.id]
    # Cited alike: what an answer promises is the entry that tells it.
    assert all(each.entry and first.entry and each.entry.clear == first.entry.clear for each in answers)
    assert all(each.outcome == first.outcome for each in answers)
    last = bench.now - 1_000
    (said,) = await bench.closed()
    assert (said.flow, said.by, said.action, said.verdict) == (first.flow.id, MOREAU, Action.READ, "refused")
    assert (said.times, said.since, said.until) == (4, NOW // LASTS * LASTS, last)
    closing = bench.entries[-1]
    assert (closing.cause, closing.kind, closing.stream) == (f"{first.flow.id}.repeated", "repeated", MAIN)
    # Whoever sees classes only cannot tell that anybody was refused.
    assert closing.leaf_class == "request"
    assert bench.windows.rows == {}


async def test_a_refusal_that_was_not_repeated_closes_in_silence(bench: Bench) -> None:
    """One refusal is one entry, and nothing is left of its window."""
    await bench.ask()
    assert await bench.closed() == []
    assert (len(bench.entries), bench.windows.rows) == (1, {})


async def test_the_next_window_begins_with_an_entry(bench: Bench) -> None:
    """After the window the same refusal is an entry again, whether the first window was closed by then or not."""
    for _ in range(2):
        await bench.ask()
        await bench.ask()
        bench.now = over_at(bench.now, LASTS)
    assert len(bench.entries) == 2
    assert [each.times for each in await bench.closed()] == [1, 1]


async def test_deciders_share_a_window(bench: Bench) -> None:
    """Whichever decider hears it: one first entry, one number."""
    await bench.ask()
    for _ in range(3):
        assert (await bench.decider().one(flow(MOREAU, Action.READ, ABSENT))).outcome is not None
    assert len(bench.entries) == 1
    assert [each.times for each in await bench.closed()] == [3]


async def test_refusals_at_once_are_one_entry_and_their_number(bench: Bench) -> None:
    """Forty at the same moment to one decider: the window is open before the second is looked at."""

    class Slow(MemoryWindows):
        async def open(self, first: Entry, until: int) -> None:
            for _ in range(50):
                await asyncio.sleep(0)
            await super().open(first, until)

    bench.windows = Slow(bench.journal)
    bench.decide = bench.decider()
    await asyncio.gather(*(bench.ask() for _ in range(40)))
    assert len(bench.entries) == 1
    assert [each.times for each in await bench.closed()] == [39]


DIFFERENT: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "another actor": ((PETIT, Action.READ, ABSENT), {}),
    "another application": ((replace(MOREAU, application="autre"), Action.READ, ABSENT), {}),
    "another action": ((MOREAU, Action.LIST, ABSENT), {}),
    "another document": ((MOREAU, Action.READ, "carnetexampledocumentyyy77"), {}),
    "one document more": ((MOREAU, Action.READ, ABSENT, "carnetexampledocumentyyy77"), {}),
    "another purpose": ((MOREAU, Action.READ, ABSENT), {"purpose": "HMARKT"}),
    "late news": ((MOREAU, Action.READ, ABSENT), {"stale": True}),
    "a reason": ((MOREAU, Action.READ, ABSENT), {"reason": Reason("other", "because")}),
}


@pytest.mark.parametrize("case", DIFFERENT)
async def test_what_differs_is_an_entry_of_its_own(bench: Bench, case: str) -> None:
    """Anything that the first entry would not tell is told."""
    await bench.ask()
    who, said = DIFFERENT[case]
    other = await bench.ask(*who, **said)
    assert other.outcome is not None
    assert other.outcome.verdict in {"refused", "red-line"}
    assert len(bench.entries) == 2


async def test_another_rule_is_an_entry_of_its_own(bench: Bench) -> None:
    """Refused for another reason since she said something: told, for she may want to know that her word counts."""
    await bench.ask(MOREAU, Action.LIST)
    await bench.decider().one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("block", PERSON)))
    await bench.ask(MOREAU, Action.LIST)
    rules = [each.outcome.rule for each in bench.entries if each.outcome]
    assert (rules[-1], len(rules)) == ("blocked", 3)


async def test_red_lines_are_told_by_their_number_too(bench: Bench) -> None:
    """An insurer who insists fills no journal."""
    for _ in range(3):
        await bench.ask(INSURER, Action.LIST)
    assert len(bench.entries) == 1
    assert [(each.verdict, each.times) for each in await bench.closed()] == [("red-line", 2)]


async def test_the_patient_reads_each_of_her_own_acts(bench: Bench) -> None:
    """What she was refused herself is never a number, nor is anything that was allowed."""
    for _ in range(3):
        assert (await bench.ask(CAMILLE, Action.READ, ABSENT)).outcome is not None
    for _ in range(3):
        await bench.ask(CAMILLE, Action.LIST)
    assert len(bench.entries) == 6
    assert bench.windows.rows == {}


async def test_who_acts_for_her_is_told_by_number(bench: Bench) -> None:
    """Somebody who is no representative of hers and says so again and again is a number like anybody."""
    for _ in range(3):
        await bench.ask(PARENT, Action.LIST)
    assert len(bench.entries) == 1


async def test_an_attempt_with_a_code_is_told_each_time(bench: Bench) -> None:
    """A one-time code that is shown is an attempt, and may be spent by it."""
    asked = {"care": Care("code", NOW + 3_600_000, "c" * 43)}
    for _ in range(3):
        await bench.ask(MOREAU, Action.DECLARE_CARE, **asked)
    assert len(bench.entries) == 3


async def test_a_reserved_stream_is_never_told_by_number(bench: Bench) -> None:
    """What is about an unannounced document stands entry by entry in its own stream, and opens no window."""
    secret = paper(visibility=("INVISIBLE_PATIENT",))
    document = (await bench.ask(PETIT, Action.DEPOSIT, deposit=secret)).documents[0].id
    stream = bench.entries[-1].stream
    for _ in range(3):
        await bench.ask(MOREAU, Action.READ, document)
    assert [each.stream for each in bench.entries] == [stream] * 4
    assert bench.windows.rows == {}


# -- exactly once


async def test_a_question_that_is_heard_twice_counts_once(bench: Bench) -> None:
    """The same flow by two deciders, one after the other or at once: both answer, and it is one."""
    await bench.ask()
    again = flow(MOREAU, Action.READ, ABSENT, deadline_ms=bench.now + 1_500)
    answers = [await decide(again) for decide in (bench.decide, bench.decider(), bench.decide)]
    assert answers[0] is not None
    assert answers == [answers[0]] * 3
    other = flow(MOREAU, Action.READ, ABSENT, deadline_ms=bench.now + 1_500)
    await asyncio.gather(*(bench.decider()(other) for _ in range(4)))
    assert [each.times for each in await bench.closed()] == [2]


async def test_the_first_one_heard_again_is_no_repetition(bench: Bench) -> None:
    """The flow whose entry opened the window is answered by its entry, not counted behind itself."""
    first = flow(MOREAU, Action.READ, ABSENT, deadline_ms=bench.now + 1_500)
    assert await bench.decide(first) == await bench.decide(first)
    assert await bench.decider()(first) is not None
    assert await bench.closed() == []


async def test_another_request_under_a_counted_id_gets_nothing(bench: Bench) -> None:
    """A flow id binds the whole request, counted or written."""
    await bench.ask()
    counted = flow(MOREAU, Action.READ, ABSENT)
    assert await bench.decide(counted) is not None
    assert await bench.decide(replace(counted, digest="another")) is None
    written = replace(counted, id=bench.entries[0].cause, digest="another")
    assert await bench.decide(written) is None
    assert [each.times for each in await bench.closed()] == [1]


async def test_a_flow_that_was_counted_and_written_is_told_once(bench: Bench) -> None:
    """Two deciders, one flow, one wrote it while the other counted it: the number is without it."""
    await bench.ask()
    twice = flow(MOREAU, Action.READ, ABSENT)
    await bench.decide(twice)
    await bench.ask()
    # A decider that looked before there was a window, and was slow.
    ledger = Ledger(bench.journal, MemorySnapshots())
    slow = Decide(ledger, bench.journal, bench.keys, Unchanging(RULES), bench.clock)
    assert await slow(twice) is not None
    assert [each.times for each in await bench.closed()] == [1]


async def test_an_unknown_count_answers_nobody_and_counts_once(bench: Bench) -> None:
    """The database took the count and did not say so: no answer; the same question again is answered, and is one."""

    class Mute(MemoryWindows):
        mute = True

        async def count(self, *counted: Any) -> Any:
            found = await super().count(*counted)
            if self.mute:
                raise OutcomeUnknown
            return found

    bench.windows = windows = Mute(bench.journal)
    bench.decide = bench.decider()
    await bench.ask()
    asked = flow(MOREAU, Action.READ, ABSENT)
    with pytest.raises(OutcomeUnknown):
        await bench.decide(asked)
    windows.mute = False
    assert await bench.decide(asked) is not None
    assert [each.times for each in await bench.closed()] == [1]


async def test_a_count_that_comes_too_late_is_an_entry(bench: Bench) -> None:
    """A decider that slept through the end of the window, and woke while or after it was closed: nothing is lost."""

    class Asleep(MemoryWindows):
        meanwhile: Any = None

        async def count(self, *counted: Any) -> Any:
            if self.meanwhile is not None:
                await self.meanwhile()
            return await super().count(*counted)

    for drop in (True, False):
        bench = Bench()
        bench.windows = windows = Asleep(bench.journal)
        bench.decide = bench.decider()
        await bench.ask()
        await bench.ask()
        (window,) = windows.rows.values()

        async def meanwhile(windows: Any = windows, window: Any = window, drop: Any = drop) -> None:
            windows.meanwhile = None
            await windows.end(window)
            if drop:
                await windows.drop(window)

        windows.meanwhile = meanwhile
        assert (await bench.ask()).outcome is not None
        assert len(bench.entries) == 2


# -- judged first, always


async def test_a_grant_that_was_acknowledged_is_never_missed(bench: Bench) -> None:
    """A decider whose memory is behind, with the window open: the read is judged by what she said, and allowed."""
    document = (await bench.ask(PETIT, Action.DEPOSIT, deposit=paper())).documents[0].id
    for _ in range(2):
        await bench.ask(MOREAU, Action.READ, document)
    await bench.decider().one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("authorise", PERSON)))
    allowed = await bench.ask(MOREAU, Action.READ, document)
    assert allowed.outcome is not None
    assert allowed.outcome.verdict == "allowed"
    assert [each.document.id for each in allowed.released] == [document]


async def test_a_withdrawal_that_was_acknowledged_is_never_missed(bench: Bench) -> None:
    """Refused, granted, withdrawn within one window: refused again, and no key was given in between by mistake."""
    document = (await bench.ask(PETIT, Action.DEPOSIT, deposit=paper())).documents[0].id
    verdicts = []
    for change in (None, Change("authorise", PERSON), Change("block", PERSON)):
        if change is not None:
            await bench.decider().one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=change))
        for _ in range(2):
            decided = await bench.ask(MOREAU, Action.READ, document)
            verdicts.append((decided.outcome.verdict if decided.outcome else "", bool(decided.released)))
    assert verdicts == [("refused", False)] * 2 + [("allowed", True)] * 2 + [("refused", False)] * 2


async def test_rules_that_are_in_force_no_more_count_nothing(bench: Bench) -> None:
    """After an activation a decider of the old rules neither counts nor inserts under them."""
    newer = Rules()
    newer.digest = "of-newer-rules"

    class Renewing(Unchanging):
        async def renew(self, than: Rules) -> None:  # noqa: ARG002 - the port's
            self.rules = newer

    ledger = Ledger(bench.journal, MemorySnapshots())
    in_force = Renewing(RULES)
    decide = Decide(
        ledger, bench.journal, bench.keys, in_force, bench.clock, repeats=Repeats(bench.windows, LASTS)
    )  # fmt: skip
    await decide.one(flow(MOREAU, Action.READ, ABSENT))
    await bench.journal.demand(newer.digest)
    decided = await decide.one(flow(MOREAU, Action.READ, ABSENT))
    assert decided.entry is not None
    assert decided.entry.policies == newer.digest
    assert [each.policies for each in bench.entries] == [RULES.digest, newer.digest]
    assert {each.times for each in bench.windows.rows.values()} == {0}


async def test_a_late_repetition_is_dropped_and_counts_nothing(bench: Bench) -> None:
    """At its deadline a flow is neither answered nor counted."""

    class Slow(MemoryJournal):
        async def by_cause(self, record: str, cause: str) -> Entry | None:
            bench.now += 2_000
            return await super().by_cause(record, cause)

    await bench.ask()
    slow = Slow()
    slow.entries = bench.journal.entries
    bench.journal = slow
    late = flow(MOREAU, Action.READ, ABSENT, deadline_ms=bench.now + 1_500)
    assert await bench.decider()(late) is None
    assert len(bench.entries) == 1
    assert [each.times for each in bench.windows.rows.values()] == [0]


async def test_without_a_window_a_refusal_is_written(bench: Bench) -> None:
    """A window that could not be opened costs an entry, never an answer."""

    class Broken(MemoryWindows):
        async def open(self, first: Entry, until: int) -> None:  # noqa: ARG002 - the port's
            raise ConnectionError

    bench.windows = Broken(bench.journal)
    bench.decide = bench.decider()
    for _ in range(3):
        assert (await bench.ask()).outcome is not None
    assert len(bench.entries) == 3


# -- timing tells nothing


async def test_whoever_is_given_nothing_waits_for_the_same_steps(bench: Bench) -> None:
    """Closed, empty, absent or known to others only: the same reads and then one write, each time."""
    steps: list[str] = []

    class Told(MemoryJournal):
        async def append(self, entries: Sequence[Entry]) -> list[Fate]:
            steps.append("write")
            return await super().append(entries)

        async def by_cause(self, record: str, cause: str) -> Entry | None:
            steps.append("by-cause")
            return await super().by_cause(record, cause)

        async def head(self, record: str) -> tuple[int, int] | None:
            steps.append("head")
            return await super().head(record)

    class Told2(MemoryWindows):
        async def look(self, *sought: Any) -> Any:
            steps.append("look")
            return await super().look(*sought)

        async def count(self, *counted: Any) -> Any:
            steps.append("write")
            return await super().count(*counted)

    journal = Told()
    journal.entries = bench.journal.entries
    bench.journal, bench.windows = journal, Told2(journal)
    bench.decide = bench.decider()
    await bench.ask(CAMILLE, Action.LIST)  # known from here on
    seen = []
    for _ in range(2):  # refused, then the same again
        steps.clear()
        assert (await bench.ask(MOREAU, Action.LIST)).outcome is not None
        seen.append(sorted(steps))
    await bench.decide.one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("authorise", PERSON)))
    for _ in range(2):  # allowed, and nothing there
        steps.clear()
        allowed = await bench.decide.one(flow(MOREAU, Action.LIST))
        assert allowed.outcome is not None
        assert allowed.outcome.verdict == "allowed"
        seen.append(sorted(steps))
    secret = (await bench.ask(PETIT, Action.DEPOSIT, deposit=paper(visibility=("INVISIBLE_PATIENT",)))).documents[0].id
    await bench.decide.one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("block", PERSON)))
    for document in (ABSENT, secret) * 2:
        steps.clear()
        assert not (await bench.ask(MOREAU, Action.READ, document)).released
        seen.append(sorted(steps))
    assert seen == [["by-cause", "head", "look", "write"]] * 8
