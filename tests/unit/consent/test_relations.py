"""What others declared of her care: she sees what holds and ends what she will; nobody repeats his word for long."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consent.domain.care import MOST_OWN_WORDS, OWN_WORDS_MS
from services.consent.domain.flow import Action, Actor, Care
from services.consent.domain.snapshot import dump, load
from tests.unit.chassis.asgi import Answer
from tests.unit.consent.people import (
    COLLEAGUE,
    DAY,
    HOSPITAL,
    MOREAU,
    ORGANISATION,
    PERSON,
    PETIT,
    RECORD,
    Book,
    flow,
    stay,
)
from tests.unit.consent.test_api import BLOCK, Interface, code
from tests.unit.consent.test_care_api import NOTHING, ORAL, care, decided, hers

VISIT = {"evidence": "appointment"}


@pytest.fixture
def consent() -> Interface:
    """Open one record's interface."""
    return Interface()


async def relations(consent: Interface) -> list[dict[str, Any]]:
    """Return what she reads of declared care."""
    return list((await consent.told("GET", "/directives"))["care"])


async def declared(consent: Interface, evidence: str, actor: Actor = MOREAU) -> Answer:
    """Declare care on this ground."""
    body: dict[str, Any] = {"evidence": evidence}
    if evidence == "admission":
        return await care(consent, body, HOSPITAL, purpose="PATADMIN")
    if evidence == "code":
        body["code"] = await hers(consent)
    return await care(consent, body, actor)


# What she sees.
@pytest.mark.parametrize(("evidence", "sentence"), [
    ("code", "Dr Moreau (Cabinet Moreau) peut lire votre dossier : par un code que vous lui avez donné"),
    ("admission", "Hôpital Exemple peut lire votre dossier : pour une hospitalisation dans son établissement"),
    ("appointment", "Dr Moreau (Cabinet Moreau) peut lire votre dossier : pour un rendez-vous"),
    ("declared", "Dr Moreau (Cabinet Moreau) peut lire votre dossier : en affirmant que vous lui avez donné"),
])  # fmt: skip
async def test_she_sees_who_declared_what(consent: Interface, evidence: str, sentence: str) -> None:
    """Who, what it rests on, since when, until when, and one French sentence."""
    assert await relations(consent) == []
    await declared(consent, evidence)
    (said,) = await relations(consent)
    assert said["evidence"] == evidence
    assert said["subject"] == (ORGANISATION if evidence == "admission" else PERSON)
    assert said["since"] <= consent._clock() < said["until"]
    assert said["phrase"].startswith(sentence)
    assert said["phrase"].endswith(".")
    assert "depuis le" in said["phrase"]
    assert "jusqu'au" in said["phrase"]


async def test_what_is_over_is_not_shown(consent: Interface) -> None:
    """Past its end, ended by the establishment, or overtaken by a block of him or his structure: it holds no more."""
    await declared(consent, "declared")
    assert len(await relations(consent)) == 1
    consent.ahead = DAY + 1_000
    assert await relations(consent) == []
    await declared(consent, "declared")
    await declared(consent, "appointment", PETIT)
    name = orjson.loads((await declared(consent, "admission")).body)["id"]
    assert len(await relations(consent)) == 3
    await consent.call("DELETE", f"/care/{name}", actor=HOSPITAL, purpose="PATADMIN")
    await consent.told("POST", "/directives", {"kind": "block", "organisation": MOREAU.organisation})
    assert [each["who"] for each in await relations(consent)] == ["Dr Petit"]
    await consent.told("POST", "/directives", BLOCK | {"professional": "99700000002"})
    assert await relations(consent) == []


async def test_nobody_else_sees_them(consent: Interface) -> None:
    """A professional who declared care reads no list of who else did."""
    await declared(consent, "declared")
    assert code(await consent.call("GET", "/directives", actor=MOREAU)) == (403, "not-for-you")


