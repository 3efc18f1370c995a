"""The entry is the lock: what is answered stands, what is repeated is answered again only while nothing changed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Amendment, Change, Flow
from services.consent.domain.rules import Rules
from services.consent.ledger import Ledger
from services.consent.ports import Fate, Held, OutcomeUnknown
from services.consent.use_cases.decide import Contended, Decide, Decided
from tests.unit.consent.memory import MemoryJournal, MemoryKeys, MemorySnapshots, Unchanging
from tests.unit.consent.people import CAMILLE, MOREAU, NOW, PERSON, PETIT, RECORD, RULES, flow, opening, paper

DEADLINE = NOW + 1_500


@dataclass
class Bench:
    """Several deciders over one journal, with a clock that the test sets."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    now: int = NOW

    def __post_init__(self) -> None:
        self.journal.entries[RECORD] = [opening()]

    def decider(self, rules: Rules = RULES) -> Decide:
        """Return a decider of its own memory."""
        ledger = Ledger(self.journal, MemorySnapshots())
        return Decide(ledger, self.journal, self.keys, Unchanging(rules), lambda: self.now)

    @property
    def entries(self) -> list[Entry]:
        """The journal after its opening."""
        return self.journal.entries[RECORD][1:]

    async def say(self, kind: Any, subject: str | None = None) -> None:
        """Have Camille say something, to a decider of its own."""
        asked = flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change(kind, subject))
        assert (await self.decider().one(asked)).outcome is not None

    async def deposit(self, name: str = "report") -> str:
        """Deposit; return the document's id."""
        decided = await self.decider().one(flow(PETIT, Action.DEPOSIT, deposit=paper(name)))
        assert decided.outcome is not None
        return decided.outcome.document or ""


@pytest.fixture
def bench() -> Bench:
    """Return deciders of an open record."""
    return Bench()


def asked(action: Action, *documents: str, actor: Any = MOREAU, **more: Any) -> Flow:
    """Return a flow with a deadline."""
    return flow(actor, action, *documents, **{"deadline_ms": DEADLINE} | more)


def shown(decided: Decided | None) -> dict[str, bytes]:
    """Return the keys that a decision releases."""
    assert decided is not None
    return {each.document.id: each.key for each in decided.released}


async def test_a_repeat_is_answered_again_by_any_decider(bench: Bench) -> None:
    """The same flow and digest in time: the same keys, and one entry."""
    document = await bench.deposit()
    await bench.say("authorise", PERSON)
    for question in (asked(Action.READ, document), asked(Action.LIST), asked(Action.DEPOSIT, deposit=paper("new"))):
        before, first = len(bench.entries), bench.decider()
        answer = await first(question)
        assert shown(answer)
        for again in (first, bench.decider()):
            assert shown(await again(question)) == shown(answer)
        assert len(bench.entries) == before + 1


@pytest.mark.parametrize("label", ["INVISIBLE_PATIENT", "MASQUE_PS"])
async def test_an_amendment_s_repeat_finds_it_done(bench: Bench, label: str) -> None:
    """The same flow again: the same key and the labels as they are since, one entry; after another one, silence."""
    deposited = await bench.decider().one(flow(MOREAU, Action.DEPOSIT, deposit=paper(visibility=(label,))))
    (document,) = (each.id for each in deposited.documents)
    question = asked(Action.AMEND, document, amendment=Amendment((), (label,)))
    before, first = len(bench.entries), bench.decider()
    answer = await first(question)
    assert shown(answer)
    for again in (answer, await first(question), await bench.decider()(question)):
        assert shown(again) == shown(answer)
        assert [each.document.visibility_at(NOW) for each in again.released] == [()]  # type: ignore[union-attr]
    assert len(bench.entries) == before + 1
    await first(asked(Action.AMEND, document, amendment=Amendment(("MASQUE_PS",))))
    assert await bench.decider()(question) is None


async def test_a_repeated_refusal_stays_one(bench: Bench) -> None:
    """A refusal is repeated as it stands."""
    document = await bench.deposit()
    question = asked(Action.READ, document)
    answers = [await bench.decider()(question) for _ in range(2)]
    assert answers[0] is not None
    assert answers[0].outcome is not None
    assert answers[0].outcome.verdict == "refused"
    assert answers[1] == answers[0]


