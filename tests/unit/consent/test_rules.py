"""The public rules: what each decides, that none is idle, and that a broken one refuses."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cedarpy
import pytest

from services.consent.domain.flow import Action, Actor
from services.consent.domain.judging import judge
from services.consent.domain.rules import FILES, NO_LEGAL_BASIS, POLICIES, RULE_ERROR, Rules, RulesBroken
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    COLLEAGUE,
    DAY,
    INSURER,
    MOREAU,
    NOTICES,
    NOW,
    ORGANISATION,
    OTHER_RECORD,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    Book,
    flow,
    paper,
)

D, L, R, N = Action.DEPOSIT, Action.LIST, Action.READ, Action.NOTIFY
ALLOWED, REFUSED, RED = "allowed", "refused", "red-line"

EMPLOYER = replace(INSURER, application_kind="employer")
ADVERTISER = replace(INSURER, application_kind="advertiser")
SHOP = replace(INSURER, application_kind="commercial")
WEB_MOREAU = replace(MOREAU, application_kind="patient-frontend")
BY_COLLEAGUE = "deposited by a colleague of Dr Moreau"


def _with_report(book: Book, **more: Any) -> str:
    return book.deposit(paper(**more), by=COLLEAGUE)


def _plain(book: Book) -> str:
    return _with_report(book)


def _own(book: Book) -> str:
    return book.deposit(paper())


def _saying(*said: tuple[Any, ...], own: bool = False) -> Callable[[Book], str]:
    def built(book: Book) -> str:
        document = _own(book) if own else _with_report(book)
        for kind, subject, *until in said:
            book.say(kind, document if subject == "it" else subject, until=until[0] if until else None)
        return document

    return built


def _lifted(book: Book) -> str:
    document = _with_report(book)
    book.say("authorise", PERSON)
    book.say("end", ends=book.say("block", PERSON))
    return document


def _labelled(label: str, *, own: bool = False, days: int = 0) -> Callable[[Book], str]:
    def built(book: Book) -> str:
        document = book.deposit(paper(visibility=(label,)), by=MOREAU if own else COLLEAGUE)
        book.say("authorise", PERSON)
        book.now += days * DAY
        return document

    return built


def _empty(_: Book) -> str:
    return ABSENT


# What stands in the record, in words.
SITUATIONS: dict[str, Callable[[Book], str]] = {
    BY_COLLEAGUE: _plain,
    "deposited by himself": _own,
    "nothing deposited": _empty,
    "authorised": _saying(("authorise", PERSON)),
    "his organisation authorised": _saying(("authorise", ORGANISATION)),
    "authorised until yesterday": _saying(("authorise", PERSON, NOW - DAY)),
    "authorised until tomorrow": _saying(("authorise", PERSON, NOW + DAY)),
    "authorised, then blocked": _saying(("authorise", PERSON), ("block", PERSON)),
    "authorised, his organisation blocked": _saying(("authorise", PERSON), ("block", ORGANISATION)),
    "blocked, his own document": _saying(("block", PERSON), own=True),
    "blocked, then unblocked": _lifted,
    "authorised, and hidden": _saying(("authorise", PERSON), ("hide", "it")),
    "his own, and hidden": _saying(("hide", "it"), own=True),
    "authorised, and opposed": _saying(("authorise", PERSON), ("oppose", None)),
    "authorised, and labelled MASQUE_PS": _labelled("MASQUE_PS"),
    "his own, labelled MASQUE_PS": _labelled("MASQUE_PS", own=True),
    "not announced": _labelled("INVISIBLE_PATIENT"),
    "not announced for 31 days": _labelled("INVISIBLE_PATIENT", days=31),
}


class Case(NamedTuple):
    """One line of the table; `document`: "it" is the situation's, "" is none."""

    situation: str
    actor: Actor
    action: Action
    document: str
    verdict: str
    rule: str
    purpose: str | None = None