# What she ends.
@pytest.mark.parametrize("evidence", ["code", "admission", "appointment", "declared"])
async def test_she_ends_what_was_declared(consent: Interface, evidence: str) -> None:
    """From its end on he sees nothing until he asks anew; it is an entry that says what ended; a second time, 404."""
    await declared(consent, evidence)
    assert (await decided(consent))[0] == "allowed"
    (said,) = await relations(consent)
    ended = await consent.told("DELETE", f"/directives/{said['id']}")
    assert ended["ended"] == said["id"]
    assert await decided(consent) == NOTHING
    assert await relations(consent) == []
    assert any("mis fin à l'accès de qui avait déclaré vous soigner" in each for each in await consent.phrases())
    assert code(await consent.call("DELETE", f"/directives/{said['id']}")) == (404, "no-such-directive")
    assert (await declared(consent, evidence)).status == 202
    assert (await decided(consent))[0] == "allowed"


async def test_she_ends_one_and_not_another(consent: Interface) -> None:
    """Dr Petit's goes on when Dr Moreau's ends; and nobody but her ends either."""
    for actor in (MOREAU, PETIT):
        await declared(consent, "declared", actor)
    first, second = await relations(consent)
    for actor in (MOREAU, COLLEAGUE):
        assert (await consent.call("DELETE", f"/directives/{second['id']}", actor=actor)).status == 403
    await consent.told("DELETE", f"/directives/{first['id']}")
    assert await decided(consent) == NOTHING
    assert await decided(consent, PETIT) == ("allowed", "declared-consent")


async def test_what_is_over_is_not_ended(consent: Interface) -> None:
    """Whoever ends it believes that something changed: 404."""
    await declared(consent, "declared")
    (said,) = await relations(consent)
    consent.ahead = DAY + 1_000
    assert code(await consent.call("DELETE", f"/directives/{said['id']}")) == (404, "no-such-directive")


# His own word, again and again.
async def repeated(consent: Interface, times: int, body: Any = ORAL, actor: Actor = MOREAU) -> list[int]:
    """Declare once a day; return the statuses."""
    found = []
    for _ in range(times):
        found.append((await care(consent, body, actor)).status)
        consent.ahead += DAY + 1_000
    return found


@pytest.mark.parametrize("body", [ORAL, VISIT], ids=["oral", "appointment"])
async def test_nobody_repeats_his_own_word_for_long(consent: Interface, body: dict[str, Any]) -> None:
    """The fourth time within thirty days is refused in plain French, with the way out, and stands in her journal."""
    assert await repeated(consent, 3, body) == [202] * 3
    consent.ahead += 8 * DAY
    answer = await care(consent, body)
    assert code(answer) == (409, "own-word-too-often")
    assert "code" in orjson.loads(answer.body)["detail"]
    assert await decided(consent) == NOTHING
    assert "il doit maintenant demander un code" in (await consent.phrases())[2]
    assert await repeated(consent, 1, body, COLLEAGUE) == [202]


async def test_both_kinds_of_his_word_count_together(consent: Interface) -> None:
    """An appointment is his word too: two oral agreements and two appointments are four."""
    assert [(await care(consent, each)).status for each in (ORAL, VISIT, ORAL, VISIT)] == [202, 202, 202, 409]
    # A code is hers.
    assert (await declared(consent, "code")).status == 202
    assert await decided(consent) == ("allowed", "one-time-code")


async def test_her_code_lets_him_begin_again(consent: Interface) -> None:
    """With an act of hers between, his word is taken as at first; a wrong code is no act of hers."""
    assert await repeated(consent, 3) == [202] * 3
    assert (await care(consent, {"evidence": "code", "code": "QQQ-QQQ-QQQ"})).status == 422
    assert await repeated(consent, 1) == [409]
    await declared(consent, "code")
    assert await repeated(consent, 4) == [202, 202, 202, 409]


async def test_a_month_lets_him_begin_again(consent: Interface) -> None:
    """Thirty days after the first, one is taken again; that he tried meanwhile does not count against him."""
    start = consent.ahead
    assert await repeated(consent, 6) == [202] * 3 + [409] * 3
    consent.ahead = start + OWN_WORDS_MS - 60_000
    assert (await care(consent, ORAL)).status == 409
    consent.ahead = start + OWN_WORDS_MS + 1_000
    assert (await care(consent, ORAL)).status == 202


async def test_that_she_ended_it_does_not_let_him_begin_again(consent: Interface) -> None:
    """His words count, whatever became of them: nobody starts anew by being thrown out."""
    for _ in range(3):
        assert (await care(consent, ORAL)).status == 202
        (said,) = await relations(consent)
        await consent.told("DELETE", f"/directives/{said['id']}")
    assert (await care(consent, ORAL)).status == 409


