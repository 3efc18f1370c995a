"""Holes that a review found, one by one: each of these told somebody something, or let somebody in."""

from dataclasses import replace
from typing import Any

import pytest

from services.consent.domain.entry import MAIN
from services.consent.domain.flow import Action, Care, Change, Reason
from services.consent.domain.record import confidence
from services.consent.fhir.audit_events import audit_event
from services.consent.ledger import Ledger
from services.consent.ports import Counted
from tests.unit.consent.counting import Bench
from tests.unit.consent.memory import MemorySnapshots
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    DAY,
    HIDDEN,
    MOREAU,
    ORGANISATION,
    PARENT,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    Book,
    flow,
    minor,
    paper,
)

UNTOLD, CODE = "INVISIBLE_PATIENT", "d" * 43


async def test_a_state_folded_behind_a_secret_knows_the_main_stream_s_number() -> None:
    """Requests in main, then a secret deposit, by another process: who folds afterwards can write; she can block."""
    bench = Bench()
    other, mine = bench.decider(), bench.decider()
    await other.one(flow(MOREAU, Action.READ_JOURNAL))
    await other.one(flow(CAMILLE, Action.LIST))
    await other.one(flow(PETIT, Action.DEPOSIT, deposit=paper("secret", visibility=(UNTOLD,))))
    state, head = await Ledger(bench.journal, MemorySnapshots()).folded(RECORD), await bench.journal.head(RECORD)
    assert state is not None
    assert (state.version, state.n) == head
    blocked = await mine.one(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("block", PERSON)))
    assert blocked.outcome is not None
    assert blocked.outcome.verdict == "allowed"


async def test_what_is_asked_about_a_secret_is_never_swallowed_by_a_number() -> None:
    """A refused reading that repeats one, and names a secret too, has its entry in the secret's stream."""
    bench = Bench()
    known = (await bench.ask(COLLEAGUE, Action.DEPOSIT, deposit=paper("open"))).documents[0].id
    secret = (await bench.ask(COLLEAGUE, Action.DEPOSIT, deposit=paper("s", visibility=(UNTOLD,)))).documents[0].id
    await bench.ask(PETIT, Action.READ, known)
    await bench.ask(PETIT, Action.READ, known, secret)
    assert [each.stream for each in bench.entries][-1] == secret


@pytest.mark.parametrize("label", [HIDDEN, UNTOLD])
async def test_refusals_are_counted_alike_with_and_without_a_secret(label: str) -> None:
    """A depositor whom nothing authorises polls: he finds his own secret, and main tells what it tells without one."""
    told: list[list[tuple[Any, ...]]] = []
    for secret in (False, True):
        bench = Bench()
        known = (await bench.ask(COLLEAGUE, Action.DEPOSIT, deposit=paper("open"))).documents[0].id
        own = "z" * 26
        if secret:
            own = (await bench.ask(PETIT, Action.DEPOSIT, deposit=paper("s", visibility=(label,)))).documents[0].id
        for _ in range(3):
            listed = await bench.ask(PETIT, Action.LIST)
            assert [each.document.id for each in listed.released] == ([own] if secret else [])
            await bench.ask(PETIT, Action.READ, known)
            bench.now += 1_000
        await bench.closed()
        main = [each for each in bench.entries if each.stream == MAIN and each.cause != known]
        told.append([(each.n, each.kind, each.outcome.verdict if each.outcome else "") for each in main])
        parts = [each.outcome.verdict for each in bench.entries if each.stream == own and each.outcome]
        assert parts == (["allowed"] * 4 if secret else [])
    assert told[0] == told[1]


async def test_a_repeat_of_what_was_counted_and_shown_is_answered_again() -> None:
    """The same question heard twice: its secret part stands once, its refusal counts once, its keys are the same."""
    bench = Bench()
    await bench.ask(COLLEAGUE, Action.DEPOSIT, deposit=paper("open"))
    await bench.ask(PETIT, Action.DEPOSIT, deposit=paper("s", visibility=(UNTOLD,)))
    await bench.ask(PETIT, Action.LIST)
    before, asked = len(bench.entries), flow(PETIT, Action.LIST)
    answers = [await each.one(asked) for each in (bench.decider(), bench.decider())]
    assert len(bench.entries) == before + 1
    keys = [[held.key for held in each.released] for each in answers]
    assert keys[0] == keys[1] != []


