"""Care declared and codes made through consent's own interface: the attacks of one who would let himself in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from chassis.tokens import Emergency
from services.consent.domain.codes import code_digest
from services.consent.domain.flow import Action, Actor, Reason
from services.consent.domain.judging import USUAL_CARE_MS
from tests.unit.chassis.asgi import Answer
from tests.unit.consent.people import CAMILLE, HOSPITAL, INSURER, MOREAU, OTHER_RECORD, PETIT, RECORD, flow, opening
from tests.unit.consent.test_api import BLOCK, Interface, code

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
AUTHORISE = {"kind": "authorise", "professional": "99700000001"}
ORAL = {"evidence": "declared"}
WEB_MOREAU = replace(MOREAU, application_kind="patient-frontend")


@pytest.fixture
def consent() -> Interface:
    """Open one record's interface."""
    return Interface()


async def hers(consent: Interface, **said: Any) -> str:
    """Return a code that Camille made."""
    return str((await consent.told("POST", "/codes", {"count": 1, "days": 1} | said))["codes"][0])


async def care(consent: Interface, body: Any, actor: Actor = MOREAU, **said: Any) -> Answer:
    """Declare care."""
    return await consent.call("POST", "/care", body, actor=actor, **said)


async def shown(consent: Interface, hers_: str, actor: Actor = MOREAU) -> tuple[int, str | None]:
    """Show a code; return the status, and what was wrong."""
    answer = await care(consent, {"evidence": "code", "code": hers_}, actor)
    return answer.status, code(answer)[1] if answer.status == 422 else None


async def decided(consent: Interface, asker: Actor = MOREAU, **said: Any) -> tuple[str, str]:
    """Return what a list of the record is decided, now."""
    outcome = (await consent.decide.one(flow(asker, Action.LIST, **said))).outcome
    assert outcome is not None
    return outcome.verdict, outcome.rule


def under(purpose: str) -> dict[str, Any]:
    """Return a token's claims of a purpose; an emergency's says why."""
    reason = Emergency(code="vital", text="La personne est inconsciente.")
    return {"purpose": purpose} | ({"emergency": reason} if purpose in {"BTG", "ETREAT"} else {})


NOTHING = ("refused", "not-authorised")


# Who writes his own consent.
_OWN_WORDS: list[tuple[str, str, Any]] = [
    ("POST", "/directives", AUTHORISE),
    ("POST", "/directives", {"kind": "treating-doctor", "professional": "99700000001"}),
    ("POST", "/directives", {"kind": "authorise", "organisation": "750000001"}),
    ("POST", "/directives", {"kind": "authorise", "profession": "10"}),
    ("POST", "/directives", {"kind": "authorise", "team": ["99700000001"]}),
    ("POST", "/directives", {"kind": "open-hidden"}),
    ("POST", "/directives", {"kind": "preset", "preset": "legal"}),
    ("POST", "/codes", {"count": 20, "days": 365}),
]


@pytest.mark.parametrize(("method", "path", "body"), _OWN_WORDS)
async def test_nobody_writes_her_choices_for_her(consent: Interface, method: str, path: str, body: Any) -> None:
    """403 to whoever is not she, in the same bytes, and nothing that she said or did not say has changed."""
    blocked = (await consent.told("POST", "/directives", BLOCK))["id"]
    answers = [await consent.call(method, path, body, actor=each) for each in (MOREAU, PETIT, WEB_MOREAU)]
    assert {(each.status, each.body) for each in answers} == {(403, answers[0].body)}
    assert code(await consent.call("DELETE", f"/directives/{blocked}", actor=MOREAU)) == (403, "not-for-you")
    assert [each["id"] for each in (await consent.told("GET", "/directives"))["directives"]] == [blocked]
    assert "Dr Moreau" in "".join(await consent.phrases())
    assert (await decided(consent))[0] == "refused"


