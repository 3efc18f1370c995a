"""A record is what its journal says: each directive, its end, and what time does to labels."""

from dataclasses import replace

import pytest

from services.consent.domain.entry import Outcome
from services.consent.domain.flow import Action
from services.consent.domain.record import PRESETS, UNANNOUNCED_MS, Record
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    DAY,
    MOREAU,
    NOW,
    ORGANISATION,
    PERSON,
    PETIT,
    RECORD,
    Book,
    entry,
    flow,
    folded,
    opening,
    paper,
)


@pytest.fixture
def book() -> Book:
    """Open a record's journal."""
    return Book()


def test_a_person_is_authorised_until_the_end(book: Book) -> None:
    """An authorisation holds for this person alone, and not at the very millisecond of its end."""
    book.say("authorise", PERSON, until=NOW + DAY)
    assert book.record.evidence(MOREAU, NOW) == "patient"
    assert book.record.evidence(MOREAU, NOW + DAY - 1) == "patient"
    assert book.record.evidence(MOREAU, NOW + DAY) == ""
    assert book.record.evidence(COLLEAGUE, NOW) == ""
    assert book.record.evidence(PETIT, NOW) == ""


def test_an_organisation_is_authorised_with_all_who_work_there(book: Book) -> None:
    """An authorisation of a structure means its people, under that structure only."""
    book.say("authorise", ORGANISATION)
    assert book.record.evidence(MOREAU, NOW) == "patient"
    assert book.record.evidence(COLLEAGUE, NOW) == "patient"
    assert book.record.evidence(replace(MOREAU, organisation="750000002"), NOW) == ""
    assert book.record.evidence(replace(MOREAU, organisation=None), NOW) == ""


def test_an_organisation_cannot_pass_for_a_person(book: Book) -> None:
    """The same digits as a person's id and as a structure's are two subjects."""
    book.say("authorise", "organisation:899700000001")
    assert book.record.evidence(MOREAU, NOW) == ""


def test_a_block_takes_the_authorisation_away_for_good(book: Book) -> None:
    """After the block is lifted, consent must be asked again; a new authorisation then holds."""
    book.say("authorise", PERSON)
    block = book.say("block", PERSON)
    assert book.record.blocked(MOREAU, NOW)
    assert book.record.evidence(MOREAU, NOW) == ""
    book.say("end", ends=block)
    assert not book.record.blocked(MOREAU, NOW)
    assert book.record.evidence(MOREAU, NOW) == ""
    book.say("authorise", PERSON)
    assert book.record.evidence(MOREAU, NOW) == "patient"


def test_a_block_of_one_leaves_the_others_authorised(book: Book) -> None:
    """Blocking Dr Moreau leaves his structure's authorisation, which serves his colleagues."""
    book.say("authorise", ORGANISATION)
    book.say("block", PERSON)
    assert book.record.evidence(COLLEAGUE, NOW) == "patient"
    assert not book.record.blocked(COLLEAGUE, NOW)
    assert book.record.blocked(MOREAU, NOW)


def test_a_block_takes_one_out_of_his_team_for_good(book: Book) -> None:
    """Blocked and unblocked, he must be asked for anew; the others of the team stay authorised throughout."""
    book.say("authorise", "team", members=(PERSON, f"person:{PETIT.id}"))
    block = book.say("block", PERSON)
    assert book.record.evidence(PETIT, NOW) == "patient"
    book.say("end", ends=block)
    assert book.record.evidence(MOREAU, NOW) == ""
    assert book.record.evidence(PETIT, NOW) == "patient"


def test_an_end_ends_one_directive(book: Book) -> None:
    """Of two authorisations of one person the other stays."""
    first = book.say("authorise", PERSON)
    second = book.say("authorise", PERSON)
    book.say("end", ends=first)
    assert list(book.record.directives) == [second]
    book.say("end", ends=second)
    assert book.record.evidence(MOREAU, NOW) == ""


def test_an_end_of_nothing_changes_nothing(book: Book) -> None:
    """A directive that is over already can be ended again by a second window."""
    directive = book.say("oppose")
    book.say("end", ends=directive)
    book.say("end", ends=directive)
    assert not book.record.said("oppose", NOW)


def test_opposition_and_hiding_hold_and_end(book: Book) -> None:
    """The record itself is opposed, a document hidden, until the day named or the word taken back."""
    document = book.deposit(paper())
    hidden = book.say("hide", document)
    book.say("oppose", until=NOW + DAY)
    assert document in book.record.hidden(NOW)
    assert book.record.said("oppose", NOW)
    assert not book.record.said("oppose", NOW + DAY)
    book.say("end", ends=hidden)
    assert document not in book.record.hidden(NOW)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_preset_leaves_what_names_somebody_or_something(book: Book, preset: str) -> None:
    """Whoever is authorised or blocked, what is hidden and a topic that is opposed outlast any preset."""
    document = book.deposit(paper())
    named = [
        book.say("authorise", ORGANISATION), book.say("block", PERSON),
        book.say("treating-doctor", f"person:{PETIT.id}"),
        book.say("hide", document), book.say("oppose-prevention", "topic:breast-cancer"), book.say("oppose"),
    ]  # fmt: skip
    book.say("preset", preset)
    assert set(named) <= set(book.record.directives)


def test_an_unannounced_result_shows_itself_after_31_days(book: Book) -> None:
    """R.1111-53: the label goes by itself, to the millisecond, and no other label does."""
    book.deposit(paper(visibility=("INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")))
    (document,) = book.record.documents.values()
    assert document.visibility_at(NOW + UNANNOUNCED_MS - 1) == ("INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")
    assert document.visibility_at(NOW + UNANNOUNCED_MS) == ("INVISIBLE_REPRESENTANTS_LEGAUX",)


def test_a_refused_change_changes_nothing() -> None:
    """Only an allowed entry of a directive is folded."""
    book = Book()
    asked = flow(PETIT, Action.CHANGE_DIRECTIVES, change=None)
    book.ask(asked)
    assert book.record.directives == {}
    assert book.record.last_change == 0


def test_an_abandoned_deposit_frees_its_identifier(book: Book) -> None:
    """What was given up is gone, and the same masterIdentifier may come again as a new document."""
    first = book.deposit(paper())
    book.abandon(first)
    assert book.record.documents == {}
    assert book.deposit(paper()) != first


def test_what_can_change_a_verdict_is_marked(book: Book) -> None:
    """A directive and an abandoned deposit bar repeats of what stood before; a deposit and a request do not."""
    document = book.deposit(paper())
    book.ask(flow(CAMILLE, Action.LIST))
    assert book.record.last_change == 0
    book.say("authorise", PERSON)
    assert book.record.last_change == book.record.version
    book.abandon(document)
    assert book.record.last_change == book.record.version


def test_entries_are_folded_in_order(book: Book) -> None:
    """An entry of a version that is behind is refused: state never goes back."""
    with pytest.raises(ValueError, match="in order"):
        book.record.apply(opening())
    asked = flow(CAMILLE, Action.LIST)
    stale = entry(Record(RECORD), asked, Outcome("allowed", "patient-own-record"), NOW)
    with pytest.raises(ValueError, match="in order"):
        book.record.apply(stale)


def test_folding_from_scratch_gives_the_same_state(book: Book) -> None:
    """The journal alone is the state."""
    document = book.deposit(paper())
    book.say("authorise", PERSON, until=NOW + DAY)
    book.say("hide", document)
    book.say("block", PERSON)
    assert folded(book.entries) == book.record
