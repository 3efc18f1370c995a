"""Verdicts: what a list counts, what outweighs what, what a retry is; and that replay gives each of them again."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Change, Reason
from services.consent.domain.judging import judge
from services.consent.domain.record import Record
from services.consent.domain.rules import Judgement, Rules
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    COLLEAGUE,
    DAY,
    INSURER,
    MOREAU,
    NOTICES,
    NOW,
    ORGANISATION,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    Book,
    flow,
    folded,
    paper,
)

_CHANGING = {"deposit", "directive", "other", "emergency"}


@dataclass
class Counting(Rules):
    """The rules, counting how often they are asked."""

    asked: int = 0

    def __post_init__(self) -> None:
        Rules.__init__(self)

    def judge(self, principal: tuple[str, str], action: str, context: dict[str, Any]) -> Judgement:
        """Count, and judge."""
        self.asked += 1
        return super().judge(principal, action, context)


@pytest.fixture
def book() -> Book:
    """Open a record's journal."""
    return Book()


def test_documents_of_equal_attributes_are_judged_once(book: Book) -> None:
    """A hundred reports of one kind cost one question to the rules, and a hidden one a second."""
    documents = [book.deposit(paper(f"report {number}"), by=COLLEAGUE) for number in range(100)]
    book.say("authorise", PERSON)
    counting = Counting()
    verdict = judge(book.record, flow(MOREAU, Action.LIST), book.now, counting)
    assert (verdict.outcome.count, counting.asked) == (100, 1)
    book.say("hide", documents[0])
    verdict = judge(book.record, flow(MOREAU, Action.LIST), book.now, counting)
    assert (verdict.outcome.count, counting.asked) == (99, 3)


def test_kinds_of_documents_cost_a_professional_no_time(book: Book) -> None:
    """Refusing a record of a hundred kinds of documents takes no more questions than refusing an empty one."""
    empty, full = Counting(), Counting()
    judge(book.record, flow(MOREAU, Action.LIST), book.now, empty)
    for number in range(100):
        book.deposit(paper(f"report {number}", code=f"code {number}"), by=COLLEAGUE)
    judge(book.record, flow(MOREAU, Action.LIST), book.now, full)
    assert full.asked == empty.asked == 1


def test_a_list_counts_and_releases_what_is_allowed_only(book: Book) -> None:
    """The entry says how many were shown and, by rule, how many were not; the hidden one's key stays."""
    shown = book.deposit(paper("shown"), by=COLLEAGUE)
    hidden = book.deposit(paper("hidden"), by=COLLEAGUE)
    book.deposit(paper("masked", visibility=("MASQUE_PS",)), by=COLLEAGUE)
    book.say("authorise", PERSON)
    book.say("hide", hidden)
    verdict = book.ask(flow(MOREAU, Action.LIST))
    assert [each.id for each in verdict.released] == [shown]
    outcome = verdict.outcome
    assert (outcome.verdict, outcome.count, outcome.allowed) == ("allowed", 1, ())
    assert outcome.refused == (("hidden-by-patient", 1), ("masked-from-professionals", 1))


