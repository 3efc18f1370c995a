"""Activation on the real database: from the entry on no verdict stands under other rules, whatever dies on the way."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chassis.mongo import Mongo
from chassis.settings import MongoSettings
from services.consent.domain.bundle import Bundle
from services.consent.domain.flow import Action, Change, Flow
from services.consent.domain.rules import Rules
from services.consent.in_force import PUBLIC
from services.consent.ports import RulesUnsettled
from services.consent.use_cases.decide import Decided
from tests.chaos.test_crashes import ACTIVATING
from tests.integration.consent.conftest import Start
from tests.integration.consent.processes import DEADLINE_MS, Process, asked, fresh_record
from tests.integration.consent.test_deciders import replayed
from tests.unit.consent.people import CAMILLE, MOREAU, PETIT, RECORD, RULES, paper
from tests.unit.consent.variants import PLANTED, changed, planted

NEWER = planted()
NEWEST = planted(bundle=changed("La personne a bloqué", "La personne bloque"))
_ROOT = Path(__file__).parents[3]
Run = Callable[..., Awaitable[tuple[int, str]]]
# Commands run in a process of their own, on the driver by default: once is enough.
_ONCE = pytest.mark.parametrize("driver", ["motor"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the newer rules into a folder."""
    return written(NEWER, tmp_path / "newer")


def written(bundle: Bundle, folder: Path) -> Path:
    """Write a bundle as an operator holds it."""
    folder.mkdir()
    for name, text in bundle.texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def run(mongo_settings: MongoSettings, root: Path) -> Run:
    """Run `python -m services.consent rules ...` in a process of its own; return its exit code and what it said."""

    async def ran(*words: str, **more: str) -> tuple[int, str]:
        environment = {
            **os.environ,
            "CARNET_ENVIRONMENT": "local",
            "CARNET_MONGO": mongo_settings.uri,
            "CARNET_MONGO_DATABASE": mongo_settings.database,
            "CARNET_CONSENT_ROOT_KEY": str(root),
            **more,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.consent", "rules", *words, cwd=_ROOT, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    return ran


@dataclass
class Load:
    """Askers at full speed over several deciders and records, each flow with the protocol's deadline."""

    processes: list[Process]
    records: list[str]
    done: bool = False
    asked: list[tuple[float, float, Flow, Decided | None]] = field(default_factory=list)

    async def asker(self, number: int) -> None:
        """Ask through one decider after the other."""
        turn = number
        while not self.done:
            turn += 1
            actor = (CAMILLE, PETIT)[turn % 2]
            question = asked(actor, Action.LIST, record=self.records[turn % len(self.records)])
            began = time.monotonic()
            decided = await self.processes[turn % len(self.processes)].decide(question)
            self.asked.append((began, time.monotonic(), question, decided))

    async def until(self, count: int) -> None:
        """Wait until so many more flows have ended."""
        goal, end = len(self.asked) + count, time.monotonic() + 30
        while len(self.asked) < goal:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)


async def _old_rows(mongo: Mongo) -> int:
    return int(await mongo["journal"].count_documents({"policies": {"$ne": NEWER.digest}}))


