"""Who acts for somebody, within what; and what a minor keeps from them leaves no hole in anything they see."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consent.domain.delegation import SCOPES as KNOWN_SCOPES
from services.consent.domain.delegation import read_delegations
from services.consent.domain.flow import Action, Actor, Amendment, Care, Change
from services.consent.domain.previewing import known_to, scene, see
from services.consent.domain.record import Record, confidence
from services.consent.domain.rules import RulesBroken
from services.consent.domain.viewers import representatives
from tests.unit.consent.lives import openly
from tests.unit.consent.people import (
    CAMILLE,
    CAREGIVER,
    COLLEAGUE,
    DAY,
    MONTH,
    MOREAU,
    NOTICES,
    OTHER_PARENT,
    PARENT,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    Book,
    flow,
    holder,
    minor,
    paper,
)

HIDDEN = "INVISIBLE_REPRESENTANTS_LEGAUX"
SECRET = paper("secret", visibility=(HIDDEN,))
CODE = "d" * 43


def judged(book: Book, actor: Actor, action: Action, *documents: str, **more: Any) -> tuple[str, str]:
    """Return the verdict and the rule of a flow, which is written."""
    outcome = book.ask(flow(actor, action, *documents, **more)).outcome
    return outcome.verdict, outcome.rule


_GOVERNS = {"change": Change("authorise", PERSON)}
_ACTS: list[tuple[Action, dict[str, Any], str]] = [
    (Action.LIST, {}, "read"), (Action.EXPORT, {}, "read"), (Action.READ_JOURNAL, {}, "journal"),
    (Action.READ_DIRECTIVES, {}, "govern"), (Action.CHANGE_DIRECTIVES, _GOVERNS, "govern"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "about", "scope"), _ACTS)
@pytest.mark.parametrize(("role", "rule"), [
    ("parent", "parental-authority"), ("guardian", "guardian"), ("family-authorisation", "family-authorisation"),
])  # fmt: skip
def test_a_representative_does_what_the_scope_lets_him(
    role: str, rule: str, action: Action, about: dict[str, Any], scope: str
) -> None:
    """With the scope the role's own rule allows it; with every other scope, and not this one, it is beyond."""
    assert judged(minor(holder(PARENT, role, (scope,))), PARENT, action, **about) == ("allowed", rule)
    others = tuple(KNOWN_SCOPES - {scope})
    assert judged(minor(holder(PARENT, role, others)), PARENT, action, **about) == ("refused", "beyond-delegation")


@pytest.mark.parametrize(("action", "about", "_scope"), _ACTS)
def test_a_caregiver_neither_governs_nor_copies(action: Action, about: dict[str, Any], _scope: str) -> None:
    """The limits of the national app hold whatever scopes a caregiver was given."""
    book = minor(holder(CAREGIVER, "caregiver"))
    allowed = action in {Action.LIST, Action.READ_JOURNAL}
    expected = ("allowed", "caregiver") if allowed else ("refused", "beyond-delegation")
    assert judged(book, CAREGIVER, action, **about) == expected


def test_what_is_under_study_is_data() -> None:
    """Turned on in the table, a caregiver's copy is allowed; said to be under study, it is not."""
    line = "caregiver,export,read,{},somewhere\n"
    header = "role,action,scope,state,source\n"
    assert read_delegations(header + line.format("in-force")).allow("caregiver", "export", ("read",))
    assert not read_delegations(header + line.format("under-study")).allow("caregiver", "export", ("read",))


@pytest.mark.parametrize(("line", "fault"), [
    ("cousin,read,read,in-force,x", "'cousin' is no role"), ("parent,announce,read,in-force,x", "is no action"),
    ("parent,read,everything,in-force,x", "is no scope"), ("parent,read,read,perhaps,x", "is no state"),
    ("parent,read,read,in-force,", "no source"), ("parent,read,read", "3 fields"),
    ("parent,list,read,in-force,x\nparent,list,read,in-force,x", "said before"),
])  # fmt: skip
def test_a_table_that_cannot_be_believed_delegates_nothing(line: str, fault: str) -> None:
    """Each fault is named with its line."""
    with pytest.raises(RulesBroken, match=fault):
        read_delegations(f"role,action,scope,state,source\n{line}\n")