@pytest.mark.parametrize("purpose", ["PATRQT", "BTG", "ETREAT", "XYZ", ""])
async def test_no_purpose_lets_a_professional_govern(consent: Interface, purpose: str) -> None:
    """Even under her own purpose a professional's token changes nothing and reads nothing."""
    for method, path, body in (("GET", "/journal", None), ("GET", "/directives", None), *_OWN_WORDS):
        answer = await consent.call(method, path, body, actor=MOREAU, **under(purpose))
        assert code(answer) == (403, "not-for-you")
    assert (await consent.told("GET", "/directives"))["directives"] == []


@pytest.mark.parametrize("purpose", ["TREAT", "HRESCH", "PREVENT", "XYZ", ""])
async def test_no_other_purpose_lets_her_govern_either(consent: Interface, purpose: str) -> None:
    """A token of hers for something else is no token for her choices: she is told the rule."""
    answer = await consent.call("POST", "/directives", AUTHORISE, **under(purpose))
    assert code(answer) == (403, "refused")
    assert orjson.loads(answer.body)["rule"] == "no-legal-basis"
    assert await decided(consent) == NOTHING


@pytest.mark.parametrize("purpose", ["PATRQT", "BTG", "ETREAT", "XYZ", ""])
async def test_care_is_declared_for_care_only(consent: Interface, purpose: str) -> None:
    """A declaration under any other purpose is answered as ever, and lets nobody in."""
    assert (await care(consent, ORAL, **under(purpose))).status == 202
    assert await decided(consent) == NOTHING


@pytest.mark.parametrize("body", [ORAL, {"evidence": "appointment"}, {"evidence": "admission"}])
async def test_care_is_declared_for_oneself_only(consent: Interface, body: dict[str, Any]) -> None:
    """No body names another: it is refused without an entry; and one's own word serves nobody else."""
    for name in ("professional", "subject", "who", "actor", "organisation", "record", "purpose"):
        answer = await care(consent, {**body, name: PETIT.id})
        assert code(answer) == (422, "invalid-request")
    assert len(consent.journal.entries[RECORD]) == 1
    assert (await care(consent, body)).status == 202
    assert await decided(consent, PETIT) == NOTHING


async def test_care_is_not_declared_by_the_patient(consent: Interface) -> None:
    """She authorises; nobody lets himself in under her token."""
    assert (await care(consent, ORAL, CAMILLE)).status == 403
    assert (await care(consent, ORAL, CAMILLE, purpose="TREAT")).status == 403
    assert await decided(consent) == NOTHING


@pytest.mark.parametrize("kind", ["insurer", "employer", "advertiser", "commercial"])
async def test_a_red_line_is_told_to_whoever_declares_over_it(consent: Interface, kind: str) -> None:
    """With a doctor's name and her own code in hand: 403, and the public rule."""
    through = replace(MOREAU, application_kind=kind)
    for body in (ORAL, {"evidence": "code", "code": await hers(consent)}):
        answer = await care(consent, body, through)
        assert code(answer) == (403, "red-line")
        assert orjson.loads(answer.body)["law"].endswith("du code de la santé publique")
    assert code(await care(consent, ORAL, INSURER)) == (403, "red-line")
    assert await decided(consent) == NOTHING


# What her choices make of a declaration, nobody can tell from its answer.
_CHOICES: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "blocked": [BLOCK],
    "organisation blocked": [{"kind": "block", "organisation": "750000001"}],
    "ask me": [{"kind": "ask-me"}],
    "opposed": [{"kind": "oppose"}],
    "closed": [{"kind": "close"}],
    "preset": [{"kind": "preset", "preset": "closed"}],
}
_COUNTS = {"nothing", "closed"}  # what is closed is closed to reading; a declaration stands, and is told


async def _declared(choices: list[dict[str, Any]], body: dict[str, Any]) -> tuple[Answer, Interface]:
    consent = Interface()
    for each in choices:
        await consent.told("POST", "/directives", each)
    return await care(consent, body), consent