@pytest.mark.parametrize("choice", [BLOCK, {"kind": "ask-me"}, {"kind": "oppose"}], ids=lambda each: each["kind"])
@pytest.mark.parametrize("counting", [False, True], ids=["each an entry", "refusals counted"])
async def test_the_answer_tells_nothing_of_her_choices(choice: dict[str, Any], counting: bool) -> None:
    """Blocked or not, he is told the same after the same number of words: what counts is what he said himself."""
    plain, chosen = Interface(counting=counting), Interface(counting=counting)
    await chosen.told("POST", "/directives", choice)
    told = [[await care(each, ORAL) for _ in range(5)] for each in (plain, chosen)]
    assert [each.status for each in told[0]] == [202, 202, 202, 409, 409]
    assert [(each.status, each.headers) for each in told[0]] == [(each.status, each.headers) for each in told[1]]
    assert told[0][3].body == told[1][3].body


async def test_what_counts_is_an_entry_and_what_is_too_often_a_number(consent: Interface) -> None:
    """Refused or not, each word that counts stands in the journal; those that come after are told by their number."""
    counting = Interface(counting=True)
    await counting.told("POST", "/directives", BLOCK)
    for _ in range(MOST_OWN_WORDS + 5):
        await care(counting, ORAL)
    said = [each for each in counting.journal.entries[RECORD] if each.flow and each.flow.care]
    assert len(said) == MOST_OWN_WORDS
    # A month later the oldest is forgotten: the next one counts again, though the window is still open.
    counting.ahead = OWN_WORDS_MS - 60_000
    assert (await care(counting, ORAL)).status == 409
    counting.ahead = OWN_WORDS_MS + 60_000
    assert [(await care(counting, ORAL)).status for _ in range(4)] == [202, 202, 202, 409]
    assert [(await care(consent, ORAL)).status for _ in range(4)] == [202, 202, 202, 409]


def test_what_is_said_in_secret_counts_for_nothing_in_the_open() -> None:
    """Else the answer to an open declaration would tell of a secret consultation."""
    book = Book()
    book.represent(minor=True)
    for _ in range(MOST_OWN_WORDS):
        book.ask(flow(MOREAU, Action.DECLARE_CARE, care=Care("declared", book.now + DAY), secret=True))
    said = book.ask(flow(MOREAU, Action.DECLARE_CARE, care=Care("declared", book.now + DAY)))
    assert said.outcome.verdict == "allowed"


def test_a_stay_is_nobody_s_own_word() -> None:
    """An establishment reports each admission of a person who comes every week."""
    book = Book()
    for _ in range(MOST_OWN_WORDS + 2):
        assert book.ask(stay(book.now + DAY)).outcome.verdict == "allowed"
        book.now += 3 * DAY


_WORDS = st.lists(st.tuples(st.sampled_from([MOREAU, PETIT]), st.integers(0, 12 * DAY)), max_size=20)


@settings(max_examples=60, deadline=None)
@given(_WORDS)
def test_no_more_than_so_many_of_his_words_hold_within_the_time(words: list[tuple[Actor, int]]) -> None:
    """Whatever the rhythm: in any thirty days at most three of his are taken; a snapshot says so too."""
    book, taken = Book(), dict[str, list[int]]()
    for actor, passed in words:
        book.now += passed
        verdict = book.ask(flow(actor, Action.DECLARE_CARE, care=Care("declared", book.now + DAY))).outcome.verdict
        mine = [at for at in taken.get(actor.id, []) if book.now - at < OWN_WORDS_MS]
        assert (verdict == "allowed") is (len(mine) < MOST_OWN_WORDS)
        if verdict == "allowed":
            taken.setdefault(actor.id, []).append(book.now)
    assert load(RECORD, orjson.loads(orjson.dumps(dump(book.record)))) == book.record


def test_a_relation_names_who_declared_it() -> None:
    """By the names of that day, of the professional and of his structure; without one, of him alone."""
    book = Book()
    book.ask(flow(replace(MOREAU, organisation=None, organisation_name=None), Action.DECLARE_CARE,
                  care=Care("declared", book.now + DAY)))  # fmt: skip
    (relation,) = book.record.relations(book.now)
    assert (relation.who, relation.organisation, relation.place) == ("Dr Moreau", None, None)
