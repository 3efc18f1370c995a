"""Rules with one fault each are found out: no rule stands in the files, no condition in a rule, that no case needs."""

from dataclasses import replace
from functools import partial

import pytest

from services.consent.domain.bundle import Bundle
from services.consent.domain.flow import Action
from services.consent.domain.rules import Rules
from tests.cases.mutants import Mutant, mutants
from tests.cases.oracle import Said, Situation, decide
from tests.cases.scene import RULES, Scene, WithMatrix, played
from tests.cases.table import Line, read
from tests.chaos.size import size

MUTANTS = mutants()
GONE = "the rule is gone"
# Each of these changes nothing that anybody could ever see.
_ABSENT = (
    "in 'when ((context.document).exists) && (!((context.document).habilitated))': '(context.document).exists' dropped"
)
_ABSENT_IN_SECRET = "in 'when (context.secret) && ((context.document).exists)': '(context.document).exists' dropped"
_BUT_HEIRS = (
    'unless ((principal is Representative) && ((context.role) == "heir")) && '
    '(action in [Action::"list", Action::"read"])'
)
_WHEN_HEIR = 'when (((context.role) == "heir") && (context.deceased)) && ((context.purpose) == "PATRQT")'
EQUIVALENT = {
    # The rule's own `unless` leaves the patient out already.
    "opposed: not for a Patient",
    # Of what does not exist, `no-such-document` refuses the same actions to everybody, and is the reason told.
    f"not-habilitated: {_ABSENT}",
    # The same, and what is listed, read or announced in secret is refused by the rule before.
    f"secret-shows-secrets-only: {_ABSENT_IN_SECRET}",
    "secret-deposits-are-secret: for list too",
    "secret-deposits-are-secret: for read too",
    "secret-deposits-are-secret: for announce too",
    "secret-deposits-are-secret: for amend too",
    # What else would allow her is refused by `choices-not-labels`.
    "patient-own-record: for amend too",
    # What the exception names is no action of the rule.
    f"deceased: in '{_BUT_HEIRS}': for ask-as-heir too",
    # Of the dead nobody else lists or reads: a second wall.
    "heir: for anybody",
    f"heir: in '{_WHEN_HEIR}': '(context.role) == \"heir\"' dropped",
    # Death itself ends these, whoever asks.
    *(
        f"{rule}: for {each} too"
        for rule in ("heir-asks", "heir")
        for each in ("prevent", "notify", "declare-care", "announce", "amend")
    ),
}
# What judging never asks, or does not tell apart; the rules say it all the same, and say it whoever asks.
_reading = partial(
    Situation, action=Action.READ, purpose="TREAT", software="care-software", exists=True, habilitated=True
)
_announcing = partial(_reading, "professional", action=Action.ANNOUNCE, evidence="declared")
_hers = partial(_reading, "patient", purpose="PATRQT", labels=frozenset({"INVISIBLE_PATIENT"}))
_admitting = partial(
    Situation, action=Action.DECLARE_CARE, purpose="PATADMIN", software="care-software", declares="admission",
    for_organisation=True, short_enough=True, exists=True, habilitated=True,
)  # fmt: skip
_hers_alone = partial(Situation, "patient", purpose="PATRQT", software="patient-frontend", exists=True)
_in_her_place = partial(
    Situation, "representative", purpose="PATRQT", software="patient-frontend", role="parent", minor=True,
    delegated=True, exists=True,
)  # fmt: skip
_MASK = frozenset({"MASQUE_PS"})
_heir = partial(
    Situation, "representative", purpose="PATRQT", software="patient-frontend", role="heir", deceased=True,
    delegated=True, requested=True, motivated=True, exists=True,
)  # fmt: skip


def _asking(purpose: str, **more: bool) -> Situation:
    return replace(_reading("professional", action=Action.ASK_AS_HEIR), purpose=purpose, **more)  # type: ignore[arg-type]


