"""Which rules are in force: three steps, each of which the next run or the next decider finishes; and who follows."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chassis.consuming import DependencyUnreachable
from chassis.sealing import b64
from contracts.identity import RecordOpened
from contracts.registry import Envelope
from services.consent.bootstrap import begin_rules
from services.consent.consumers import subscribe
from services.consent.domain.bundle import Bundle, RulesBroken
from services.consent.domain.cosigning import Cosigning, NotCosigned, statement
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Change
from services.consent.domain.rules import Rules
from services.consent.in_force import PUBLIC, Activations, Archive, RulesInForce
from services.consent.inscribing import Inscribe
from services.consent.ledger import Ledger
from services.consent.ports import Fate, RulesUnsettled, UnknownRules
from services.consent.use_cases.abandon_deposit import AbandonDeposit
from services.consent.use_cases.activate_rules import ActivateRules
from services.consent.use_cases.confirm_deposit import ConfirmDeposit
from services.consent.use_cases.decide import Decide
from services.consent.use_cases.note_beat import NoteBeat
from services.consent.use_cases.open_record import OpenRecord
from services.consent.use_cases.represent_record import RepresentRecord
from tests.unit.consent.memory import (
    MemoryBeats,
    MemoryBundles,
    MemoryJournal,
    MemoryKeys,
    MemoryRecordKeys,
    MemorySnapshots,
)
from tests.unit.consent.people import CAMILLE, MOREAU, NOW, OTHER_RECORD, PETIT, RECORD, RULES, flow, opening, paper
from tests.unit.consent.variants import PACKAGE, PLANTED, changed, planted

NEWER = planted()


class Cut(Exception):
    """A power cut."""


class House:
    """Consent's public record, in memory, and whoever works with it."""

    def __init__(self) -> None:
        self.journal, self.bundles, self.keys = MemoryJournal(), MemoryBundles(), MemoryRecordKeys()
        self.activations = Activations(self.journal, self.bundles)
        self.now = NOW
        self.activate = self.operator()

    def operator(self, cosigning: Cosigning = Cosigning()) -> ActivateRules:  # noqa: B008 - frozen
        """Return what an operator activates with."""
        return ActivateRules(self.journal, self.bundles, self.keys, cosigning, lambda: self.now)

    async def begun(self, own: Bundle = PACKAGE) -> RulesInForce:
        """Start a process."""
        in_force = RulesInForce(self.activations, Archive(self.bundles))
        await begin_rules(in_force, self.activations, self.activate, own)
        return in_force

    async def decider(self) -> Decide:
        """Start a decider; the record is open."""
        in_force = await self.begun()
        self.journal.entries.setdefault(RECORD, [opening()])
        return Decide(Ledger(self.journal, MemorySnapshots()), self.journal, MemoryKeys(), in_force, lambda: self.now)

    async def activated(self) -> list[str | None]:
        """Return what was activated, the oldest first."""
        return [each.about for each in await self.activations.all()]

    def cut_after(self, step: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """Have the process die after a step; return what mends it."""
        holder: Any = self.bundles if step == "keep" else self.journal
        real = getattr(holder, step)

        async def cut(*args: Any) -> None:
            await real(*args)
            raise Cut

        monkeypatch.setattr(holder, step, cut)
        return monkeypatch.undo


@pytest.fixture
def house() -> House:
    """Return a house where nothing was activated yet."""
    return House()


async def test_a_first_start_activates_the_package_s_rules(house: House) -> None:
    """Where there never were rules the package's own come into force, and stand in the public record."""
    in_force = await house.begun()
    assert in_force.rules.digest == PACKAGE.digest == await house.journal.demanded()
    (entry,) = house.journal.entries[PUBLIC]
    assert (entry.kind, entry.about, entry.policies, entry.version, entry.n, entry.at) == (
        "activated", PACKAGE.digest, PACKAGE.digest, 1, 1, NOW,
    )  # fmt: skip
    assert PUBLIC in house.keys.known


async def test_a_later_start_takes_what_is_in_force(house: House) -> None:
    """Rules that come with a package are not activated by its start, and that is said."""
    await house.begun()
    assert (await house.begun(NEWER)).rules.digest == PACKAGE.digest
    assert await house.activated() == [PACKAGE.digest]


async def test_what_is_not_whole_is_not_activated(house: House) -> None:
    """Broken rules change nothing: the journal takes in what it took."""
    await house.begun()
    with pytest.raises(RulesBroken):
        await house.activate(planted("permit (principal, action, resource);"))
    assert await house.activated() == [PACKAGE.digest]
    assert list(house.bundles.rows) == [PACKAGE.digest]


async def test_rules_without_their_signatures_are_not_activated(house: House) -> None:
    """Too few co-signatures: refused before anything is kept; with them the keys that signed are told."""
    key = Ed25519PrivateKey.generate()
    operator = house.operator(Cosigning((b64(key.public_key().public_bytes_raw()),), 1))
    await house.begun()
    with pytest.raises(NotCosigned):
        await operator(NEWER)
    assert NEWER.digest not in house.bundles.rows
    await operator(NEWER, [key.sign(statement(NEWER.digest))])
    assert (await house.bundles.kept(NEWER.digest)).signers == (b64(key.public_key().public_bytes_raw()),)


async def test_a_first_start_needs_signatures_too(house: House) -> None:
    """A package does not put its own rules in force where associations must sign them."""
    house.activate = house.operator(Cosigning((b64(bytes(32)),), 1))
    with pytest.raises(NotCosigned):
        await house.begun()
    assert house.journal.entries == {}


@pytest.mark.parametrize("step", ["keep", "demand", "append"])
async def test_a_second_run_finishes_the_first(house: House, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Cut after any step, the command run again ends with one entry, and once more changes nothing."""
    await house.begun()
    mend = house.cut_after(step, monkeypatch)
    with pytest.raises(Cut):
        await house.activate(NEWER)
    mend()
    for _ in range(2):
        assert (await house.activate(NEWER)).about == NEWER.digest
        assert await house.activated() == [PACKAGE.digest, NEWER.digest]
    assert await house.journal.demanded() == NEWER.digest


@pytest.mark.parametrize(("step", "rule"), [("keep", "not-authorised"), ("demand", PLANTED), ("append", PLANTED)])
async def test_a_decider_finishes_what_died(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str, rule: str
) -> None:
    """Once the journal demands the new rules, whoever is refused finishes their activation and judges again."""
    decide = await house.decider()
    mend = house.cut_after(step, monkeypatch)
    with pytest.raises(Cut):
        await house.activate(NEWER)
    mend()
    outcome = (await decide.one(flow(PETIT, Action.LIST))).outcome
    assert outcome is not None
    assert outcome.rule == rule
    newest = PACKAGE.digest if step == "keep" else NEWER.digest
    assert (await house.activated())[-1] == newest == house.journal.entries[RECORD][-1].policies


async def test_an_operator_takes_an_activation_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Died between demand and entry, and the operator thinks better of it: the rules in force are demanded again."""
    first = (await house.begun(), await house.activate(PACKAGE))[1]
    mend = house.cut_after("demand", monkeypatch)
    with pytest.raises(Cut):
        await house.activate(NEWER)
    mend()
    assert await house.activate(PACKAGE) == first
    assert await house.journal.demanded() == PACKAGE.digest
    assert await house.activated() == [PACKAGE.digest]


async def test_operators_at_once_leave_one_set_in_force(house: House) -> None:
    """Of the same rules one entry, of different rules one each; what came last is what is demanded."""
    await house.begun()
    await asyncio.gather(*(house.activate(NEWER) for _ in range(4)))
    assert await house.activated() == [PACKAGE.digest, NEWER.digest]
    other = changed("La personne a bloqué", "La personne bloque")
    await asyncio.gather(house.activate(PACKAGE), house.activate(other))
    assert (await house.activated())[-1] == await house.journal.demanded()


async def test_rules_lost_from_the_database_are_kept_again(house: House) -> None:
    """Texts in force that are gone are mended by activating them once more, without another entry."""
    await house.begun()
    house.bundles.rows.clear()
    with pytest.raises(RulesUnsettled):
        await house.begun()
    await house.activate(PACKAGE)
    assert (await house.begun()).rules.digest == PACKAGE.digest
    assert await house.activated() == [PACKAGE.digest]


async def test_a_demand_that_nobody_kept_is_followed_by_nobody(house: House) -> None:
    """A journal that demands unknown rules stops everything, and is told."""
    decide = await house.decider()
    await house.journal.demand("n" * 43)
    with pytest.raises(RulesUnsettled):
        await decide.one(flow(CAMILLE, Action.LIST))


async def test_a_flow_never_ends_under_the_rules_before(house: House) -> None:
    """Flows of one record that are under way at the activation are judged again, each once, in order."""
    decide = await house.decider()
    flows = [flow(PETIT, Action.LIST, deadline_ms=NOW + 1_500) for _ in range(20)]
    tasks = [asyncio.create_task(decide(each)) for each in flows]
    await asyncio.wait(tasks[:8])
    await house.activate(NEWER)
    decided = await asyncio.gather(*tasks)
    entries = house.journal.entries[RECORD][1:]
    assert [each.policies for each in entries] == sorted(
        (each.policies for each in entries), key=[PACKAGE.digest, NEWER.digest].index
    )
    assert {each.cause for each in entries} == {each.id for each in flows}
    assert all(each is not None and each.entry in entries for each in decided)
    rules = {each.outcome.rule for each in entries if each.outcome and each.policies == NEWER.digest}
    assert rules == {PLANTED}


async def test_a_flow_that_is_late_after_the_activation_writes_nothing(house: House) -> None:
    """Judging again does not win time: past its deadline a flow is dropped."""
    decide = await house.decider()
    await house.activate(NEWER)
    real = house.journal.demanded

    async def slow() -> str | None:
        house.now = NOW + 1_500
        return await real()

    house.journal.demanded = slow  # type: ignore[method-assign]
    assert await decide(flow(CAMILLE, Action.LIST, deadline_ms=NOW + 1_500)) is None
    assert house.journal.entries[RECORD] == [opening()]


async def test_a_deposit_that_is_judged_again_keeps_its_document(house: House) -> None:
    """The key that was made for it under the old rules is the one of its entry under the new ones."""
    decide = await house.decider()
    await house.activate(NEWER)
    decided = await decide.one(flow(MOREAU, Action.DEPOSIT, deposit=paper()))
    assert decided.entry is not None
    assert decided.entry.policies == NEWER.digest
    (held,) = decided.released
    assert decided.outcome is not None
    assert held.document.id == decided.outcome.document


async def test_many_who_are_outdated_look_once(house: House) -> None:
    """A whole batch that is refused reads the public record once."""
    in_force = await house.begun()
    await house.activate(NEWER)
    looked, real = 0, house.journal.changing

    async def counted(record: str, after: int, to: int) -> list[Entry]:
        nonlocal looked
        looked += record == PUBLIC
        return await real(record, after, to)

    house.journal.changing = counted  # type: ignore[method-assign]
    old = in_force.rules
    await asyncio.gather(*(in_force.renew(old) for _ in range(50)))
    assert (in_force.rules.digest, looked) == (NEWER.digest, 1)
    await in_force.renew(old)
    assert looked == 1


async def test_one_who_gives_up_stops_nobody_else(house: House) -> None:
    """A flow that is cancelled while rules are loaded does not cancel the loading."""
    in_force = await house.begun()
    await house.activate(NEWER)
    old = in_force.rules
    first, second = [asyncio.create_task(in_force.renew(old)) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert in_force.rules.digest == NEWER.digest


async def test_a_process_knows_what_it_judged_by(house: House) -> None:
    """After a change of rules the reason of an answer under way is still found, in its own words."""
    in_force = await house.begun()
    await house.activate(NEWER)
    await in_force.renew(in_force.rules)
    assert in_force.judged_by(PACKAGE.digest).digest == PACKAGE.digest
    assert in_force.judged_by(NEWER.digest) is in_force.rules
    assert in_force.judged_by("unknown") is in_force.rules


async def test_the_archive_gives_any_rules_that_were_kept(house: House) -> None:
    """By digest, once built; an unknown digest is said."""
    await house.begun()
    archive = Archive(house.bundles)
    assert await archive.rules(PACKAGE.digest) is await archive.rules(PACKAGE.digest)
    with pytest.raises(UnknownRules):
        await archive.rules(NEWER.digest)


async def test_nothing_is_judged_before_rules_are_loaded(house: House) -> None:
    """Without an activation there is nothing to load, and nothing to judge by."""
    in_force = RulesInForce(house.activations, Archive(house.bundles))
    with pytest.raises(RulesUnsettled):
        _ = in_force.rules
    with pytest.raises(RulesUnsettled):
        await in_force.load()


async def test_rules_of_other_facts_are_not_loaded(house: House) -> None:
    """A schema that asks for what this process does not know, or does not know what it says: not its rules."""
    in_force = await house.begun()
    for foreign in (changed("opposed: Bool,", "opposed: Bool,\n    colour: String,", "carnet.cedarschema"),
                    changed("own: Bool, ", "mine: Bool, ", "carnet.cedarschema",
                            Bundle({n: t.replace("document.own", "document.mine")
                                    for n, t in PACKAGE.texts.items()}))):  # fmt: skip
        await house.activate(foreign)
        with pytest.raises(RulesUnsettled):
            await in_force.renew(in_force.rules)
        with pytest.raises(RulesUnsettled):
            await house.begun()
        assert in_force.rules.digest == PACKAGE.digest


class _Consuming:
    """Keeps handlers by their fact."""

    def __init__(self) -> None:
        self.handlers: dict[Any, Any] = {}

    def on(self, _: str, *pairs: Any) -> None:
        self.handlers |= dict(pairs)


async def test_an_event_waits_until_rules_can_be_loaded(house: House) -> None:
    """It is not the event's fault: it becomes no dead letter, and is handled once the rules are mended."""
    in_force = await house.begun()
    keys, ledger = MemoryKeys(), Ledger(house.journal, MemorySnapshots())
    consuming: Any = _Consuming()
    subscribe(
        consuming,
        OpenRecord(house.journal, house.keys, in_force, lambda: NOW),
        RepresentRecord(Inscribe(ledger, house.journal, in_force, lambda: NOW)),
        ConfirmDeposit(keys),
        AbandonDeposit(ledger, house.journal, keys, in_force, lambda: NOW),
        noting=NoteBeat(MemoryBeats(), lambda: NOW),
    )
    await house.activate(NEWER)
    held = house.bundles.rows.pop(NEWER.digest)
    envelope = Envelope(source="carnet/identity", type=RecordOpened.TYPE, subject=OTHER_RECORD, correlation_id="c")
    fact = RecordOpened(record=OTHER_RECORD, version=1, identity_status="qualified")
    with pytest.raises(DependencyUnreachable):
        await consuming.handlers[RecordOpened](envelope, fact)
    house.bundles.rows[NEWER.digest] = held
    await consuming.handlers[RecordOpened](envelope, fact)
    assert [each.policies for each in house.journal.entries[OTHER_RECORD]] == [NEWER.digest]


async def test_an_abandoned_deposit_is_written_under_the_new_rules(house: House) -> None:
    """Its entry is refused under the old ones and made again, once."""
    in_force = await house.begun()
    house.journal.entries[RECORD] = [opening()]
    ledger, keys = Ledger(house.journal, MemorySnapshots()), MemoryKeys()
    decide = Decide(ledger, house.journal, keys, in_force, lambda: NOW)
    document = (await decide.one(flow(MOREAU, Action.DEPOSIT, deposit=paper()))).documents[0].id
    await house.activate(NEWER)
    await AbandonDeposit(ledger, house.journal, keys, in_force, lambda: NOW)(RECORD, document, 1, "event")
    assert [(each.kind, each.policies) for each in house.journal.entries[RECORD][-1:]] == [("abandoned", NEWER.digest)]
    assert keys.rows == {}


async def test_a_refused_batch_leaves_what_stands(house: House) -> None:
    """Entries of old and of new rules in one batch: each has its own fate, and the old one is judged again."""
    await house.begun()
    await house.journal.demand(NEWER.digest)
    batch: Sequence[Entry] = [opening(), replace(opening(OTHER_RECORD), policies=NEWER.digest)]
    fates = await house.journal.append(batch)
    assert fates == [Fate.OUTDATED, Fate.STANDS]
    assert [bool(each) for each in (*fates, Fate.TAKEN)] == [False, True, False]


async def test_a_decider_of_newer_rules_steps_aside_before_they_are_in_force(house: House) -> None:
    """Whatever a process believes, the journal tells: it judges by what is in force."""
    decide = await house.decider()
    early = await house.begun()
    early._rules = Rules(NEWER)
    decide._in_force = early
    decided = await decide.one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("oppose")))
    assert decided.entry is not None
    assert decided.entry.policies == RULES.digest
    assert early.rules.digest == RULES.digest
