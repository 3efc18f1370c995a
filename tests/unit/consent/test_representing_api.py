"""Consent's interface for who acts for a minor: told as the person is, and nothing that she keeps from them."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from chassis.tokens import Representative
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.representation import Representation
from tests.unit.chassis.asgi import Answer
from tests.unit.consent.people import (
    CAREGIVER,
    COLLEAGUE,
    MOREAU,
    NOW,
    OTHER_PARENT,
    PARENT,
    RECORD,
    RULES,
    holder,
    paper,
)
from tests.unit.consent.viewing import Viewing

HIDDEN = "INVISIBLE_REPRESENTANTS_LEGAUX"
SECRET, OPEN = paper("secret", visibility=(HIDDEN,)), paper("open")
ROLES = {PARENT.id: "parent", OTHER_PARENT.id: "parent", CAREGIVER.id: "caregiver"}


class Family:
    """A minor's record with two parents and a caregiver, who call with tokens of their own."""

    def __init__(self) -> None:
        self.consent = Viewing()
        held = tuple(holder(each, ROLES[each.id]) for each in (PARENT, OTHER_PARENT, CAREGIVER))
        self.consent.journal.entries[RECORD].append(
            Entry(RECORD, 2, "represented", MAIN, 2, NOW, RULES.digest, "other", "represented",
                  representation=Representation(1, True, False, held))
        )  # fmt: skip

    async def call(self, method: str, path: str, body: Any = None, by: Any = PARENT) -> Answer:
        """Call as one who acts for the minor."""
        acting = Representative(holder=by.id, role=ROLES[by.id])
        return await self.consent.call(method, path, body, actor=by, purpose="PATRQT", representative=acting)

    async def told(self, method: str, path: str, body: Any = None, by: Any = PARENT) -> dict[str, Any]:
        """Return what a call that succeeds says."""
        answer = await self.call(method, path, body, by)
        assert answer.status in {200, 201}, answer
        return dict(orjson.loads(answer.body))


@pytest.fixture
def family() -> Family:
    """Open a minor's record."""
    return Family()


def problem(answer: Answer) -> tuple[int, Any]:
    """Return a problem's status, and its rule or its code."""
    said = orjson.loads(answer.body)
    return answer.status, said.get("rule", said["code"])


async def test_a_parent_chooses_and_both_read_who_did(family: Family) -> None:
    """The choice is in force, the other parent reads it, and the journal names the one who made it."""
    begun = await family.told("POST", "/directives", {"kind": "block", "professional": "99700000001"})
    held = (await family.told("GET", "/directives", by=OTHER_PARENT))["directives"]
    assert [each["id"] for each in held] == [begun["id"]]
    phrases = [each["phrase"] for each in (await family.told("GET", "/journal", by=OTHER_PARENT))["entries"]]
    assert any("Alex Exemple, en votre nom (logiciel portail)".lower() in each.lower() for each in phrases)


async def test_who_may_not_is_told_which_rule_says_so(family: Family) -> None:
    """A caregiver does not manage the sharing, and reads why."""
    body = {"kind": "block", "professional": "99700000001"}
    assert problem(await family.call("POST", "/directives", body, by=CAREGIVER)) == (403, "beyond-delegation")


async def test_a_secret_is_not_to_be_named_by_a_parent(family: Family) -> None:
    """Hidden, its episode hidden, or shown: the answer is that of a document that never was."""
    secret = await family.consent.deposit(replace(SECRET, episode="e" * 43), by=COLLEAGUE)
    for name in (secret, "a" * 26):
        for body in ({"kind": "hide", "document": name}, {"kind": "hide", "episode_of": name}):
            for path in ("/directives", "/directives/preview"):
                assert problem(await family.call("POST", path, body)) == (404, "no-such-document")
        shown = await family.call("POST", "/directives", {"kind": "show-to-representatives", "document": name})
        assert problem(shown) == (403, "only-hers-to-show")


async def test_who_represents_her_no_more_is_judged_before_anything_is_told(family: Family) -> None:
    """A token of five minutes ago names a choice that is there, and one that is not: the same refusal for both."""
    begun = await family.consent.told("POST", "/directives", {"kind": "close"})
    family.consent.journal.entries[RECORD].append(
        Entry(RECORD, 4, "nobody", MAIN, 4, NOW, RULES.digest, "other", "represented",
              representation=Representation(2, True, False))
    )  # fmt: skip
    for name in (begun["id"], "f" * 32):
        assert problem(await family.call("DELETE", f"/directives/{name}")) == (403, "not-a-representative")