async def test_no_verdict_stands_under_old_rules_after_an_activation(start: Start) -> None:
    """Deciders of different digests under load: after `activate` not one more row of old rules, no flow left behind."""
    operator, one, other, early = [await start() for _ in range(4)]
    # One that came with the newer rules and believes them to be in force: until they are, it steps aside.
    early.in_force._rules = Rules(NEWER)
    records = [RECORD, *(fresh_record() for _ in range(7))]
    for record in records[1:]:
        await one.open(record, f"opened-{record}")
    for record in records:
        await one.ask(MOREAU, Action.DEPOSIT, deposit=paper(), record=record)
    load = Load([one, other, early], records)
    askers = [asyncio.create_task(load.asker(number)) for number in range(12)]
    await load.until(150)
    assert early.in_force.rules.digest == RULES.digest
    assert await _old_rows(operator.mongo) > 150

    await operator.activate(NEWER)
    returned, rows = time.monotonic(), await _old_rows(operator.mongo)
    await load.until(300)
    load.done = True
    await asyncio.gather(*askers)

    assert await _old_rows(operator.mongo) == rows
    spent = [ended - began for began, ended, _, _ in load.asked]
    assert max(spent) < DEADLINE_MS / 1000
    assert all(decided is not None and decided.entry is not None for _, _, _, decided in load.asked)
    digests: Counter[str] = Counter()
    for began, _, flow, decided in load.asked:
        entry = decided.entry if decided else None
        assert entry is not None
        assert entry.outcome is not None
        digests[entry.policies] += 1
        if began > returned:
            assert entry.policies == NEWER.digest
        if entry.policies == NEWER.digest:
            assert entry.outcome.verdict == ("allowed" if flow.actor == CAMILLE else "red-line")
    assert digests.keys() == {RULES.digest, NEWER.digest}
    assert {each.in_force.rules.digest for each in load.processes} == {NEWER.digest}
    for record in records:
        entries = await operator.entries(record)
        switched = [each.policies for each in entries]
        assert switched == sorted(switched, key=[RULES.digest, NEWER.digest].index)
        replayed(entries, {RULES.digest: RULES, NEWER.digest: Rules(NEWER)})


async def _activations(consent: Process) -> list[str | None]:
    entries = await consent.entries(PUBLIC)
    assert [each.version for each in entries] == [each.n for each in entries] == list(range(1, len(entries) + 1))
    assert {(each.kind, each.policies == each.about, each.leaf_class) for each in entries} == {
        ("activated", True, "other")
    }
    return [each.about for each in entries]


async def _rule(consent: Process) -> tuple[str, str]:
    """Have Dr Petit ask for a list; return the digest and the rule that judged."""
    decided = await consent.ask(PETIT, Action.LIST)
    assert decided is not None
    assert decided.entry is not None
    assert decided.entry.outcome is not None
    return decided.entry.policies, decided.entry.outcome.rule


@_ONCE
@pytest.mark.parametrize("point", [each.rpartition(".")[2] for each in ACTIVATING])
async def test_a_second_run_finishes_an_activation_that_died(start: Start, run: Run, folder: Path, point: str) -> None:
    """Killed after any step, the command run again brings it to its end; there is one entry, and it is read again."""
    before = await start()
    code, _ = await run("activate", str(folder), CARNET_FAULT=f"consent.activate.{point}")
    assert code == -signal.SIGKILL
    assert (await _activations(before))[-1] == (NEWER.digest if point == "entered" else RULES.digest)
    assert (await before.journal.demanded()) == (RULES.digest if point == "kept" else NEWER.digest)
    for _ in range(2):
        code, said = await run("activate", str(folder))
        assert code == 0, said
        assert NEWER.digest in said
        assert await _activations(before) == [RULES.digest, NEWER.digest]
    for each in (before, await start()):
        assert await _rule(each) == (NEWER.digest, PLANTED)


@_ONCE
@pytest.mark.parametrize(
    ("point", "expected"), [("kept", "not-authorised"), ("demanded", PLANTED), ("entered", PLANTED)]
)
async def test_care_does_not_wait_for_the_second_run(
    start: Start, run: Run, folder: Path, point: str, expected: str
) -> None:
    """Where an activation died no decider is stuck: before the journal's demand old rules judge, then new ones."""
    running = await start()
    await run("activate", str(folder), CARNET_FAULT=f"consent.activate.{point}")
    for each in (running, await start()):
        assert (await _rule(each))[1] == expected
    newest = NEWER.digest if expected == PLANTED else RULES.digest
    assert (await _activations(running))[-1] == newest == await running.journal.demanded()


async def test_the_first_start_is_finished_by_the_next(database: Mongo, root: Path, start: Start) -> None:
    """A first process that dies anywhere in its activation leaves what the next one finishes."""

    class Cut(Exception):
        pass

    for step in ("keep", "demand", "append"):
        dying = Process(database, root)
        holder = dying.bundles if step == "keep" else dying.journal
        real = getattr(holder, step)

        async def cut(*args: object, real: Callable[..., Awaitable[object]] = real) -> None:
            await real(*args)
            raise Cut

        setattr(holder, step, cut)
        with pytest.raises(Cut):
            await dying.prepare()
    consent = await start()
    assert await _activations(consent) == [RULES.digest]


