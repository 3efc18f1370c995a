"""A preview says before a change what judging says after it, of those whom it may concern; it changes nothing."""

from collections.abc import Collection
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from services.consent.domain.flow import Action, Actor, Care, Change
from services.consent.domain.judging import judge
from services.consent.domain.previewing import changed, difference, known_to, scene, see, topics, uses
from services.consent.domain.record import Record
from services.consent.domain.viewers import ANYBODY, Viewer, met, people, viewers_of
from tests.unit.consent.lives import CHANGES, STEPS, change, lived
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    DAY,
    INSURER,
    MOREAU,
    NOTICES,
    ORGANISATION,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    Book,
    flow,
    paper,
)


@pytest.fixture
def book() -> Book:
    """Open a record's journal."""
    return Book()


def readable(record: Record, viewer: Viewer, documents: Collection[str], now: int) -> set[str]:
    """Return what a viewer may read, asked document by document."""
    return {
        each
        for each in documents
        if judge(record, viewer.flow(RECORD, Action.READ, now, documents=(each,)), now, RULES).outcome.allowed
        == (each,)
    }


@settings(max_examples=200, deadline=None)
@given(STEPS, CHANGES)
def test_a_preview_is_what_judging_says_after_the_change(steps: list[tuple[Any, ...]], drawn: tuple[Any, ...]) -> None:
    """For any record and any change: each viewer's gains and losses are those of really changing it."""
    book = lived(steps)
    asked = flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=change(book, drawn))
    viewers = people(book.record, asked.change or Change("end"), met(book.entries[::-1]))
    known = known_to(book.record, flow(CAMILLE, Action.LIST), book.now, RULES)
    untouched = deepcopy(book.record)
    after, outcome = changed(known, asked, book.now, RULES)
    said = [
        difference(see(scene(known, book.now), each, RULES), see(scene(after, book.now), each, RULES))
        for each in viewers
    ]
    named = topics(book.record, asked.change or Change("end"))
    foreseen = uses(after, CAMILLE, named, book.now, RULES)
    assert book.record == untouched

    documents = {each.id for each in judge(book.record, flow(CAMILLE, Action.LIST), book.now, RULES).released}
    before = [readable(book.record, each, documents, book.now) for each in viewers]
    assert book.ask(asked).outcome == outcome
    then = [readable(book.record, each, documents, book.now) for each in viewers]
    for told, had, has in zip(said, before, then, strict=True):
        if told is None:
            assert had == has
        else:
            assert (set(told.gains), set(told.loses), told.now, told.then) == (has - had, had - has, len(had), len(has))
    known = known_to(book.record, flow(CAMILLE, Action.LIST), book.now, RULES)
    assert uses(known, CAMILLE, named, book.now, RULES) == foreseen


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_is_seen_is_what_would_be_read(steps: list[tuple[Any, ...]]) -> None:
    """The documents of a sight are those that a reading is given, and each hidden one has the rule that refuses it."""
    book = lived(steps)
    for viewer in [*ANYBODY.values(), *map(Viewer, (MOREAU, COLLEAGUE, PETIT))]:
        sight = see(scene(book.record, book.now), viewer, RULES)
        assert set(sight.shown) == readable(book.record, viewer, book.record.documents, book.now)
        for document, rule in sight.hidden.items():
            asked = viewer.flow(RECORD, Action.READ, book.now, documents=(document,))
            assert judge(book.record, asked, book.now, RULES).outcome.rule == rule