@pytest.mark.parametrize("purpose", ["TREAT", "BTG", "ETREAT"])
def test_an_empty_record_s_list_is_allowed_to_whom_a_list_would_be(book: Book, purpose: str) -> None:
    """No document is there whose type a profession could not read: who might see something is told so."""
    book.say("authorise", PERSON)
    asked = flow(MOREAU, Action.LIST, purpose=purpose, reason=Reason("vital", "inconscience"), auth_time=NOW // 1000)
    outcome = book.ask(asked).outcome
    assert (outcome.verdict, outcome.count) == ("allowed", 0)
    assert outcome.rule == {"TREAT": "authorised-by-patient", "BTG": "break-glass", "ETREAT": "samu"}[purpose]


def test_a_read_names_what_it_releases(book: Book) -> None:
    """A read's entry lists the documents whose keys went out; absent ones are counted as refused."""
    document = book.deposit(paper())
    verdict = book.ask(flow(CAMILLE, Action.READ, document, ABSENT))
    assert verdict.outcome.allowed == (document,)
    assert verdict.outcome.refused == (("no-such-document", 1),)


@pytest.mark.parametrize("action", [Action.READ, Action.LIST])
def test_absent_and_hidden_are_refused_alike(book: Book, action: Action) -> None:
    """To one who is authorised, a document that is hidden and one that never was have the same verdict."""
    hidden = book.deposit(paper(), by=COLLEAGUE)
    book.say("authorise", PERSON)
    book.say("hide", hidden)
    for document in (hidden, ABSENT):
        verdict = book.ask(flow(MOREAU, action, document))
        assert (verdict.outcome.verdict, verdict.outcome.count, verdict.released) == ("refused", 0, ())


def test_another_record_s_document_is_absent(book: Book) -> None:
    """Naming a document of another record finds nothing: documents are looked up in the record's own journal."""
    book.deposit(paper())
    other = Record("carnetexamplerecordbbbb234", version=1, n=1)
    (mine,) = book.record.documents
    asked = replace(flow(CAMILLE, Action.READ, mine), record=other.id)
    assert judge(other, asked, book.now, RULES).outcome.rule == "no-such-document"


def test_a_red_line_outweighs_another_reason(book: Book) -> None:
    """An insurer is told the red line, whatever else would refuse, and whether or not there is a document."""
    document = book.deposit(paper())
    book.say("oppose")
    for named in ([], [document], [ABSENT], [document, ABSENT]):
        verdict = book.ask(flow(INSURER, Action.READ if named else Action.LIST, *named))
        assert (verdict.outcome.verdict, verdict.outcome.rule) == ("red-line", "red-line-insurance")


def test_a_deposit_is_new_once(book: Book) -> None:
    """The same content under the same identifier is a retry: the same document, and its key again."""
    first = book.ask(flow(MOREAU, Action.DEPOSIT, deposit=paper()))
    again = book.ask(flow(MOREAU, Action.DEPOSIT, deposit=paper()))
    assert first.released == ()
    assert (again.outcome.verdict, again.outcome.document) == ("allowed", first.outcome.document)
    assert [each.id for each in again.released] == [first.outcome.document]


def test_another_content_under_the_same_identifier_is_a_conflict(book: Book) -> None:
    """One identifier means one content, and nothing is released."""
    book.deposit(paper())
    verdict = book.ask(flow(MOREAU, Action.DEPOSIT, deposit=paper(content="other")))
    assert (verdict.outcome.verdict, verdict.released) == ("conflict", ())


def test_an_identifier_belongs_to_its_organisation(book: Book) -> None:
    """A colleague's retry is the same deposit; another structure's, with the same identifier, is a new document."""
    first = book.deposit(paper())
    assert book.deposit(paper(), by=COLLEAGUE) == first
    assert book.deposit(paper(), by=PETIT) != first
    assert book.ask(flow(PETIT, Action.DEPOSIT, deposit=paper(content="other"))).outcome.verdict == "conflict"


def test_a_blocked_depositor_gets_his_own_retry(book: Book) -> None:
    """A block does not part a professional from a deposit that he began; it bars reading it."""
    document = book.deposit(paper())
    book.say("block", PERSON)
    assert book.deposit(paper()) == document
    assert book.ask(flow(MOREAU, Action.READ, document)).outcome.rule == "blocked"


_ACTORS = st.sampled_from([CAMILLE, MOREAU, COLLEAGUE, PETIT, NOTICES, INSURER])
_SUBJECTS = st.sampled_from([PERSON, ORGANISATION, f"person:{PETIT.id}"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deposit"), _ACTORS, st.integers(0, 5), st.sampled_from(["a", "b"]), st.integers(0, 3)),
        st.tuples(st.sampled_from(["list", "read", "notify"]), _ACTORS, st.lists(st.integers(0, 7), max_size=3)),
        st.tuples(st.sampled_from(["read-journal", "read-directives"]), _ACTORS),
        st.tuples(st.just("say"), st.sampled_from(["authorise", "block"]), _SUBJECTS, st.integers(-1, 40)),
        st.tuples(st.just("hide"), st.integers(0, 7)),
        st.tuples(st.just("oppose"), st.integers(-1, 3)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("abandon"), st.integers(0, 7)),
        st.tuples(st.just("pass"), st.integers(1, 20)),
    ),
    max_size=40,
)
_LABELS: tuple[tuple[str, ...], ...] = ((), ("MASQUE_PS",), ("INVISIBLE_PATIENT",), ("INVISIBLE_REPRESENTANTS_LEGAUX",))


def _lived(steps: list[tuple[Any, ...]]) -> Book:
    """Write a journal by steps drawn at random."""
    book = Book()
    made: list[str] = []
    for name, *rest in steps:
        papers = list(book.record.documents)
        if name == "deposit":
            actor, number, content, labels = rest
            what = paper(f"paper {number}", content=content, visibility=_LABELS[labels])
            book.ask(flow(actor, Action.DEPOSIT, deposit=what))
        elif name == "pass":
            book.now += rest[0] * DAY
        elif name == "abandon":
            if papers:
                book.abandon(papers[rest[0] % len(papers)])
        elif name in {"say", "hide", "oppose", "end"}:
            made.append(_change(book, name, rest, papers, made))
        else:
            named = [papers[at % len(papers)] if papers else ABSENT for at in rest[1]] if len(rest) > 1 else []
            book.ask(flow(rest[0], Action(name), *named))
    return book


def _change(book: Book, name: str, rest: list[Any], papers: list[str], made: list[str]) -> str:
    until = book.now + rest[-1] * DAY if name in {"say", "oppose"} and rest[-1] >= 0 else None
    change = {
        "say": lambda: Change(rest[0], rest[1], until),
        "hide": lambda: Change("hide", papers[rest[0] % len(papers)] if papers else ABSENT),
        "oppose": lambda: Change("oppose", until=until),
        "end": lambda: Change("end", ends=made[rest[0] % len(made)] if made else "none"),
    }[name]()
    asked = flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=change)
    book.ask(asked)
    return asked.id