def test_two_parents_one_and_none() -> None:
    """Both holders of parental authority act alike; whoever holds it no more, or never did, is refused."""
    book = minor(holder(PARENT), holder(OTHER_PARENT))
    for each in (PARENT, OTHER_PARENT):
        assert judged(book, each, Action.LIST) == ("allowed", "parental-authority")
    book.represent(holder(PARENT), minor=True)
    assert judged(book, OTHER_PARENT, Action.LIST) == ("refused", "not-a-representative")
    book.represent(minor=True)
    assert judged(book, PARENT, Action.LIST) == ("refused", "not-a-representative")


def test_parental_authority_ends_at_18_whatever_the_list_of_holders_says() -> None:
    """Of a person who is said to be of age, a parent is refused even where the holders still name him."""
    book = minor()
    book.represent(holder(PARENT), minor=False)
    assert judged(book, PARENT, Action.LIST) == ("refused", "parent-of-an-adult")
    assert judged(book, CAMILLE, Action.LIST) == ("allowed", "patient-own-record")


def test_news_that_are_late_refuse() -> None:
    """While nobody can tell who represents whom, those who act for others are refused, and she herself is not."""
    book = minor()
    assert judged(book, PARENT, Action.LIST, stale=True) == ("refused", "projection-stale")
    assert judged(book, CAMILLE, Action.LIST, stale=True) == ("allowed", "patient-own-record")


@pytest.mark.parametrize("actor", [CAMILLE, PARENT, MOREAU], ids=lambda each: each.name)
def test_death_closes_reading(actor: Actor) -> None:
    """Nobody reads any more, nobody governs; what is still to be filed about the person may be."""
    book = minor()
    book.say("authorise", PERSON)
    document = book.deposit(paper(), by=PETIT)
    book.represent(holder(PARENT), minor=True, deceased=True)
    assert judged(book, actor, Action.READ, document) == ("refused", "deceased")
    assert judged(book, PETIT, Action.DEPOSIT, deposit=paper("last"))[0] == "allowed"


def test_a_secret_document_is_absent_to_a_parent_and_there_for_the_minor() -> None:
    """Asked for by its name it is what never was; the list does not count it; the minor reads it."""
    book = minor()
    secret = book.deposit(SECRET, by=COLLEAGUE)
    named, absent = book.ask(flow(PARENT, Action.READ, secret)), book.ask(flow(PARENT, Action.READ, "z" * 26))
    assert (named.main, named.reserved) == (absent.main, ())
    whole = book.ask(flow(PARENT, Action.LIST))
    assert (whole.outcome.verdict, whole.outcome.count, whole.outcome.refused, whole.reserved) == ("allowed", 0, (), ())
    assert book.ask(flow(CAMILLE, Action.READ, secret)).outcome.allowed == (secret,)
    assert book.entries[-1].stream == secret


def test_what_she_shows_is_shown_for_good() -> None:
    """The stream opens whole; nothing hides it again: not her, not another deposit of it."""
    book = minor()
    secret = book.deposit(SECRET, by=COLLEAGUE)
    book.ask(flow(CAMILLE, Action.READ, secret))
    book.say("show-to-representatives", secret)
    theirs = [each for each in book.tells("representative") if each["stream"] == secret]
    assert [each["action"] for each in theirs] == ["deposit", "read"]
    assert book.ask(flow(PARENT, Action.READ, secret)).outcome.allowed == (secret,)
    book.ask(flow(COLLEAGUE, Action.DEPOSIT, deposit=SECRET))
    assert book.ask(flow(PARENT, Action.READ, secret)).outcome.allowed == (secret,)
    assert book.record.documents[secret].visibility_at(book.now) == ()