@pytest.mark.parametrize("kind", ["hide", "end"])
async def test_a_caregiver_is_judged_before_anything_is_told(family: Family, kind: str) -> None:
    """What is there and what never was get the same refusal, and an entry each: no answer is a look."""
    there = await family.consent.deposit(OPEN, by=COLLEAGUE)
    begun = await family.consent.told("POST", "/directives", {"kind": "close"})
    for name in (there, "a" * 26) if kind == "hide" else (begun["id"], "f" * 32):
        before = len(family.consent.journal.entries[RECORD])
        if kind == "hide":
            answer = await family.call("POST", "/directives", {"kind": "hide", "document": name}, by=CAREGIVER)
        else:
            answer = await family.call("DELETE", f"/directives/{name}", by=CAREGIVER)
        assert problem(answer) == (403, "beyond-delegation")
        assert len(family.consent.journal.entries[RECORD]) == before + 1


async def test_she_shows_what_she_kept_and_it_has_no_end(family: Family) -> None:
    """Only what is a secret can be shown, once; a time is refused; her parents then find the document."""
    secret = await family.consent.deposit(SECRET, by=COLLEAGUE)
    open_ = await family.consent.deposit(OPEN, by=COLLEAGUE)
    body = {"kind": "show-to-representatives", "document": secret}
    late = await family.consent.call("POST", "/directives", body | {"until": "2199-01-01T00:00:00Z"})
    assert late.status == 422
    assert problem(await family.consent.call("POST", "/directives", body | {"document": open_})) == (
        404,
        "no-such-secret",
    )
    await family.consent.told("POST", "/directives", body)
    assert problem(await family.consent.call("POST", "/directives", body)) == (404, "no-such-secret")
    assert (await family.consent.told("GET", "/directives"))["directives"] == []
    entries = (await family.told("GET", "/journal"))["entries"]
    assert [each["stream"] for each in entries if each.get("action") == "deposit"] == [MAIN, secret]


async def test_her_choice_about_a_secret_is_hers_alone(family: Family) -> None:
    """She reads it and takes it back; a parent neither sees it nor can end it."""
    secret = await family.consent.deposit(SECRET, by=COLLEAGUE)
    begun = await family.consent.told("POST", "/directives", {"kind": "hide", "document": secret})
    assert (await family.told("GET", "/directives"))["directives"] == []
    assert problem(await family.call("DELETE", f"/directives/{begun['id']}")) == (404, "no-such-directive")
    assert [each["id"] for each in (await family.consent.told("GET", "/directives"))["directives"]] == [begun["id"]]
    await family.consent.told("DELETE", f"/directives/{begun['id']}")


async def test_she_sees_through_her_parents_eyes(family: Family) -> None:
    """For each who acts for her, what they see and what they do not; a parent who looks is told of no secret."""
    open_ = await family.consent.deposit(OPEN, by=COLLEAGUE)
    secret = await family.consent.deposit(SECRET, by=MOREAU)
    hers = (await family.consent.told("GET", "/see-as?situation=representatives"))["sights"]
    assert len(hers) == 3
    for each in hers:
        assert [one["document"] for one in each["visible"]] == [open_]
        assert [(one["document"], one["rule"]["id"]) for one in each["hidden"]] == [
            (secret, "secret-from-representatives")
        ]
    assert {each["who"]["name"] for each in hers} == {"Un parent, titulaire de l'autorité parentale", "Un aidant"}
    theirs = await family.call("GET", "/see-as?situation=representatives")
    assert secret.encode() not in theirs.body
    assert all(each["hidden"] == [] for each in orjson.loads(theirs.body)["sights"])


async def test_a_secret_consultation_tells_no_parent_whom_she_saw(family: Family) -> None:
    """A code shown in secret is in her journal and in nobody else's; the answer is that of any declaration."""
    code = (await family.consent.told("POST", "/codes", {"count": 1}))["codes"][0]
    before = (await family.told("GET", "/journal"))["entries"]
    body = {"evidence": "code", "code": code}
    answer = await family.consent.call("POST", "/care", body, actor=MOREAU, secret=True)
    assert answer.status == 202
    after = (await family.told("GET", "/journal"))["entries"]
    assert after[1:] == before
    hers = (await family.consent.told("GET", "/journal"))["entries"]
    assert [each["who"]["name"] for each in hers if each.get("action") == "declare-care"] == ["Dr Moreau"]