@pytest.mark.parametrize("change", ["block", "hide", "oppose", "authorise"])
async def test_keys_are_never_given_twice_after_a_change(bench: Bench, change: str) -> None:
    """Whatever the patient said since, the same bytes get nothing, from the first decider or another."""
    document = await bench.deposit()
    await bench.say("authorise", PERSON)
    questions = [asked(Action.READ, document), asked(Action.LIST)]
    first = bench.decider()
    for question in questions:
        assert shown(await first(question))
    await bench.say(change, {"block": PERSON, "hide": document, "authorise": PERSON}.get(change))
    before = len(bench.entries)
    for question in questions:
        assert await first(question) is None
        assert await bench.decider()(question) is None
    assert len(bench.entries) == before


async def test_a_deposit_since_does_not_change_a_list_s_repeat(bench: Bench) -> None:
    """A list is answered again as of its entry: what came after it is not in it."""
    old = await bench.deposit("old")
    question = asked(Action.LIST, actor=CAMILLE)
    await bench.decider()(question)
    await bench.deposit("new")
    assert list(shown(await bench.decider()(question))) == [old]


async def test_an_authorisation_that_ends_meanwhile_does_not_change_a_repeat(bench: Bench) -> None:
    """A repeat has the verdict of its entry's own time."""
    document = await bench.deposit()
    change = Change("authorise", PERSON, NOW + 100)
    await bench.decider().one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=change))
    questions = [asked(Action.LIST), asked(Action.READ, document)]
    for question in questions:
        await bench.decider()(question)
    bench.now += 200
    for question in questions:
        assert list(shown(await bench.decider()(question))) == [document]
    late = await bench.decider()(asked(Action.READ, document))
    assert late is not None
    assert late.outcome is not None
    assert late.outcome.verdict == "refused"


async def test_another_digest_gets_nothing(bench: Bench) -> None:
    """A flow id binds the whole request: another request under it is dropped, whatever the first one got."""
    document = await bench.deposit()
    question = asked(Action.READ, document, actor=CAMILLE)
    await bench.decider()(question)
    assert await bench.decider()(replace(question, digest="another")) is None
    assert await bench.decider()(replace(question, digest="another", actor=PETIT)) is None


async def test_a_late_flow_inserts_nothing(bench: Bench) -> None:
    """At its deadline a flow is dropped, as a repeat too."""
    question = asked(Action.LIST, actor=CAMILLE)
    bench.now = DEADLINE
    assert await bench.decider()(question) is None
    assert bench.entries == []
    bench.now = NOW
    await bench.decider()(question)
    bench.now = DEADLINE
    assert await bench.decider()(question) is None


async def test_a_flow_that_becomes_late_before_its_insert_inserts_nothing(bench: Bench) -> None:
    """The deadline is looked at again after the key row was written."""

    class Slow(MemoryKeys):
        async def hold(self, documents: Sequence[Any]) -> Sequence[Held]:
            bench.now = DEADLINE
            return await super().hold(documents)

    bench.keys = Slow()
    assert await bench.decider()(asked(Action.DEPOSIT, deposit=paper())) is None
    assert bench.entries == []
    assert len(bench.keys.rows) == 1  # without an entry: it is swept


async def test_an_unknown_outcome_answers_nobody_and_a_repeat_finds_the_entry(bench: Bench) -> None:
    """The database took the entry and did not say so: no answer; the repeat reads it by its cause and is answered."""

    class Mute(MemoryJournal):
        mute = True

        async def append(self, entries: Sequence[Entry]) -> list[Fate]:
            stands = await super().append(entries)
            if self.mute:
                raise OutcomeUnknown
            return stands

    for action in (Action.DEPOSIT, Action.LIST):
        journal = Mute()
        bench.journal, bench.keys = journal, MemoryKeys()
        journal.entries[RECORD] = [opening()]
        decider = bench.decider()
        question = asked(action, actor=MOREAU if action is Action.DEPOSIT else CAMILLE,
                         deposit=paper() if action is Action.DEPOSIT else None)  # fmt: skip
        with pytest.raises(OutcomeUnknown):
            await decider(question)
        journal.mute = False
        again = await decider(question)
        assert again is not None
        assert again.outcome is not None
        assert again.outcome.verdict == "allowed"
        assert len(bench.entries) == 1
        if action is Action.DEPOSIT:
            assert len(shown(again)) == 1


async def test_an_unknown_outcome_of_a_withdrawal_still_counts(bench: Bench) -> None:
    """A block whose acknowledgement was lost is in the journal: the next flow is judged by it."""
    document = await bench.deposit()
    await bench.say("authorise", PERSON)
    decider = bench.decider()
    await decider(asked(Action.READ, document))
    await bench.say("block", PERSON)  # through another decider: this one's memory is behind
    refused = await decider(asked(Action.READ, document))
    assert refused is not None
    assert refused.outcome is not None
    assert refused.outcome.rule == "blocked"