def test_nobody_shows_it_for_her() -> None:
    """A parent who tries is refused by a rule of its own, and alike for what is not there."""
    book = minor()
    secret = book.deposit(SECRET, by=COLLEAGUE)
    for subject in (secret, "z" * 26):
        change = Change("show-to-representatives", subject)
        assert judged(book, PARENT, Action.CHANGE_DIRECTIVES, change=change) == ("refused", "only-hers-to-show")
    assert book.record.documents[secret].secret


def test_a_choice_about_a_secret_is_as_secret() -> None:
    """What she hides of it from professionals, and takes back, stands where the document does."""
    book = minor()
    secret = book.deposit(SECRET, by=COLLEAGUE)
    before = book.tells("representative")
    hide = book.say("hide", secret)
    assert hide not in book.record.known_to("representative", book.now).directives
    book.say("end", ends=hide)
    assert book.tells("representative") == before
    assert [each.stream for each in book.entries[-2:]] == [secret, secret]


def test_a_result_that_is_both_opens_for_her_alone() -> None:
    """Not announced and secret: announced, or after a month, it is hers; her parents still know of nothing."""
    book = minor()
    book.say("authorise", PERSON)
    both = book.deposit(paper("both", visibility=(HIDDEN, "INVISIBLE_PATIENT")), by=COLLEAGUE)
    before = book.tells("representative")
    assert judged(book, MOREAU, Action.ANNOUNCE, both)[0] == "allowed"
    assert book.tells("representative") == before
    assert book.ask(flow(CAMILLE, Action.READ, both)).outcome.allowed == (both,)
    book.now += MONTH
    assert book.ask(flow(PARENT, Action.LIST)).outcome.count == 0


def test_a_secret_consultation_stands_apart() -> None:
    """The list that a professional opens in secret, and the code that she gave him for it, are in her own stream."""
    book = minor()
    code = book.say("code", until=book.now + DAY, members=(CODE,))
    open_, secret = book.deposit(paper(), by=COLLEAGUE), book.deposit(SECRET, by=COLLEAGUE)
    before = book.tells("representative")
    shown = Care("code", book.now + DAY, CODE)
    assert judged(book, PETIT, Action.DECLARE_CARE, care=shown, secret=True) == ("allowed", "care-declared")
    verdict = book.ask(flow(PETIT, Action.LIST, secret=True))
    assert [each.id for each in verdict.released] == [secret]
    assert book.tells("representative") == before
    assert {each.stream for each in book.entries[-3:]} == {confidence(RECORD), secret}
    told = [each["phrase"] for each in book.tells("patient") if each["stream"] == confidence(RECORD)]
    assert all("en connexion secrète" in each for each in told)
    assert code in book.record.directives
    assert judged(book, PETIT, Action.READ, open_, secret=True) == ("refused", "secret-shows-secrets-only")


