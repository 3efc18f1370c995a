"""A stay in an establishment: its own software reports it and its end, and gains nothing else by it."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from services.consent.domain.flow import Action, Actor
from tests.unit.chassis.asgi import Answer
from tests.unit.consent.people import CAMILLE, HOSPITAL, MOREAU, PETIT, RECORD, flow, paper
from tests.unit.consent.test_api import BLOCK, Interface, code

ELSEWHERE = replace(HOSPITAL, id="logiciel-ailleurs", organisation=PETIT.organisation, organisation_name="Ailleurs")
STAY = {"evidence": "admission"}
UNKNOWN = "0" * 32


@pytest.fixture
def consent() -> Interface:
    """Open one record's interface."""
    return Interface()


async def reports(consent: Interface, body: Any = STAY, actor: Actor = HOSPITAL, **said: Any) -> Answer:
    """Report a stay."""
    return await consent.call("POST", "/care", body, actor=actor, **{"purpose": _aim(actor)} | said)


async def leaves(consent: Interface, stay: str, actor: Actor = HOSPITAL, **said: Any) -> Answer:
    """Report a stay's end."""
    return await consent.call("DELETE", f"/care/{stay}", actor=actor, **{"purpose": _aim(actor)} | said)


async def seen(consent: Interface, actor: Actor = MOREAU, action: Action = Action.LIST, **said: Any) -> tuple[str, str]:
    """Return what somebody's flow is decided now."""
    outcome = (await consent.decide.one(flow(actor, action, **said))).outcome
    assert outcome is not None
    return outcome.verdict, outcome.rule


def named(answer: Answer) -> str:
    """Return the name that a report's answer gives the stay."""
    assert answer.status == 202, answer
    return str(orjson.loads(answer.body)["id"])


def _aim(actor: Actor) -> str:
    return {"application": "PATADMIN", "professional": "TREAT"}.get(actor.kind, "PATRQT")


async def test_a_stay_opens_the_record_to_those_who_work_there_until_it_ends(consent: Interface) -> None:
    """Reported, it lets in the establishment's professionals and nobody elsewhere; from its reported end on, nobody."""
    stay = named(await reports(consent))
    assert await seen(consent) == ("allowed", "admission")
    assert (await seen(consent, PETIT))[0] == "refused"
    assert (await leaves(consent, stay)).status == 202
    assert await seen(consent) == ("refused", "not-authorised")
    phrases = await consent.phrases()
    (reported,) = [each for each in phrases if "a signalé votre hospitalisation" in each]
    assert "Logiciel Hôpital (Hôpital Exemple)" in reported
    assert any("a signalé la fin de votre séjour" in each for each in phrases)


async def test_a_stay_is_told_to_her_at_once(consent: Interface) -> None:
    """What an establishment reports is due like what a professional declares; its end is not: it takes nothing."""
    stay = named(await reports(consent))
    assert consent.journal.entries[RECORD][-1].announces == "declared-care"
    await leaves(consent, stay)
    assert consent.journal.entries[RECORD][-1].announces is None


async def test_no_professional_declares_a_stay(consent: Interface) -> None:
    """His declaration is answered as ever, stands in her journal as refused, and opens nothing to his structure."""
    for purpose in ("TREAT", "PATADMIN"):
        assert named(await reports(consent, actor=MOREAU, purpose=purpose)) != UNKNOWN
        assert await seen(consent) == ("refused", "not-authorised")
    assert any("un professionnel ne peut pas la déclarer lui-même" in each for each in await consent.phrases())


@pytest.mark.parametrize("other", [
    ELSEWHERE, replace(HOSPITAL, organisation=None, organisation_name=None), MOREAU,
], ids=["another establishment", "no establishment", "a professional there"])  # fmt: skip
async def test_only_the_same_establishment_ends_a_stay(consent: Interface, other: Actor) -> None:
    """Whoever else says that it is over is answered alike, and the stay goes on."""
    stay = named(await reports(consent))
    answer = await leaves(consent, stay, other)
    assert (answer.status, answer.body) == (202, (await leaves(consent, stay, other)).body)
    assert await seen(consent) == ("allowed", "admission")


