"""The table of cases, as a lawyer reads it, before the rules: each line's verdict, its rule and its law."""

from collections import Counter

import pytest

from services.consent.domain.rules import RULE_ERROR
from tests.cases.scene import BEHIND_JUDGING, RULES, played
from tests.cases.table import VOCABULARY, Line, read

LINES = read()
# Where rules fail (test_rules); and second walls: what somebody may not know of is not even asked about.
_ELSEWHERE = {RULE_ERROR, *BEHIND_JUDGING}


def _name(line: Line) -> str:
    return f"{line.number}"


@pytest.mark.parametrize("line", LINES, ids=_name)
def test_a_case_is_decided_by_its_rule(line: Line) -> None:
    """Each line gets its verdict, by its rule."""
    assert played(line).judged(RULES) == (line.verdict, line.rule), line


def test_the_table_is_long_enough_to_be_a_table() -> None:
    """At least three hundred situations of life, each written once, numbered in order."""
    assert len(LINES) >= 300
    assert [each.number for each in LINES] == list(range(1, len(LINES) + 1))
    assert len({each[1:] for each in LINES}) == len(LINES)


def test_each_word_is_in_the_vocabulary_and_is_used() -> None:
    """Nothing is said that has no meaning, and no word waits for a line."""
    used: set[tuple[str, str]] = set()
    for each in LINES:
        used |= each.words()
    assert used == {(column, word) for column, words in VOCABULARY.items() for word in words}


@pytest.mark.parametrize("line", LINES, ids=_name)
def test_the_law_is_the_rule_s_own(line: Line) -> None:
    """What the table gives as the law is what the public rule cites."""
    assert line.law == RULES[line.rule].law


def test_every_rule_decides_at_least_three_lines() -> None:
    """No rule stands in the files that the table hardly meets, but for those that are met elsewhere."""
    met = Counter(each.rule for each in LINES)
    assert {rule: met[rule] for rule in RULES.rules if rule not in _ELSEWHERE and met[rule] < 3} == {}
    assert set(met) <= set(RULES.rules)
