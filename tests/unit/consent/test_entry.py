"""An entry in two parts, one in clear and one under the record's key: together they are the entry again."""

from dataclasses import fields
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.sealing import Unsealable, canonical, decrypt, encrypt, new_key
from services.consent.domain.entry import Entry, Outcome, leaf_class
from services.consent.domain.flow import Action, Actor, Change, Deposit, Flow
from services.consent.keys import entry_key
from tests.unit.consent.people import CAMILLE, MOREAU, Book, flow, paper

_TEXT = st.text(max_size=20)  # hypothesis draws no lone surrogates here: JSON and the contract take none either
_MAYBE = st.none() | _TEXT.filter(bool)
_NUMBER = st.integers(0, 2**53 - 1)
_ACTORS = st.builds(
    Actor, st.sampled_from(["patient", "professional", "application", "service"]), *[_TEXT] * 5,
    profession=_MAYBE, organisation=_MAYBE, organisation_name=_MAYBE,
)  # fmt: skip
_DEPOSITS = st.builds(
    Deposit, _TEXT, _TEXT, _TEXT, _TEXT, class_code=_MAYBE,
    visibility=st.lists(st.sampled_from(["MASQUE_PS", "INVISIBLE_PATIENT"]), max_size=2).map(tuple),
)  # fmt: skip
_CHANGES = st.builds(
    Change, st.sampled_from(["authorise", "block", "hide", "oppose", "end"]), subject=_MAYBE,
    until=st.none() | _NUMBER, ends=_MAYBE,
)  # fmt: skip
_FLOWS = st.builds(
    Flow, _TEXT, _TEXT, _TEXT, st.sampled_from(Action), _TEXT, _ACTORS,
    documents=st.lists(_TEXT, max_size=3).map(tuple), deposit=st.none() | _DEPOSITS, change=st.none() | _CHANGES,
    because=_MAYBE, deadline_ms=st.none() | _NUMBER,
)  # fmt: skip
_OUTCOMES = st.builds(
    Outcome, st.sampled_from(["allowed", "refused", "red-line", "conflict"]), _TEXT,
    allowed=st.lists(_TEXT, max_size=3).map(tuple), count=st.integers(0, 1000),
    refused=st.lists(st.tuples(_TEXT, st.integers(0, 1000)), max_size=3).map(tuple),
    document=_MAYBE, version=st.none() | st.integers(1, 9), errors=st.booleans(),
)  # fmt: skip
_ENTRIES = st.builds(
    Entry, _TEXT, st.integers(1, 10**9), _TEXT, st.just("main"), st.integers(1, 10**9), _NUMBER, _TEXT,
    st.sampled_from(["deposit", "request", "emergency", "directive", "other"]),
    st.sampled_from(["opened", "decision", "abandoned"]), flow=st.none() | _FLOWS, outcome=st.none() | _OUTCOMES,
    about=_MAYBE,
)  # fmt: skip


@given(_ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    """Clear and private part, through canonical JSON, give the entry again: nothing is lost, nothing is made up."""
    clear, private = orjson.loads(canonical(entry.clear)), orjson.loads(canonical(entry.private))
    assert Entry.read(clear, private) == entry


def test_the_clear_part_says_nothing_of_anyone() -> None:
    """Who, what for, which document and which verdict stand in the encrypted part only."""
    book = Book()
    book.deposit(paper())
    book.ask(flow(CAMILLE, Action.LIST))
    for each in book.entries:
        assert set(each.clear) == {"record", "version", "cause", "stream", "n", "at", "policies", "class"}
        said = canonical(each.clear).decode()
        assert not any(word in said for word in (MOREAU.id, MOREAU.name, CAMILLE.name, "2.25", "allowed", "TREAT"))


def test_refused_and_allowed_have_the_same_class() -> None:
    """Nobody who reads the clear part can tell a refusal, nor a read from a list or a notice."""
    requests = [Action.LIST, Action.READ, Action.NOTIFY, Action.READ_JOURNAL, Action.READ_DIRECTIVES]
    assert {leaf_class(each) for each in requests} == {"request"}
    assert (leaf_class(Action.DEPOSIT), leaf_class(Action.CHANGE_DIRECTIVES)) == ("deposit", "directive")


@pytest.mark.parametrize("name", ["record", "version", "cause", "stream", "n", "at", "policies", "class"])
def test_the_private_part_is_bound_to_each_word_of_the_clear_part(name: str) -> None:
    """An entry moved to another record, version, time or class does not open."""
    entry, key = Book().entries[0], entry_key(new_key())
    sealed = encrypt(key, canonical(entry.private), entry.clear)
    other: dict[str, Any] = entry.clear
    other[name] = "other" if isinstance(other[name], str) and other[name] != "other" else 77
    with pytest.raises(Unsealable):
        decrypt(key, sealed, other)


def test_every_field_of_a_flow_is_drawn() -> None:
    """The round trip above covers each field that stands today: a new one must be added to its strategy."""
    drawn = {
        Entry: 12, Flow: 11, Actor: 9, Deposit: 6, Change: 4, Outcome: 8,
    }  # fmt: skip
    assert {kind: len(fields(kind)) for kind in drawn} == drawn
