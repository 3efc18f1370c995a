"""Consent's interface for the dead's heirs: a request with its motive, and refusals that tell the way out."""

from datetime import datetime
from typing import Any

import orjson
import pytest

from chassis.tokens import Representative
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Action, Motive
from services.consent.domain.representation import HEIR_MS, Holder, Representation
from tests.unit.chassis.asgi import Answer
from tests.unit.consent.people import CAMILLE, MOREAU, NOW, OTHER_PARENT, PARENT, RECORD, RULES, holder
from tests.unit.consent.viewing import Viewing

ASKED = {"motive": "cause-of-death", "text": "Je suis sa fille et je veux comprendre."}


def said(consent: Viewing, *holders: Holder, deceased: bool = True) -> None:
    """Have identity say whom the record obeys."""
    entries = consent.journal.entries[RECORD]
    number = len(entries) + 1
    entries.append(
        Entry(RECORD, number, f"represented-{number}", MAIN, number, NOW, RULES.digest, "other", "represented",
              representation=Representation(number, False, deceased, holders))
    )  # fmt: skip


async def ask(consent: Viewing, body: Any = ASKED, by: Any = PARENT) -> Answer:
    """Ask as an heir."""
    acting: dict[str, Any] = {"purpose": "PATRQT", "representative": Representative(holder=by.id, role="heir")}
    return await consent.call("POST", "/heirs/requests", body, actor=by, **acting)


def problem(answer: Answer) -> tuple[int, Any]:
    """Return a problem's status, and its rule or its code."""
    told = orjson.loads(answer.body)
    return answer.status, told.get("rule", told["code"])


@pytest.fixture
def consent() -> Viewing:
    """Open a dead person's record with one heir."""
    made = Viewing()
    said(made, holder(PARENT, "heir", ("read",)))
    return made


async def test_a_request_says_until_when_it_holds(consent: Viewing) -> None:
    """It is an entry with the heir's words, made tidy; the answer names its end, thirty days ahead."""
    answer = await ask(consent, ASKED | {"text": f"  {ASKED['text']}\n"})
    assert answer.status == 201
    told = orjson.loads(answer.body)
    newest = consent.journal.entries[RECORD][-1]
    assert newest.flow is not None
    assert (told["id"], told["motive"]) == (newest.cause, "cause-of-death")
    assert datetime.fromisoformat(told["until"]).timestamp() * 1000 == newest.at + HEIR_MS
    assert newest.flow.action is Action.ASK_AS_HEIR
    assert newest.flow.motive == Motive("cause-of-death", ASKED["text"])


@pytest.mark.parametrize("body", [
    {"motive": "curiosity", "text": ASKED["text"]}, {"motive": "rights"}, {"text": ASKED["text"]},
    {"motive": "rights", "text": "trop court"}, {"motive": "rights", "text": " " * 40},
    {"motive": "rights", "text": "x" * 1_001}, ASKED | {"until": "2030-01-01T00:00:00Z"},
])  # fmt: skip
async def test_a_request_without_its_reasons_is_none(consent: Viewing, body: Any) -> None:
    """An unknown motive, too few words or too many: a problem without an entry."""
    before = len(consent.journal.entries[RECORD])
    assert (await ask(consent, body)).status == 422
    assert len(consent.journal.entries[RECORD]) == before


async def test_who_may_not_ask_is_told_why(consent: Viewing) -> None:
    """No heir, no heir any more, an heir whom she opposed: by the rule; a professional learns nothing."""
    assert problem(await ask(consent, by=OTHER_PARENT)) == (403, "not-a-representative")
    assert problem(await consent.call("POST", "/heirs/requests", ASKED, actor=MOREAU)) == (403, "not-for-you")
    assert problem(await consent.call("POST", "/heirs/requests", ASKED, actor=CAMILLE)) == (403, "no-legal-basis")
    said(consent, deceased=False)
    await consent.told("POST", "/directives", {"kind": "oppose-heirs"})
    said(consent, holder(PARENT, "heir", ("read",)))
    answer = await ask(consent)
    assert problem(answer) == (403, "heirs-opposed")
    assert "s'y est opposée de son vivant" in orjson.loads(answer.body)["detail"]


async def test_an_heir_finds_neither_journal_nor_choices(consent: Viewing) -> None:
    """A request opens documents, and nothing of consent's own interface."""
    assert (await ask(consent)).status == 201
    acting: dict[str, Any] = {"purpose": "PATRQT", "representative": Representative(holder=PARENT.id, role="heir")}
    for method, path, body in (
        ("GET", "/journal", None), ("GET", "/directives", None), ("POST", "/directives", {"kind": "close"}),
        ("GET", "/see-as?situation=samu", None), ("POST", "/codes", {"count": 1}),
        ("GET", f"/fhir/AuditEvent?patient={RECORD}", None),
    ):  # fmt: skip
        answer = await consent.call(method, path, body, actor=PARENT, **acting)
        assert answer.status == 403, (path, answer)
        assert b"deceased" in answer.body


async def test_whether_heirs_may_ask_is_hers_alone_to_say() -> None:
    """She sees before what it means, says it and takes it back; a guardian does neither."""
    consent = Viewing()
    said(consent, holder(PARENT, "guardian"), deceased=False)
    preview = await consent.told("POST", "/directives/preview", {"kind": "oppose-heirs"})
    assert [(each["use"], each["now"], each["then"]) for each in preview["uses"]] == [("heirs", True, False)]
    assert (
        "vos ayants droit ne pourraient plus demander"
        in preview["phrase"].lower() + preview["uses"][0]["phrase"].lower()
    )
    acting: dict[str, Any] = {"purpose": "PATRQT", "representative": Representative(holder=PARENT.id, role="guardian")}
    body = {"kind": "oppose-heirs"}
    refused = await consent.call("POST", "/directives", body, actor=PARENT, **acting)
    assert problem(refused) == (403, "only-hers-to-oppose-heirs")
    begun = await consent.told("POST", "/directives", body)
    assert (await consent.told("GET", "/directives"))["directives"][0]["kind"] == "oppose-heirs"
    refused = await consent.call("DELETE", f"/directives/{begun['id']}", actor=PARENT, **acting)
    assert problem(refused) == (403, "only-hers-to-oppose-heirs")
    await consent.told("DELETE", f"/directives/{begun['id']}")
