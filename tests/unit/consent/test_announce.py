"""What must be told at once is told, once an hour for one professional, whoever announces and in whatever order."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.sealing import Unsealable
from services.consent.domain.entry import MAIN, Entry, Outcome
from services.consent.domain.flow import Action, Actor, Care, Reason
from services.consent.domain.record import Record
from services.consent.domain.review import (
    ANSWER_WITHIN_MS,
    DPO,
    NotReviewer,
    organisation_of,
    review_of,
    told_by_itself,
)
from services.consent.ledger import Ledger
from services.consent.ports import RecordUnknown
from services.consent.use_cases.announce import Announce
from tests.unit.consent.memory import MemoryJournal, MemoryNotices, MemoryReviews, MemorySnapshots
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    INSURER,
    MOREAU,
    NOTICES,
    NOW,
    PETIT,
    RECORD,
    entry,
    flow,
    opening,
)

MINUTE, HOUR = 60_000, 3_600_000
ELSEWHERE = replace(MOREAU, organisation="750000009", organisation_name="Hôpital Exemple")
OFFICER = replace(MOREAU, id="899700000008", name="Claude Garde", profession=DPO)


class Post:
    """A journal written by hand, and whoever announces it."""

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self.journal, self.reviews, self.now = journal or MemoryJournal(), MemoryReviews(), NOW
        self.journal.entries[RECORD] = [opening()]
        self.notices = MemoryNotices(self.journal, self.reviews)
        self.announce = self.announcer()

    def write(
        self, at: int, actor: Actor = MOREAU, *, action: Action = Action.READ, purpose: str = "BTG",
        verdict: Any = "allowed", care: Care | None = None, stream: str = MAIN, text: str = "Patient inconscient",
    ) -> str:  # fmt: skip
        """Write what a professional did; return the flow."""
        last = self.journal.entries[RECORD][-1]
        asked = flow(actor, action, purpose=purpose, care=care, reason=Reason("URG", text))
        new = entry(Record(RECORD, last.version, last.n), asked, Outcome(verdict, "rule", count=1), NOW + at)
        new = replace(new, stream=stream)
        self.journal.entries[RECORD].append(new)
        return asked.id

    def announcer(self) -> Announce:
        """Return a fresh process's announcer."""
        return Announce(self.notices, self.journal, Ledger(self.journal, MemorySnapshots()), lambda: self.now)

    async def ends(self) -> dict[str, str]:
        """Announce what is due, and return the end of each."""
        return {each.flow: await self.announce(each) for each in await self.notices.due(1_000)}

    @property
    def told(self) -> list[str]:
        """The flows that were told."""
        return [each.flow for each in self.notices.told]


async def test_an_emergency_is_told_and_opens_a_review() -> None:
    """The notice names record, flow, kind and time; the review is its organisation's, for thirty days."""
    post = Post()
    access = post.write(0)
    post.now = NOW + 5_000
    assert await post.ends() == {access: "told"}
    (told,) = post.notices.told
    assert (told.record, told.flow, told.kind, told.at) == (RECORD, access, "emergency", NOW)
    (review,) = post.reviews.rows.values()
    assert (review.flow, review.organisation, review.state) == (access, MOREAU.organisation, "open")
    assert (review.opened_at, review.due_at) == (NOW + 5_000, NOW + 5_000 + ANSWER_WITHIN_MS)


async def test_a_declaration_is_told_each_time_and_opens_no_review() -> None:
    """Who says for himself that he may is told whenever he says it."""
    post = Post()
    declared = [post.write(at, action=Action.DECLARE_CARE, purpose="TREAT") for at in (0, MINUTE)]
    assert await post.ends() == dict.fromkeys(declared, "told")
    assert {each.kind for each in post.notices.told} == {"declared-care"}
    assert post.reviews.rows == {}


