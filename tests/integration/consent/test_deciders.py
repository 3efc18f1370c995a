"""Several deciders over one journal: versions follow each other, replay agrees, an acknowledged block holds."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pytest

from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Change, Flow
from services.consent.domain.judging import judge
from services.consent.domain.record import Record
from services.consent.domain.rules import Rules
from services.consent.ports import OutcomeUnknown
from services.consent.use_cases.change_directives import NothingSuch
from services.consent.use_cases.decide import Contended, Decided
from tests.integration.consent.conftest import Start
from tests.integration.consent.processes import Deaf, Laggard, Process, asked
from tests.integration.observing import eventually
from tests.unit.consent.people import CAMILLE, COLLEAGUE, MOREAU, PERSON, PETIT, RECORD, RULES, flow, paper


def replayed(entries: list[Entry], rules: Mapping[str, Rules] = MappingProxyType({RULES.digest: RULES})) -> Record:
    """Replay a journal: consecutive versions and numbers, and each verdict again by its own rules; return the state."""
    assert [each.version for each in entries] == list(range(1, len(entries) + 1))
    assert [each.n for each in entries] == list(range(1, len(entries) + 1))
    assert len({each.cause for each in entries}) == len(entries)
    record = Record(entries[0].record)
    for each in entries:
        if each.flow is not None and each.outcome is not None:
            again = judge(record, each.flow, each.at, rules[each.policies], each.outcome.document or "")
            assert again.in_stream(each.stream) == each.outcome
        record.apply(each)
    return record


@dataclass
class Asked:
    """A flow as its asker lived it (monotonic nanoseconds)."""

    flow: Flow
    began: int
    ended: int
    decided: Decided | None


@dataclass
class Block:
    """A block as Camille lived it: in force at the latest from its acknowledgement until she began to lift it."""

    acknowledged: int
    lifting: int = 2**63


@dataclass
class Campaign:
    """Askers and Camille at random, over several processes."""

    processes: list[Process]
    lots: random.Random
    asked: list[Asked] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    unheard: list[Flow] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    done: bool = False

    async def camille(self, rounds: int) -> None:
        """Authorise, hide, block and lift, round after round, each through some process."""
        for _ in range(rounds):
            said = [await self._say(Change("authorise", PERSON))]
            await self._wait()
            if self.documents and self.lots.random() < 0.5:
                said.append(await self._say(Change("hide", self.lots.choice(self.documents))))
                await self._wait()
            if (directive := await self._say(Change("block", PERSON))) is not None:
                block = Block(time.monotonic_ns())
                self.blocks.append(block)
                await self._wait()
                block.lifting = time.monotonic_ns()
                await self._say(Change("end", ends=directive))
            for each in said:
                if each is not None and self.lots.random() < 0.7:
                    await self._say(Change("end", ends=each))
        self.done = True

    async def _say(self, change: Change) -> str | None:
        """Return the directive; None when she was not told that it holds, so that it proves nothing."""
        try:
            return await self.lots.choice(self.processes).say(change)
        except (OutcomeUnknown, Contended, NothingSuch):
            return None

    async def _wait(self) -> None:
        """Wait until Dr Moreau has been answered a question that he began after now, and a little more."""
        now = time.monotonic_ns()

        async def answered() -> bool:
            return any(each.began > now and each.flow.actor == MOREAU and each.decided for each in self.asked[-50:])

        await eventually(answered)
        await asyncio.sleep(self.lots.random() * 0.02)

    async def asker(self) -> None:
        """Ask at random until Camille is done; now and then send the last question again, to another process."""
        last: Flow | None = None
        while not self.done:
            if last is None or self.lots.random() < 0.8:
                last = self._question()
            await self._ask(last)
            await asyncio.sleep(self.lots.random() * 0.003)

    def _question(self) -> Flow:
        actor = self.lots.choice([MOREAU, MOREAU, MOREAU, CAMILLE, PETIT])
        action = self.lots.choice([Action.READ, Action.READ, Action.LIST, Action.DEPOSIT])
        if action is Action.DEPOSIT:
            return asked(COLLEAGUE, action, deposit=paper(f"paper {self.lots.randrange(15)}"))
        if action is Action.READ and self.documents:
            return asked(actor, action, self.lots.choice(self.documents))
        return asked(actor, Action.LIST)

    async def _ask(self, question: Flow) -> None:
        began = time.monotonic_ns()
        try:
            decided = await self.lots.choice(self.processes).decide(question)
        except OutcomeUnknown:
            self.unheard.append(question)
            return
        except Contended:
            return
        self.asked.append(Asked(question, began, time.monotonic_ns(), decided))
        if decided and question.action is Action.DEPOSIT and decided.outcome and decided.outcome.document:
            self.documents.append(decided.outcome.document)


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_flow_that_began_after_an_acknowledged_block_is_allowed(start: Start, seed: int) -> None:
    """Four slow and partly deaf deciders under load, Camille blocking and lifting: no verdict misses her word."""
    processes = [await start(Laggard) for _ in range(4)]
    for each in processes:
        assert isinstance(each.journal, Laggard)
        each.journal.deaf = 0.03
    campaign = Campaign(processes, random.Random(seed))
    await asyncio.gather(campaign.camille(10), *(campaign.asker() for _ in range(6)))
    entries = await processes[0].entries()
    record = replayed(entries)
    for each in processes:
        assert await each.ledger.folded(RECORD) == record
    by_cause = {each.cause: each for each in entries}
    answered = [(flown, flown.decided) for flown in campaign.asked if flown.decided is not None]
    for flown, decided in answered:
        _released_as_written(decided, by_cause[flown.flow.id])
    reads = [
        (flown, decided.outcome)
        for flown, decided in answered
        if flown.flow.actor == MOREAU and flown.flow.action in {Action.READ, Action.LIST} and decided.outcome
    ]
    for block in campaign.blocks:
        for flown, outcome in reads:
            if flown.began > block.acknowledged and flown.ended < block.lifting:
                assert outcome.verdict == "refused"
    # The campaign met what it is about.
    assert {"blocked", "authorised-by-patient"} <= {outcome.rule for _, outcome in reads}
    assert campaign.unheard
    assert len(entries) > 100


def _released_as_written(decided: Decided, entry: Entry) -> None:
    """Check that the keys given are those that the entry allows, no more and no less."""
    assert decided.entry == entry
    assert entry.outcome is not None
    released = {held.document.id for held in decided.released}
    assert len(released) == (entry.outcome.count if entry.outcome.verdict == "allowed" else 0)
    if entry.flow is not None and entry.flow.action is Action.READ:
        assert released == set(entry.outcome.allowed)


async def test_deciders_at_one_record_take_turns(start: Start) -> None:
    """Many flows at once, over four processes: each has one entry, and none is lost."""
    processes = [await start() for _ in range(4)]
    flows = [flow(CAMILLE, Action.LIST) for _ in range(80)]
    decided = await asyncio.gather(*(processes[at % 4].decide.one(each) for at, each in enumerate(flows)))
    entries = await processes[0].entries()
    replayed(entries)
    assert {each.cause for each in entries[1:]} == {each.flow.id for each in decided} == {each.id for each in flows}


async def test_a_repeat_is_answered_again_until_something_changes(start: Start) -> None:
    """Same flow, same digest, in time: the same keys by any process; after a change, late or altered: nothing."""
    one, two = await start(), await start()
    deposited = await one.ask(PETIT, Action.DEPOSIT, deposit=paper())
    await one.say(Change("authorise", PERSON))
    assert deposited is not None
    document = deposited.documents[0].id
    read, listed = asked(MOREAU, Action.READ, document), asked(MOREAU, Action.LIST)
    first = [await one.decide(each) for each in (read, listed)]
    again = [await two.decide(each) for each in (read, listed)]
    assert [each and each.released for each in first] == [each and each.released for each in again]
    assert all(each and len(each.released) == 1 for each in again)
    before = await one.entries()
    other = Flow(**{name: getattr(read, name) for name in Flow.__slots__} | {"digest": "other"})
    assert await two.decide(other) is None
    late = Flow(**{name: getattr(read, name) for name in Flow.__slots__} | {"deadline_ms": 1})
    assert await two.decide(late) is None
    await two.say(Change("block", PERSON))
    assert [await one.decide(each) for each in (read, listed)] == [None, None]
    assert [await two.decide(each) for each in (read, listed)] == [None, None]
    assert len(await one.entries()) == len(before) + 1


async def test_a_repeat_while_the_first_is_under_way_has_one_entry(start: Start) -> None:
    """A hedge that reaches another decider, or the same, at the same moment: one entry, the same keys."""
    processes = [await start(Laggard) for _ in range(3)]
    question = asked(COLLEAGUE, Action.DEPOSIT, deposit=paper())
    decided = await asyncio.gather(*(processes[at % 3].decide(question) for at in range(6)))
    keys = {each.released[0].key for each in decided if each is not None}
    assert len(keys) == 1
    assert len(await processes[0].entries()) == 2


async def test_a_late_flow_inserts_nothing(consent: Process) -> None:
    """At its deadline a flow is dropped: no entry, no key row."""
    for action, more in ((Action.LIST, {}), (Action.DEPOSIT, {"deposit": paper()})):
        assert await consent.decide(flow(MOREAU, action, deadline_ms=1, **more)) is None
    assert len(await consent.entries()) == 1
    assert await consent.mongo["document_keys"].count_documents({}) == 0


async def test_an_unknown_outcome_answers_nobody(start: Start) -> None:
    """The insert's answer is lost: no answer, no key; a repeat, to any process, finds the entry."""
    deaf, other = await start(Deaf), await start()
    assert isinstance(deaf.journal, Deaf)
    deaf.journal.deaf = True
    question = asked(COLLEAGUE, Action.DEPOSIT, deposit=paper())
    with pytest.raises(OutcomeUnknown):
        await deaf.decide(question)
    again = await other.decide(question)
    assert again is not None
    assert len(again.released) == 1
    deaf.journal.deaf = False
    assert await deaf.decide(question) == again
    assert len(await other.entries()) == 2