_NOT_AN_HEIRS = (Action.EXPORT, Action.READ_JOURNAL, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES)
_NOT_FOR_PARENTS = frozenset({"INVISIBLE_REPRESENTANTS_LEGAUX"})
_STRANGE = [
    # To who acts for her, what she keeps from them is not even there: the rule is a second wall.
    *(
        _in_her_place(action=each, labels=_NOT_FOR_PARENTS)
        for each in (Action.LIST, Action.READ, Action.EXPORT, Action.READ_JOURNAL, Action.NOTIFY)
    ),
    Situation("service", Action.PREVENT, "PREVENT", "", name="documents", labels=_NOT_FOR_PARENTS),
    # Only a change of directives changes any.
    *(
        _in_her_place(action=each, changes="show-to-representatives")
        for each in (
            Action.LIST,
            Action.READ,
            Action.EXPORT,
            Action.READ_JOURNAL,
            Action.READ_DIRECTIVES,
            Action.ASK_AS_HEIR,
        )
    ),
    # Only an amendment names labels.
    _reading("professional", evidence="patient", adds=frozenset({"INVISIBLE_PATIENT"})),
    _reading("professional", evidence="patient", adds=_MASK, labels=frozenset({"INVISIBLE_PATIENT"})),
    _reading("professional", evidence="patient", adds=_NOT_FOR_PARENTS),
    _reading("professional", evidence="patient", removes=_NOT_FOR_PARENTS, labels=_NOT_FOR_PARENTS),
    *(
        _in_her_place(action=each, changes="oppose-heirs")
        for each in (
            Action.LIST,
            Action.READ,
            Action.EXPORT,
            Action.READ_JOURNAL,
            Action.READ_DIRECTIVES,
            Action.ASK_AS_HEIR,
        )
    ),
    # To an heir, what she hid is not even there: the rule is a second wall.
    *(_heir(action=each, hidden=True) for each in (Action.LIST, Action.READ)),
    # There is no heir of the living, and no table that gives one more than to ask, to list and to read.
    *(_heir(action=each, deceased=False, hidden=True) for each in _NOT_AN_HEIRS),
    *(_heir(action=each, deceased=False, heirs_opposed=True) for each in _NOT_AN_HEIRS),
    *(_heir(action=each, deceased=False, requested=False) for each in _NOT_AN_HEIRS),
    _heir(action=Action.READ, deceased=False),
    _heir(action=Action.DEPOSIT),
    _heir(action=Action.READ_OWN_TRACES),
    _heir(action=Action.END_CARE),
    # What it takes to look, or to be refused it, is not what it takes to ask.
    *(
        _reading("professional", action=Action.ASK_AS_HEIR, evidence=each)
        for each in ("patient", "treating-doctor", "code", "admission", "appointment", "declared")
    ),
    _asking("BTG", others_closed=True, reasoned=True, recent=True),
    _asking("BTG", recent=True),
    _asking("BTG", reasoned=True),
    _asking("ETREAT", samu_closed=True, reasoned=True),
    _asking("ETREAT", reasoned=True),
    Situation("application", Action.ASK_AS_HEIR, "PATADMIN", "care-software", for_organisation=True, own_stay=True),
    Situation("service", Action.ASK_AS_HEIR, "NOTIFY", "", name="notifications", exists=True),
    _hers_alone(action=Action.READ, role="heir"),
    _hers_alone(action=Action.READ, role="heir", deceased=True),
    _hers_alone(action=Action.READ, role="heir", heirs_opposed=True),
    _hers_alone(action=Action.READ, role="heir", hidden=True, requested=True),
    _hers_alone(action=Action.ASK_AS_HEIR, role="heir", deceased=True, motivated=True),
    replace(_heir(action=Action.ASK_AS_HEIR), role="cousin"),
    # Only professionals do anything in secret.
    *(_hers_alone(action=Action.READ, secret=True, minor=each) for each in (True, False)),
    _hers_alone(action=Action.DEPOSIT, secret=True, minor=True),
    _hers_alone(action=Action.DECLARE_CARE, secret=True, minor=True, declares="declared"),
    # Only representatives have a role, and no role but four.
    _hers_alone(action=Action.READ, role="parent"),
    *(
        replace(_in_her_place(action=Action.READ, role=each), actor="application")
        for each in ("parent", "guardian", "family-authorisation", "caregiver")
    ),
    _in_her_place(action=Action.READ, role="cousin"),
    # What she refuses, she refuses whoever acts for her: did he break the glass, or prepare advice.
    _in_her_place(action=Action.PREVENT, prevention_opposed=True),
    _in_her_place(action=Action.READ, purpose="BTG", others_closed=True, reasoned=True, recent=True),
    _in_her_place(action=Action.READ, purpose="ETREAT", samu_closed=True, reasoned=True),
    _in_her_place(action=Action.READ, purpose="BTG", recent=True),
    _in_her_place(action=Action.READ, purpose="BTG", reasoned=True),
    # It knows evidence and authors of professionals only, and no evidence but six kinds.
    *(
        _reading("application", evidence=each)
        for each in ("patient", "treating-doctor", "code", "admission", "appointment", "declared")
    ),
    _reading("application", own=True),
    _reading("application", evidence="declared", ask_me=True),
    _reading("application", action=Action.ANNOUNCE, own=True),
    _reading("professional", evidence="hearsay"),
    # To her, what is not announced is not even there: the rule is a second wall.
    *(_hers(action=each) for each in (Action.LIST, Action.READ, Action.EXPORT, Action.NOTIFY)),
    # Nobody declares at all but professionals and establishments: whoever else tried is told the same.
    *(
        Situation(
            each, Action.DECLARE_CARE, "TREAT", "care-software", role="parent", minor=True, delegated=True, **said
        )
        for each in ("patient", "representative", "professional", "application", "service")
        for said in ({"declares": "declared", "ask_me": True, "short_enough": True}, {"declares": "declared"})
    ),
    _hers_alone(action=Action.DECLARE_CARE, blocked=True, short_enough=True),
    _admitting("service"),
    _hers_alone(action=Action.DECLARE_CARE, declares="declared", word_too_often=True, short_enough=True),
    # Only professionals have a profession.
    _hers_alone(action=Action.READ, profession="dpo"),
    # Only a declaration says what it rests on.
    _reading("professional", evidence="patient", declares="declared", word_too_often=True),
    _admitting("application", action=Action.READ),
    _reading("professional", evidence="patient", declares="admission"),
    _reading("professional", evidence="patient", declares="declared", ask_me=True),
    _reading("professional", evidence="patient", declares="code"),
    # Who may not read a result may not announce it either.
    *(_announcing(**each) for each in ({"closed": True}, {"ask_me": True}, {"hidden": True}, {"habilitated": False})),
    _announcing(labels=frozenset({"MASQUE_PS"})),
]


