"""An entry in two parts, one in clear and one under the record's key: together they are the entry again."""

from dataclasses import fields, replace
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.sealing import Unsealable, canonical, decrypt, encrypt, new_key
from services.consent.domain.entry import Entry, Kind, Outcome, Repeated, Reviewing, leaf_class
from services.consent.domain.flow import (
    Action,
    Actor,
    Amendment,
    Care,
    Change,
    Deposit,
    Flow,
    Motive,
    Reason,
)  # fmt: skip
from services.consent.domain.record import Record
from services.consent.domain.representation import Holder, Representation
from services.consent.keys import entry_key
from tests.unit.consent.people import CAMILLE, MOREAU, NOW, RECORD, Book, entry, flow, paper

_TEXT = st.text(max_size=20)  # hypothesis draws no lone surrogates here: JSON and the contract take none either
_MAYBE = st.none() | _TEXT.filter(bool)
_NUMBER = st.integers(0, 2**53 - 1)
_ACTORS = st.builds(
    Actor, st.sampled_from(["patient", "professional", "application", "service"]), *[_TEXT] * 5,
    profession=_MAYBE, organisation=_MAYBE, organisation_name=_MAYBE,
)  # fmt: skip
_DEPOSITS = st.builds(
    Deposit, _TEXT, _TEXT, _TEXT, _TEXT, class_code=_MAYBE,
    visibility=st.lists(st.sampled_from(["MASQUE_PS", "INVISIBLE_PATIENT"]), max_size=2).map(tuple), episode=_MAYBE,
)  # fmt: skip
_CHANGES = st.builds(
    Change, st.sampled_from(["authorise", "block", "hide", "oppose", "end"]), subject=_MAYBE,
    until=st.none() | _NUMBER, ends=_MAYBE, members=st.lists(_TEXT, max_size=3).map(tuple),
)  # fmt: skip
_LABELS = st.lists(st.sampled_from(["MASQUE_PS", "INVISIBLE_PATIENT"]), max_size=2).map(tuple)
_FLOWS = st.builds(
    Flow, _TEXT, _TEXT, _TEXT, st.sampled_from(Action), _TEXT, _ACTORS,
    documents=st.lists(_TEXT, max_size=3).map(tuple), deposit=st.none() | _DEPOSITS, change=st.none() | _CHANGES,
    care=st.none() | st.builds(Care, st.sampled_from(["code", "declared"]), _NUMBER, _MAYBE), topic=_MAYBE,
    amendment=st.none() | st.builds(Amendment, _LABELS, _LABELS),
    reason=st.none() | st.builds(Reason, _TEXT, _TEXT), auth_time=_NUMBER, secret=st.booleans(), stale=st.booleans(),
    motive=st.none() | st.builds(Motive, _TEXT, _MAYBE), because=_MAYBE, deadline_ms=st.none() | _NUMBER,
)  # fmt: skip
_OUTCOMES = st.builds(
    Outcome, st.sampled_from(["allowed", "refused", "red-line", "conflict"]), _TEXT,
    allowed=st.lists(_TEXT, max_size=3).map(tuple), count=st.integers(0, 1000),
    refused=st.lists(st.tuples(_TEXT, st.integers(0, 1000)), max_size=3).map(tuple),
    document=_MAYBE, version=st.none() | st.integers(1, 9), errors=st.booleans(),
)  # fmt: skip
_HOLDERS = st.builds(Holder, _TEXT, _TEXT, st.lists(_TEXT, max_size=3).map(tuple))
_REPRESENTATIONS = st.builds(
    Representation, st.integers(1, 10**9), st.booleans(), st.booleans(), st.lists(_HOLDERS, max_size=3).map(tuple)
)
_REVIEWING = st.builds(
    Reviewing, _TEXT, _NUMBER, _ACTORS, answer=_MAYBE, justified=st.none() | st.booleans(),
    of=st.sampled_from(["emergency", "declared-care"]),
)  # fmt: skip
_REPEATED = st.builds(
    Repeated, _TEXT, _ACTORS, st.sampled_from(Action), _TEXT, st.sampled_from(["refused", "red-line"]),
    _NUMBER, _NUMBER, _NUMBER,
)  # fmt: skip
_ENTRIES = st.builds(
    Entry, _TEXT, st.integers(1, 10**9), _TEXT, st.just("main"), st.integers(1, 10**9), _NUMBER, _TEXT,
    st.sampled_from(["deposit", "request", "emergency", "directive", "other"]),
    st.sampled_from(get_args(Kind)),
    flow=st.none() | _FLOWS, outcome=st.none() | _OUTCOMES, about=_MAYBE,
    representation=st.none() | _REPRESENTATIONS, reviewing=st.none() | _REVIEWING,
    repeated=st.none() | _REPEATED,
)  # fmt: skip


