"""A result that is not announced leaves no trace that the patient could read; once it is, all of it appears."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consent.domain.entry import MAIN
from services.consent.domain.flow import Action, Amendment, Flow
from tests.unit.consent.lives import openly
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    INSURER,
    MONTH,
    MOREAU,
    NOTICES,
    PERSON,
    PETIT,
    Book,
    flow,
    paper,
)

SECRET = paper("secret", visibility=("INVISIBLE_PATIENT",))


@pytest.fixture
def book() -> Book:
    """Open a record's journal in which Dr Moreau is authorised."""
    opened = Book()
    opened.say("authorise", PERSON)
    return opened


def test_a_secret_deposit_is_not_in_her_journal(book: Book) -> None:
    """Its entry stands in a stream of its own, and the main stream's numbers have no hole."""
    before = book.tells("patient")
    document = book.deposit(SECRET, by=COLLEAGUE)
    assert book.tells("patient") == before
    assert (book.entries[-1].stream, book.entries[-1].n) == (document, 1)
    book.ask(flow(CAMILLE, Action.LIST))
    assert book.entries[-1].n == before[-1]["n"] + 1


@pytest.mark.parametrize("asked", [
    flow(MOREAU, Action.READ), flow(PETIT, Action.READ), flow(NOTICES, Action.NOTIFY), flow(INSURER, Action.READ),
    flow(PETIT, Action.ANNOUNCE),
], ids=lambda asked: f"{asked.actor.name} {asked.action}")  # fmt: skip
def test_what_is_about_the_secret_alone_is_secret(book: Book, asked: Flow) -> None:
    """Read, refused, or not even told: no entry of the main stream says so."""
    document = book.deposit(SECRET, by=COLLEAGUE)
    before = book.tells("patient")
    book.ask(flow(asked.actor, asked.action, document))
    assert book.tells("patient") == before
    assert (book.entries[-1].stream, book.entries[-1].n) == (document, 2)


def test_a_doctor_s_list_counts_for_her_what_she_may_know(book: Book) -> None:
    """The doctor gets both documents; her journal says one, and the other stream the other."""
    known, secret = book.deposit(paper("known"), by=COLLEAGUE), book.deposit(SECRET, by=COLLEAGUE)
    verdict = book.ask(flow(MOREAU, Action.LIST))
    assert {each.id for each in verdict.released} == {known, secret}
    main, reserved = book.entries[-2:]
    assert (main.stream, main.outcome.count, main.outcome.refused) == (MAIN, 1, ())  # type: ignore[union-attr]
    assert (reserved.stream, reserved.flow.documents) == (secret, (secret,))  # type: ignore[union-attr]


@pytest.mark.parametrize("label", ["INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"])
def test_a_stranger_s_list_takes_one_entry_whatever_is_there(book: Book, label: str) -> None:
    """An entry more for each that he may not see would take a time by which he could tell of them."""
    for number in range(3):
        book.deposit(paper(f"secret {number}", visibility=(label,)), by=COLLEAGUE)
    before = len(book.entries)
    assert book.ask(flow(PETIT, Action.LIST)).outcome.verdict == "refused"
    assert [each.stream for each in book.entries[before:]] == [MAIN]


def test_a_reading_of_both_is_told_apart(book: Book) -> None:
    """Of a flow that names both, the main entry does not even hold the other's name."""
    known, secret = book.deposit(paper("known"), by=COLLEAGUE), book.deposit(SECRET, by=COLLEAGUE)
    verdict = book.ask(flow(MOREAU, Action.READ, known, secret))
    assert {each.id for each in verdict.released} == {known, secret}
    assert secret not in str(book.entries[-2].private)


@pytest.mark.parametrize("action", [Action.LIST, Action.READ, Action.EXPORT])
def test_to_her_the_secret_is_absent(book: Book, action: Action) -> None:
    """Naming it gives what naming nothing gives; a whole list does not count it, even as refused."""
    secret = book.deposit(SECRET, by=COLLEAGUE)
    named, absent = book.ask(flow(CAMILLE, action, secret)), book.ask(flow(CAMILLE, action, "z" * 26))
    assert (named.main, named.reserved) == (absent.main, ())
    whole = book.ask(flow(CAMILLE, Action.LIST))
    assert (whole.outcome.verdict, whole.outcome.count, whole.outcome.refused) == ("allowed", 0, ())