async def test_processes_that_start_together_agree(database: Mongo, root: Path) -> None:
    """Whoever comes first, of one package or of two: in the end one set of rules is in force for all of them."""
    same = [Process(database, root) for _ in range(4)]
    await asyncio.gather(*(each.prepare() for each in same))
    assert await _activations(same[0]) == [RULES.digest]
    mixed = [Process(database, root, own=own) for own in (NEWER, NEWEST)]
    await asyncio.gather(*(each.prepare() for each in mixed))
    assert await _activations(same[0]) == [RULES.digest]
    assert {each.in_force.rules.digest for each in (*same, *mixed)} == {RULES.digest}


async def test_two_operators_at_once_leave_one_set_in_force(start: Start) -> None:
    """Activations of different rules at the same moment: both end, the last entry is what the journal demands."""
    one, other, decider = [await start() for _ in range(3)]
    for _ in range(5):
        entries = await asyncio.gather(one.activate(NEWER), other.activate(NEWEST))
        assert [each.about for each in entries] == [NEWER.digest, NEWEST.digest]
        digest, rule = await _rule(decider)
        assert rule == PLANTED
        assert digest == (await _activations(decider))[-1] == await decider.journal.demanded()


async def test_older_rules_come_back_by_a_new_activation(start: Start) -> None:
    """There and back again: three entries, and the deciders follow; to activate what is in force changes nothing."""
    operator, decider = await start(), await start()
    first = await operator.activate(RULES.bundle)
    await operator.activate(NEWER)
    assert await _rule(decider) == (NEWER.digest, PLANTED)
    back = await operator.activate(RULES.bundle)
    assert await _rule(decider) == (RULES.digest, "not-authorised")
    assert await operator.activate(RULES.bundle) == back != first
    assert await _activations(operator) == [RULES.digest, NEWER.digest, RULES.digest]


async def test_what_an_event_brings_is_written_under_the_rules_in_force(start: Start) -> None:
    """A record that opens and a deposit that is abandoned after an activation stand under the new rules."""
    operator, consumer = await start(), await start()
    deposited = await consumer.ask(MOREAU, Action.DEPOSIT, deposit=paper())
    assert deposited is not None
    await operator.activate(NEWER)
    record = fresh_record()
    await consumer.open(record, "opened")
    await operator.activate(NEWEST)
    await consumer.abandon(RECORD, deposited.documents[0].id, 1, "abandoned")
    assert [each.policies for each in await operator.entries(record)] == [NEWER.digest]
    assert (await operator.entries())[-1].kind == "abandoned"
    assert (await operator.entries())[-1].policies == NEWEST.digest


async def test_a_directive_is_begun_under_the_rules_in_force(start: Start) -> None:
    """Consent's own interface follows an activation as deciders do."""
    operator, serving = await start(), await start()
    await operator.activate(NEWER)
    await serving.say(Change("oppose"))
    assert (await operator.entries())[-1].policies == NEWER.digest


async def test_what_was_allowed_before_is_not_released_after(start: Start) -> None:
    """A repeat of a question that old rules allowed gets nothing once others are in force, from any decider."""
    operator, decider = await start(), await start()
    question = asked(CAMILLE, Action.LIST)
    assert await decider.decide(question) is not None
    await operator.activate(NEWER)
    assert await decider.decide(question) is None
    assert await operator.decide(question) is None


def _tampered(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{**each, "text": each["text"].replace("forbid", "permit")} for each in rows]