@pytest.mark.parametrize("evidence", ["declared", "appointment", "admission"])
def test_in_secret_only_her_code_counts(evidence: Any) -> None:
    """Nobody could tell her of his word without telling her parents: it is not taken."""
    care = Care(evidence, Book().now + DAY // 24)
    book = minor()
    assert judged(book, PETIT, Action.DECLARE_CARE, care=care, secret=True) == ("refused", "secret-needs-her-code")


def test_in_secret_only_secrets_come_in() -> None:
    """A document that her parents would see is refused; one that they do not see comes in, as secret as it says."""
    book = minor()
    before = book.tells("representative")
    refused = judged(book, PETIT, Action.DEPOSIT, deposit=paper("open"), secret=True)
    assert refused == ("refused", "secret-deposits-are-secret")
    assert judged(book, PETIT, Action.DEPOSIT, deposit=SECRET, secret=True)[0] == "allowed"
    assert book.tells("representative") == before


def test_there_is_no_secret_consultation_of_an_adult() -> None:
    """Nobody hides what he does from the person herself, nor from an adult's guardian, by calling it secret."""
    book = Book()
    book.say("authorise", PERSON)
    assert judged(book, MOREAU, Action.LIST, secret=True) == ("refused", "secret-needs-a-minor")
    assert "secret-needs-a-minor" in [each.get("rule", {}).get("id") for each in book.tells("patient")]


def test_seen_through_a_parent_s_eyes() -> None:
    """The minor reads which documents her parents do not see, and why; a parent looking learns of nothing."""
    book = minor()
    open_, secret = book.deposit(paper(), by=COLLEAGUE), book.deposit(SECRET, by=COLLEAGUE)
    for asker, hidden in ((CAMILLE, {secret: "secret-from-representatives"}), (PARENT, {})):
        looked = known_to(book.record, flow(asker, Action.LIST), book.now, RULES)
        (viewer,) = representatives(looked)
        sight = see(scene(looked, book.now), viewer, RULES)
        assert (set(sight.shown), sight.hidden) == ({open_}, hidden)


_STEPS = st.lists(
    st.sampled_from(
        ["deposit", "theirs", "hers", "his", "strangers", "directive", "read", "notify", "journal", "amend", "hour"]
    ),
    max_size=12,
)
_SECRETS = st.lists(
    st.sampled_from(
        [
            "deposit",
            "hers",
            "read",
            "list",
            "code",
            "notify",
            "hide",
            "announce",
            "conflict",
            "parent",
            "amend",
        ]
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS, secrets=st.lists(_SECRETS, min_size=12, max_size=12))
def test_with_and_without_secrets_a_parent_sees_the_same(steps: list[str], secrets: list[list[str]]) -> None:
    """Journal, numbers, counts, choices and sights: whatever is kept from a parent leaves no hole in any of them."""
    plain, full = minor(), minor()
    for book in (plain, full):
        book.say("authorise", PERSON)
        book.say("code", members=(CODE,))
    for number, (step, hidden) in enumerate(zip(steps, secrets, strict=False)):
        for each in hidden:
            _secretly(full, each, number)
        for book in (plain, full):
            openly(book, step, number)
        assert plain.tells("representative") == full.tells("representative")
        assert _known(plain.record, plain.now) == _known(full.record, full.now)


def _known(record: Record, now: int) -> tuple[Any, ...]:
    known = record.known_to("representative", now)
    directives = [(each.kind, each.since, each.until) for each in known.directives.values()]
    care = [(each.evidence, each.subject) for each in known.care.values()]
    return len(known.documents), directives, care, record.n


def _secretly(book: Book, step: str, number: int) -> None:
    secrets = [each for each in book.record.documents.values() if each.secret]
    # She names what she knows of.
    known = [each.id for each in secrets if step not in {"hers", "hide"} or not each.unannounced(book.now)]
    if step == "deposit" or not known:
        both = (HIDDEN, "INVISIBLE_PATIENT") if number % 2 else (HIDDEN,)
        book.ask(flow(PETIT, Action.DEPOSIT, deposit=paper(f"s {number}", visibility=both), secret=number % 3 > 0))
        return
    match step:
        case "hers":
            book.ask(flow(CAMILLE, Action.READ, *known))
        case "conflict":
            book.ask(flow(PETIT, Action.DEPOSIT, deposit=paper("secret", content="other", visibility=(HIDDEN,))))
        case "notify":
            book.ask(flow(NOTICES, Action.NOTIFY, *known))
        case "hide":
            book.ask(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change("hide", known[0])))
        case "amend":
            _amend(book, known[0], secret=number % 2 > 0)
        case "announce":
            book.ask(flow(MOREAU, Action.ANNOUNCE, *known))
        case "code":
            care = Care("code", book.now + DAY, CODE)
            book.ask(flow(PETIT, Action.DECLARE_CARE, care=care, secret=True))
        case "list":
            book.ask(flow(PETIT, Action.LIST, secret=True))
        case _:
            book.ask(flow(MOREAU, Action.READ, *known))


def _amend(book: Book, document: str, *, secret: bool) -> None:
    mask, both = Amendment(("MASQUE_PS",)), Amendment((), ("MASQUE_PS", "INVISIBLE_PATIENT"))
    for by, wanted in ((PETIT, mask), (PETIT, both), (PETIT, Amendment((), (HIDDEN,))), (MOREAU, mask)):
        book.ask(flow(by, Action.AMEND, document, amendment=wanted, secret=secret))