def test_an_announcement_opens_its_stream_whole(book: Book) -> None:
    """From the announcement on she sees the document, and every entry about it, from its deposit on."""
    document = book.deposit(SECRET, by=COLLEAGUE)
    book.ask(flow(MOREAU, Action.READ, document))
    book.ask(flow(MOREAU, Action.ANNOUNCE, document))
    assert (book.entries[-1].stream, book.entries[-1].flow.action) == (MAIN, Action.ANNOUNCE)  # type: ignore[union-attr]
    mine = [each for each in book.tells("patient") if each["stream"] == document]
    assert [(each["n"], each["action"]) for each in mine] == [(1, "deposit"), (2, "read")]
    assert book.ask(flow(CAMILLE, Action.READ, document)).outcome.allowed == (document,)


def test_a_month_opens_it_too(book: Book) -> None:
    """R.1111-53: after a month nobody's announcement is needed, and what is asked then goes into the main stream."""
    document = book.deposit(SECRET, by=COLLEAGUE)
    book.now += MONTH - 1
    assert all(each["stream"] == MAIN for each in book.tells("patient"))
    book.now += 1
    assert [each["stream"] for each in book.tells("patient")].count(document) == 1
    assert book.ask(flow(CAMILLE, Action.READ, document)).outcome.allowed == (document,)
    assert book.entries[-1].stream == MAIN


@pytest.mark.parametrize(("actor", "said", "allowed"), [
    (MOREAU, None, True), (COLLEAGUE, None, True), (PETIT, None, False), (MOREAU, "block", False),
    (CAMILLE, None, False),
])  # fmt: skip
def test_who_may_announce(book: Book, actor: Any, said: str | None, *, allowed: bool) -> None:
    """One who treats the patient or deposited the result; not a stranger, not who is blocked, not she herself."""
    document = book.deposit(SECRET, by=COLLEAGUE)
    if said:
        book.say(said, PERSON)
    verdict = book.ask(flow(actor, Action.ANNOUNCE, document))
    assert (verdict.outcome.verdict == "allowed") is allowed
    assert book.record.documents[document].unannounced(book.now) is not allowed


_STEPS = st.lists(
    st.sampled_from(["deposit", "hers", "his", "strangers", "directive", "read", "notify", "amend", "hour"]),
    max_size=14,
)  # fmt: skip
_SECRETS = st.lists(
    st.sampled_from(["deposit", "again", "read", "list-again", "notify", "conflict", "amend"]), max_size=3
)


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS, secrets=st.lists(_SECRETS, min_size=14, max_size=14))
def test_with_and_without_a_secret_her_journal_is_the_same(steps: list[str], secrets: list[list[str]]) -> None:
    """Whatever happens around it and to it, no entry, number, count or sentence of the patient's differs."""
    plain, full = Book(), Book()
    for book in (plain, full):
        book.say("authorise", PERSON)
    for number, (step, hidden) in enumerate(zip(steps, secrets, strict=False)):
        for each in hidden:
            _secretly(full, each)
        for book in (plain, full):
            openly(book, step, number)
        assert plain.tells("patient") == full.tells("patient")


def _secretly(book: Book, step: str) -> None:
    known = [each.id for each in book.record.documents.values() if each.unannounced(book.now)]
    if step in {"deposit", "again"} or not known:
        book.ask(flow(COLLEAGUE, Action.DEPOSIT, deposit=SECRET))
    elif step == "conflict":
        book.ask(flow(COLLEAGUE, Action.DEPOSIT, deposit=paper("secret", content="other")))
    elif step == "notify":
        book.ask(flow(NOTICES, Action.NOTIFY, *known))
    elif step == "amend":
        for wanted in (Amendment(("MASQUE_PS",)), Amendment((), ("MASQUE_PS",)), Amendment(("INVISIBLE_PATIENT",))):
            book.ask(flow(COLLEAGUE, Action.AMEND, known[0], amendment=wanted))
            book.ask(flow(PETIT, Action.AMEND, known[0], amendment=wanted))
    else:
        book.ask(flow(MOREAU, Action.READ if step == "read" else Action.LIST, *known))
