"""The public rules: what each decides, that none is idle, and that a broken one refuses."""

import re
import shutil
from pathlib import Path
from typing import Any

import cedarpy
import pytest

from services.consent.domain.flow import Action
from services.consent.domain.judging import judge
from services.consent.domain.rules import POLICIES, RULE_ERROR, Rules, RulesBroken
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    MOREAU,
    NOW,
    OTHER_RECORD,
    RECORD,
    RULES,
    Book,
    flow,
    paper,
)
from tests.unit.consent.variants import changed


def test_every_rule_says_its_law_and_a_french_sentence() -> None:
    """A person can look each rule up, and read it: a law or what stands for one, and one sentence."""
    for rule in RULES.rules.values():
        assert rule.id
        assert rule.law
        assert re.fullmatch(r"[A-ZÀÉI].*\.", rule.sentence), rule.id


def test_a_red_line_never_permits() -> None:
    """The file of the red lines holds only what forbids, so its rules outweigh any other."""
    assert all(not each.permits for each in RULES.rules.values() if each.file == "red_lines")


_CONTEXT: dict[str, Any] = {
    "purpose": "PATRQT",
    "profession": "",
    "application_kind": "patient-frontend",
    "evidence": "",
    "blocked": False,
    "opposed": False,
    "closed": False,
    "ask_me": False,
    "exports_opposed": False,
    "prevention_opposed": False,
    "emergency": {
        "samu_closed": False, "others_closed": False, "hidden_open": False, "reasoned": False, "recent": False,
    },
    "minor": False,
    "deceased": False,
    "stale": False,
    "secret": False,
    "role": "",
    "delegated": False,
    "changes": "",
    "adds": (),
    "removes": (),
    "ends": "",
    "heirs_opposed": False,
    "motivated": False,
    "requested": False,
    "declares": "",
    "code_holds": False,
    "short_enough": False,
    "for_organisation": False,
    "own_stay": False,
    "word_too_often": False,
    "document": {
        "exists": True, "own": False, "hidden": False, "habilitated": True, "visibility": (), "type_code": "",
        "class_code": "",
    },
}  # fmt: skip


def _asked(context: dict[str, Any], action: str = "read", kind: str = "Patient", rules: Rules = RULES) -> Any:
    return rules.judge((kind, RECORD), action, context)


def test_a_whole_context_is_judged() -> None:
    """The control of the tests below: nothing but what they take away makes them refuse."""
    assert _asked(_CONTEXT).allowed


@pytest.mark.parametrize("name", list(_CONTEXT))
def test_a_context_that_lacks_an_attribute_is_refused(name: str) -> None:
    """A forbid that cannot be evaluated must not be skipped: a missing fact refuses, and says rule-error."""
    found = _asked({key: value for key, value in _CONTEXT.items() if key != name})
    assert (found.allowed, found.rule, found.error) == (False, RULE_ERROR, True)


@pytest.mark.parametrize(
    "changed",
    [
        {"blocked": "no"}, {"evidence": None}, {"emergency": {}}, {"purpose": 1}, {"unknown": True},
        {"document": {**_CONTEXT["document"], "visibility": "INVISIBLE_PATIENT"}},
        {"document": {**_CONTEXT["document"], "secret": True}},
        {"document": {}},
    ],
)  # fmt: skip
def test_a_context_against_the_schema_is_refused(changed: dict[str, Any]) -> None:
    """A fact of another type, or one that the schema does not know, is no fact."""
    found = _asked(_CONTEXT | changed)
    assert (found.allowed, found.rule, found.error) == (False, RULE_ERROR, True)


@pytest.mark.parametrize(("action", "kind"), [("destroy", "Patient"), ("read", "Stranger")])
def test_an_unknown_action_or_actor_is_refused(action: str, kind: str) -> None:
    """What the schema does not know cannot be allowed by a rule that is wider than it should be."""
    found = _asked(_CONTEXT, action, kind)
    assert (found.allowed, found.rule) == (False, RULE_ERROR)


def _planted(folder: Path, policy: str, file: str = "programmes") -> Rules:
    shutil.copytree(POLICIES, folder, dirs_exist_ok=True)
    with (folder / f"{file}.cedar").open("a", encoding="utf-8") as out:
        out.write(policy)
    return Rules(folder)