@pytest.mark.parametrize("evidence", ["declared", "appointment"])
async def test_his_own_word_is_reviewed(evidence: Any) -> None:
    """Each time: his organisation's officer owes the person an answer, within thirty days."""
    post = Post()
    word = Care(evidence, NOW + 24 * HOUR)
    declared = [post.write(at, action=Action.DECLARE_CARE, purpose="TREAT", care=word) for at in (0, MINUTE)]
    assert await post.ends() == dict.fromkeys(declared, "told")
    assert {(each.flow, each.organisation) for each in post.reviews.rows.values()} == {
        (each, MOREAU.organisation) for each in declared
    }
    assert {each.due_at - each.opened_at for each in post.reviews.rows.values()} == {ANSWER_WITHIN_MS}


@pytest.mark.parametrize("evidence", ["code", "admission"])
async def test_what_rests_on_more_than_his_word_is_told_and_not_reviewed(evidence: Any) -> None:
    """Her code, an establishment's report: she is told, and may end it."""
    post = Post()
    said = Care(evidence, NOW + HOUR)
    declared = post.write(0, action=Action.DECLARE_CARE, purpose="TREAT", care=said)
    assert await post.ends() == {declared: "told"}
    assert post.reviews.rows == {}


async def test_what_was_refused_is_not_told() -> None:
    """Neither an emergency that was refused nor an ordinary read is due."""
    post = Post()
    for verdict in ("refused", "red-line"):
        post.write(0, verdict=verdict)
        post.write(0, action=Action.DECLARE_CARE, verdict=verdict)
    post.write(0, purpose="TREAT")
    assert await post.notices.due(10) == []


async def test_the_first_of_an_hour_is_told_and_the_next_hour_too() -> None:
    """Ten looks in ninety minutes are two notices: the first, and the first after an hour."""
    post = Post()
    looks = [post.write(at * 10 * MINUTE) for at in range(10)]
    ends = await post.ends()
    assert [ends[each] for each in looks] == ["told"] + ["told-with-another"] * 5 + ["told"] + ["told-with-another"] * 3
    assert post.told == [looks[0], looks[6]]
    assert len(post.reviews.rows) == 2
    assert await post.notices.due(10) == []


async def test_what_was_told_nobody_silences_nothing() -> None:
    """A look at a result that she may not know of tells nothing: the list that follows within the hour is told."""
    post = Post()
    post.write(0, stream="secret")
    listed = post.write(MINUTE, action=Action.LIST)
    assert await post.ends() == {listed: "told"}
    assert len(post.reviews.rows) == 1


async def test_another_reason_is_another_emergency() -> None:
    """A second break-glass within the hour, for another reason or as another emergency, is told and reviewed too."""
    post = Post()
    looks = [post.write(0), post.write(MINUTE, purpose="ETREAT"), post.write(2 * MINUTE, text="Autre chose")]
    again = post.write(3 * MINUTE)
    assert await post.ends() == dict.fromkeys(looks, "told") | {again: "told-with-another"}
    assert len(post.reviews.rows) == 3


@pytest.mark.parametrize("other", [COLLEAGUE, ELSEWHERE], ids=["another person", "another organisation"])
async def test_another_asker_is_told_apart(other: Actor) -> None:
    """The hour is a person's at one organisation: each organisation has an officer of its own."""
    post = Post()
    looks = [post.write(0), post.write(MINUTE, other)]
    assert await post.ends() == dict.fromkeys(looks, "told")
    assert {each.organisation for each in post.reviews.rows.values()} == {MOREAU.organisation, other.organisation}


async def test_what_is_announced_in_any_order_is_told_alike() -> None:
    """The later ones first: they are passed over, and the first is still told."""
    post = Post()
    looks = [post.write(at * MINUTE) for at in range(3)]
    ends = {each.flow: await post.announce(each) for each in reversed(await post.notices.due(10))}
    assert ends == {looks[0]: "told", looks[1]: "told-with-another", looks[2]: "told-with-another"}