@_ONCE
async def test_tampered_texts_are_refused(start: Start, run: Run, folder: Path) -> None:
    """Texts altered in the database have another digest: no process starts on them, or goes over to them."""
    running = await start()
    await run("activate", str(folder))
    row = await running.mongo["bundles"].find_one({"_id": NEWER.digest})
    update = {"$set": {"texts": _tampered(row["texts"])}}
    await running.mongo["bundles"].update_one({"_id": NEWER.digest}, update)
    with pytest.raises(RulesUnsettled):
        await running.ask(PETIT, Action.LIST)
    with pytest.raises(RulesUnsettled):
        await start()
    code, said = await run("show")
    assert (code, "RulesUnsettled" in said) == (1, True), said
    # The operator's folder has the true texts: to activate it again keeps them anew.
    assert (await run("activate", str(folder)))[0] == 0
    assert await _rule(running) == (NEWER.digest, PLANTED)


@pytest.mark.parametrize("stolen", ["the first activation", "none"])
async def test_whoever_writes_to_the_database_activates_nothing(start: Start, stolen: str) -> None:
    """Rules of an intruder, with every clear field right: no process judges by them, and none under others either."""
    running, evil = await start(), NEWEST
    rows = running.mongo["bundles"]
    activation = (await rows.find_one({"_id": RULES.digest}))["activation"] if stolen != "none" else {"body": b"x" * 40}
    texts = [{"name": name, "text": text} for name, text in evil.texts.items()]
    row = {"_id": evil.digest, "texts": texts, "signers": [], "activation": activation}
    await rows.insert_one(row)
    await running.journal.demand(evil.digest)
    with pytest.raises(RulesUnsettled):
        await running.ask(PETIT, Action.LIST)
    with pytest.raises(RulesUnsettled):
        await start()
    assert await _activations(running) == [RULES.digest]


async def test_an_old_activation_is_good_for_once(start: Start) -> None:
    """Whoever has the journal demand older rules again brings nothing back: their activation stands long since."""
    running = await start()
    await running.activate(NEWER)
    assert await _rule(running) == (NEWER.digest, PLANTED)
    await running.journal.demand(RULES.digest)
    with pytest.raises(RulesUnsettled):
        await running.ask(PETIT, Action.LIST)
    assert await _activations(running) == [RULES.digest, NEWER.digest]
    await running.activate(NEWER)
    assert await _rule(running) == (NEWER.digest, PLANTED)


async def test_a_restored_database_demands_again(start: Start) -> None:
    """A journal that lost its demand, as a restored dump may, is given it again by the next process that starts."""
    first = await start()
    await first.mongo.admit("journal", {})
    assert await first.journal.demanded() is None
    await start()
    assert await first.journal.demanded() == RULES.digest


async def test_rules_of_other_facts_are_not_judged_by(start: Start) -> None:
    """A bundle whose schema knows what this process does not is for another version of it: it steps aside."""
    running = await start()
    foreign = changed("opposed: Bool,", "opposed: Bool,\n    colour: String,", "carnet.cedarschema")
    await running.activate(foreign)
    with pytest.raises(RulesUnsettled):
        await running.ask(CAMILLE, Action.LIST)
    assert all(each.policies == RULES.digest for each in await running.entries())
    with pytest.raises(RulesUnsettled):
        await start()


async def test_nobody_asks_about_the_public_record(start: Start) -> None:
    """What concerns everybody is no one's record: a flow about it is answered as about none, and leaves no entry."""
    consent = await start()
    decided = await consent.decide(asked(CAMILLE, Action.LIST, record=PUBLIC))
    assert decided is not None
    assert decided.entry is None
    assert await _activations(consent) == [RULES.digest]


@_ONCE
async def test_the_commands_tell_what_is_in_force(start: Start, run: Run, folder: Path) -> None:
    """`show` prints the rules in force, `diff` what changed between two digests, both in French."""
    await start()
    code, said = await run("show")
    assert (code, RULES.digest in said, "La personne a bloqué" in said) == (0, True, True)
    await run("activate", str(folder))
    code, said = await run("show")
    assert (code, NEWER.digest in said, "Une règle plantée." in said) == (0, True, True)
    code, said = await run("diff", RULES.digest, NEWER.digest)
    assert (code, said.splitlines()[0]) == (0, "Règle ajoutée : planted")
    code, said = await run("show", "x" * 43)
    assert (code, "no bundle of the digest" in said) == (1, True)
