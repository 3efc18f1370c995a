"""Whom a record obeys at a time: a parent until 18, others until their said end, nobody for the dead."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity.domain.identifiers import Ins
from services.identity.domain.links import Refused, require_living, require_representation
from services.identity.domain.people import Person, Traits
from services.identity.domain.representation import (
    NEVER,
    TERMS,
    Authority,
    Representation,
    authority,
    begins,
    crowded,
    majority,
)

BORN = date(2014, 3, 9)
PARENT = Representation("noa", "camille", "parent", TERMS["parent"].scopes)
OTHER = replace(PARENT, holder="malik")
GUARDIAN = replace(PARENT, holder="dominique", role="guardian")
CAREGIVER = Representation(
    "noa", "sacha", "caregiver", TERMS["caregiver"].scopes, until=date(2030, 1, 1), attested=True
)


HEIR = replace(PARENT, role="heir", scopes=TERMS["heir"].scopes, attested=True)


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> float:
    """Return a Unix time, of UTC."""
    return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()


def now_of(*representations: Representation, now: float, dead: str = "", deceased: bool = False) -> Authority:
    """Return whom the record of a child of 2014 obeys; `dead` is a holder who died."""
    return authority(BORN, deceased, representations, {dead}, now)


def test_a_day_begins_in_paris() -> None:
    """In winter at 23:00 of UTC on the eve, in summer at 22:00."""
    assert begins(date(2032, 3, 9)) == at(2032, 3, 8, 23)
    assert begins(date(2032, 7, 9)) == at(2032, 7, 8, 22)


def test_a_child_comes_of_age_on_the_eighteenth_birthday() -> None:
    """At its first second in Paris, and not a second before; the parents' authority ends with it."""
    birthday = at(2032, 3, 8, 23)
    assert majority(BORN) == birthday
    before, after = now_of(PARENT, OTHER, now=birthday - 1), now_of(PARENT, OTHER, now=birthday)
    assert (before.minor, before.holders, before.due) == (True, (PARENT, OTHER), birthday)
    assert (after.minor, after.holders, after.due) == (False, (), NEVER)
    assert now_of(now=birthday - 1) == Authority(minor=True, deceased=False, holders=(), due=birthday)


def test_who_was_born_on_a_29_february_comes_of_age_on_1_march() -> None:
    """Eighteen years after a leap year there is no such day."""
    assert majority(date(2012, 2, 29)) == begins(date(2030, 3, 1))
    assert majority(date(2012, 2, 28)) == begins(date(2030, 2, 28))


def test_others_act_until_their_end() -> None:
    """A caregiver's end is the first day without them; a guardian without an end acts on; each end is due in turn."""
    first = now_of(PARENT, GUARDIAN, CAREGIVER, now=at(2029, 12, 31))
    assert {each.role for each in first.holders} == {"parent", "guardian", "caregiver"}
    assert first.due == begins(date(2030, 1, 1))
    second = now_of(PARENT, GUARDIAN, CAREGIVER, now=first.due)
    assert {each.role for each in second.holders} == {"parent", "guardian"}
    assert second.due == majority(BORN)
    third = now_of(PARENT, GUARDIAN, CAREGIVER, now=second.due)
    assert third == Authority(minor=False, deceased=False, holders=(GUARDIAN,), due=NEVER)


def test_a_parents_said_end_may_come_first() -> None:
    """What a judge ends does not wait for the birthday, and never outlives it."""
    ended = replace(PARENT, until=date(2028, 1, 1))
    assert now_of(ended, now=at(2027, 1, 1)).due == begins(date(2028, 1, 1))
    assert now_of(ended, now=at(2028, 1, 1)).holders == ()
    late = replace(PARENT, until=date(2050, 1, 1))
    assert now_of(late, now=majority(BORN)).holders == ()


def test_the_dead_neither_act_nor_are_represented() -> None:
    """A parent's death leaves the other; the person's own leaves nobody."""
    assert now_of(PARENT, OTHER, now=at(2026, 1, 1), dead="camille").holders == (OTHER,)
    gone = now_of(PARENT, GUARDIAN, now=at(2026, 1, 1), deceased=True)
    assert (gone.deceased, gone.holders) == (True, ())


