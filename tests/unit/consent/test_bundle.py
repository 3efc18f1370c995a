"""A bundle is its texts: all of them count, and what cannot be told apart into public rules is not loaded."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consent.domain.bundle import SCHEMA, SUBJECTS, TABLE, Bundle
from services.consent.domain.rules import FILES, POLICIES, RULE_ERROR, Rules, RulesBroken, rules_of
from tests.unit.consent.people import RULES
from tests.unit.consent.variants import PACKAGE, POLICY, changed, planted, with_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the package's bundle."""
    shutil.copytree(POLICIES, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_folder_and_its_texts_are_the_same_rules(folder: Path) -> None:
    """Read from the disk or given as texts, a bundle has one digest, and its rules another object only."""
    assert Bundle.read(folder).digest == PACKAGE.digest == RULES.digest
    assert Rules(Bundle(dict(PACKAGE.texts))).rules == RULES.rules


@pytest.mark.parametrize("name", sorted(PACKAGE.texts))
def test_every_text_counts(folder: Path, name: str) -> None:
    """A remark added to any file, the schema and the table included, is another bundle."""
    text = PACKAGE.texts[name]
    remark = "# a remark\n" if name.endswith(".csv") else "// a remark\n"
    (folder / name).write_text(text + remark, encoding="utf-8")
    assert Rules(folder).digest != RULES.digest


def test_a_text_that_moves_to_another_subject_counts() -> None:
    """The same rules under another subject give other reasons, so they have another digest."""
    moved = Bundle({**{n: t for n, t in PACKAGE.texts.items() if n != "programmes.cedar"},
                    "minors.cedar": PACKAGE.texts["programmes.cedar"]})  # fmt: skip
    assert moved.digest != PACKAGE.digest
    assert Rules(moved).rules["notice-without-content"].file == "minors"


def test_the_end_of_a_line_does_not_count(folder: Path) -> None:
    """A checkout on another system has the same digest."""
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert Bundle.read(folder).digest == PACKAGE.digest


def test_subjects_stand_in_their_order_of_precedence() -> None:
    """Whatever order the files come in, a red line is the first reason and a programme the last."""
    shuffled = Bundle(dict(reversed(list(PACKAGE.texts.items()))))
    assert tuple(shuffled.policies) == FILES == tuple(each for each in SUBJECTS if each in FILES)
    assert list(Rules(shuffled).rules) == list(RULES.rules)
    assert shuffled.digest == PACKAGE.digest


def test_a_new_subject_is_loaded(folder: Path) -> None:
    """A file of a subject that the package has no rules of yet is part of the bundle."""
    (folder / "minors.cedar").write_text(POLICY, encoding="utf-8")
    rules = Rules(folder)
    assert rules.rules["planted"].file == "minors"
    assert list(rules.bundle.policies).index("minors") == 2


@pytest.mark.parametrize("name", ["red_line.cedar", "Red_lines.cedar", "notes.cedar", "other.cedarschema"])
def test_an_unknown_file_is_refused(folder: Path, name: str) -> None:
    """A rule under a misspelt subject would never be read as what it is."""
    (folder / name).write_text(POLICY, encoding="utf-8")
    with pytest.raises(RulesBroken, match=name):
        Bundle.read(folder)


def test_a_page_of_notes_beside_the_rules_is_no_rule(folder: Path) -> None:
    """What looks like none of a bundle's files is neither read nor refused."""
    (folder / "README.md").write_text("notes", encoding="utf-8")
    assert Bundle.read(folder).digest == PACKAGE.digest


@pytest.mark.parametrize("name", [SCHEMA, TABLE])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    """A bundle without its schema or its table is none."""
    (folder / name).unlink()
    with pytest.raises(RulesBroken, match=name):
        Bundle.read(folder)


def test_a_folder_without_rules_is_none(tmp_path: Path, folder: Path) -> None:
    """Neither a folder that is absent nor one that holds no policy."""
    with pytest.raises(RulesBroken, match="no folder"):
        Bundle.read(tmp_path / "nowhere")
    for file in folder.glob("*.cedar"):
        file.unlink()
    with pytest.raises(RulesBroken, match="no rule"):
        Bundle.read(folder)


def test_a_text_that_is_not_utf_8_is_refused(folder: Path) -> None:
    """A file in another encoding would be read as other words."""
    (folder / "directives.cedar").write_bytes('@fr("Décidé.")'.encode("latin-1"))
    with pytest.raises(RulesBroken, match="UTF-8"):
        Bundle.read(folder)


@pytest.mark.parametrize(
    "policy",
    [
        POLICY.replace('"planted"', f'"{RULE_ERROR}"'),
        POLICY.replace("principal is Professional", "principal == ?principal"),
    ],
    ids=["a built-in rule's name", "a template"],
)
def test_what_decides_nothing_or_pretends_is_refused(policy: str) -> None:
    """No rule takes a built-in rule's name, and a template, which Cedar would leave out, is not passed over."""
    with pytest.raises(RulesBroken):
        Rules(planted(policy))


def test_a_broken_table_is_a_broken_bundle() -> None:
    """Rules do not load with a matrix that cannot be believed, and the line is named."""
    with pytest.raises(RulesBroken, match="line 3"):
        Rules(with_table("# authoritative: x\nprofession,type,read,source\n10,T,perhaps,x\n"))


def test_a_condition_is_told_as_its_author_wrote_it() -> None:
    """Remarks are left out, words in quotes are kept whatever they hold."""
    text = (
        '// A remark; with a semicolon and a "quote.\n'
        '@id("one")  // another; remark\n@law("a \\"law\\"; b") @fr("Une // phrase ; entière.")\n'
        "forbid (principal, action, resource)  // to be left out\n"
        'when { context.purpose == "a; // b \\" c" };\n'
        '@id("two") @law("l") @fr("f") permit (principal, action, resource);// the end; of it\n'
    )
    rules = rules_of(planted(text, "programmes.cedar"))
    assert rules["one"].condition == (
        'forbid (principal, action, resource)\nwhen { context.purpose == "a; // b \\" c" };'
    )
    assert (rules["one"].law, rules["one"].sentence) == ('a "law"; b', "Une // phrase ; entière.")
    assert rules["two"].condition == "permit (principal, action, resource);"
    assert all(rule.condition for rule in rules.values() if rule.file)


_WORDS = st.text(st.sampled_from("ab;/ @(){}'é\n"), max_size=12)


@given(st.lists(st.tuples(_WORDS, _WORDS), min_size=1, max_size=5))
def test_rules_are_told_apart_whatever_their_words(said: list[tuple[str, str]]) -> None:
    """Semicolons, slashes and brackets in texts and remarks never merge two rules, split one or lose its words."""
    policies = "".join(
        f'// {remark.replace(chr(10), " ")}\n@id("r{number}") @law("loi") @fr("x{sentence}")\n'
        f'permit (principal, action, resource) when {{ context.purpose == "{sentence}" }};'
        for number, (sentence, remark) in enumerate(said)
    )
    rules = rules_of(planted(policies, "programmes.cedar"))
    for number, (sentence, _) in enumerate(said):
        assert rules[f"r{number}"].sentence == f"x{sentence}"
        assert rules[f"r{number}"].condition.endswith(f'context.purpose == "{sentence}" }};')


def test_rules_say_the_same_wherever_their_lines_break() -> None:
    """Layout and remarks do not make another rule; a word of its condition does, a space within quotes too."""
    rule = RULES.rules["red-line-insurance"]
    broken = changed("when { context.application_kind ==", "when {\n  // remark\n  context.application_kind ==",
                     "red_lines.cedar")  # fmt: skip
    assert rules_of(broken)["red-line-insurance"].says_as(rule)
    for old, new in (('"insurer"', '"insurer "'), ("||", "&&"), ("Un assureur", "Un  assureur")):
        assert not rules_of(changed(old, new, "red_lines.cedar"))["red-line-insurance"].says_as(rule)