async def test_a_declaration_is_answered_alike_whether_it_counts(consent: Interface) -> None:
    """Status, headers and body are the same when it counts, and when a block, a wish or an opposition refuses it."""
    until = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    told = {name: await _declared(choices, ORAL | {"until": until}) for name, choices in _CHOICES.items()}
    answers = {name: (answer.status, answer.headers, answer.body) for name, (answer, _) in told.items()}
    assert set(map(str, answers.values())) == {str(answers["nothing"])}
    assert answers["nothing"][0] == 202
    counted = {name for name, (_, each) in told.items() if "déclaré vous soigner" in (await each.phrases())[1]}
    assert counted == _COUNTS
    # The control: an interface that took nothing would answer alike too.
    assert await decided(told["nothing"][1]) == ("allowed", "declared-consent")
    assert await decided(told["blocked"][1]) == ("refused", "blocked")
    assert await decided(consent) == NOTHING


@pytest.mark.parametrize("body", [ORAL | {"until": "2020-01-01T00:00:00Z"}, ORAL | {"until": "2100-01-01T00:00:00Z"},
                                  {"evidence": "code", "code": "QQQ-QQQ-QQQ"}])  # fmt: skip
async def test_a_declaration_that_is_wrong_in_itself_is_wrong_to_everybody(body: dict[str, Any]) -> None:
    """A time that no evidence lasts and a code that nobody made: the same 422 whatever she chose."""
    answers = [(await _declared(choices, body))[0] for choices in _CHOICES.values()]
    assert {each.status for each in answers} == {422}
    assert len({each.body for each in answers}) == 1


@pytest.mark.parametrize("choices", _CHOICES.values(), ids=list(_CHOICES))
async def test_a_code_that_was_shown_is_used_whoever_showed_it(
    consent: Interface, choices: list[dict[str, Any]]
) -> None:
    """Shown a second time a code is wrong, to one who is blocked as to any other: neither learns which he is."""
    for each in choices:
        await consent.told("POST", "/directives", each)
    hers_ = await hers(consent)
    assert [await shown(consent, hers_) for _ in range(3)] == [(202, None), (422, "code-wrong"), (422, "code-wrong")]


async def test_a_code_lets_in_one_person_once(consent: Interface) -> None:
    """The first who shows it reads; the second, in the same structure too, is told that it is wrong."""
    hers_ = await hers(consent)
    assert await shown(consent, hers_.lower().replace("-", " ")) == (202, None)
    assert await decided(consent) == ("allowed", "one-time-code")
    assert await shown(consent, hers_, PETIT) == (422, "code-wrong")
    assert await decided(consent, PETIT) == NOTHING
    assert "n'était pas un code valable" in "".join(await consent.phrases())


async def test_a_code_of_another_record_is_no_code_here(consent: Interface) -> None:
    """The same letters mean nothing in another record: what the journal holds is bound to its own."""
    consent.journal.entries[OTHER_RECORD] = [opening(OTHER_RECORD)]
    other = replace(CAMILLE, id=OTHER_RECORD, name="Dominique")
    answer = await consent.call("POST", "/codes", {"count": 1, "days": 1}, actor=other, record=OTHER_RECORD)
    theirs = orjson.loads(answer.body)["codes"][0]
    assert await shown(consent, theirs) == (422, "code-wrong")
    assert await decided(consent) == NOTHING
    assert code_digest(RECORD, theirs) != code_digest(OTHER_RECORD, theirs)


async def test_a_code_that_was_taken_back_is_no_code_any_more(consent: Interface) -> None:
    """She ends what she made: the code is wrong, and what it might have opened stays closed."""
    made = await consent.told("POST", "/codes", {"count": 2, "days": 30})
    assert (await consent.call("DELETE", f"/directives/{made['id']}")).status == 200
    for each in made["codes"]:
        assert await shown(consent, each) == (422, "code-wrong")
    assert await decided(consent) == NOTHING


async def test_codes_are_told_once_and_stand_nowhere(consent: Interface) -> None:
    """Neither a code nor its digest is in what she reads again: whoever looks over her shoulder learns none."""
    made = (await consent.told("POST", "/codes", {"count": 20, "days": 1}))["codes"]
    assert len(set(made)) == 20
    read = orjson.dumps([await consent.told("GET", "/directives"), await consent.told("GET", "/journal")]).decode()
    for each in made:
        assert each not in read
        assert code_digest(RECORD, each) not in read