def test_heirs_stand_once_the_person_is_dead_and_not_before() -> None:
    """Death gives the record's heirs, and nobody else; a dead heir is none, an end that was said comes, and is due."""
    now, ended = at(2026, 1, 1), replace(HEIR, holder="sacha", until=date(2027, 1, 1))
    acting = (PARENT, HEIR, ended)
    assert now_of(*acting, now=now).holders == (PARENT,)
    assert now_of(HEIR, ended, now=now).due == majority(BORN)
    gone = now_of(*acting, now=now, deceased=True)
    assert (gone.deceased, gone.holders, gone.due) == (True, (HEIR, ended), begins(date(2027, 1, 1)))
    assert now_of(*acting, now=gone.due, deceased=True).holders == (HEIR,)
    assert now_of(*acting, now=now, deceased=True, dead="camille").holders == (ended,)


@given(
    now=st.floats(at(2014, 3, 9), at(2050, 1, 1)),
    later=st.floats(0, 10**9),
    ends=st.lists(st.dates(date(2014, 3, 9), date(2050, 1, 1)), max_size=3),
)
def test_between_now_and_what_is_due_nothing_changes(now: float, later: float, ends: list[date]) -> None:
    """Time alone changes an authority at its `due` and at no other moment, so nothing need look in between."""
    acting = [replace(GUARDIAN, holder=f"h{each}", until=end) for each, end in enumerate(ends)]
    found = now_of(PARENT, *acting, now=now)
    then = now_of(PARENT, *acting, now=now + later)
    state = (found.minor, found.holders)
    if now + later < found.due:
        assert ((then.minor, then.holders), then.due) == (state, found.due)
    else:
        assert (then.minor, then.holders) != state


def test_more_may_not_act_than_may() -> None:
    """Two parents and three caregivers; who acts no more makes room; guardians are not counted."""
    now = at(2026, 1, 1)
    cares = [replace(CAREGIVER, holder=f"c{each}") for each in range(4)]
    assert crowded(cares[:3], now) == set()
    assert crowded(cares, now) == {"caregiver"}
    assert crowded([*cares[:3], replace(cares[3], until=date(2026, 1, 1))], now) == set()
    assert crowded([*cares[:3], replace(cares[3], until=date(2026, 1, 1))], begins(date(2026, 1, 1))) == set()
    assert crowded([PARENT, OTHER, replace(OTHER, holder="third")], now) == {"parent"}
    assert crowded([replace(GUARDIAN, holder=f"g{each}") for each in range(9)], now) == set()


CHILD = Person(
    "noa", "qualified", Traits("EXEMPLE", ("NOA",), "NOA", "F", BORN),
    Ins("urn:oid:1.2.250.1.213.1.4.10", "214037511203451"), record="r-noa",
    representations=(replace(PARENT, represented="r-noa", holder="r-camille"),),
)  # fmt: skip
CAMILLE = replace(CHILD, reference="camille", record="r-camille", representations=())


def test_who_represents_signs_in_for_the_person() -> None:
    """As long as the representation stands, and for nobody else."""
    now = at(2026, 1, 1)
    assert require_representation(CAMILLE, CHILD, now).role == "parent"
    stranger = replace(CAMILLE, record="r-stranger")
    provisional, dead = replace(CHILD, status="provisional"), replace(CHILD, deceased=date(2026, 1, 1))
    for holder, represented, when in (
        (stranger, CHILD, now), (CAMILLE, None, now), (CAMILLE, CAMILLE, now), (CAMILLE, provisional, now),
        (CAMILLE, dead, now), (CAMILLE, CHILD, majority(BORN)),
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            require_representation(holder, represented, when)
        assert refused.value.slug == "not-a-representative"


def test_an_heir_signs_in_for_the_dead_and_for_nobody_alive() -> None:
    """The same representation gives nothing before the death, and a role of its own after it."""
    now = at(2026, 1, 1)
    alive = replace(CHILD, representations=(replace(HEIR, represented="r-noa", holder="r-camille"),))
    assert require_representation(CAMILLE, replace(alive, deceased=True), now).role == "heir"
    with pytest.raises(Refused) as refused:
        require_representation(CAMILLE, alive, now)
    assert refused.value.slug == "not-a-representative"


def test_nobody_signs_in_as_the_dead() -> None:
    """Whether the day of the death is known or not."""
    assert require_living(CAMILLE) is CAMILLE
    assert require_living(replace(CAMILLE, deceased=False)).deceased is False
    for deceased in (True, date(2026, 1, 1)):
        with pytest.raises(Refused) as refused:
            require_living(replace(CAMILLE, deceased=deceased))
        assert refused.value.slug == "person-deceased"
