"""A record is what its journal says: each directive, its end, and what time does to labels."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from services.consent.domain.care import EVIDENCE
from services.consent.domain.directive import PRESETS
from services.consent.domain.document import month_after, traits
from services.consent.domain.entry import Outcome
from services.consent.domain.flow import Action, Actor, Care
from services.consent.domain.judging import MOST_CARE_MS
from services.consent.domain.record import Record
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    DAY,
    MONTH,
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
    stay,
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


@pytest.mark.parametrize(
    ("given", "to"),
    [("authorise", ORGANISATION), ("authorise", "profession:10"), ("authorise", PERSON), ("treating-doctor", PERSON)],
)
@pytest.mark.parametrize("blocked", [PERSON, ORGANISATION])
def test_after_a_block_consent_is_asked_again_whatever_gave_it(book: Book, given: str, to: str, blocked: str) -> None:
    """Blocked, himself or with his structure, then unblocked: what was given before is over, what is given anew holds.

    Whoever was not blocked keeps what means him.
    """
    book.say(given, to)
    before = book.record.evidence(PETIT, NOW)
    book.say("end", ends=book.say("block", blocked))
    assert book.record.evidence(MOREAU, NOW) == ""
    assert book.record.evidence(PETIT, NOW) == before
    book.say(given, to)
    assert book.record.evidence(MOREAU, NOW) != ""


def test_one_has_one_treating_doctor(book: Book) -> None:
    """Who declares another one has the first no longer, and ending the second does not bring the first back."""
    book.say("treating-doctor", PERSON)
    second = book.say("treating-doctor", f"person:{PETIT.id}")
    assert (book.record.evidence(MOREAU, NOW), book.record.evidence(PETIT, NOW)) == ("", "treating-doctor")
    book.say("end", ends=second)
    assert (book.record.evidence(MOREAU, NOW), book.record.evidence(PETIT, NOW)) == ("", "")


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


@pytest.mark.parametrize("before", list(PRESETS))
@pytest.mark.parametrize("after", list(PRESETS))
def test_a_preset_takes_the_place_of_what_is_general(book: Book, before: str, after: str) -> None:
    """Whatever general choices were made, by hand or by another preset: the last preset's stand, and no other."""
    for kind, subject in (("close", None), ("ask-me", None), ("open-hidden", None), ("close-emergency", "samu")):
        book.say(kind, subject)
    book.say("preset", before)
    chosen = book.say("preset", after)
    found = {name: (each.kind, each.subject) for name, each in book.record.directives.items()}
    assert found == {f"{chosen}.{number}": each for number, each in enumerate(PRESETS[after], 1)}


def test_a_preset_s_directive_can_be_ended_alone(book: Book) -> None:
    """What a preset said is said piece by piece: one piece is taken back, the others stay."""
    chosen = book.say("preset", "careful")
    book.say("end", ends=f"{chosen}.1")
    assert not book.record.said("ask-me", NOW)
    assert book.record.said("close-emergency", NOW, "others")


def declared(book: Book, evidence: Any, lasts: int, by: Actor = MOREAU, code: str | None = None) -> str:
    """Have a professional, of a stay the establishment, declare that he cares for her; return the relation's id."""
    until = book.now + lasts
    asked = (
        stay(until, by) if evidence == "admission" else flow(by, Action.DECLARE_CARE, care=Care(evidence, until, code))
    )
    book.ask(asked)
    return asked.id


def test_the_strongest_evidence_is_cited(book: Book) -> None:
    """Of all that a care relation rests on, her own word comes first and the professional's last."""
    book.say("code", members=("code",))
    seen = []
    for evidence in ("declared", "appointment", "admission", "code"):
        declared(book, evidence, DAY, code="code" if evidence == "code" else None)
        seen.append(book.record.evidence(MOREAU, NOW))
    for kind in ("treating-doctor", "authorise"):
        book.say(kind, PERSON)
        seen.append(book.record.evidence(MOREAU, NOW))
    assert tuple(reversed(seen)) == EVIDENCE


@pytest.mark.parametrize(("evidence", "most"), MOST_CARE_MS.items())
def test_a_relation_lasts_until_its_end(book: Book, evidence: str, most: int) -> None:
    """Each kind lasts for its longest time, not at the very millisecond of its end, and not a millisecond more."""
    book.say("code", members=("code",))
    code = "code" if evidence == "code" else None
    declared(book, evidence, most + 1, code=code)
    assert book.record.care == {}
    book.say("code", members=("another",))
    declared(book, evidence, most, code=code and "another")
    assert book.record.evidence(MOREAU, NOW + most - 1) == evidence
    assert book.record.evidence(MOREAU, NOW + most) == ""


def test_a_stay_is_cared_for_by_the_whole_organisation(book: Book) -> None:
    """An admission serves all who work there, under that organisation only; anything else only who declared it."""
    declared(book, "admission", DAY)
    assert book.record.evidence(COLLEAGUE, NOW) == "admission"
    assert book.record.evidence(replace(MOREAU, organisation="750000002"), NOW) == ""
    other = Book()
    declared(other, "appointment", DAY)
    declared(other, "declared", DAY)
    assert other.record.evidence(COLLEAGUE, NOW) == ""
    assert other.record.evidence(replace(MOREAU, organisation="750000002"), NOW) == "appointment"


def test_a_stay_is_in_an_establishment(book: Book) -> None:
    """Software that acts for none reports none: it begins nothing that could serve anybody."""
    declared(book, "admission", DAY, by=replace(MOREAU, organisation=None))
    assert book.record.care == {}


