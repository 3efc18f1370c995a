"""The dead's heirs: they say why, then read for thirty days what she did not hide; nobody else, and nothing else."""

from typing import Any

import orjson
import pytest

from chassis.sealing import canonical
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Action, Actor, Motive
from services.consent.domain.judging import judge
from services.consent.domain.record import Record
from services.consent.domain.representation import HEIR_MS
from services.consent.domain.snapshot import dump, load
from tests.unit.consent.people import (
    CAMILLE,
    DAY,
    OTHER_PARENT,
    PARENT,
    PETIT,
    RECORD,
    RULES,
    Book,
    flow,
    folded,
    holder,
    paper,
)

HEIRS = (holder(PARENT, "heir", ("read",)), holder(OTHER_PARENT, "heir", ("read",)))
WORDS = "Je suis sa fille et je veux comprendre."
HIDDEN_LABEL = "INVISIBLE_REPRESENTANTS_LEGAUX"


@pytest.fixture
def book() -> Book:
    """Open a record with one document."""
    made = Book()
    made.deposit(paper(), by=PETIT)
    return made


def asks(book: Book, actor: Actor = PARENT, motive: str = "cause-of-death") -> tuple[str, str]:
    """Ask as an heir; return verdict and rule."""
    return _said(book, flow(actor, Action.ASK_AS_HEIR, motive=Motive(motive, WORDS)))


def looks(book: Book, actor: Actor = PARENT, *documents: str) -> tuple[str, str]:
    """List, or read what is named; return verdict and rule."""
    return _said(book, flow(actor, Action.READ if documents else Action.LIST, *documents))


def _said(book: Book, asked: Any) -> tuple[str, str]:
    outcome = book.ask(asked).outcome
    return outcome.verdict, outcome.rule


def test_an_heir_reads_for_thirty_days_and_no_other_heir_does(book: Book) -> None:
    """A request opens the record to who made it, up to its thirtieth day; then it is asked again."""
    (document,) = book.record.documents
    book.represent(*HEIRS, deceased=True)
    assert looks(book) == ("refused", "heir-without-request")
    assert asks(book) == ("allowed", "heir-asks")
    assert looks(book, PARENT, document) == ("allowed", "heir")
    assert looks(book, OTHER_PARENT) == ("refused", "heir-without-request")
    book.now += HEIR_MS - 1
    assert looks(book) == ("allowed", "heir")
    book.now += 1
    assert looks(book) == ("refused", "heir-without-request")
    assert asks(book, motive="rights") == ("allowed", "heir-asks")
    assert looks(book) == ("allowed", "heir")


def test_each_look_is_an_entry_that_names_the_motive(book: Book) -> None:
    """The request holds the heir's words; what follows holds the motive alone, refused or not; without one, none."""
    book.represent(*HEIRS, deceased=True)
    looks(book)
    asks(book, motive="memory")
    looks(book)
    looks(book, PARENT, "a" * 26)
    looks(book, OTHER_PARENT)
    told = [each.flow.motive for each in book.entries[-5:] if each.flow]
    assert told == [None, Motive("memory", WORDS), Motive("memory"), Motive("memory"), None]
    assert {each.stream for each in book.entries} == {MAIN}


def test_what_the_person_hid_is_not_there_for_heirs(book: Book) -> None:
    """By name or by type; what only professionals were not to see is; what she kept from her parents never is."""
    (first,) = book.record.documents
    masked = book.deposit(paper("masked", visibility=("MASQUE_PS",), code="11488-4"), by=PETIT)
    secret = book.deposit(paper("secret", visibility=(HIDDEN_LABEL,), code="11488-4"), by=PETIT)
    hidden = book.deposit(paper("hidden", code="11488-4"), by=PETIT)
    book.say("hide", hidden)
    book.say("hide", "type:11502-2")
    book.represent(*HEIRS, deceased=True)
    asks(book)
    assert [each.id for each in book.ask(flow(PARENT, Action.LIST)).released] == [masked]
    for each in (first, hidden, secret, "a" * 26):
        assert looks(book, PARENT, each) == ("refused", "no-such-document")


def test_nothing_tells_an_heir_that_all_is_hidden(book: Book) -> None:
    """A record whose every document is hidden is listed as an empty one."""
    book.say("hide", "type:11502-2")
    book.represent(*HEIRS, deceased=True)
    asks(book)
    outcome = book.ask(flow(PARENT, Action.LIST)).outcome
    assert (outcome.verdict, outcome.rule, outcome.count, outcome.refused) == ("allowed", "heir", 0, ())


def test_what_was_said_while_alive_holds_and_no_preset_says_it(book: Book) -> None:
    """Opposed, heirs neither ask nor read; neither the closed preset opposes them, nor the legal one lets them."""
    book.say("preset", "closed")
    book.represent(*HEIRS, deceased=True)
    assert asks(book) == ("allowed", "heir-asks")
    book.represent()
    book.say("oppose-heirs")
    book.say("preset", "legal")
    book.represent(*HEIRS, deceased=True)
    assert asks(book) == ("refused", "heirs-opposed")
    assert looks(book) == ("refused", "heirs-opposed")


def test_a_death_taken_back_ends_what_came_of_it(book: Book) -> None:
    """Whoever read her record by mistake reads no more, even should she die within the thirty days."""
    book.represent(*HEIRS, deceased=True)
    asks(book)
    book.represent()
    assert looks(book) == ("refused", "not-a-representative")
    assert book.ask(flow(CAMILLE, Action.READ_JOURNAL)).outcome.verdict == "allowed"
    book.represent(*HEIRS, deceased=True)
    assert looks(book) == ("refused", "heir-without-request")


def test_who_is_no_heir_any_more_reads_no_more(book: Book) -> None:
    """What identity says last decides, whatever was asked and allowed before."""
    book.represent(*HEIRS, deceased=True)
    asks(book)
    book.represent(HEIRS[1], deceased=True)
    assert looks(book) == ("refused", "deceased")
    assert asks(book) == ("refused", "not-a-representative")


def test_late_news_refuse_heirs_too(book: Book) -> None:
    """While nobody can tell who is an heir, heirs neither ask nor read."""
    book.represent(*HEIRS, deceased=True)
    asks(book)
    for asked in (flow(PARENT, Action.LIST, stale=True),
                  flow(PARENT, Action.ASK_AS_HEIR, motive=Motive("rights", WORDS), stale=True)):  # fmt: skip
        assert _said(book, asked) == ("refused", "projection-stale")


def test_the_journal_and_a_snapshot_give_it_again(book: Book) -> None:
    """Each verdict comes again from its entries, as the database gives them back; and so does the state."""
    book.represent(*HEIRS, deceased=True)
    asks(book)
    looks(book)
    book.now += 40 * DAY
    looks(book)
    record = Record(RECORD)
    for each in book.entries:
        if each.flow is not None and each.outcome is not None:
            judged = judge(record, each.flow, each.at, RULES, each.outcome.document or "")
            assert judged.in_stream(each.stream) == each.outcome
        record.apply(Entry.read(each.clear, orjson.loads(canonical(each.private))))
    assert record == book.record == folded(book.entries)
    assert record.requests
    assert load(RECORD, orjson.loads(canonical(dump(record)))) == record