async def test_two_at_once_tell_once() -> None:
    """Both look, both decide the same, and one of them finds that it is told."""
    post = Post()
    looks = [post.write(at * MINUTE) for at in range(4)]
    other = post.announcer()
    due = await post.notices.due(10)
    ends = await asyncio.gather(*(announce(each) for each in due for announce in (post.announce, other)))
    assert sorted(ends) == ["told", "told-before"] + ["told-with-another"] * 6
    assert post.told == looks[:1]


async def test_a_clock_that_was_set_back_silences_nothing() -> None:
    """An access that seems to be of yesterday is told although one of today was."""
    post = Post()
    looks = [post.write(0), post.write(-24 * HOUR), post.write(-24 * HOUR + MINUTE), post.write(-MINUTE)]
    ends = await post.ends()
    assert [ends[each] for each in looks] == ["told", "told", "told-with-another", "told"]


@pytest.mark.parametrize("error", [Unsealable(), RecordUnknown()])
async def test_what_cannot_be_read_is_told_all_the_same(error: Exception) -> None:
    """An entry that was tampered with says nothing of its professional: the person is told, and nobody can review."""

    class Broken(MemoryJournal):
        async def emergencies(self, record: str, to: int) -> list[Entry]:  # noqa: ARG002 - the port's
            raise error

        async def by_cause(self, record: str, cause: str) -> Entry | None:  # noqa: ARG002 - the port's
            raise error

    post = Post(Broken())
    word = Care("declared", NOW + HOUR)
    looks = [post.write(0), post.write(MINUTE), post.write(0, action=Action.DECLARE_CARE, purpose="TREAT", care=word)]
    assert await post.ends() == dict.fromkeys(looks, "told")
    assert post.reviews.rows == {}


async def test_without_an_organisation_nobody_can_review() -> None:
    """The person is told; no row is made that no officer could ever close."""
    post = Post()
    looked = post.write(0, replace(MOREAU, organisation=None, organisation_name=None))
    assert await post.ends() == {looked: "told"}
    assert post.reviews.rows == {}
    assert review_of(opening(), NOW) is None


_LOOKS = st.lists(
    st.tuples(st.integers(-2 * HOUR, 5 * HOUR), st.sampled_from([MOREAU, PETIT, ELSEWHERE])), min_size=1, max_size=12
)


@settings(max_examples=200, deadline=None)
@given(_LOOKS)
def test_no_look_is_further_than_an_hour_from_one_that_was_told(looks: list[tuple[int, Actor]]) -> None:
    """Whatever the clocks said: the first of each asker is told, and each other stands within an hour of a told one."""
    post = Post()
    for at, actor in looks:
        post.write(at, actor)
    entries = post.journal.entries[RECORD][1:]
    told: dict[tuple[str, Any], list[int]] = {}
    for number, each in enumerate(entries, 1):
        assert each.flow is not None
        mine = told.setdefault((each.flow.actor.id, each.flow.actor.organisation), [])
        if told_by_itself(entries[:number]):
            assert not mine or abs(each.at - mine[-1]) >= HOUR
            mine.append(each.at)
        assert abs(each.at - mine[-1]) < HOUR


@pytest.mark.parametrize(
    "actor",
    [
        MOREAU,
        CAMILLE,
        INSURER,
        NOTICES,
        replace(OFFICER, kind="application"),
        replace(OFFICER, profession="DPO"),
        replace(OFFICER, organisation=None),
        replace(OFFICER, application_kind="insurer"),
        replace(OFFICER, application_kind="patient-frontend"),
        replace(CAMILLE, profession=DPO, organisation=MOREAU.organisation),
    ],
)
def test_nobody_else_reviews(actor: Actor) -> None:
    """A professional of that very code, for an organisation, through care software: all of it, or nothing."""
    assert organisation_of(OFFICER) == MOREAU.organisation
    with pytest.raises(NotReviewer):
        organisation_of(actor)