CASES = (
    # Who may, by law.
    Case(BY_COLLEAGUE, CAMILLE, L, "", ALLOWED, "patient-own-record"),
    Case(BY_COLLEAGUE, CAMILLE, R, "it", ALLOWED, "patient-own-record"),
    Case("nothing deposited", CAMILLE, L, "", ALLOWED, "patient-own-record"),
    Case("nothing deposited", CAMILLE, Action.READ_JOURNAL, "", ALLOWED, "patient-own-record"),
    Case("nothing deposited", CAMILLE, Action.READ_DIRECTIVES, "", ALLOWED, "patient-own-record"),
    Case("nothing deposited", CAMILLE, Action.CHANGE_DIRECTIVES, "", ALLOWED, "patient-own-record"),
    Case("nothing deposited", CAMILLE, Action.CHANGE_DIRECTIVES, "", REFUSED, NO_LEGAL_BASIS, purpose="TREAT"),
    Case("nothing deposited", MOREAU, Action.READ_JOURNAL, "", REFUSED, NO_LEGAL_BASIS),
    Case("authorised", MOREAU, Action.CHANGE_DIRECTIVES, "", REFUSED, NO_LEGAL_BASIS),
    Case("nothing deposited", MOREAU, D, "", ALLOWED, "care-professional-deposits"),
    Case("nothing deposited", WEB_MOREAU, D, "", REFUSED, NO_LEGAL_BASIS),
    Case("nothing deposited", CAMILLE, D, "", REFUSED, NO_LEGAL_BASIS),
    Case("authorised", MOREAU, L, "", ALLOWED, "authorised-by-patient"),
    Case("authorised", MOREAU, R, "it", ALLOWED, "authorised-by-patient"),
    Case("authorised", MOREAU, R, "it", REFUSED, NO_LEGAL_BASIS, purpose="HRESCH"),
    Case("authorised", WEB_MOREAU, R, "it", REFUSED, NO_LEGAL_BASIS),
    Case("authorised", PETIT, R, "it", REFUSED, "not-authorised"),
    Case("his organisation authorised", MOREAU, R, "it", ALLOWED, "authorised-by-patient"),
    Case("authorised until tomorrow", MOREAU, R, "it", ALLOWED, "authorised-by-patient"),
    Case("authorised until yesterday", MOREAU, R, "it", REFUSED, "not-authorised"),
    Case("deposited by himself", MOREAU, R, "it", ALLOWED, "own-deposit"),
    Case("deposited by himself", MOREAU, L, "", ALLOWED, "own-deposit"),
    Case("deposited by himself", COLLEAGUE, R, "it", REFUSED, "not-authorised"),
    Case(BY_COLLEAGUE, MOREAU, L, "", REFUSED, "not-authorised"),
    Case("nothing deposited", MOREAU, L, "", REFUSED, "not-authorised"),
    # What the patient said.
    Case("authorised, then blocked", MOREAU, L, "", REFUSED, "blocked"),
    Case("authorised, then blocked", MOREAU, R, "it", REFUSED, "blocked"),
    Case("authorised, then blocked", MOREAU, D, "", ALLOWED, "care-professional-deposits"),
    Case("authorised, his organisation blocked", MOREAU, R, "it", REFUSED, "blocked"),
    Case("blocked, his own document", MOREAU, R, "it", REFUSED, "blocked"),
    Case("blocked, then unblocked", MOREAU, R, "it", REFUSED, "not-authorised"),
    Case("authorised, and hidden", MOREAU, R, "it", REFUSED, "hidden-by-patient"),
    Case("authorised, and hidden", MOREAU, L, "", REFUSED, "hidden-by-patient"),
    Case("authorised, and hidden", CAMILLE, R, "it", ALLOWED, "patient-own-record"),
    Case("his own, and hidden", MOREAU, R, "it", ALLOWED, "own-deposit"),
    Case("authorised, and opposed", MOREAU, R, "it", REFUSED, "opposed"),
    Case("authorised, and opposed", MOREAU, D, "", REFUSED, "opposed"),
    Case("authorised, and opposed", NOTICES, N, "it", REFUSED, "opposed"),
    Case("authorised, and opposed", CAMILLE, R, "it", ALLOWED, "patient-own-record"),
    # What a label says.
    Case("authorised", MOREAU, R, ABSENT, REFUSED, "no-such-document"),
    Case("authorised", MOREAU, L, ABSENT, REFUSED, "no-such-document"),
    Case("authorised", CAMILLE, R, ABSENT, REFUSED, "no-such-document"),
    Case("authorised", NOTICES, N, ABSENT, REFUSED, "no-such-document"),
    Case("authorised, and labelled MASQUE_PS", MOREAU, R, "it", REFUSED, "masked-from-professionals"),
    Case("authorised, and labelled MASQUE_PS", CAMILLE, R, "it", ALLOWED, "patient-own-record"),
    Case("his own, labelled MASQUE_PS", MOREAU, R, "it", ALLOWED, "authorised-by-patient"),
    Case("not announced", CAMILLE, R, "it", REFUSED, "not-announced-yet"),
    Case("not announced", CAMILLE, L, "", REFUSED, "not-announced-yet"),
    Case("not announced", MOREAU, R, "it", ALLOWED, "authorised-by-patient"),
    Case("not announced for 31 days", CAMILLE, R, "it", ALLOWED, "patient-own-record"),
    # What the services do.
    Case(BY_COLLEAGUE, NOTICES, N, "it", ALLOWED, "notice-without-content"),
    Case("not announced", NOTICES, N, "it", REFUSED, "no-notice-before-announcement"),
    Case("not announced for 31 days", NOTICES, N, "it", ALLOWED, "notice-without-content"),
    Case(BY_COLLEAGUE, NOTICES, R, "it", REFUSED, NO_LEGAL_BASIS),
    Case(BY_COLLEAGUE, replace(NOTICES, id="documents"), N, "it", REFUSED, NO_LEGAL_BASIS),
    # What no consent allows, and which outweighs every other reason.
    Case(BY_COLLEAGUE, INSURER, R, "it", RED, "red-line-insurance"),
    Case("nothing deposited", INSURER, L, "", RED, "red-line-insurance"),
    Case("authorised", INSURER, R, ABSENT, RED, "red-line-insurance"),
    Case("authorised", MOREAU, R, "it", RED, "red-line-insurance", purpose="HPAYMT"),
    Case(BY_COLLEAGUE, replace(CAMILLE, application_kind="insurer"), R, "it", RED, "red-line-insurance"),
    Case("authorised, then blocked", replace(MOREAU, application_kind="insurer"), D, "", RED, "red-line-insurance"),
    Case(BY_COLLEAGUE, EMPLOYER, R, "it", RED, "red-line-employment", purpose="TREAT"),
    Case("authorised", MOREAU, R, "it", RED, "red-line-employment", purpose="EMPLOYMENT"),
    Case(BY_COLLEAGUE, ADVERTISER, L, "", RED, "red-line-advertising", purpose="TREAT"),
    Case("authorised", MOREAU, R, "it", RED, "red-line-advertising", purpose="HMARKT"),
    Case(BY_COLLEAGUE, SHOP, L, "", RED, "red-line-commerce", purpose="TREAT"),
    Case("authorised", MOREAU, R, "it", RED, "red-line-commerce", purpose="COMMERCE"),
)