class Table:
    """Every line, lived through once; whichever line found the last mutants out is asked first."""

    def __init__(self) -> None:
        self._lines: list[tuple[Line, Scene]] = [(line, played(line)) for line in read()]

    def finds_out(self, mutant: Mutant, rules: Rules) -> bool:
        """Say whether a line, or what is never asked, is decided otherwise than it should."""
        # The mutated rule's own lines first: they know most about it.
        for line, scene in sorted(self._lines, key=lambda each: each[0].rule != mutant.rule):
            if scene.judged(rules) != (line.verdict, line.rule):
                self._lines.remove((line, scene))
                self._lines.insert(0, (line, scene))
                return True
        return any(_differs(each, rules) for each in _STRANGE)


def _differs(asked: Situation, rules: Rules) -> bool:
    found = rules.judge(*asked.question)
    return Said(found.allowed, found.rule) != decide(asked)


def _with(mutant: Mutant) -> Rules:
    """Return the rules with one fault; a fault that does not load would be no fault at all."""
    return WithMatrix(Bundle({**RULES.bundle.texts, f"{mutant.file}.cedar": mutant.text}))


@pytest.fixture(scope="module")
def table() -> Table:
    """Live through the table once."""
    return Table()


def test_the_rules_themselves_are_not_found_out(table: Table) -> None:
    """The control: without a fault every line is decided as it says, and so is what is never asked."""
    assert not table.finds_out(MUTANTS[0], RULES)


def test_without_any_one_rule_a_case_goes_wrong(table: Table) -> None:
    """Each rule is needed: taken away, a line of the table is decided otherwise."""
    gone = [each for each in MUTANTS if each.fault == GONE]
    assert [each.rule for each in gone] == [each.id for each in RULES.rules.values() if each.file]
    assert [each.rule for each in gone if not table.finds_out(each, _with(each))] == []


@pytest.mark.timeout(0)
def test_without_any_one_condition_a_case_goes_wrong(table: Table) -> None:
    """Each condition is needed: dropped, turned round, widened or with another constant, it is found out by a line.

    `make test` tries one mutant in fifteen, `make chaos` all of them.
    """
    tried = [each for each in MUTANTS if each.fault != GONE][:: size(15, 1)]
    alive = {str(each) for each in tried if not table.finds_out(each, _with(each))}
    assert alive == {str(each) for each in tried} & EQUIVALENT
    assert {str(each) for each in MUTANTS} >= EQUIVALENT


def test_a_mutant_is_the_rules_with_one_fault() -> None:
    """A mutant's other rules are those of the files, in the same order: what finds it out is the fault itself."""
    for each in MUTANTS[::40]:
        rules = _with(each).rules.values()
        kept = [rule for rule in RULES.rules.values() if rule.id != each.rule or each.fault != GONE]
        assert [(rule.id, rule.file, rule.law, rule.sentence) for rule in rules] == [
            (rule.id, rule.file, rule.law, rule.sentence) for rule in kept
        ]