@pytest.mark.parametrize("meanwhile", ["between", "again"])
async def test_no_key_is_given_that_no_entry_allows(meanwhile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another secret comes while a refusal is counted, or before its question is heard again: its key stays in."""
    bench = Bench()
    await bench.ask(COLLEAGUE, Action.DEPOSIT, deposit=paper("open"))
    await bench.ask(PETIT, Action.DEPOSIT, deposit=paper("one", visibility=(UNTOLD,)))
    await bench.ask(PETIT, Action.LIST)
    asked, late = flow(PETIT, Action.LIST), bench.decider()
    if meanwhile == "again":
        assert len((await bench.decider().one(asked)).released) == 1
        await bench.ask(PETIT, Action.DEPOSIT, deposit=paper("two", visibility=(UNTOLD,)))
    else:  # the window is over just when it is to be counted, and the second secret came since

        async def over(*_: Any) -> Counted:
            await bench.ask(PETIT, Action.DEPOSIT, deposit=paper("two", visibility=(UNTOLD,)))
            return Counted.OVER

        monkeypatch.setattr(bench.windows, "count", over)
    answer = await late(asked)
    given = {each.document.id for each in answer.released} if answer else set()
    told = {
        name for each in bench.entries if each.flow and each.flow.id == asked.id and each.outcome
        for name in (each.outcome.allowed or (each.flow.documents if each.outcome.verdict == "allowed" else ()))
    }  # fmt: skip
    assert given <= told


@pytest.mark.parametrize("masked", [True, False])
def test_a_glass_that_shows_nothing_is_broken_all_the_same(*, masked: bool) -> None:
    """All is masked, or nothing is there, but for a result that she may not know of: it is told all the same."""
    book = Book()
    if masked:
        book.deposit(paper("open", visibility=("MASQUE_PS",)), by=COLLEAGUE)
    book.deposit(paper("s", visibility=(UNTOLD,)), by=COLLEAGUE)
    why = {"purpose": "BTG", "reason": Reason("unconscious", "Trouvé inconscient."), "auth_time": book.now // 1000}
    at = len(book.entries)
    book.ask(flow(PETIT, Action.LIST, **why))
    assert [each.announces for each in book.entries[at:]] == ["emergency", None]


@pytest.mark.parametrize("action", [Action.END_CARE, Action.CHANGE_DIRECTIVES])
def test_nothing_that_is_said_in_secret_stands_in_the_main_stream(action: Action) -> None:
    """A refused end of care, a refused change: in her stream as all of a secret consultation."""
    book = minor()
    before = book.shows("representative")
    book.ask(flow(PETIT, action, change=Change("end", ends="0" * 32), secret=True))
    assert book.shows("representative") == before
    assert book.entries[-1].stream == confidence(RECORD)


@pytest.mark.parametrize(("kind", "label"), [("patient", UNTOLD), ("representative", HIDDEN)])
def test_the_name_of_a_part_tells_of_no_other(kind: Any, label: str) -> None:
    """Two secrets in one list, the second one opened: nothing in its entry's name says that it was the second."""
    book = minor()
    book.say("authorise", PERSON)
    secrets = [book.deposit(paper(each, visibility=(label,)), by=COLLEAGUE) for each in ("one", "two")]
    listed = flow(MOREAU, Action.LIST)
    book.ask(listed)
    if label == UNTOLD:
        book.ask(flow(MOREAU, Action.ANNOUNCE, secrets[1]))
    else:
        book.say("show-to-representatives", secrets[1])
    streams = book.record.open_streams(book.now, kind)
    shown = [each for each in book.entries if each.flow and each.flow.id == listed.id and each.stream in streams]
    names = [str(audit_event(each, "http://carnet", RULES)["id"]) for each in shown]
    assert names[0] == listed.id
    assert len(names) == 2
    assert listed.id not in names[1]


def test_a_parent_s_code_opens_no_secret_and_is_not_used_up_by_one() -> None:
    """In secret only a code of her own counts; a parent's stays good in the open, as if nothing had been."""
    book = minor()
    made = flow(PARENT, Action.CHANGE_DIRECTIVES, change=Change("code", members=(CODE,), until=book.now + DAY))
    assert book.ask(made).outcome.verdict == "allowed"
    care = Care("code", book.now + DAY, CODE)
    secretly = book.ask(flow(PETIT, Action.DECLARE_CARE, care=care, secret=True))
    assert (secretly.outcome.verdict, secretly.outcome.rule) == ("refused", "code-wrong")
    assert book.ask(flow(MOREAU, Action.DECLARE_CARE, care=care)).outcome.verdict == "allowed"


def test_what_opens_the_record_is_on_her_list() -> None:
    """A relation that began at a structure which she blocked since opens nothing from another one either."""
    book = Book()
    book.deposit(paper("open"), by=COLLEAGUE)
    book.say("code", members=(CODE,), until=book.now + DAY)
    book.ask(flow(MOREAU, Action.DECLARE_CARE, care=Care("code", book.now + 100 * DAY, CODE)))
    book.say("block", ORGANISATION)
    elsewhere = replace(MOREAU, organisation="750000002", organisation_name="Cabinet Petit")
    assert book.record.relations(book.now) == []
    assert book.ask(flow(elsewhere, Action.LIST)).outcome.verdict == "refused"


def test_a_secret_that_is_shown_says_nothing_of_the_consultation() -> None:
    """Her parents read who deposited it, and not that it was in secret."""
    book = minor()
    secret = book.ask(flow(PETIT, Action.DEPOSIT, deposit=paper("s", visibility=(HIDDEN,)), secret=True)).outcome
    book.say("show-to-representatives", secret.document)
    (told,) = [each for each in book.shows("representative") if each.get("action") == "deposit"]
    assert "secrète" not in told["phrase"]


def test_her_choice_about_an_episode_stays_hers() -> None:
    """Hidden with an episode whose first document she may not even know of: her choice is in her journal."""
    book = minor()
    both = replace(paper("both", visibility=(HIDDEN, UNTOLD)), episode="e")
    known = replace(paper("known", visibility=(HIDDEN,)), episode="e")
    for each in (both, known):
        book.deposit(each, by=COLLEAGUE)
    before = book.shows("representative")
    hidden = book.say("hide", "episode:e")
    assert hidden in book.record.known_to("patient", book.now).directives
    assert book.shows("representative") == before


def test_what_was_given_up_stays_hers_to_read() -> None:
    """A secret deposit that never stood: its entries are in her journal, and no choice hangs on it."""
    book = minor()
    secret = book.deposit(paper("s", visibility=(HIDDEN,)), by=COLLEAGUE)
    book.say("hide", secret)
    before = [each for each in book.shows("patient") if each["stream"] == secret]
    book.abandon(secret)
    assert [each for each in book.shows("patient") if each["stream"] == secret] == before
    assert [each for each in book.shows("representative") if each["stream"] == secret] == []
    assert book.record.directives == {}


def test_a_stay_that_is_reported_twice_is_one_stay() -> None:
    """Whoever heard no answer reports again; the end of the one he knows ends both, and what is over is not kept."""
    software = replace(MOREAU, kind="application", id="hopital", profession=None)
    book = Book()
    stays = [
        flow(software, Action.DECLARE_CARE, care=Care("admission", book.now + 90 * DAY), purpose="PATADMIN")
        for _ in range(3)
    ]
    for each in stays:
        assert book.ask(each).outcome.verdict == "allowed"
    assert [each.id for each in book.record.relations(book.now)] == [stays[-1].id]
    ended = flow(software, Action.END_CARE, change=Change("end", ends=stays[-1].id), purpose="PATADMIN")
    assert book.ask(ended).outcome.verdict == "allowed"
    assert book.record.care == {}
    assert [each.stream for each in book.entries] == [MAIN] * len(book.entries)