async def test_a_block_whose_acknowledgement_was_lost_holds(start: Start) -> None:
    """Camille is told that nothing is certain; the journal has it, and the next read is refused."""
    deaf, other = await start(Deaf), await start()
    assert isinstance(deaf.journal, Deaf)
    deaf.journal.deaf = True
    deposited = await other.ask(PETIT, Action.DEPOSIT, deposit=paper())
    assert deposited is not None
    await other.say(Change("authorise", PERSON))
    with pytest.raises(OutcomeUnknown):
        await deaf.say(Change("block", PERSON))
    refused = await other.ask(MOREAU, Action.READ, deposited.documents[0].id)
    assert refused is not None
    assert refused.outcome is not None
    assert refused.outcome.rule == "blocked"


async def test_an_unknown_record_is_stale_and_leaves_nothing(consent: Process) -> None:
    """A record without a journal has no verdict."""
    decided = await consent.decide(asked(CAMILLE, Action.LIST, record="carnetexamplerecordcccc234"))
    assert decided is not None
    assert decided.outcome is None
    assert await consent.mongo["journal"].count_documents({"record": "carnetexamplerecordcccc234"}) == 0


async def test_a_record_that_is_opened_twice_has_one_entry(start: Start) -> None:
    """The same event again, another event, at once or later: one opening, one key."""
    processes = [await start() for _ in range(3)]
    record = "carnetexamplerecorddddd234"
    await asyncio.gather(*(each.open(record, f"event-{at}") for at, each in enumerate(processes * 3)))
    await processes[0].open(record, "event-0")
    entries = await processes[0].entries(record)
    assert [(each.kind, each.version) for each in entries] == [("opened", 1)]
    decided = await processes[1].decide.one(flow(CAMILLE, Action.LIST, record=record))
    assert decided.entry is not None
    assert decided.entry.version == 2