async def test_what_is_no_stay_is_ended_by_nobody(consent: Interface) -> None:
    """Neither her directives nor a professional's own declaration end in this way, and the answers are alike."""
    block = (await consent.told("POST", "/directives", BLOCK | {"professional": "99700000002"}))["id"]
    await consent.call("POST", "/care", {"evidence": "declared"}, actor=MOREAU)
    declared = consent.journal.entries[RECORD][-1].cause
    answers = [await leaves(consent, each) for each in (block, declared, UNKNOWN)]
    assert {(each.status, str(each.headers)) for each in answers} == {(202, str(answers[0].headers))}
    assert await seen(consent) == ("allowed", "declared-consent")
    assert [each["id"] for each in (await consent.told("GET", "/directives"))["directives"]] == [block]


@pytest.mark.parametrize("choice", [
    {"kind": "block", "organisation": "750000001"}, {"kind": "ask-me"}, {"kind": "oppose"},
    {"kind": "preset", "preset": "closed"},
], ids=lambda choice: choice["kind"])  # fmt: skip
async def test_her_choices_weigh_more_than_a_stay_and_are_not_told(choice: dict[str, Any]) -> None:
    """A stay that her choice refuses is answered like one that counts, and lets nobody in once the choice is over."""
    plain, chosen = Interface(), Interface()
    directive = (await chosen.told("POST", "/directives", choice))["id"]
    counted, refused = await reports(plain), await reports(chosen)
    assert (counted.status, counted.headers) == (refused.status, refused.headers)
    assert orjson.loads(counted.body).keys() == orjson.loads(refused.body).keys()
    if choice["kind"] != "preset":
        await chosen.told("DELETE", f"/directives/{directive}")
        assert await seen(chosen) == ("refused", "not-authorised")
    assert (await leaves(chosen, named(refused))).status == (await leaves(plain, named(counted))).status


@pytest.mark.parametrize(("method", "path", "body"), [
    ("GET", "/journal", None), ("GET", "/directives", None), ("POST", "/codes", {"count": 1}),
    ("POST", "/directives", {"kind": "authorise", "organisation": "750000001"}),
    ("POST", "/care", {"evidence": "declared"}), ("POST", "/care", {"evidence": "appointment"}),
])  # fmt: skip
async def test_software_alone_gains_nothing_else(consent: Interface, method: str, path: str, body: Any) -> None:
    """It reads neither choices nor journal, changes none, and its word for a consultation opens nothing to anybody."""
    named(await reports(consent))
    before = await seen(consent)
    answer = await consent.call(method, path, body, actor=HOSPITAL, purpose="PATADMIN")
    assert answer.status == (202 if path == "/care" else 403)
    assert await seen(consent) == before
    for action in (Action.LIST, Action.READ, Action.DEPOSIT, Action.EXPORT):
        for purpose in ("PATADMIN", "TREAT"):
            what = {"deposit": paper()} if action is Action.DEPOSIT else {}
            assert (await seen(consent, HOSPITAL, action, purpose=purpose, **what))[0] == "refused"


@pytest.mark.parametrize("actor", [
    CAMILLE, *(replace(HOSPITAL, application_kind=each) for each in ("patient-frontend", "public-service")),
], ids=["the patient", "a frontend", "a public service"])  # fmt: skip
async def test_nobody_else_reports_a_stay_or_its_end(consent: Interface, actor: Actor) -> None:
    """403 to whoever cares for nobody, under that very purpose too, and nothing changed."""
    stay = named(await reports(consent))
    assert code(await leaves(consent, stay, actor, purpose="PATADMIN"))[0] == 403
    assert code(await reports(consent, actor=actor, purpose="PATADMIN"))[0] == 403
    assert await seen(consent) == ("allowed", "admission")


async def test_a_red_line_is_told_to_software_too(consent: Interface) -> None:
    """An insurer that reports a stay, or its end, is told the public rule."""
    insurer = replace(HOSPITAL, application_kind="insurer")
    assert code(await reports(consent, actor=insurer)) == (403, "red-line")
    assert code(await leaves(consent, UNKNOWN, insurer)) == (403, "red-line")


async def test_a_stay_s_name_is_a_flow_s(consent: Interface) -> None:
    """Anything else is no path: 422, and no entry."""
    for each in ("none", "A" * 32, "0" * 31):
        assert code(await leaves(consent, each)) == (422, "invalid-request")
    assert len(consent.journal.entries[RECORD]) == 1
