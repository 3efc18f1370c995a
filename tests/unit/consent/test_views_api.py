"""The patient previews a change and sees as others do; each look is an entry, and nobody else may look."""

from typing import Any

import orjson
import pytest

from services.consent.domain.flow import Action
from services.consent.use_cases import preview_change
from tests.unit.chassis.asgi import Answer
from tests.unit.consent.people import COLLEAGUE, INSURER, MOREAU, PETIT, RECORD, RULES, paper
from tests.unit.consent.viewing import Viewing

MOREAUS, PETITS = "99700000001", "99700000002"
AUTHORISE = {"kind": "authorise", "professional": MOREAUS}


@pytest.fixture
def consent() -> Viewing:
    """Open one record's interface."""
    return Viewing()


def code(answer: Answer) -> tuple[int, str]:
    """Return a problem's status and code."""
    return answer.status, orjson.loads(answer.body)["code"]


async def test_a_preview_tells_who_would_see_what_and_changes_nothing(consent: Viewing) -> None:
    """Dr Moreau, met before, would see one more document than his own, by the rule that then shows it."""
    await consent.deposit(paper("own"), by=MOREAU)
    document = await consent.deposit(paper("other"), by=PETIT)
    told = await consent.told("POST", "/directives/preview", AUTHORISE)
    (effect,) = told["effects"]
    assert effect["who"] == {
        "name": "Dr Moreau", "id": MOREAU.id, "profession": "10", "organisation": MOREAU.organisation,
        "organisation_name": "Cabinet Moreau", "situation": "care", "assumed": False,
    }  # fmt: skip
    assert (effect["now"], effect["then"], effect["gains"], effect["loses"]) == (1, 2, [document], [])
    assert effect["rule"] == {
        "id": "authorised-by-patient", "law": RULES["authorised-by-patient"].law,
        "sentence": RULES["authorised-by-patient"].sentence,
    }  # fmt: skip
    assert effect["phrase"].startswith(
        "Dr Moreau (Cabinet Moreau) : 1 document visible aujourd'hui, 2 documents visibles ensuite. "
    )
    assert (told["allowed"], told["uses"], told["partial"]) == (True, [], False)
    assert told["phrase"] == "Avec ce changement, une personne ou situation verrait plus de documents."
    assert (await consent.told("GET", "/directives"))["directives"] == []
    assert "avez relu les choix en vigueur" in (await consent.phrases())[2]


async def test_a_preview_says_what_a_change_means_to_other_uses(consent: Viewing) -> None:
    """Closing everything closes emergencies, prevention and copies, and the preview says each."""
    await consent.deposit(paper(), by=COLLEAGUE)
    told = await consent.told("POST", "/directives/preview", {"kind": "preset", "preset": "closed"})
    assert {each["who"]["situation"]: each["then"] for each in told["effects"]} == {"emergency": 0, "samu": 0}
    assert {each["use"]: (each["now"], each["then"]) for each in told["uses"]} == dict.fromkeys(
        ("export", "prevention", "declared-care"), (True, False)
    )
    assert told["phrase"] == (
        "Avec ce changement, 2 personnes ou situations verraient moins de documents ; plus aucune copie complète de "
        "votre dossier ne serait possible ; Carnet ne préparerait plus de conseils de prévention ; un professionnel ne "
        "pourrait plus déclarer lui-même votre accord oral."
    )


async def test_a_topic_is_named(consent: Viewing) -> None:
    """Opposing one topic of prevention is said of that topic."""
    told = await consent.told("POST", "/directives/preview", {"kind": "oppose-prevention", "topic": "vaccins"})
    assert told["phrase"] == (
        "Avec ce changement, Carnet ne préparerait plus de conseils de prévention sur « vaccins »."
    )


async def test_ending_a_directive_is_previewed(consent: Viewing) -> None:
    """Taking an authorisation back shows the loss, and the rule that then refuses."""
    document = await consent.deposit(paper(), by=PETIT)
    begun = await consent.told("POST", "/directives", AUTHORISE)
    told = await consent.told("POST", "/directives/preview", {"ends": begun["id"]})
    (effect,) = told["effects"]
    assert (effect["loses"], effect["rule"]["id"]) == ([document], "not-authorised")
    # Nobody by that number was met: what is shown is a doctor's.
    assert (effect["who"]["assumed"], effect["who"]["name"]) == (True, f"Le professionnel {MOREAU.id}")
    assert "supposé médecin" in effect["phrase"]
    assert len((await consent.told("GET", "/directives"))["directives"]) == 1


async def test_a_change_without_effect_says_so(consent: Viewing) -> None:
    """Nothing is shown to anybody before or after."""
    told = await consent.told("POST", "/directives/preview", {"kind": "hide", "type": "11502-2"})
    assert (told["effects"], told["uses"]) == ([], [])
    assert told["phrase"] == "Ce changement ne changerait rien aujourd'hui."