@pytest.mark.parametrize("differs", ["by", "code", "visibility", "hidden", "age"])
def test_documents_that_a_rule_may_tell_apart_are_told_apart(book: Book, differs: str) -> None:
    """Documents are judged together only if they are alike; depositor, type, label, choice and age each part them."""
    label = ("INVISIBLE_PATIENT",) if differs == "age" else ()
    documents = [book.deposit(paper("one", visibility=label), by=COLLEAGUE)]
    if differs == "age":
        book.now += 20 * DAY
    said = {"visibility": ("MASQUE_PS",)} if differs == "visibility" else {"visibility": label}
    code = "11488-4" if differs == "code" else "11502-2"
    documents.append(book.deposit(paper("two", code=code, **said), by=MOREAU if differs == "by" else COLLEAGUE))
    if differs == "hidden":
        book.say("hide", documents[1])
    if differs == "age":
        book.now += 20 * DAY
    assert [*scene(book.record, book.now).alike.values()] == [[documents[0]], [documents[1]]]
    more = [book.deposit(paper(f"more {each}", visibility=label), by=COLLEAGUE) for each in range(2)]
    if differs != "age":
        assert next(iter(scene(book.record, book.now).alike.values())) == [documents[0], *more]


def test_a_viewer_sees_what_his_own_list_would_show(book: Book) -> None:
    """A real professional's sight is the verdict that his own flow gets."""
    book.deposit(paper("one"), by=PETIT)
    book.deposit(paper("two"), by=MOREAU)
    verdict = judge(book.record, flow(PETIT, Action.LIST), book.now, RULES)
    sight = see(scene(book.record, book.now), Viewer(PETIT), RULES)
    assert list(sight.shown) == [each.id for each in verdict.released]
    assert (sight.rule, list(sight.hidden.values())) == ("own-deposit", ["not-authorised"])


def test_what_the_asker_may_not_know_is_not_counted(book: Book) -> None:
    """A result that is not announced to Camille is in no sight that she is shown, and in no difference."""
    book.deposit(paper("known"), by=COLLEAGUE)
    secret = book.deposit(paper("secret", visibility=("INVISIBLE_PATIENT",)), by=COLLEAGUE)
    known = known_to(book.record, flow(CAMILLE, Action.LIST), book.now, RULES)
    asked = flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("authorise", PERSON))
    after, _ = changed(known, asked, book.now, RULES)
    found = difference(
        see(scene(known, book.now), Viewer(MOREAU), RULES), see(scene(after, book.now), Viewer(MOREAU), RULES)
    )
    assert found is not None
    assert (found.then, secret in found.gains) == (1, False)
    assert secret in see(scene(book.record, book.now), Viewer(COLLEAGUE), RULES).shown


def test_a_refused_change_changes_nothing(book: Book) -> None:
    """What the rules would refuse is told with its rule, and no state comes of it."""
    book.deposit(paper())
    asked = flow(MOREAU, Action.CHANGE_DIRECTIVES, change=Change("authorise", PERSON))
    after, outcome = changed(book.record, asked, book.now, RULES)
    assert (outcome.verdict, after.directives) == ("refused", {})


def test_a_block_holds_in_an_emergency_too(book: Book) -> None:
    """Blocking a doctor who had no access changes what he could see by breaking the glass, and the preview says so."""
    book.deposit(paper(), by=COLLEAGUE)
    asked = flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("block", f"person:{PETIT.id}"))
    after, _ = changed(book.record, asked, book.now, RULES)
    told = [
        (each.actor.id, each.situation)
        for each in people(book.record, Change("block", f"person:{PETIT.id}"), [])
        if difference(see(scene(book.record, book.now), each, RULES), see(scene(after, book.now), each, RULES))
    ]
    assert told == [(PETIT.id, "emergency")]


def test_people_are_named_once_and_as_they_were_met() -> None:
    """The change's own come first, then anybody, then whom the record met; a person who was met is not assumed."""
    book = Book()
    book.ask(flow(MOREAU, Action.LIST))
    book.say("authorise", "team", members=(PERSON, f"person:{PETIT.id}"))
    elsewhere = replace(MOREAU, organisation="750000007", organisation_name="Clinique")
    book.ask(flow(elsewhere, Action.LIST))
    found = people(book.record, Change("block", PERSON), met(book.entries[::-1]))
    assert [(each.actor.id, each.actor.organisation, each.situation) for each in found] == [
        (MOREAU.id, "750000007", "care"),
        (MOREAU.id, MOREAU.organisation, "care"),
        (MOREAU.id, "750000007", "emergency"),
        (MOREAU.id, MOREAU.organisation, "emergency"),
        *(("", None, each) for each in ("care", "care", "emergency", "samu")),
        (PETIT.id, None, "care"),
    ]
    assert [each.assumed for each in found] == [False] * 8 + [True]