def _judged(case: Case, rules: Rules) -> tuple[str, str]:
    book = Book()
    document = SITUATIONS[case.situation](book)
    named = [] if not case.document else [document if case.document == "it" else case.document]
    more: dict[str, Any] = {"deposit": paper("another")} if case.action is D else {}
    if case.purpose:
        more["purpose"] = case.purpose
    outcome = judge(book.record, flow(case.actor, case.action, *named, **more), book.now, rules, "n" * 26).outcome
    return outcome.verdict, outcome.rule


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.situation}: {case.actor.name} {case.action}")
def test_a_case_is_decided_by_its_rule(case: Case) -> None:
    """Each line of the table gets its verdict, by its rule."""
    assert _judged(case, RULES) == (case.verdict, case.rule)


def test_every_rule_decides_a_case() -> None:
    """No rule stands in the files that no line of the table meets."""
    assert {case.rule for case in CASES} | {RULE_ERROR} == set(RULES.rules)


def _without(rule: str, folder: Path) -> Rules:
    """Return the rules as they are but for one."""
    shutil.copytree(POLICIES, folder, dirs_exist_ok=True)
    for name in FILES:
        text = (folder / f"{name}.cedar").read_text(encoding="utf-8")
        kept = re.sub(rf'@id\("{rule}"\).*?\n(permit|forbid) .*?;\n', "", text, flags=re.DOTALL)
        (folder / f"{name}.cedar").write_text(kept, encoding="utf-8")
    return Rules(folder)


@pytest.mark.parametrize("rule", [each.id for each in RULES.rules.values() if each.file])
def test_without_any_one_rule_a_case_goes_wrong(rule: str, tmp_path: Path) -> None:
    """Each rule is needed: taken away, a line of the table is decided otherwise."""
    fewer = _without(rule, tmp_path)
    assert len(fewer.rules) == len(RULES.rules) - 1
    assert any(_judged(case, fewer) != (case.verdict, case.rule) for case in CASES if case.rule == rule)


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
    "authorised": False,
    "blocked": False,
    "opposed": False,
    "document": {
        "exists": True, "own": False, "hidden": False, "visibility": (), "type_code": "", "class_code": "",
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
        {"blocked": "no"}, {"authorised": None}, {"purpose": 1}, {"unknown": True},
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
    outcome = judge(Book().record, flow(CAMILLE, L), NOW, rules).outcome
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
    outcome = judge(book.record, flow(MOREAU, R, *documents), NOW, rules).outcome
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


def test_the_digest_names_the_rules(tmp_path: Path) -> None:
    """The same files have the same digest; a word changed in one sentence has another."""
    assert Rules().digest == RULES.digest
    assert _without("blocked", tmp_path).digest != RULES.digest
