"""Labels after the deposit: the depositor changes them within what they may become, nobody else, and it is told."""

from typing import Any

import pytest

from services.consent.domain.document import month_after
from services.consent.domain.entry import MAIN
from services.consent.domain.flow import MASKED, NOT_FOR_REPRESENTATIVES, UNANNOUNCED, Action, Actor, Amendment
from services.consent.domain.judging import judge
from services.consent.domain.snapshot import dump, load
from services.consent.french.phrases import entry_view
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    INSURER,
    MOREAU,
    NOTICES,
    PARENT,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    Book,
    flow,
    holder,
    paper,
)

MASK, UNMASK = Amendment((MASKED,)), Amendment((), (MASKED,))
ANNOUNCE = Amendment((), (UNANNOUNCED,))
PLAIN = Amendment((), (UNANNOUNCED, NOT_FOR_REPRESENTATIVES, MASKED))
EACH = [MASK, UNMASK, ANNOUNCE, PLAIN, Amendment((UNANNOUNCED,)), Amendment((NOT_FOR_REPRESENTATIVES,))]


@pytest.fixture
def book() -> Book:
    """Open a record's journal in which Dr Petit is authorised; Dr Moreau deposits."""
    opened = Book()
    opened.say("authorise", f"person:{PETIT.id}")
    return opened


def amend(book: Book, document: str, amendment: Amendment, by: Actor = MOREAU, **more: Any) -> tuple[str, str]:
    """Ask for other labels; return the verdict and the rule."""
    outcome = book.ask(flow(by, Action.AMEND, document, amendment=amendment, **more)).outcome
    return outcome.verdict, outcome.rule


def labels(book: Book, document: str) -> tuple[str, ...]:
    """Return a document's labels now."""
    return book.record.documents[document].visibility_at(book.now)


def reads(book: Book, actor: Actor, document: str) -> str:
    """Return the rule by which somebody reads a document, or does not."""
    return judge(book.record, flow(actor, Action.READ, document), book.now, RULES).outcome.rule


def test_a_depositor_masks_his_document_and_unmasks_it(book: Book) -> None:
    """Masked, other professionals do not find it, he and she do; unmasked, they find it again."""
    document = book.deposit(paper())
    assert amend(book, document, MASK) == ("allowed", "depositor-amends")
    assert labels(book, document) == (MASKED,)
    assert [reads(book, each, document) for each in (PETIT, MOREAU, CAMILLE)] == [
        "masked-from-professionals", "own-deposit", "patient-own-record",
    ]  # fmt: skip
    assert amend(book, document, PLAIN)[0] == "allowed"
    assert (labels(book, document), reads(book, PETIT, document)) == ((), "authorised-by-patient")


def test_he_is_given_the_document_as_it_is_then(book: Book) -> None:
    """What is released bears the labels that the journal will tell."""
    document = book.deposit(paper())
    (released,) = book.ask(flow(MOREAU, Action.AMEND, document, amendment=MASK)).released
    assert released == book.record.documents[document]


@pytest.mark.parametrize("amendment", EACH, ids=str)
@pytest.mark.parametrize(
    "actor", [PETIT, COLLEAGUE, CAMILLE, PARENT, INSURER, NOTICES], ids=lambda each: f"{each.kind} {each.name}"
)
def test_nobody_else_changes_a_label(book: Book, actor: Actor, amendment: Amendment) -> None:
    """Who may read it, a colleague of his, the patient, a parent, an insurer, a service: refused, and it stays."""
    book.represent(holder(PARENT), minor=True)
    document = book.deposit(paper(visibility=(MASKED,)))
    before, told = book.record.documents[document], len(book.entries)
    assert amend(book, document, amendment, by=actor)[0] in {"refused", "red-line"}
    assert book.record.documents[document] == before
    (entry,) = book.entries[told:]
    assert entry.flow is not None
    assert (entry.leaf_class, entry.flow.actor, entry.flow.amendment) == ("directive", actor, amendment)


def test_a_blocked_depositor_changes_nothing(book: Book) -> None:
    """A block beats having deposited."""
    document = book.deposit(paper())
    book.say("block", PERSON)
    assert amend(book, document, MASK) == ("refused", "blocked")
    assert labels(book, document) == ()


def test_her_own_restriction_is_neither_seen_nor_touched(book: Book) -> None:
    """She hides it: its label stays what its depositor made it; he takes every label away, and it stays hidden."""
    document = book.deposit(paper())
    book.say("hide", document)
    assert labels(book, document) == ()
    assert amend(book, document, PLAIN)[0] == "allowed"
    assert reads(book, PETIT, document) == "hidden-by-patient"


@pytest.mark.parametrize(
    ("held", "wanted", "rule"),
    [
        ((), Amendment((UNANNOUNCED,)), "never-hidden-again"),
        ((MASKED,), Amendment((UNANNOUNCED,), (MASKED,)), "never-hidden-again"),
        ((), Amendment((NOT_FOR_REPRESENTATIVES,)), "secret-from-the-deposit-on"),
        ((NOT_FOR_REPRESENTATIVES,), Amendment((), (NOT_FOR_REPRESENTATIVES,)), "only-hers-to-reveal"),
        ((NOT_FOR_REPRESENTATIVES,), PLAIN, "only-hers-to-reveal"),
        ((UNANNOUNCED,), MASK, "labels-exclusive"),
        ((UNANNOUNCED, NOT_FOR_REPRESENTATIVES), PLAIN, "only-hers-to-reveal"),
    ],
    ids=str,
)
def test_what_a_label_may_not_become_is_refused_by_a_rule(
    book: Book, held: tuple[str, ...], wanted: Amendment, rule: str
) -> None:
    """Even its depositor is refused; nothing of the wish is done."""
    document = book.deposit(paper(visibility=held))
    assert amend(book, document, wanted) == ("refused", rule)
    assert labels(book, document) == held
    assert book.record.documents[document].announced is False