def test_whoever_a_change_ends_is_considered(book: Book) -> None:
    """Ending an authorisation names whom it was for."""
    begun = book.say("authorise", f"person:{PETIT.id}")
    first, *_ = people(book.record, Change("end", ends=begun), [])
    assert first.actor.id == PETIT.id


def test_an_organisation_is_a_doctor_of_it() -> None:
    """A structure is seen through a doctor of it, under the name by which the record knows it."""
    (viewer,) = viewers_of(ORGANISATION, [MOREAU])
    assert (viewer.actor.name, viewer.actor.organisation) == (
        "Un médecin de la structure Cabinet Moreau", MOREAU.organisation,
    )  # fmt: skip
    assert viewers_of("type:11502-2", [MOREAU]) == viewers_of("a" * 26, []) == []


def test_codes_name_nobody(book: Book) -> None:
    """The digests of one-time codes are no persons."""
    book.say("code", members=("digest-of-a-code",))
    assert people(book.record, Change("close"), []) == list(ANYBODY.values())


def test_a_reserved_stream_names_nobody(book: Book) -> None:
    """Who acted on what may not be known yet is not met."""
    book.ask(flow(MOREAU, Action.LIST))
    assert met([replace(each, stream="reserved") for each in book.entries]) == []
    assert met([replace(each, flow=replace(each.flow, actor=INSURER)) for each in book.entries if each.flow]) == []


def _possible(
    record: Record, actor: Actor = CAMILLE, *topics: str, now: int = Book().now
) -> dict[tuple[str, Any], str]:
    return {(each.name, each.topic): each.rule for each in uses(record, actor, topics, now, RULES) if each.possible}


def test_uses_are_possible_until_they_are_opposed(book: Book) -> None:
    """Notices, copies, prevention, deposits and declared care: each goes with its own choice and leaves the others."""
    book.deposit(paper())
    every = {("notices", None), ("export", None), ("prevention", None), ("prevention", "vaccins"), ("deposits", None),
             ("declared-care", None), ("heirs", None)}  # fmt: skip
    assert set(_possible(book.record, CAMILLE, "vaccins")) == every
    for kind, subject, gone in (
        ("oppose-prevention", "topic:vaccins", {("prevention", "vaccins")}),
        ("oppose-prevention", None, {("prevention", None)}),
        ("oppose-export", None, {("export", None)}),
        ("ask-me", None, {("declared-care", None)}),
        ("oppose-heirs", None, {("heirs", None)}),
        ("oppose", None, {("notices", None), ("deposits", None)}),
    ):
        book.say(kind, subject)
        every -= gone
        assert set(_possible(book.record, CAMILLE, "vaccins")) == every, kind
    assert topics(book.record, Change("oppose-prevention", "topic:cancer")) == ["cancer", "vaccins"]


def test_uses_are_judged_as_they_are_asked(book: Book) -> None:
    """A use is possible exactly when the flow that would be asked for it is allowed."""
    book.deposit(paper())
    asked = {
        "notices": flow(NOTICES, Action.NOTIFY, next(iter(book.record.documents))),
        "export": flow(CAMILLE, Action.EXPORT),
        "deposits": flow(PETIT, Action.DEPOSIT, deposit=paper("new")),
        "declared-care": flow(PETIT, Action.DECLARE_CARE, care=Care("declared", book.now + DAY)),
    }
    for kind in (None, "oppose", "oppose-export", "ask-me"):
        if kind:
            book.say(kind)
        told: dict[str, bool] = {each.name: each.possible for each in uses(book.record, CAMILLE, (), book.now, RULES)}
        for name, each in asked.items():
            assert told[name] == (judge(book.record, each, book.now, RULES).outcome.verdict == "allowed"), (name, kind)