@settings(max_examples=60, deadline=None)
@given(_STEPS)
def test_replay_gives_every_verdict_again(steps: list[tuple[Any, ...]]) -> None:
    """An entry holds every input of its verdict: judging it again on the entries before it gives its outcome."""
    book = _lived(steps)
    record = Record(RECORD)
    for each in book.entries:
        if each.flow is not None and each.outcome is not None:
            judged = judge(record, each.flow, each.at, RULES, each.outcome.document or "")
            assert judged.in_stream(each.stream) == each.outcome
        # What the database gives back is what was written.
        record.apply(Entry.read(each.clear, each.private))
    assert record == book.record


@settings(max_examples=60, deadline=None)
@given(_STEPS)
def test_entries_that_change_nothing_may_be_left_out(steps: list[tuple[Any, ...]]) -> None:
    """A fold of the changing classes, moved on past the rest, is the fold of all of them."""
    book = _lived(steps)
    assert folded(book.entries) == book.record
    brief = Record(RECORD)
    for each in book.entries:
        if each.leaf_class in _CHANGING:
            brief.apply(each)
    brief.advance(book.record.version, book.record.n)
    assert brief == book.record


@settings(max_examples=60, deadline=None)
@given(_STEPS)
def test_nothing_is_ever_allowed_that_the_promises_forbid(steps: list[tuple[Any, ...]]) -> None:
    """Whatever happened before: no insurer, no blocked reader, nobody but Camille governs."""
    book, record = _lived(steps), Record(RECORD)
    for each in book.entries:
        asked, outcome = each.flow, each.outcome
        if asked is not None and outcome is not None and outcome.verdict == "allowed":
            assert asked.actor.application_kind != "insurer"
            if asked.actor.kind == "professional" and asked.action in {Action.LIST, Action.READ}:
                assert not record.blocked(asked.actor, each.at)
                assert not record.said("oppose", each.at)
            if asked.action in {Action.READ_JOURNAL, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES}:
                assert asked.actor.kind == "patient"
        record.apply(each)