async def test_too_many_people_are_counted_and_said(consent: Viewing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit the preview says that it is partial, and whom the change names comes first."""
    monkeypatch.setattr(preview_change, "MOST_PEOPLE", 1)
    await consent.deposit(paper(), by=PETIT)
    told = await consent.told("POST", "/directives/preview", AUTHORISE)
    assert (told["considered"], told["partial"], len(told["effects"])) == (1, True, 1)
    assert told["phrase"].endswith("Seules les 1 premières personnes ont été examinées.")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"ends": "none"}, (404, "no-such-directive")),
        ({"kind": "hide", "document": "a" * 26}, (404, "no-such-document")),
        (AUTHORISE | {"until": "2020-01-01T00:00:00Z"}, (422, "already-over")),
        (AUTHORISE | {"ends": "none"}, (422, "invalid-request")),
        ({"kind": "authorise"}, (422, "invalid-request")),
    ],
)
async def test_what_cannot_be_said_cannot_be_previewed(
    consent: Viewing, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    """A preview refuses what the change itself would refuse, and leaves no entry."""
    assert code(await consent.call("POST", "/directives/preview", body)) == expected
    assert len(consent.journal.entries[RECORD]) == 1


async def test_seeing_as_somebody_shows_why_each_document_is_hidden(consent: Viewing) -> None:
    """A doctor who was met sees his own deposit; each other document comes with the rule that hides it."""
    own = await consent.deposit(paper("own"), by=MOREAU)
    hidden = await consent.deposit(paper("other"), by=PETIT)
    (sight,) = (await consent.told("GET", f"/see-as?professional={MOREAUS}"))["sights"]
    assert [each["document"] for each in sight["visible"]] == [own]
    assert [(each["document"], each["rule"]["id"]) for each in sight["hidden"]] == [(hidden, "not-authorised")]
    assert sight["phrase"].startswith("Dr Moreau (Cabinet Moreau) : 1 document visible sur 2. ")
    assert sight["hidden"][0]["rule"]["sentence"] == RULES["not-authorised"].sentence


@pytest.mark.parametrize(
    ("situation", "visible", "rule"),
    [("any-doctor", 0, "not-authorised"), ("nurse", 0, "not-authorised"), ("emergency", 1, "break-glass"),
     ("samu", 1, "samu")],
)  # fmt: skip
async def test_seeing_as_anybody(consent: Viewing, situation: str, visible: int, rule: str) -> None:
    """Nobody in particular sees nothing, and an emergency what the law opens."""
    await consent.deposit(paper(), by=PETIT)
    (sight,) = (await consent.told("GET", f"/see-as?situation={situation}"))["sights"]
    assert (len(sight["visible"]), sight["rule"]["id"]) == (visible, rule)
    assert sight["who"]["id"] is None


async def test_what_is_not_announced_is_in_no_view(consent: Viewing) -> None:
    """A result that Camille may not know yet is in no list and no number of a preview or a sight."""
    await consent.deposit(paper(visibility=("INVISIBLE_PATIENT",)), by=PETIT)
    (sight,) = (await consent.told("GET", f"/see-as?professional={PETITS}"))["sights"]
    assert (sight["visible"], sight["hidden"]) == ([], [])
    told = await consent.told("POST", "/directives/preview", AUTHORISE)
    assert (told["effects"], told["uses"]) == ([], [])


async def test_looking_is_reading_one_s_own_choices(consent: Viewing) -> None:
    """Both views are flows of the action `read-directives`, and nothing else is written."""
    await consent.told("GET", "/see-as?situation=nurse")
    await consent.told("POST", "/directives/preview", AUTHORISE)
    assert [each.flow.action for each in consent.journal.entries[RECORD] if each.flow] == [Action.READ_DIRECTIVES] * 2


async def test_a_sight_without_documents_still_tells_the_rule(consent: Viewing) -> None:
    """An empty record has nothing to count, and the rule that would decide is told."""
    (sight,) = (await consent.told("GET", "/see-as?situation=any-doctor"))["sights"]
    assert sight["phrase"] == f"Un médecin sans lien avec vous. {RULES['not-authorised'].sentence}"


@pytest.mark.parametrize(
    "query", ["", "?situation=insurer", f"?situation=nurse&professional={PETITS}", "?professional=Moreau"]
)
async def test_one_pair_of_eyes_is_named(consent: Viewing, query: str) -> None:
    """Neither none, nor two, nor who cannot be named."""
    assert code(await consent.call("GET", f"/see-as{query}")) == (422, "invalid-request")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/directives/preview", AUTHORISE), ("POST", "/directives/preview", {"ends": "none"}),
     ("GET", "/see-as?situation=nurse", None)],
)  # fmt: skip
async def test_nobody_else_looks(consent: Viewing, method: str, path: str, body: Any) -> None:
    """A professional and an insurer are refused, and stand in the journal."""
    assert code(await consent.call(method, path, body, actor=MOREAU)) == (403, "not-for-you")
    assert code(await consent.call(method, path, body, actor=INSURER)) == (403, "red-line")
    assert ["Dr Moreau" in each or "Assureur" in each for each in await consent.phrases()][1:3] == [True, True]