def test_what_was_shown_is_not_secret_again(book: Book) -> None:
    """Shown by her to those who represent her, or a month old: no label takes that back."""
    book.represent(holder(PARENT), minor=True)
    shown = book.deposit(paper("shown", visibility=(NOT_FOR_REPRESENTATIVES,)))
    book.say("show-to-representatives", shown)
    assert amend(book, shown, Amendment((NOT_FOR_REPRESENTATIVES,)))[1] == "secret-from-the-deposit-on"
    old = book.deposit(paper("old", visibility=(UNANNOUNCED,)))
    book.now = month_after(book.now)
    assert amend(book, old, Amendment((UNANNOUNCED,)))[1] == "never-hidden-again"
    assert amend(book, old, MASK)[0] == "allowed"
    assert labels(book, old) == (MASKED,)


@pytest.mark.parametrize("wanted", [ANNOUNCE, PLAIN, Amendment((MASKED,), (UNANNOUNCED,))], ids=str)
def test_to_take_the_label_away_is_the_announcement(book: Book, wanted: Amendment) -> None:
    """Its entry is of the main stream, opens the document's, and is due to be told."""
    document = book.deposit(paper(visibility=(UNANNOUNCED,)))
    assert document not in book.record.open_streams(book.now, "patient")
    assert amend(book, document, wanted)[0] == "allowed"
    assert (book.entries[-1].stream, book.entries[-1].announces) == (MAIN, "revealed")
    assert document in book.record.open_streams(book.now, "patient")
    assert reads(book, CAMILLE, document) == "patient-own-record"
    assert UNANNOUNCED not in labels(book, document)


def test_any_other_amendment_of_a_reserved_document_is_as_reserved(book: Book) -> None:
    """Allowed or refused, of a result or a minor's secret: the main stream has nothing of it, and nobody is told."""
    book.represent(holder(PARENT), minor=True)
    result = book.deposit(paper("result", visibility=(UNANNOUNCED,)))
    secret = book.deposit(paper("secret", visibility=(NOT_FOR_REPRESENTATIVES,)))
    both = book.deposit(paper("both", visibility=(UNANNOUNCED, NOT_FOR_REPRESENTATIVES)))
    n = book.record.n
    for document, wanted, by in (
        (result, UNMASK, MOREAU), (result, MASK, MOREAU), (result, ANNOUNCE, PETIT),
        (secret, MASK, MOREAU), (secret, PLAIN, MOREAU), (both, ANNOUNCE, MOREAU), (both, PLAIN, MOREAU),
    ):  # fmt: skip
        amend(book, document, wanted, by)
        assert (book.entries[-1].stream, book.entries[-1].announces) == (document, None)
    assert book.record.n == n
    assert labels(book, secret) == (NOT_FOR_REPRESENTATIVES, MASKED)
    # Announced, and still kept from those who represent her.
    assert labels(book, both) == (NOT_FOR_REPRESENTATIVES,)


def test_to_her_an_unannounced_result_has_no_label_to_change(book: Book) -> None:
    """Her wish about it is decided like one about what is not there."""
    document = book.deposit(paper(visibility=(UNANNOUNCED,)))
    named = judge(book.record, flow(CAMILLE, Action.AMEND, document, amendment=PLAIN), book.now, RULES)
    absent = judge(book.record, flow(CAMILLE, Action.AMEND, "z" * 26, amendment=PLAIN), book.now, RULES)
    assert named == absent


def test_a_wish_of_what_is_so_already_is_allowed_and_changes_nothing(book: Book) -> None:
    """A retry by software finds its first try done."""
    document = book.deposit(paper(visibility=(MASKED,)))
    for wanted in (MASK, Amendment((), (UNANNOUNCED, NOT_FOR_REPRESENTATIVES))):
        assert amend(book, document, wanted)[0] == "allowed"
        assert labels(book, document) == (MASKED,)


def test_labels_outlive_a_snapshot_and_a_retried_deposit(book: Book) -> None:
    """The state that is kept says them, and a deposit that comes again takes nothing back."""
    document = book.deposit(paper())
    amend(book, document, MASK)
    assert load(RECORD, dump(book.record)) == book.record
    assert book.deposit(paper()) == document
    assert labels(book, document) == (MASKED,)


def test_she_reads_who_changed_what(book: Book) -> None:
    """The entry names him, the document and the labels, in codes and in French."""
    document = book.deposit(paper())
    amend(book, document, MASK)
    view = entry_view(book.entries[-1], RULES)
    assert view["who"]["name"] == MOREAU.name
    assert (view["documents"], view["amendment"]) == ([document], {"adds": (MASKED,)})
    assert "a ajouté à un document l'étiquette « masqué aux professionnels », pour vos soins" in view["phrase"]