@pytest.mark.parametrize(
    "body",
    [{"evidence": "code"}, {"evidence": "declared", "code": "QQQ-QQQ-QQQ"}, {"evidence": "patient"}, {},
     {"evidence": "treating-doctor"}, {"evidence": "code", "code": ""}, {"evidence": "code", "code": "Q" * 41},
     {"evidence": "declared", "until": "2030-01-01T00:00:00"}],
)  # fmt: skip
async def test_her_own_word_is_nothing_to_declare(consent: Interface, body: dict[str, Any]) -> None:
    """A professional cannot say that she authorised him, and a code comes with a code: 422, and no entry."""
    assert code(await care(consent, body)) == (422, "invalid-request")
    assert len(consent.journal.entries[RECORD]) == 1


@pytest.mark.parametrize("body", [{"count": 0, "days": 1}, {"count": 21, "days": 1}, {"count": 1, "days": 366}])
async def test_codes_are_few_and_not_for_ever(consent: Interface, body: dict[str, Any]) -> None:
    """Twenty at most, for a year at most."""
    assert code(await consent.call("POST", "/codes", body)) == (422, "invalid-request")


# The order of things, and the clock.
async def test_a_withdrawal_before_the_grant_withdraws_nothing(consent: Interface) -> None:
    """To end what is not there is a 404 and no entry, and what is begun afterwards holds."""
    assert code(await consent.call("DELETE", "/directives/none")) == (404, "no-such-directive")
    assert len(consent.journal.entries[RECORD]) == 1
    await consent.told("POST", "/directives", AUTHORISE)
    assert await decided(consent) == ("allowed", "authorised-by-patient")


async def test_a_block_before_the_grant_still_blocks(consent: Interface) -> None:
    """An authorisation does not lift the block that came before it."""
    block = (await consent.told("POST", "/directives", BLOCK))["id"]
    await consent.told("POST", "/directives", AUTHORISE)
    assert await decided(consent) == ("refused", "blocked")
    await consent.told("DELETE", f"/directives/{block}")
    assert await decided(consent) == ("allowed", "authorised-by-patient")


async def test_what_is_granted_twice_is_withdrawn_twice(consent: Interface) -> None:
    """Both stand in her list, and access ends with the last of them, at once."""
    granted = [(await consent.told("POST", "/directives", AUTHORISE))["id"] for _ in range(2)]
    assert [each["id"] for each in (await consent.told("GET", "/directives"))["directives"]] == granted
    for number, each in enumerate(granted, 1):
        await consent.told("DELETE", f"/directives/{each}")
        assert (await decided(consent) == NOTHING) is (number == 2)
    assert code(await consent.call("DELETE", f"/directives/{granted[0]}")) == (404, "no-such-directive")


_LETS_IN = [AUTHORISE, {"kind": "treating-doctor", "professional": "99700000001"},
            {"kind": "authorise", "organisation": "750000001"}, {"kind": "authorise", "profession": "10"},
            {"kind": "authorise", "team": ["99700000001", "99700000002"]}]  # fmt: skip
# What keeps out, under which purpose, by which rule, and what holds when it is over.
_KEEPS_OUT: list[tuple[dict[str, Any], str, str, tuple[str, str]]] = [
    (BLOCK, "TREAT", "blocked", NOTHING),
    ({"kind": "oppose"}, "TREAT", "opposed", NOTHING),
    ({"kind": "close"}, "TREAT", "closed-by-patient", NOTHING),
    ({"kind": "close-emergency", "to": "others"}, "BTG", "emergency-closed", ("allowed", "break-glass")),
    ({"kind": "close-emergency", "to": "samu"}, "ETREAT", "samu-closed", ("allowed", "samu")),
]