@given(_ENTRIES)
def test_an_entry_comes_back_as_it_was(written: Entry) -> None:
    """Clear and private part, through canonical JSON, give the entry again: nothing is lost, nothing is made up."""
    clear, private = orjson.loads(canonical(written.clear)), orjson.loads(canonical(written.private))
    assert Entry.read(clear, private) == written


def test_the_clear_part_says_nothing_of_anyone() -> None:
    """Who, what for, which document and which verdict stand in the encrypted part only."""
    book = Book()
    book.deposit(paper())
    book.ask(flow(CAMILLE, Action.LIST))
    for each in book.entries:
        assert set(each.clear) == {"record", "version", "cause", "stream", "n", "at", "policies", "class"}
        said = canonical(each.clear).decode()
        assert not any(word in said for word in (MOREAU.id, MOREAU.name, CAMILLE.name, "2.25", "allowed", "TREAT"))


_VERDICTS = ("allowed", "refused", "red-line", "conflict")


@pytest.mark.parametrize("verdict", _VERDICTS)
def test_refused_and_allowed_have_the_same_class(verdict: Any) -> None:
    """Nobody who reads the clear part can tell a refusal, nor a read from a list or a notice."""

    def classed(action: Action, **more: Any) -> str:
        return leaf_class(flow(MOREAU, action, **more), Outcome(verdict, "rule"))

    kinds = {Action.DEPOSIT: "deposit", Action.CHANGE_DIRECTIVES: "directive", Action.DECLARE_CARE: "directive",
             Action.END_CARE: "directive", Action.ANNOUNCE: "directive", Action.AMEND: "directive",
             Action.ASK_AS_HEIR: "directive"}  # fmt: skip
    requests = [each for each in Action if each not in kinds]
    assert {classed(each) for each in requests} == {"request"}
    assert {each: classed(each) for each in kinds} == kinds


@pytest.mark.parametrize("verdict", _VERDICTS)
@pytest.mark.parametrize("purpose", ["TREAT", "BTG", "ETREAT", "PATRQT"])
@pytest.mark.parametrize("action", list(Action))
def test_only_an_emergency_that_was_let_in_is_one(action: Action, purpose: str, verdict: Any) -> None:
    """Class and announcement agree: an allowed list or read of the two emergency purposes, and nothing else."""
    asked, outcome = flow(MOREAU, action, purpose=purpose), Outcome(verdict, "rule")
    seen = entry(Record(RECORD), asked, outcome, NOW)
    opened = purpose in {"BTG", "ETREAT"} and action in {Action.LIST, Action.READ} and verdict == "allowed"
    assert (leaf_class(asked, outcome) == "emergency") is opened
    told = {Action.DECLARE_CARE: "declared-care", Action.ANNOUNCE: "revealed"} if verdict == "allowed" else {}
    assert seen.announces == ("emergency" if opened else told.get(action))
    assert replace(seen, stream="secret").announces is None


def test_what_nobody_asked_for_announces_nothing_but_what_a_month_revealed() -> None:
    """Entries without a flow are told in the journal alone; one that opens a document's stream is told of."""
    (first,) = Book().entries
    kinds = {kind: replace(first, kind=kind, about="d" * 26).announces for kind in get_args(Kind)}
    assert kinds == dict.fromkeys(get_args(Kind)) | {"revealed": "revealed"}


@pytest.mark.parametrize("name", ["record", "version", "cause", "stream", "n", "at", "policies", "class"])
def test_the_private_part_is_bound_to_each_word_of_the_clear_part(name: str) -> None:
    """An entry moved to another record, version, time or class does not open."""
    first, key = Book().entries[0], entry_key(new_key())
    sealed = encrypt(key, canonical(first.private), first.clear)
    other: dict[str, Any] = first.clear
    other[name] = "other" if isinstance(other[name], str) and other[name] != "other" else 77
    with pytest.raises(Unsealable):
        decrypt(key, sealed, other)


def test_every_field_of_a_flow_is_drawn() -> None:
    """The round trip above covers each field that stands today: a new one must be added to its strategy."""
    drawn = {
        Entry: 15, Flow: 19, Actor: 9, Deposit: 7, Change: 5, Amendment: 2, Outcome: 8, Care: 3, Reason: 2, Motive: 2,
        Representation: 4, Holder: 3, Reviewing: 6, Repeated: 8,
    }  # fmt: skip
    assert {kind: len(fields(kind)) for kind in drawn} == drawn