async def test_rules_of_another_version_release_nothing_for_old_entries(bench: Bench) -> None:
    """A decider with newer rules does not give out what older ones allowed, nor the other way round."""
    document = await bench.deposit()
    questions = [asked(Action.READ, document, actor=CAMILLE), asked(Action.LIST, actor=CAMILLE)]
    for question in questions:
        await bench.decider()(question)
    newer = Rules()
    newer.digest = "of-newer-rules"
    for question in questions:
        assert await bench.decider(newer)(question) is None


async def test_a_deposit_that_is_raced_has_one_document(bench: Bench) -> None:
    """Many deciders, one deposit, different flows: one document, one key, one entry each."""
    deciders = [bench.decider() for _ in range(6)]
    flows = [asked(Action.DEPOSIT, deposit=paper()) for _ in deciders]
    decided = await asyncio.gather(*(decider(each) for decider, each in zip(deciders, flows, strict=True)))
    keys = [shown(each) for each in decided]
    assert all(each == keys[0] and len(each) == 1 for each in keys)
    assert [each.version for each in bench.entries] == list(range(2, 8))


async def test_a_destroyed_key_is_not_given(bench: Bench) -> None:
    """A verdict may stand for a document whose key is gone: nothing is released, and nothing fails."""
    document = await bench.deposit()
    await bench.keys.destroy(RECORD, document, 1)
    assert shown(await bench.decider()(asked(Action.READ, document, actor=CAMILLE))) == {}


async def test_a_journal_that_is_always_ahead_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many turns nothing was decided, and that is said."""

    class Ahead(MemoryJournal):
        async def append(self, entries: Sequence[Entry]) -> list[Fate]:
            await asyncio.sleep(0)
            return [Fate.TAKEN] * len(entries)

    monkeypatch.setattr("services.consent.use_cases.decide._TURN_SECONDS", 0)
    bench.journal = Ahead()
    bench.journal.entries[RECORD] = [opening()]
    with pytest.raises(Contended):
        await bench.decider()(flow(CAMILLE, Action.LIST))


async def test_no_entry_waits_for_its_lane_for_ever(bench: Bench) -> None:
    """A flow that fails leaves its record's lane to the next one."""

    class Failing(MemoryJournal):
        fails = True

        async def append(self, entries: Sequence[Entry]) -> list[Fate]:
            if self.fails:
                raise OutcomeUnknown
            return await super().append(entries)

    journal = Failing()
    journal.entries[RECORD] = [opening()]
    bench.journal = journal
    decider = bench.decider()
    with pytest.raises(OutcomeUnknown):
        await decider(flow(CAMILLE, Action.LIST))
    journal.fails = False
    assert await decider(flow(CAMILLE, Action.LIST)) is not None


async def test_an_entry_beside_the_main_stream_goes_in_like_any_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for a secret by its name is written as fast: no transaction, and no number looked up twice."""
    secret = paper("secret", visibility=("INVISIBLE_PATIENT",))
    document = (await bench.decider().one(flow(PETIT, Action.DEPOSIT, deposit=secret))).outcome
    assert document is not None
    looked: list[str] = []
    last = bench.journal.last

    async def counted(record: str, stream: str) -> int:
        looked.append(stream)
        return await last(record, stream)

    monkeypatch.setattr(bench.journal, "last", counted)
    monkeypatch.setattr(bench.journal, "append_together", None)
    decider = bench.decider()
    for _ in range(3):
        await decider.one(asked(Action.READ, str(document.document), deadline_ms=None))
    assert looked == [document.document]
    assert [each.n for each in bench.entries if each.stream == document.document] == [1, 2, 3, 4]


async def test_a_number_that_another_decider_took_is_looked_up_anew(bench: Bench) -> None:
    """Two deciders write into one stream in turn, and its numbers have neither a hole nor a double."""
    secret = paper("secret", visibility=("INVISIBLE_PATIENT",))
    outcome = (await bench.decider().one(flow(PETIT, Action.DEPOSIT, deposit=secret))).outcome
    assert outcome is not None
    deciders = [bench.decider(), bench.decider()]
    for turn in range(6):
        await deciders[turn % 2].one(asked(Action.READ, str(outcome.document), deadline_ms=None))
    assert [each.n for each in bench.entries if each.stream == outcome.document] == list(range(1, 8))