def _in(consent: Interface, ms: int) -> str:
    return datetime.fromtimestamp((consent._clock() + ms) / 1000, UTC).isoformat()


@pytest.mark.parametrize("lasts", [HOUR_MS, DAY_MS])
@pytest.mark.parametrize("body", _LETS_IN, ids=lambda body: "-".join(map(str, body)))
async def test_what_lets_in_ends_with_its_time(consent: Interface, body: dict[str, Any], lasts: int) -> None:
    """An hour or a day later by the clock it lets nobody in, and is no longer in her list; a moment before, it does."""
    await consent.told("POST", "/directives", body | {"until": _in(consent, lasts)})
    for moved, verdict in ((0, "allowed"), (lasts - 60_000, "allowed"), (lasts + 1_000, "refused")):
        consent.ahead = moved
        assert (await decided(consent))[0] == verdict
    assert (await consent.told("GET", "/directives"))["directives"] == []


@pytest.mark.parametrize("lasts", [HOUR_MS, DAY_MS])
@pytest.mark.parametrize("keeps", _KEEPS_OUT, ids=[each[2] for each in _KEEPS_OUT])
async def test_what_keeps_out_ends_with_its_time(consent: Interface, keeps: tuple[Any, ...], lasts: int) -> None:
    """It refuses to its last moment, and no longer: then the record is as if it had never been said."""
    body, purpose, rule, after = keeps
    await consent.told("POST", "/directives", body | {"until": _in(consent, lasts)})
    for moved, expected in ((0, ("refused", rule)), (lasts - 60_000, ("refused", rule)), (lasts + 1_000, after)):
        consent.ahead = moved
        now, reason = consent._clock() // 1000, Reason("vital", "inconscience")
        assert await decided(consent, purpose=purpose, reason=reason, auth_time=now) == expected


@pytest.mark.parametrize(("evidence", "usual"), USUAL_CARE_MS.items())
@pytest.mark.parametrize("lasts", [HOUR_MS, DAY_MS, None])
async def test_what_was_declared_ends_with_its_time(
    consent: Interface, evidence: str, usual: int, lasts: int | None
) -> None:
    """For an hour, a day, or without a word as long as is usual: before its end it lets in, after it nobody."""
    body: dict[str, Any] = {"evidence": evidence}
    if evidence == "code":
        body["code"] = await hers(consent)
    if lasts is not None:
        body["until"] = _in(consent, lasts)
    by, purpose = (HOSPITAL, "PATADMIN") if evidence == "admission" else (MOREAU, "TREAT")
    assert (await care(consent, body, by, purpose=purpose)).status == 202
    ends = lasts if lasts is not None else usual
    for moved, verdict in ((0, "allowed"), (ends - 60_000, "allowed"), (ends + 1_000, "refused")):
        consent.ahead = moved
        assert (await decided(consent))[0] == verdict


@pytest.mark.parametrize("days", [1, 2])
@pytest.mark.parametrize(("left", "good"), [(60_000, True), (-1_000, False)])
async def test_a_code_ends_with_its_time(consent: Interface, days: int, left: int, good: bool) -> None:
    """A printed list that is found after its days opens nothing; a minute before, it does."""
    hers_ = await hers(consent, days=days)
    consent.ahead = days * DAY_MS - left
    assert await shown(consent, hers_) == ((202, None) if good else (422, "code-wrong"))


@pytest.mark.parametrize("moved", [HOUR_MS, DAY_MS, -HOUR_MS, -DAY_MS])
async def test_a_clock_that_moves_undoes_no_withdrawal(consent: Interface, moved: int) -> None:
    """An hour or a day, forwards or backwards: what she took back or forbade without end stays so."""
    granted = (await consent.told("POST", "/directives", AUTHORISE))["id"]
    await consent.told("DELETE", f"/directives/{granted}")
    consent.ahead = moved
    assert await decided(consent) == NOTHING
    consent.ahead = 0
    await consent.told("POST", "/directives", BLOCK)
    consent.ahead = moved
    assert await decided(consent) == ("refused", "blocked")
