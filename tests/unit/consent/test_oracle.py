"""The public rules against a second statement of them in plain Python: on random situations they never differ."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consent.domain.flow import (
    Action,
    Actor,
    ActorKind,
    Amendment,
    Care,
    Change,
    Flow,
    Motive,
    Reason,
)  # fmt: skip
from services.consent.domain.judging import judge
from services.consent.domain.rules import RULE_ERROR
from tests.cases.life import Expected, Fact, Life
from tests.cases.oracle import Said, Situation, decide
from tests.cases.scene import RULES
from tests.cases.vocabulary import PEOPLE
from tests.chaos.size import size
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    CAREGIVER,
    DAY,
    MOREAU,
    NOTICES,
    ORGANISATION,
    PARENT,
    PERSON,
    PETIT,
    SCOPES,
    Book,
    flow,
    holder,
    paper,
)

HOUR = DAY // 24
_NO = st.sampled_from([False] * 11 + [True])
_YES = _NO.map(lambda each: not each)
_ACTIONS, _KINDS = st.sampled_from(Action), st.sampled_from(get_args(ActorKind))
_PURPOSES = st.sampled_from(
    ["PATRQT", "TREAT", "BTG", "ETREAT", "NOTIFY", "PREVENT", "COVERAGE", "HPAYMT", "CLMATTCH", "EMPLOYMENT", "HMARKT",
     "COMMERCE", "PATADMIN", "HRESCH", "", "treat"]
)  # fmt: skip
_LOOKS = st.sampled_from([Action.LIST, Action.READ])
_CARES, _SEEN = st.just("professional"), st.sampled_from([Action.LIST, Action.READ, Action.EXPORT])
# Who might ask what for what: else nearly every situation would be refused for want of any ground.
_LIKELY = st.sampled_from(
    ["looks", "looks", "looks", "breaks", "breaks", "writes", "reads", "governs", "serves", "speaks", "admits"]
).flatmap(
    {
        "looks": st.tuples(_CARES, _LOOKS, st.just("TREAT")),
        "breaks": st.tuples(_CARES, _LOOKS, st.sampled_from(["BTG", "ETREAT"])),
        "writes": st.tuples(
            _CARES,
            st.sampled_from(
                [Action.DEPOSIT, Action.ANNOUNCE, Action.AMEND, Action.READ_OWN_TRACES] + [Action.DECLARE_CARE] * 3
            ),
            st.just("TREAT"),
        ),
        "reads": st.tuples(st.just("patient"), _SEEN, st.just("PATRQT")),
        "governs": st.tuples(st.just("patient"), _ACTIONS, st.just("PATRQT")),
        "speaks": st.tuples(st.just("representative"), _ACTIONS, st.just("PATRQT")),
        "admits": st.tuples(
            st.just("application"), st.sampled_from([Action.DECLARE_CARE, Action.END_CARE]), st.just("PATADMIN")
        ),
        "serves": st.sampled_from([("service", Action.NOTIFY, "NOTIFY"), ("service", Action.PREVENT, "PREVENT")]),
    }.__getitem__
)
_SOFTWARE = st.sampled_from(
    ["care-software"] * 20 + ["patient-frontend", "service", "", "insurer", "employer", "advertiser", "commercial"]
)
_EVIDENCE = st.sampled_from(
    ["", "patient", "treating-doctor", "code", "admission", "appointment", "declared", "declared", "hearsay"]
)
_LABELS: st.SearchStrategy[frozenset[str]] = st.frozensets(
    st.sampled_from(["MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"]), max_size=1
) | st.just(frozenset())


def _situated(asks: tuple[Any, Action, str], **facts: Any) -> Situation:
    actor, action, purpose = asks
    return Situation(actor, action, purpose, **facts)


def _inheriting(met: Situation, action: Action, dead: bool) -> Situation:
    return replace(met, actor="representative", action=action, purpose="PATRQT", role="heir", deceased=dead)


_ANY = st.builds(
    _situated,
    st.one_of(*[_LIKELY] * 7, st.tuples(_KINDS, _ACTIONS, _PURPOSES)),
    software=_SOFTWARE, name=st.sampled_from(["notifications", "documents", "documents", "statistics"]),
    profession=st.sampled_from(["10", "10", "60", "60", "", "none", "dpo"]), evidence=_EVIDENCE, blocked=_NO,
    opposed=_NO, closed=_NO, ask_me=_NO, exports_opposed=_NO, prevention_opposed=_NO, samu_closed=_NO,
    others_closed=_NO, hidden_open=_NO,
    reasoned=_YES, recent=_YES, declares=st.sampled_from(["", "code", "declared", "admission", "appointment"]),
    minor=st.booleans(), deceased=_NO, stale=_NO, secret=_NO,
    role=st.sampled_from(["", "parent", "parent", "guardian", "family-authorisation", "caregiver", "heir", "cousin"]),
    delegated=_YES, changes=st.sampled_from(["", "authorise", "show-to-representatives", "oppose-heirs"]),
    ends=st.sampled_from(["", "", "authorise", "oppose-heirs"]), heirs_opposed=_NO, motivated=_YES, requested=_YES,
    for_organisation=_YES, own_stay=st.booleans(), word_too_often=_NO,
    adds=_LABELS, removes=_LABELS,
    code_holds=st.booleans(), short_enough=_YES, exists=_YES, own=st.booleans(), hidden=_NO,
    habilitated=_YES, labels=_LABELS,
)  # fmt: skip
# A tenth of the dead, and by who is an heir: else nearly none would be both.
_OF_HEIRS = st.builds(
    _inheriting, _ANY, st.sampled_from([Action.LIST, Action.READ, Action.ASK_AS_HEIR, Action.EXPORT]), _YES
)
_SITUATIONS = st.sampled_from([_ANY] * 9 + [_OF_HEIRS]).flatmap(lambda each: each)


def _by_the_rules(asked: Situation) -> Said:
    found = RULES.judge(*asked.question)
    assert not found.error
    return Said(found.allowed, found.rule)


@pytest.mark.timeout(0)
def test_the_rules_and_the_oracle_never_differ() -> None:
    """Whatever the situation, possible or not, verdict and rule are the second statement's; all rules are met."""
    met: Counter[str] = Counter()

    @settings(max_examples=size(2_000, 100_000), deadline=None)
    @given(_SITUATIONS)
    def search(asked: Situation) -> None:
        expected = decide(asked)
        met[expected.rule] += 1
        assert _by_the_rules(asked) == expected

    search()
    unmet = set(RULES.rules) - {RULE_ERROR, *met}
    assert len(unmet) <= size(len(RULES.rules) // 3, 0), unmet


_PEOPLE = st.sampled_from(
    [CAMILLE, MOREAU, MOREAU, PETIT, PARENT, CAREGIVER, *(PEOPLE[each] for each in (
        "une consœur du cabinet Moreau", "le Dr Moreau, dans une autre structure", "un infirmier",
        "un professionnel de profession inconnue", "le service des avis", "le service des documents", "un assureur",
        "le Dr Moreau, sur un logiciel grand public", "le logiciel du cabinet Moreau, sans personne",
    ))]
)  # fmt: skip
_STRUCTURES = st.sampled_from([
    PEOPLE["le logiciel du cabinet Moreau, sans personne"], PEOPLE["le logiciel du cabinet Petit, sans personne"],
])  # fmt: skip
_CAREGIVERS = st.sampled_from([MOREAU, MOREAU, PETIT, PEOPLE["une consœur du cabinet Moreau"]])
_AIMS = {
    "patient": "PATRQT",
    "representative": "PATRQT",
    "professional": "TREAT",
    "service": "NOTIFY",
    "application": "TREAT",
}
_LASTS = st.sampled_from([None, None, DAY, 7 * DAY])
_SOMEBODY = [PERSON, PERSON, ORGANISATION, f"person:{PETIT.id}", f"organisation:{PETIT.organisation}"]
_TYPES = ["11502-2", "ATTEST-RESID"]
_OF_THE_STAY = ("11502-2", "stay")
_AT = st.integers(0, 5)
_MASK, _UNTOLD, _HIDDEN = "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"
_AMENDMENTS = st.sampled_from([
    Amendment((_MASK,)), Amendment((_MASK,)), Amendment((), (_MASK,)), Amendment((), (_UNTOLD,)),
    Amendment((_MASK,), (_UNTOLD,)), Amendment((), (_UNTOLD, _HIDDEN, _MASK)), Amendment((_MASK,), (_UNTOLD, _HIDDEN)),
    Amendment((_UNTOLD,)), Amendment((_HIDDEN,)), Amendment((), (_HIDDEN,)),
])  # fmt: skip
_STEPS = st.one_of(
    st.tuples(st.just("deposit"), _PEOPLE, st.integers(0, 3), st.sampled_from("ab"), st.sampled_from(["", "MASQUE_PS",
              "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"]), st.sampled_from(_TYPES),
              st.sampled_from([None, "stay"])),
    st.tuples(st.just("ask"), _PEOPLE, _ACTIONS, st.lists(_AT, max_size=2), st.sampled_from(
              ["", "", "", "TREAT", "BTG", "ETREAT", "PREVENT", "COVERAGE", "XYZ"]), st.booleans(),
              st.sampled_from([0, 599, 600, 601, -5, -6]), st.sampled_from([None, "influenza"]), _NO),
    st.tuples(st.just("secretly"), _CAREGIVERS, st.sampled_from([Action.LIST, Action.READ, Action.DEPOSIT]),
              st.sampled_from(["INVISIBLE_REPRESENTANTS_LEGAUX", ""]), _AT),
    st.tuples(st.just("amend"), _CAREGIVERS, _AT, _AMENDMENTS, _NO),
    st.tuples(st.just("represent"), st.sampled_from([(), (PARENT,), (PARENT, CAREGIVER)]), st.sampled_from(
              [SCOPES, ("read",), ("govern",), ("journal", "read")]), st.booleans(), _NO),
    st.tuples(st.just("inherit"), st.sampled_from([(PARENT,), (PARENT, CAREGIVER), ()]), st.sampled_from(
              [("read",), ("read",), ("journal",)]), _YES),
    st.tuples(st.just("plead"), st.sampled_from([PARENT, PARENT, CAREGIVER, CAMILLE, MOREAU]), st.sampled_from(
              ["cause-of-death", "memory", "rights", "curiosity"]), st.sampled_from(["words", "words", "words", None])),
    st.tuples(st.just("care"), _CAREGIVERS, st.sampled_from(["code", "code", "admission", "appointment", "declared"]),
              st.sampled_from([HOUR, DAY, DAY + 1, 7 * DAY, 90 * DAY, -HOUR]), st.sampled_from("kl")),
    st.tuples(st.just("words"), _CAREGIVERS, st.lists(st.sampled_from(["appointment", "declared"]), min_size=3,
              max_size=4)),
    st.tuples(st.just("stay"), _STRUCTURES, st.sampled_from([DAY, 90 * DAY, 90 * DAY + 1])),
    st.tuples(st.just("leave"), _STRUCTURES, _AT),
    st.tuples(st.just("part"), _AT),
    st.tuples(st.just("say"), st.just("block"), st.sampled_from(_SOMEBODY), _LASTS),
    st.tuples(st.just("say"), st.just("authorise"), st.sampled_from([*_SOMEBODY, "profession:60"]), _LASTS),
    st.tuples(st.just("say"), st.just("treating-doctor"), st.sampled_from([PERSON, f"person:{PETIT.id}"]), _LASTS),
    st.tuples(st.just("team"), _LASTS),
    st.tuples(st.just("code"), st.sampled_from("kl"), _LASTS),
    st.tuples(st.just("choose"), st.sampled_from([
        ("close", None), ("ask-me", None), ("open-hidden", None), ("close-emergency", "samu"),
        ("close-emergency", "others"), ("oppose", None), ("oppose-export", None), ("oppose-prevention", None),
        ("oppose-prevention", "topic:influenza"), ("hide", "type:11502-2"), ("hide", "episode:stay"), ("hide", ""),
        ("show-to-representatives", ""), ("show-to-representatives", ""), ("oppose-heirs", None),
        ("preset", "legal"), ("preset", "careful"), ("preset", "closed"),
    ]), _LASTS, _AT),
    st.tuples(st.just("end"), st.integers(0, 2)),
    st.tuples(st.just("end"), st.integers(0, 2)),
    st.tuples(st.just("abandon"), _AT),
    st.tuples(st.just("pass"), st.sampled_from([HOUR, DAY, DAY, 7 * DAY, 30 * DAY - 1, 31 * DAY - 1, 31 * DAY])),
)  # fmt: skip


# Who is asked about after each step, for what; of what is declared, the evidence and how long it is to last.
_TREATED = [MOREAU, PETIT, *(PEOPLE[each] for each in (
    "une consœur du cabinet Moreau", "le Dr Moreau, dans une autre structure", "un infirmier",
))]  # fmt: skip
_BROKEN = [("BTG", 600), ("BTG", 601), ("ETREAT", 601)]
_SAID: list[tuple[Any, int, str | None]] = [
    ("code", DAY, "k"), ("appointment", 7 * DAY, None), ("appointment", 7 * DAY + 1, None), ("declared", DAY, None),
]  # fmt: skip
_HERS = [Action.LIST, Action.EXPORT]
_THEIRS = [Action.LIST, Action.EXPORT, Action.READ_JOURNAL, Action.READ_DIRECTIVES]
_TOPICS = [None, "influenza", "breast-cancer"]


class _Lived:
    """A journal and the oracle's memory of it, written step by step; at each they must say the same."""

    def __init__(self) -> None:
        self.book, self.life = Book(RULES), Life(RULES.habilitated)
        self.begun: list[str] = []
        self.related: list[str] = []  # what was declared, counted or not
        for number, (actor, kind, episode) in enumerate([(PETIT, *_OF_THE_STAY), (MOREAU, _TYPES[0], None)]):
            self._deposit(actor, number, "a", "", kind, episode)

    def take(self, step: tuple[Any, ...]) -> None:
        """Take one step."""
        name, *rest = step
        if name == "pass":
            self.book.now += rest[0]
        elif name == "abandon":
            if (document := self._document(rest[0])) != ABSENT:
                self.book.abandon(document)
                self.life.abandoned.add(document)
        else:
            getattr(self, f"_{name}")(*rest)
        for asked in self._probes():
            self._judged(asked)

    def _probes(self) -> Iterator[Flow]:
        now, reason = self.book.now, Reason("vital", "inconscience")
        yield from (flow(each, Action.LIST) for each in _TREATED)
        yield from (flow(CAMILLE, each) for each in _HERS)
        for each in (PARENT, CAREGIVER):
            yield from (flow(each, action) for action in _THEIRS)
            yield flow(each, Action.READ, self._document(0))
            yield flow(each, Action.ASK_AS_HEIR, motive=Motive("rights", "words"))
        for mine in self.begun[-1:]:
            yield flow(PARENT, Action.CHANGE_DIRECTIVES, change=Change("end", ends=mine))
        yield flow(MOREAU, Action.LIST, secret=True)
        for purpose, ago in _BROKEN:
            yield flow(MOREAU, Action.LIST, purpose=purpose, reason=reason, auth_time=now // 1000 - ago)
        for evidence, lasts, code in _SAID:
            yield flow(MOREAU, Action.DECLARE_CARE, care=Care(evidence, now + lasts, code))
        for topic in _TOPICS:
            yield flow(PEOPLE["le service des documents"], Action.PREVENT, purpose="PREVENT", topic=topic)
        yield flow(NOTICES, Action.NOTIFY, self._document(0))

    def _judged(self, asked: Flow) -> None:
        verdict = judge(self.book.record, asked, self.book.now, RULES)
        outcome, expected = verdict.outcome, self.life.expected(asked, self.book.now)
        released = tuple(each.id for each in verdict.released)
        assert Expected(outcome.verdict, outcome.rule, released, outcome.refused) == expected, asked

    def _document(self, at: int) -> str:
        held = list(self.book.record.documents)
        return held[at] if at < len(held) else ABSENT

    def _put(self, asked: Flow) -> None:
        expected = self.life.expected(asked, self.book.now)
        verdict = self.book.ask(asked)
        outcome = verdict.outcome
        assert (outcome.verdict, outcome.rule, outcome.refused) == (expected.verdict, expected.rule, expected.refused)
        if asked.action is Action.DEPOSIT:
            assert not expected.documents or outcome.document == expected.documents[0]
        else:
            assert tuple(each.id for each in verdict.released) == expected.documents
        allowed = outcome.verdict == "allowed"
        if allowed or asked.care:
            about = outcome.document or ""
            self.life.facts.append(Fact(self.book.now, asked.id, asked, allowed, about, expected.documents))

    def _deposit(  # noqa: PLR0917 - a step's parts, in their order
        self, actor: Actor, number: int, content: str, label: str, kind: str, episode: str | None
    ) -> None:
        what = paper(f"paper {number}", content=content, visibility=(label,) if label else (), code=kind)
        purpose = _AIMS[actor.kind]
        self._put(flow(actor, Action.DEPOSIT, deposit=replace(what, episode=episode), purpose=purpose))

    def _secretly(self, actor: Actor, action: Action, label: str, at: int) -> None:
        deposit = paper("secret", visibility=(label,) if label else ()) if action is Action.DEPOSIT else None
        named = [self._document(at)] if action is Action.READ else []
        self._put(flow(actor, action, *named, deposit=deposit, secret=True))

    def _amend(self, actor: Actor, at: int, amendment: Amendment, secret: bool) -> None:
        self._put(flow(actor, Action.AMEND, self._document(at), amendment=amendment, secret=secret))

    def _inherit(self, heirs: tuple[Actor, ...], scopes: tuple[str, ...], dead: bool) -> None:
        self.book.represent(*(holder(each, "heir", scopes) for each in heirs), deceased=dead)
        self._heard()

    def _heard(self) -> None:
        self.life.represented = said = self.book.record.represented
        if said is not None and not said.deceased:
            self.life.alive_at = len(self.life.facts)

    def _plead(self, actor: Actor, motive: str, words: str | None) -> None:
        asked = flow(actor, Action.ASK_AS_HEIR, purpose=_AIMS[actor.kind], motive=Motive(motive, words))
        self._put(asked)

    def _represent(self, holders: tuple[Actor, ...], scopes: tuple[str, ...], minor: bool, dead: bool) -> None:
        held = [holder(each, "parent" if each is PARENT else "caregiver", scopes) for each in holders]
        self.book.represent(*held, minor=minor, deceased=dead)
        self._heard()

    def _ask(  # noqa: PLR0917
        self,
        actor: Actor,
        action: Action,
        documents: list[int],
        purpose: str,
        reasoned: bool,
        ago: int,
        topic: str | None,
        stale: bool,
    ) -> None:
        named = [self._document(each) for each in documents]
        asked = flow(
            actor, action, *named, purpose=purpose or _AIMS[actor.kind], topic=topic,
            reason=Reason("vital", "inconscience") if reasoned else None, auth_time=self.book.now // 1000 - ago,
            stale=stale,
        )  # fmt: skip
        if action is Action.DEPOSIT:
            asked = replace(asked, documents=(), deposit=paper("another"))
        elif action is Action.CHANGE_DIRECTIVES:
            asked = replace(asked, documents=(), change=Change("authorise", PERSON))
        elif action is Action.END_CARE:
            asked = replace(asked, documents=(), change=self._ending(0))
        elif action is Action.DECLARE_CARE:
            asked = replace(asked, documents=(), care=Care("declared", self.book.now + DAY))
        elif action is Action.AMEND:
            asked = replace(asked, amendment=Amendment(("MASQUE_PS",), ("INVISIBLE_PATIENT",)))
        self._put(asked)

    def _care(self, actor: Actor, evidence: Any, lasts: int, code: str) -> None:
        care = Care(evidence, self.book.now + lasts, code if evidence == "code" else None)
        asked = flow(actor, Action.DECLARE_CARE, care=care)
        self.related.append(asked.id)
        self._put(asked)

    def _words(self, actor: Actor, evidence: list[Any]) -> None:
        for each in evidence:
            self._care(actor, each, HOUR, "")

    def _stay(self, structure: Actor, lasts: int) -> None:
        care = Care("admission", self.book.now + lasts)
        asked = flow(structure, Action.DECLARE_CARE, care=care, purpose="PATADMIN")
        self.related.append(asked.id)
        self._put(asked)

    def _leave(self, structure: Actor, at: int) -> None:
        self._put(flow(structure, Action.END_CARE, change=self._ending(at), purpose="PATADMIN"))

    def _part(self, at: int) -> None:
        self._put(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=self._ending(at)))

    def _ending(self, at: int) -> Change:
        """Return the end of what was declared, counted from the newest."""
        return Change("end", ends=self.related[-1 - at % len(self.related)] if self.related else "none")

    def _begin(self, change: Change) -> None:
        asked = flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=change)
        if change.kind != "end":
            # Of a preset one piece is ended at a time.
            self.begun.append(f"{asked.id}.1" if change.kind == "preset" else asked.id)
        self._put(asked)

    def _until(self, lasts: int | None) -> int | None:
        return None if lasts is None else self.book.now + lasts

    def _say(self, kind: Any, subject: str, lasts: int | None) -> None:
        self._begin(Change(kind, subject, self._until(lasts)))

    def _team(self, lasts: int | None) -> None:
        self._begin(Change("authorise", "team", self._until(lasts), members=(PERSON, f"person:{PETIT.id}")))

    def _code(self, code: str, lasts: int | None) -> None:
        self._begin(Change("code", until=self._until(lasts), members=(code,)))

    def _choose(self, choice: tuple[Any, str | None], lasts: int | None, at: int) -> None:
        kind, subject = choice
        until = None if kind == "preset" else self._until(lasts)
        self._begin(Change(kind, self._document(at) if subject == "" else subject, until))

    def _end(self, at: int) -> None:
        if self.begun:
            # Counted from the newest: what was just said is taken back most.
            self._begin(Change("end", ends=self.begun[-1 - at % len(self.begun)]))


@pytest.mark.timeout(0)
@settings(max_examples=size(150, 5_000), deadline=None)
@given(st.lists(_STEPS, min_size=4, max_size=25))
def test_a_record_and_its_past_never_differ(steps: list[tuple[Any, ...]]) -> None:
    """Whatever happened before, the verdict on the folded state is the one on the past itself, documents included."""
    lived = _Lived()
    for step in steps:
        lived.take(step)


def test_of_two_labels_asked_at_once_only_what_was_allowed_is_changed() -> None:
    """An amendment that names another's document beside one's own changes one's own: a life that the campaign found."""
    lived = _Lived()
    named = lived.book.record.documents
    lived._put(flow(MOREAU, Action.AMEND, *named, amendment=Amendment(("MASQUE_PS",), ())))
    lived.take(("pass", HOUR))