@pytest.mark.parametrize("evidence", ["appointment", "declared", "admission", "code"])
def test_a_block_ends_what_was_declared(book: Book, evidence: str) -> None:
    """After the block is lifted, what he declared before it is gone."""
    book.say("code", members=("code",))
    blocked = ORGANISATION if evidence == "admission" else PERSON
    declared(book, evidence, DAY, code="code" if evidence == "code" else None)
    assert book.record.evidence(MOREAU, NOW) == evidence
    book.say("end", ends=book.say("block", blocked))
    assert book.record.evidence(MOREAU, NOW) == ""


def test_what_is_refused_begins_no_relation(book: Book) -> None:
    """A declaration that her choices refuse leaves nothing that could hold once they change."""
    block = book.say("block", PERSON)
    declared(book, "appointment", DAY)
    book.say("end", ends=block)
    asked = book.say("ask-me")
    declared(book, "declared", DAY)
    book.say("end", ends=asked)
    opposed = book.say("oppose")
    declared(book, "admission", DAY)
    book.say("end", ends=opposed)
    assert book.record.care == {}


def test_a_team_is_authorised_member_by_member(book: Book) -> None:
    """Those named are authorised until the end, under whatever organisation; nobody else is."""
    book.say("authorise", "team", members=(PERSON, f"person:{PETIT.id}"), until=NOW + DAY)
    assert book.record.evidence(replace(MOREAU, organisation=None), NOW) == "patient"
    assert book.record.evidence(PETIT, NOW + DAY - 1) == "patient"
    assert book.record.evidence(PETIT, NOW + DAY) == ""
    assert book.record.evidence(COLLEAGUE, NOW) == ""


def test_a_profession_is_authorised(book: Book) -> None:
    """All doctors, no nurse, and nobody without a profession."""
    book.say("authorise", "profession:10")
    assert book.record.evidence(PETIT, NOW) == "patient"
    assert book.record.evidence(replace(PETIT, profession="60"), NOW) == ""
    assert book.record.evidence(replace(PETIT, profession=None), NOW) == ""


def test_a_code_holds_until_it_is_used_over_or_taken_back(book: Book) -> None:
    """Of several codes made at once each is used once; those that are left end together."""
    made = book.say("code", members=("first", "second", "third"), until=NOW + DAY)
    assert not book.record.code_holds("never made", NOW)
    assert not book.record.code_holds(None, NOW)
    declared(book, "code", DAY, code="first")
    assert not book.record.code_holds("first", NOW)
    assert book.record.code_holds("second", NOW + DAY - 1)
    assert not book.record.code_holds("second", NOW + DAY)
    book.say("end", ends=made)
    assert not book.record.code_holds("third", NOW)


def test_a_code_that_is_guessed_before_it_is_made_is_not_used(book: Book) -> None:
    """Only a code that holds is used up by being shown: no guess spoils hers, or swells the state."""
    declared(book, "code", DAY, code="code")
    assert book.record.spent == set()
    book.say("code", members=("code",))
    assert book.record.code_holds("code", NOW)


def test_a_used_code_bars_repeats_of_what_stood_before(book: Book) -> None:
    """A code that was shown, even in vain, changes what the next one is told: it is marked as a change."""
    book.say("code", members=("code",))
    book.say("block", PERSON)
    before = book.record.version
    declared(book, "code", DAY, code="guess")
    assert book.record.last_change == before
    declared(book, "code", DAY, code="code")
    assert book.record.last_change == book.record.version


def test_a_kind_and_an_episode_of_documents_are_hidden(book: Book) -> None:
    """What is hidden by its type or its stay is all of it, what comes later too, and nothing else."""
    stay = replace(paper("stay", code="57833-6"), episode="stay")
    assert traits(stay) == {"type:57833-6", "episode:stay"}
    assert traits(paper()) == {"type:11502-2"}
    book.say("authorise", f"person:{PETIT.id}")
    for number, subject in enumerate(("type:57833-6", "episode:stay", "type:elsewhere", "episode:elsewhere")):
        hidden = book.say("hide", subject)
        document = book.deposit(replace(stay, master_identifier=f"urn:oid:2.25.{number}"))
        seen = book.ask(flow(PETIT, Action.READ, document)).outcome.verdict
        assert seen == ("allowed" if "elsewhere" in subject else "refused")
        book.say("end", ends=hidden)


def test_an_unannounced_result_shows_itself_after_31_days(book: Book) -> None:
    """R.1111-53: the label goes by itself, to the millisecond, and no other label does."""
    book.deposit(paper(visibility=("INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")))
    (document,) = book.record.documents.values()
    assert document.visibility_at(NOW + MONTH - 1) == ("INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")
    assert document.visibility_at(NOW + MONTH) == ("INVISIBLE_REPRESENTANTS_LEGAUX",)


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


@pytest.mark.parametrize(("day", "later"), [
    ("2026-05-28T12:00:00+02:00", "2026-06-28T12:00:00+02:00"),
    ("2026-01-31T08:00:00+01:00", "2026-02-28T08:00:00+01:00"),
    ("2028-01-30T08:00:00+01:00", "2028-02-29T08:00:00+01:00"),
    ("2026-12-15T00:30:00+01:00", "2027-01-15T00:30:00+01:00"),
    ("2026-03-10T09:00:00+01:00", "2026-04-10T09:00:00+02:00"),
    ("2026-10-01T00:00:00.123+02:00", "2026-11-01T00:00:00.123+01:00"),
])  # fmt: skip
def test_a_month_is_one_of_the_calendar(day: str, later: str) -> None:
    """R.1111-53 says a month: the same day of the next one on the wall in Paris, its last where it is shorter."""
    since, end = (int(datetime.fromisoformat(each).timestamp() * 1000) for each in (day, later))
    assert month_after(since) == end
