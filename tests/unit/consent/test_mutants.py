"""Each condition of each rule is needed: changed in one place, a line of the table is decided otherwise.

What no line can show, because judging never asks it (an application with a care relation, say), the oracle's situations
show: the rules stand for themselves, whoever asks them.
"""

import random
from collections import defaultdict
from functools import cache
from typing import Any

import orjson
import pytest

from services.consent.domain.bundle import Bundle
from services.consent.domain.flow import Action, ActorKind
from services.consent.domain.rules import Judgement, RulesBroken
from tests.cases.mutants import Mutant, mutants
from tests.cases.oracle import Said, Situation, decide
from tests.cases.scene import BEHIND_JUDGING, RULES, Scene, WithMatrix, played
from tests.cases.table import Line, read
from tests.chaos.size import size

_SAMPLE = size(250, 0)  # 0: all of them
# Faults that change nothing, and why.
_EQUIVALENT = {
    "opposed: not for a Patient": "the rule says so already, in other words",
    "not-habilitated: in 'when ((context.document).exists) && (!((context.document).habilitated))': "
    "'(context.document).exists' dropped": "of what is absent, no-such-document is the reason before it",
}
_WHO: tuple[tuple[ActorKind, str], ...] = (
    ("patient", ""), ("professional", ""), ("professional", ""), ("professional", ""), ("application", ""),
    ("service", "notifications"), ("service", "documents"),
)  # fmt: skip
_AIMS = {"notifications": "NOTIFY", "documents": "PREVENT"}
_PURPOSES = ("TREAT", "BTG", "ETREAT", "PATRQT", "NOTIFY", "PREVENT", "COVERAGE", "EMPLOYMENT", "HMARKT", "COMMERCE")
_SOFTWARE = ("care-software", "patient-frontend", "service", "insurer", "employer", "advertiser", "commercial")
_EVIDENCE = ("", "patient", "treating-doctor", "code", "admission", "appointment", "declared", "hearsay")


class Overheard(WithMatrix):
    """The rules, noting what they are asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[tuple[str, str], str, dict[str, Any]]] = []

    def judge(self, principal: tuple[str, str], action: str, context: dict[str, Any]) -> Judgement:
        """Note, and judge."""
        self.asked.append((principal, action, context))
        return super().judge(principal, action, context)


class Questions:
    """What the table's lines ask the rules, each question once, with the lines that ask it."""

    def __init__(self) -> None:
        self.scenes: dict[Line, Scene] = {each: played(each) for each in read()}
        self.put: dict[bytes, tuple[tuple[str, str], str, dict[str, Any]]] = {}
        self.lines: dict[bytes, list[Line]] = defaultdict(list)
        for line, scene in self.scenes.items():
            rules = Overheard()
            scene.judged(rules)
            for each in rules.asked:
                name = orjson.dumps(each)
                self.put[name] = each
                self.lines[name].append(line)

    def kill(self, rules: WithMatrix) -> Line | Situation | None:
        """Return what these rules decide otherwise than a line or the oracle says; None if nothing shows it."""
        for name, each in self.put.items():
            if rules.judge(*each) != RULES.judge(*each):
                for line in self.lines[name]:
                    if self.scenes[line].judged(rules) != (line.verdict, line.rule):
                        return line
        return next((each for each in situations() if _judged(rules, each) != decide(each)), None)


@cache
def situations() -> list[Situation]:
    """Return situations of all kinds, most of them with little that speaks against anything."""
    chance = random.Random(7)

    def rarely() -> bool:
        return chance.random() < 0.12

    def mostly() -> bool:
        return not rarely()

    found = []
    for _ in range(40_000):
        actor, name = chance.choice(_WHO)
        usual = {"patient": ("PATRQT", "patient-frontend"), "service": (_AIMS.get(name, "NOTIFY"), "service")}
        purpose, software = usual.get(actor, (chance.choice(("TREAT", "TREAT", "BTG", "ETREAT")), "care-software"))
        found.append(
            Situation(
                actor,
                chance.choice(list(Action)),
                chance.choice(_PURPOSES) if rarely() else purpose,
                chance.choice(_SOFTWARE) if rarely() else software,
                name=name,
                evidence=chance.choice(_EVIDENCE) if actor == "professional" or chance.random() < 0.4 else "",
                blocked=rarely(),
                opposed=rarely(),
                closed=rarely(),
                ask_me=rarely(),
                exports_opposed=rarely(),
                prevention_opposed=rarely(),
                samu_closed=rarely(),
                others_closed=rarely(),
                hidden_open=rarely(),
                reasoned=mostly(),
                recent=mostly(),
                declares=chance.choice(("", *_EVIDENCE[3:7])),
                code_holds=mostly(),
                short_enough=mostly(),
                exists=mostly(),
                own=chance.random() < 0.3,
                hidden=rarely(),
                habilitated=mostly(),
                labels=frozenset({chance.choice(("MASQUE_PS", "INVISIBLE_PATIENT"))} if rarely() else ()),
            )
        )
    return found


@cache
def questions() -> Questions:
    """Return the table's questions."""
    return Questions()


def _judged(rules: WithMatrix, situation: Situation) -> Said:
    found = rules.judge(*situation.question)
    return Said(found.allowed, found.rule)


def _with(mutant: Mutant) -> WithMatrix | None:
    """Return the rules with a fault; None where they are no rules any more, which loading says."""
    try:
        return WithMatrix(Bundle({**RULES.bundle.texts, f"{mutant.file}.cedar": mutant.text}))
    except RulesBroken:
        return None


@pytest.mark.timeout(1_800)
def test_every_fault_is_found_by_the_table() -> None:
    """Rules gone, turned round, widened or narrowed: no fault leaves the whole table as it is."""
    found = [each for each in mutants() if each.rule != BEHIND_JUDGING]
    chosen = random.Random(4).sample(found, _SAMPLE) if _SAMPLE else found
    chosen = [each for each in chosen if str(each) not in _EQUIVALENT]
    survivors = [str(each) for each in chosen if (rules := _with(each)) is not None and questions().kill(rules) is None]
    print(f"\n{len(chosen)} faults of {len(found)}, {len(survivors)} survive")  # noqa: T201 - for docs/evidence.md
    assert survivors == []


def test_a_fault_free_rewriting_kills_nothing() -> None:
    """The control of the test above: the rules as they are decide every line and situation as it is said."""
    assert questions().kill(WithMatrix(RULES.bundle)) is None
