"""Which refusals repeat each other, and which window each stands in."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consent.domain.entry import MAIN, Entry, Outcome
from services.consent.domain.flow import Action, Amendment, Care, Change, Flow, Motive, Reason
from services.consent.domain.repeating import alike, over_at, repeatable
from tests.unit.consent.people import (
    ABSENT,
    MOREAU,
    NOW,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    flow,
    paper,
)


def test_alike_is_all_but_when_and_under_which_id() -> None:
    """Every input of a flow parts entries, but the few that each question has of its own."""
    own = {"id", "digest", "deadline_ms", "auth_time", "record"}
    base = flow(MOREAU, Action.READ, ABSENT)
    written = Entry(RECORD, 2, base.id, MAIN, 2, NOW, RULES.digest, "request", "decision", flow=base,
                    outcome=_refused())  # fmt: skip
    other: dict[str, Any] = {
        "action": Action.LIST, "purpose": "BTG", "actor": PETIT, "documents": (), "deposit": paper(),
        "change": Change("block", PERSON), "care": Care("declared", NOW), "topic": "t", "reason": Reason("a", "b"),
        "motive": Motive("rights", "a"),
        "secret": True, "stale": True, "because": "event", "id": "x", "digest": "y", "deadline_ms": 1, "auth_time": 9,
        "record": RECORD, "amendment": Amendment(("MASQUE_PS",)),
    }  # fmt: skip
    assert other.keys() == set(Flow.__slots__), "say of a new input whether it parts refusals"
    for name, value in other.items():
        changed = replace(written, flow=replace(base, **{name: value}))
        assert (alike(changed) == alike(written)) is (name in own), name
    assert alike(replace(written, policies="other")) != alike(written)
    assert alike(replace(written, version=9, n=9, at=NOW + 1, cause="z")) == alike(written)
    until = [replace(written, flow=replace(base, care=Care("declared", at))) for at in (NOW, NOW + 1)]
    assert alike(until[0]) == alike(until[1])


def _refused() -> Outcome:
    return Outcome("refused", "blocked", refused=(("blocked", 1),))


@pytest.mark.parametrize("verdict", ["allowed", "conflict"])
def test_only_refusals_are_repeatable(verdict: Any) -> None:
    """What was allowed, and what was another content, stands entry by entry."""
    base = flow(MOREAU, Action.READ, ABSENT)
    refused = Entry(RECORD, 2, base.id, MAIN, 2, NOW, RULES.digest, "request", "decision", flow=base,
                    outcome=_refused())  # fmt: skip
    assert repeatable(refused)
    assert not repeatable(replace(refused, outcome=replace(_refused(), verdict=verdict)))
    assert not repeatable(replace(refused, stream="secret"))


@given(st.integers(0, 2**50), st.integers(1, 86_400_000))
def test_windows_follow_each_other_without_a_gap(at: int, lasts: int) -> None:
    """Each time is in one window, which is over after it, and at most its length later."""
    until = over_at(at, lasts)
    assert at < until <= at + lasts
    assert over_at(until - 1, lasts) == until
    assert over_at(until, lasts) == until + lasts