def test_a_rule_that_fails_refuses_what_others_allow(tmp_path: Path) -> None:
    """Cedar skips a policy that errors (here: an integer overflow); the wrapper refuses, and the verdict says so."""
    rules = _planted(
        tmp_path,
        '@id("planted") @law("aucune") @fr("Une règle.") forbid (principal, action, resource)\n'
        "when { 9223372036854775807 + (if context.blocked then 0 else 1) > 0 };\n",
    )
    assert _asked(_CONTEXT).allowed
    found = _asked(_CONTEXT, rules=rules)
    assert (found.allowed, found.rule, found.error) == (False, RULE_ERROR, True)
    outcome = judge(Book().record, flow(CAMILLE, Action.LIST), NOW, rules).outcome
    assert (outcome.verdict, outcome.rule, outcome.errors) == ("refused", RULE_ERROR, True)


def test_the_same_question_is_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks, of whichever record: what a rule may speak of is in the question, and an answer is remembered."""
    rules, evaluated = Rules(), 0

    def counted(*asked: Any) -> Any:
        nonlocal evaluated
        evaluated += 1
        return is_authorized(*asked)

    is_authorized = cedarpy.is_authorized
    monkeypatch.setattr(cedarpy, "is_authorized", counted)
    found = [rules.judge(("Patient", name), "read", _CONTEXT) for name in (RECORD, OTHER_RECORD)]
    assert (found[0], evaluated) == (found[1], 1)
    assert not rules.judge(("Patient", RECORD), "read", _CONTEXT | {"purpose": "TREAT"}).allowed
    assert evaluated == 2


def test_a_failure_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that failed once is asked again: a refusal by mistake does not last."""
    rules = Rules()
    with monkeypatch.context() as broken:
        broken.setattr(cedarpy, "is_authorized", None)
        assert _asked(_CONTEXT, rules=rules).rule == RULE_ERROR
    assert _asked(_CONTEXT, rules=rules).allowed


def test_no_rule_can_single_out_a_person(tmp_path: Path) -> None:
    """A rule that names a person or a record never fires: rules are about situations."""
    rules = _planted(
        tmp_path,
        '@id("planted-1") @law("aucune") @fr("Une règle.") forbid (principal == Patient::"'
        + RECORD
        + '", action, resource);\n'
        '@id("planted-2") @law("aucune") @fr("Une règle.") forbid (principal, action, resource == Record::"'
        + RECORD
        + '");\n',
    )
    assert _asked(_CONTEXT, rules=rules).allowed


def test_a_red_line_about_one_document_is_the_reason_told(tmp_path: Path) -> None:
    """Of several documents refused for several reasons, the red line is the verdict."""
    rules = _planted(
        tmp_path,
        '@id("planted") @law("aucune") @fr("Une règle.") forbid (principal, action, resource)\n'
        'when { context.document.type_code == "genome" };\n',
        "red_lines",
    )
    book = Book()
    documents = [book.deposit(paper(code, code=code), by=COLLEAGUE) for code in ("11502-2", "genome")]
    outcome = judge(book.record, flow(MOREAU, Action.READ, *documents), NOW, rules).outcome
    assert (outcome.verdict, outcome.rule) == ("red-line", "planted")


@pytest.mark.parametrize(
    "policy",
    [
        "permit (principal, action, resource)",  # no end
        '@id("a") @law("b") permit (principal, action, resource);',
        '@id("a") @fr("b") permit (principal, action, resource);',
        '@law("a") @fr("b") permit (principal, action, resource);',
        '@id("a") @law("") @fr("b") permit (principal, action, resource);',
        '@id("blocked") @law("a") @fr("b") permit (principal, action, resource);',  # twice
        '@id("a") @law("b") @fr("c") permit (principal, action, resource) when { context.colour == "red" };',
        '@id("a") @law("b") @fr("c") permit (principal == Robot::"x", action, resource);',
    ],
)
def test_a_broken_set_of_rules_is_not_loaded(tmp_path: Path, policy: str) -> None:
    """No consent service runs on rules that do not parse, do not validate, or do not say what they are."""
    with pytest.raises(RulesBroken):
        _planted(tmp_path, policy)


def test_the_digest_names_the_rules() -> None:
    """The same files have the same digest; a word changed in one sentence has another."""
    assert Rules().digest == RULES.digest
    assert Rules(changed("La personne a bloqué", "Elle a bloqué")).digest != RULES.digest
