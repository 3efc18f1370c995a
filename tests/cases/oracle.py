"""The rules said a second time, in plain Python, from the law, the patient's sentences and the issue; not from Cedar.

`decide` judges one situation; `Life` is what a journal tells, looked up anew at each question instead of folded. Where
it and the public rules differ, one of them is wrong.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from services.consent.domain.flow import Action, Actor, ActorKind, Flow
from services.consent.domain.representation import Representation

_DAY: Final = 24 * 3_600_000
_LOOKING: Final = {Action.LIST, Action.READ}
# Who announces a result tells what it says: he must be one who may read it.
_KNOWING: Final = _LOOKING | {Action.ANNOUNCE}
# What touches a document that must be there.
_TOUCHING: Final = _LOOKING | {Action.EXPORT, Action.NOTIFY, Action.ANNOUNCE, Action.AMEND}
# What a professional says of the care relation without her part in it.
_HIS_WORD: Final = {"declared", "appointment", "admission"}
_URGENT: Final = {"BTG", "ETREAT"}

# What no agreement makes lawful: whose software it may not be, and what for.
_NEVER: Final[dict[str, tuple[str, set[str]]]] = {
    "red-line-insurance": ("insurer", {"COVERAGE", "HPAYMT", "CLMATTCH"}),
    "red-line-employment": ("employer", {"EMPLOYMENT"}),
    "red-line-advertising": ("advertiser", {"HMARKT"}),
    "red-line-commerce": ("commercial", {"COMMERCE"}),
}
_BY_EVIDENCE: Final = {
    "patient": "authorised-by-patient",
    "treating-doctor": "treating-doctor",
    "code": "one-time-code",
    "admission": "admission",
    "appointment": "appointment",
    "declared": "declared-consent",
}
_NOT_FOR_PARENTS: Final = "INVISIBLE_REPRESENTANTS_LEGAUX"
_SHOWS: Final = "show-to-representatives"
# What takes no evidence: a professional says that he treats her, or reads again what he asked himself.
# Of labels it is the depositor: whoever else has met an objection.
_OF_CARE: Final = {
    Action.DECLARE_CARE: "care-declared",
    Action.AMEND: "depositor-amends",
    Action.READ_OWN_TRACES: "read-own-traces",
}
# Who may act for her, and the rule that says so.
_IN_HER_PLACE: Final = {
    "parent": "parental-authority",
    "guardian": "guardian",
    "family-authorisation": "family-authorisation",
    "caregiver": "caregiver",
}
# What of it takes which part of the representation; a caregiver neither governs nor copies.
_TAKES: Final = {
    Action.LIST: "read",
    Action.READ: "read",
    Action.EXPORT: "read",
    Action.READ_JOURNAL: "journal",
    Action.READ_DIRECTIVES: "govern",
    Action.CHANGE_DIRECTIVES: "govern",
}
# The dead's heirs: they ask, then look (L.1110-4 V), and nothing else.
_AN_HEIR_S: Final = _LOOKING | {Action.ASK_AS_HEIR}
_MOTIVES: Final = {"cause-of-death", "memory", "rights"}
_NOT_A_CAREGIVER_S: Final = {Action.EXPORT, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES}
_HER_OWN: Final = _LOOKING | {Action.EXPORT, Action.READ_JOURNAL, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES}


@dataclass(frozen=True, slots=True)
class Situation:
    """All that may matter to a verdict about one document, or about none; `name` is a service's."""

    actor: ActorKind
    action: Action
    purpose: str
    software: str
    name: str = ""
    profession: str = ""
    evidence: str = ""
    blocked: bool = False
    opposed: bool = False
    closed: bool = False
    ask_me: bool = False
    exports_opposed: bool = False
    prevention_opposed: bool = False
    samu_closed: bool = False
    others_closed: bool = False
    hidden_open: bool = False
    reasoned: bool = False
    recent: bool = False
    minor: bool = False
    deceased: bool = False
    stale: bool = False
    secret: bool = False
    role: str = ""
    delegated: bool = False
    changes: str = ""
    adds: frozenset[str] = frozenset()
    removes: frozenset[str] = frozenset()
    ends: str = ""
    heirs_opposed: bool = False
    motivated: bool = False
    requested: bool = False
    declares: str = ""
    for_organisation: bool = False
    own_stay: bool = False
    word_too_often: bool = False
    code_holds: bool = False
    short_enough: bool = False
    exists: bool = False
    own: bool = False
    hidden: bool = False
    habilitated: bool = False
    labels: frozenset[str] = frozenset()

    @property
    def question(self) -> tuple[tuple[str, str], Action, dict[str, Any]]:
        """The same as the public rules are asked it."""
        context = {
            "purpose": self.purpose, "profession": self.profession, "application_kind": self.software,
            "evidence": self.evidence, "blocked": self.blocked, "opposed": self.opposed, "closed": self.closed,
            "ask_me": self.ask_me, "exports_opposed": self.exports_opposed,
            "prevention_opposed": self.prevention_opposed, "declares": self.declares, "code_holds": self.code_holds,
            "short_enough": self.short_enough,
            "for_organisation": self.for_organisation,
            "own_stay": self.own_stay,
            "word_too_often": self.word_too_often,
            "minor": self.minor, "deceased": self.deceased, "stale": self.stale, "secret": self.secret,
            "role": self.role, "delegated": self.delegated, "changes": self.changes,
            "adds": sorted(self.adds), "removes": sorted(self.removes),
            "ends": self.ends, "heirs_opposed": self.heirs_opposed, "motivated": self.motivated,
            "requested": self.requested,
            "emergency": {
                "samu_closed": self.samu_closed, "others_closed": self.others_closed, "hidden_open": self.hidden_open,
                "reasoned": self.reasoned, "recent": self.recent,
            },
            "document": {
                "exists": self.exists, "own": self.own, "hidden": self.hidden, "habilitated": self.habilitated,
                "visibility": sorted(self.labels), "type_code": "", "class_code": "",
            },
        }  # fmt: skip
        return (self.actor.capitalize(), self.name), self.action, context


class Said(NamedTuple):
    """A verdict about one situation, and the rule that gives it."""

    allowed: bool
    rule: str


def decide(asked: Situation) -> Said:
    """Return the verdict: the first objection refuses; without any, what the law knows as a ground allows."""
    for objection in _objections(asked):
        return Said(allowed=False, rule=objection)
    ground = _ground(asked)
    return Said(ground is not None, ground or "no-legal-basis")


def _objections(asked: Situation) -> Iterator[str]:
    """Return what speaks against it, the weightiest reason first."""
    for line, (software, purposes) in _NEVER.items():
        if asked.software == software or asked.purpose in purposes:
            yield line
    yield from _of_the_document(asked)
    yield from _of_a_minor_s_secret(asked)
    yield from _of_who_may_speak(asked)
    yield from _of_her_choices(asked)
    if asked.action in _LOOKING and asked.purpose in _URGENT:
        yield from _of_the_emergency(asked)
    if asked.actor == "professional":
        yield from _of_the_profession(asked)
    if asked.action is Action.DECLARE_CARE and not asked.short_enough:
        yield "care-too-long"
    if asked.actor == "application" and asked.action is Action.END_CARE and not asked.own_stay:
        yield "stay-of-another"
    if asked.actor == "service" and asked.action is Action.NOTIFY and "INVISIBLE_PATIENT" in asked.labels:
        yield "no-notice-before-announcement"


def _of_the_document(asked: Situation) -> Iterator[str]:
    if asked.action in _TOUCHING and not asked.exists:
        yield "no-such-document"
    if "MASQUE_PS" in asked.labels and _kept_from(asked):
        yield "masked-from-professionals"
    patient_sees = asked.actor == "patient" and asked.action in _LOOKING | {Action.EXPORT}
    if patient_sees and "INVISIBLE_PATIENT" in asked.labels:
        yield "not-announced-yet"
    if asked.action is Action.AMEND:
        yield from _of_its_labels(asked)


def _of_its_labels(asked: Situation) -> Iterator[str]:
    """Return what no label may become, whoever deposited the document; and that she has other ways than labels."""
    if asked.actor == "professional":
        if "INVISIBLE_PATIENT" in asked.adds - asked.labels:
            yield "never-hidden-again"
        if "MASQUE_PS" in asked.adds and "INVISIBLE_PATIENT" in asked.labels - asked.removes:
            yield "labels-exclusive"
    if asked.actor == "patient":
        yield "choices-not-labels"


def _kept_from(asked: Situation) -> bool:
    """Say whether a professional looks at what is kept from professionals: neither as its author, nor by her leave."""
    by_her_leave = asked.purpose in _URGENT and asked.hidden_open
    return asked.actor == "professional" and asked.action in _KNOWING and not asked.own and not by_her_leave


def _of_a_minor_s_secret(asked: Situation) -> Iterator[str]:
    """Return what a minor keeps from those who represent her (L.1111-5)."""
    hidden = _NOT_FOR_PARENTS in asked.labels
    if hidden and asked.actor == "representative" and asked.action in _LOOKING | {Action.EXPORT}:
        yield "secret-from-representatives"
    if hidden and asked.actor == "service" and asked.action is Action.NOTIFY:
        yield "no-notice-of-a-secret"
    if asked.actor == "representative" and asked.action is Action.CHANGE_DIRECTIVES and asked.changes == _SHOWS:
        yield "only-hers-to-show"
    if asked.actor == "professional" and asked.secret:
        if not asked.minor:
            yield "secret-needs-a-minor"
        if asked.action in _KNOWING | {Action.AMEND} and asked.exists and not hidden:
            yield "secret-shows-secrets-only"
        if asked.action is Action.DEPOSIT and not hidden:
            yield "secret-deposits-are-secret"
        if asked.action is Action.DECLARE_CARE and asked.declares != "code":
            yield "secret-needs-her-code"
    if asked.actor == "professional" and asked.action is Action.AMEND:
        yield from _of_a_secret_s_label(asked)


def _of_a_secret_s_label(asked: Situation) -> Iterator[str]:
    if _NOT_FOR_PARENTS in asked.adds - asked.labels:
        yield "secret-from-the-deposit-on"
    if _NOT_FOR_PARENTS in asked.removes & asked.labels:
        yield "only-hers-to-reveal"


def _of_who_may_speak(asked: Situation) -> Iterator[str]:
    """Return what speaks against whoever acts in her place, and what her death ends."""
    heir = asked.actor == "representative" and asked.role == "heir"
    still = {Action.DEPOSIT, Action.END_CARE, Action.READ_OWN_TRACES, Action.ASK_AS_HEIR} | (
        _LOOKING if heir else set()
    )
    if asked.deceased and asked.action not in still:
        yield "deceased"
    if asked.actor != "representative":
        return
    if asked.stale:
        yield "projection-stale"
    if not asked.role:
        yield "not-a-representative"
    if asked.role == "parent" and not asked.minor:
        yield "parent-of-an-adult"
    if not asked.delegated:
        yield "beyond-delegation"
    if heir:
        yield from _of_an_heir(asked)
    if asked.action is Action.CHANGE_DIRECTIVES and "oppose-heirs" in {asked.changes, asked.ends}:
        yield "only-hers-to-oppose-heirs"


def _of_an_heir(asked: Situation) -> Iterator[str]:
    """Return what her will, and the want of a motive, put before her heirs (L.1110-4 V)."""
    looking = asked.action in _LOOKING
    if asked.heirs_opposed and asked.action in _AN_HEIR_S:
        yield "heirs-opposed"
    if looking and not asked.requested:
        yield "heir-without-request"
    if looking and asked.hidden:
        yield "hidden-from-heirs"


def _of_her_choices(asked: Situation) -> Iterator[str]:
    hers = asked.actor == "patient"
    care = asked.actor == "professional"
    knowing, declaring = asked.action in _KNOWING, asked.action is Action.DECLARE_CARE
    governing = asked.action in {Action.EXPORT, Action.READ_JOURNAL, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES}
    treated = care and knowing and asked.purpose == "TREAT" and not asked.own
    # To end a stay takes nothing, and closes what it had opened. What a professional asked himself stays his to read
    # again: a refusal would tell him what she chose.
    harmless = asked.action in {Action.END_CARE, Action.READ_OWN_TRACES}
    if asked.opposed and not hers and not governing and not harmless:
        yield "opposed"
    if asked.blocked and care and (knowing or declaring or asked.action is Action.AMEND):
        yield "blocked"
    if asked.blocked and asked.actor == "application" and declaring:
        yield "establishment-blocked"
    if asked.closed and treated:
        yield "closed-by-patient"
    if asked.ask_me and treated and asked.evidence in _HIS_WORD:
        yield "asks-to-be-asked"
    if asked.ask_me and declaring and asked.declares in _HIS_WORD:
        yield "declaration-not-enough"
    if asked.hidden and _kept_from(asked):
        yield "hidden-by-patient"
    if asked.exports_opposed and asked.action is Action.EXPORT:
        yield "exports-opposed"
    if asked.prevention_opposed and asked.action is Action.PREVENT:
        yield "prevention-opposed"


def _of_the_emergency(asked: Situation) -> Iterator[str]:
    glass = asked.purpose == "BTG"
    if glass and asked.others_closed:
        yield "emergency-closed"
    if not glass and asked.samu_closed:
        yield "samu-closed"
    if not asked.reasoned:
        yield "emergency-without-reason"
    if glass and not asked.recent:
        yield "emergency-old-sign-in"


def _of_the_profession(asked: Situation) -> Iterator[str]:
    if asked.profession == "dpo":
        yield "officer-does-not-care"
    if asked.action in _KNOWING and not asked.own:
        if asked.purpose == "TREAT" and not asked.evidence:
            yield "not-authorised"
        if asked.exists and not asked.habilitated:
            yield "not-habilitated"
    if asked.action is Action.AMEND and not asked.own:
        yield "not-the-depositor"
    if asked.action is Action.DECLARE_CARE:
        if asked.declares == "code" and not asked.code_holds:
            yield "code-wrong"
        if asked.declares == "admission":
            yield "admission-by-establishment"
        if asked.word_too_often and asked.declares in {"declared", "appointment"}:
            yield "own-word-too-often"


def _ground(asked: Situation) -> str | None:
    """Return what the law lets it rest on."""
    who = asked.actor, asked.name
    if asked.actor == "representative":
        return _ground_of_a_representative(asked)
    if asked.actor == "patient":
        return "patient-own-record" if asked.purpose == "PATRQT" and asked.action in _HER_OWN else None
    if who == ("service", "notifications"):
        return "notice-without-content" if (asked.action, asked.purpose) == (Action.NOTIFY, "NOTIFY") else None
    if who == ("service", "documents"):
        return "prevention" if (asked.action, asked.purpose) == (Action.PREVENT, "PREVENT") else None
    if asked.software == "care-software" and asked.actor in {"professional", "application"}:
        return _ground_of_care(asked) if asked.actor == "professional" else _ground_of_a_stay(asked)
    return None


def _ground_of_a_representative(asked: Situation) -> str | None:
    if asked.purpose != "PATRQT":
        return None
    if asked.role != "heir":
        return _IN_HER_PLACE.get(asked.role)
    return _ground_of_an_heir(asked) if asked.deceased else None


def _ground_of_an_heir(asked: Situation) -> str | None:
    if asked.action is Action.ASK_AS_HEIR:
        return "heir-asks" if asked.motivated else None
    return "heir" if asked.action in _LOOKING else None


def _ground_of_a_stay(asked: Situation) -> str | None:
    """Return what lets an establishment's software speak by itself: who comes, who leaves, and nothing else."""
    if asked.purpose != "PATADMIN":
        return None
    if asked.action is Action.DECLARE_CARE and asked.declares == "admission" and asked.for_organisation:
        return "admission-reported"
    return "stay-ended" if asked.action is Action.END_CARE else None


def _ground_of_care(asked: Situation) -> str | None:
    treats = asked.purpose == "TREAT"
    if asked.action is Action.DEPOSIT and (treats or asked.purpose in _URGENT):
        return "care-professional-deposits"
    if asked.action in _OF_CARE and treats:
        return _OF_CARE[asked.action]
    if asked.action is Action.ANNOUNCE and treats:
        return "announced-by-professional"
    if asked.action not in _LOOKING:
        return None
    if treats:
        # Her wish to be asked takes the weight from his own word: he may still find what he wrote himself.
        rests = "" if asked.evidence in _HIS_WORD and asked.ask_me else asked.evidence
        return _BY_EVIDENCE.get(rests) or ("own-deposit" if asked.own else None)
    return {"BTG": "break-glass", "ETREAT": "samu"}.get(asked.purpose)


def _a_month_is_over(since: int, now: int) -> bool:
    """Say whether a calendar month has passed, by the clock on the wall in Paris."""
    then, today = (datetime.fromtimestamp(each / 1000, ZoneInfo("Europe/Paris")) for each in (since, now))
    months = (today.year - then.year) * 12 + today.month - then.month
    if months != 1:
        return months > 1
    last_day = (today + timedelta(days=1)).month != today.month
    if today.day != then.day:
        return today.day > then.day or (last_day and then.day > today.day and today.time() >= then.time())
    return today.time() >= then.time()


# What a journal tells.
class Fact(NamedTuple):
    """Something that happened, in the order of the journal: a deposit, a word of hers, an end, a declaration.

    `flow` is what was allowed (of a declaration also what was refused: a code that was shown is used), `documents` for
    which of those that it names.
    """

    at: int
    id: str
    flow: Flow
    allowed: bool
    document: str = ""
    documents: tuple[str, ...] = ()


class Word(NamedTuple):
    """A directive in its place in the journal."""

    place: int
    id: str
    kind: str
    subject: str | None
    until: int | None
    members: tuple[str, ...]
    hers: bool = True


class Expected(NamedTuple):
    """What is to be decided: of documents those released, of a deposit the one that stands already."""

    verdict: str
    rule: str
    documents: tuple[str, ...]
    refused: tuple[tuple[str, int], ...]


_LONGEST: Final = {"declared": _DAY, "appointment": 7 * _DAY, "admission": 90 * _DAY, "code": 180 * _DAY}
_PRESET_WORDS: Final[dict[str, tuple[tuple[str, str | None], ...]]] = {
    "legal": (),
    "careful": (("ask-me", None), ("close-emergency", "others"), ("oppose-prevention", None)),
    "closed": (
        ("close", None), ("ask-me", None), ("close-emergency", "others"), ("close-emergency", "samu"),
        ("oppose-prevention", None), ("oppose-export", None),
    ),
}  # fmt: skip
_REPLACED_BY_PRESET: Final = {"close", "ask-me", "open-hidden", "close-emergency", "oppose-export"}


@dataclass
class Life:
    """A record's past, of which each question looks up what it needs."""

    matrix: Any  # profession, type -> may read
    facts: list[Fact] = field(default_factory=list)
    abandoned: set[str] = field(default_factory=set)
    represented: Representation | None = None  # as identity said it last
    alive_at: int = 0  # how many facts there were when she was last known to live

    def expected(self, flow: Flow, now: int) -> Expected:
        """Return what is to be decided about a flow now."""
        held = self.documents()
        if flow.action not in _TOUCHING:
            brought = frozenset(flow.deposit.visibility if flow.deposit else ())
            alone = decide(self._situation(flow, None, now, labels=brought))
            known = self._standing(flow, held) if alone.allowed else None
            if known is None or known.flow.deposit is None or flow.deposit is None:
                return Expected(self._verdict(alone), alone.rule, (), ())
            same = known.flow.deposit.content_digest == flow.deposit.content_digest
            return Expected("allowed" if same else "conflict", alone.rule, (known.document,), ())
        whole = flow.action in {Action.LIST, Action.EXPORT} and not flow.documents
        asked = list(held) if whole else list(flow.documents)
        untold = {each for each, fact in held.items() if "INVISIBLE_PATIENT" in self._labels(fact, now)}
        kept = {each for each, fact in held.items() if _NOT_FOR_PARENTS in self._labels(fact, now)}
        secret = untold | kept
        # To her, what is not announced is not there; to those who represent her, nor is what she keeps from them.
        absent = {"patient": untold, "representative": secret}.get(flow.actor.kind, set())
        if self._heir(flow.actor):
            absent = absent | {each for each, fact in held.items() if self._hides(fact, now)}
        if absent:
            held = {each: fact for each, fact in held.items() if each not in absent}
            asked, secret = ([each for each in asked if each in held] if whole else asked), secret - absent
        said = [(each, decide(self._situation(flow, held.get(each), now))) for each in asked]
        if "INVISIBLE_PATIENT" in self._opens(flow):
            secret -= {each for each, verdict in said if verdict.allowed} - kept
        open_, apart = [one for one in said if one[0] not in secret], [one for one in said if one[0] in secret]
        parts = [open_] if open_ or whole or not apart else []
        told = [self._summed(part, flow, now, whole) for part in parts]
        told += [self._summed([one], flow, now) for one in apart]
        first = next((each for each in told if each.verdict == "allowed"), told[0])
        return first._replace(documents=tuple(name for each in told for name in each.documents))

    def _summed(self, said: list[tuple[str, Said]], flow: Flow, now: int, whole: bool = False) -> Expected:
        """Return what one entry says of several documents; of none, whether there might be something to see.

        A glass that was broken is broken, though there was nothing that could be seen behind it.
        """
        alone = decide(self._empty(flow, now))
        if not said:
            return Expected(self._verdict(alone), alone.rule, (), ())
        if whole and alone.rule in {"break-glass", "samu"} and not any(verdict.allowed for _, verdict in said):
            reasons = Counter(verdict.rule for _, verdict in said)
            return Expected("allowed", alone.rule, (), tuple(sorted(reasons.items())))
        allowed = tuple(each for each, verdict in said if verdict.allowed)
        refused = Counter(verdict.rule for _, verdict in said if not verdict.allowed)
        reason = min((verdict for _, verdict in said), key=lambda each: (not each.allowed, each.rule not in _NEVER))
        return Expected(self._verdict(reason), reason.rule, allowed, tuple(sorted(refused.items())))

    def documents(self) -> dict[str, Fact]:
        """Return the deposits that stand, by their document; a retry is none."""
        held: dict[str, Fact] = {}
        for each in self.facts:
            if each.flow.action is Action.DEPOSIT and each.allowed and each.document not in self.abandoned:
                held.setdefault(each.document, each)
        return held

    @staticmethod
    def _standing(flow: Flow, held: dict[str, Fact]) -> Fact | None:
        """Return the deposit of the same organisation under the same identifier."""
        if flow.deposit is None:
            return None
        name = flow.actor.organisation or flow.actor.id, flow.deposit.master_identifier
        for each in held.values():
            by, deposit = each.flow.actor, each.flow.deposit
            if deposit is not None and (by.organisation or by.id, deposit.master_identifier) == name:
                return each
        return None

    @staticmethod
    def _verdict(said: Said) -> str:
        return "allowed" if said.allowed else "red-line" if said.rule in _NEVER else "refused"

    def _empty(self, flow: Flow, now: int) -> Situation:
        labels = frozenset({_NOT_FOR_PARENTS} if flow.secret else ())
        return self._situation(flow, None, now, exists=True, habilitated=True, labels=labels)

    def _situation(self, flow: Flow, held: Fact | None, now: int, **more: Any) -> Situation:
        actor, care = flow.actor, flow.care
        professional = actor.kind == "professional"
        topic = f"topic:{flow.topic}"
        if held is not None and held.flow.deposit is not None:
            more = {
                "exists": True,
                "own": professional and held.flow.actor.id == actor.id,
                "hidden": self._hides(held, now),
                "habilitated": self.matrix(actor.profession or "", held.flow.deposit.type_code),
                "labels": self._labels(held, now),
            }
        return Situation(
            actor.kind, flow.action, flow.purpose, actor.application_kind,
            name=actor.id if actor.kind == "service" else "",
            profession=actor.profession or "",
            evidence=self._evidence(actor, now, flow.secret) if professional else "",
            blocked=self._about(actor, "block", now),
            opposed=self._holds("oppose", now),
            closed=self._holds("close", now),
            ask_me=self._holds("ask-me", now),
            exports_opposed=self._holds("oppose-export", now),
            prevention_opposed=any(
                each.kind == "oppose-prevention" and each.subject in {None, topic}
                for each in self._in_force(now)
            ),
            samu_closed=self._holds("close-emergency", now, "samu"),
            others_closed=self._holds("close-emergency", now, "others"),
            hidden_open=self._holds("open-hidden", now),
            reasoned=flow.reason is not None,
            recent=flow.auth_time - 5 <= now // 1000 <= flow.auth_time + 600,
            stale=flow.stale,
            secret=flow.secret,
            changes=flow.change.kind if flow.change else "",
            adds=frozenset(flow.amendment.adds if flow.amendment else ()),
            removes=frozenset(flow.amendment.removes if flow.amendment else ()),
            ends=self._ended_by(flow, now),
            heirs_opposed=self._holds("oppose-heirs", now),
            motivated=flow.motive is not None and flow.motive.code in _MOTIVES and flow.motive.text not in {None, ""},
            requested=self._heir(flow.actor) and self._requested(flow.actor, now),
            declares=care.evidence if care else "",
            for_organisation=actor.organisation is not None,
            word_too_often=professional and self._said_too_often(actor.id, now),
            own_stay=flow.action is Action.END_CARE and self._is_its_stay(flow, now),
            code_holds=care is not None and self._code_holds(care.code, len(self.facts), now, flow.secret),
            short_enough=care is not None and 0 < care.until - now <= _LONGEST[care.evidence],
            **self._spoken_for(flow),
            **more,
        )  # fmt: skip

    def _heir(self, actor: Actor) -> bool:
        """Say whether identity's last word makes an heir of somebody."""
        holders = self.represented.holders if self.represented else ()
        return actor.kind == "representative" and any(
            (each.holder, each.role) == (actor.id, "heir") for each in holders
        )

    def _requested(self, actor: Actor, now: int) -> bool:
        """Say whether a request of his was allowed within thirty days, since she was said dead the last time."""
        return any(
            each.flow.action is Action.ASK_AS_HEIR
            and each.allowed
            and each.flow.actor.id == actor.id
            and now < each.at + 30 * _DAY
            for each in self.facts[self.alive_at :]
        )

    def _ended_by(self, flow: Flow, now: int) -> str:
        """Return the kind of what a change ends."""
        ends = flow.change.ends if flow.change else None
        return next((each.kind for each in self._in_force(now, over_too=True) if each.id == ends), "")

    def _spoken_for(self, flow: Flow) -> dict[str, Any]:
        """Return what identity's last word makes of a question."""
        said = self.represented
        if said is None:
            return {}
        facts = {"minor": said.minor, "deceased": said.deceased}
        if flow.actor.kind != "representative":
            return facts
        for each in said.holders:
            if each.holder == flow.actor.id:
                if each.role == "heir":
                    return facts | {"role": "heir", "delegated": flow.action in _AN_HEIR_S and "read" in each.scopes}
                may = each.role != "caregiver" or flow.action not in _NOT_A_CAREGIVER_S
                return facts | {"role": each.role, "delegated": may and _TAKES.get(flow.action) in each.scopes}
        return facts

    def _labels(self, held: Fact, now: int) -> frozenset[str]:
        labels = frozenset(held.flow.deposit.visibility if held.flow.deposit else ())
        about = [each.flow for each in self.facts if each.allowed and held.document in each.documents]
        announced = any("INVISIBLE_PATIENT" in self._opens(each) for each in about)
        for each in about:
            if each.amendment is not None:
                labels = labels - ({"MASQUE_PS"} & {*each.amendment.removes}) | {"MASQUE_PS"} & {*each.amendment.adds}
        shown = any(
            each.flow.change is not None
            and each.flow.change.kind == _SHOWS
            and each.allowed
            and each.flow.change.subject == held.document
            for each in self.facts
        )
        over = {"INVISIBLE_PATIENT"} if announced or _a_month_is_over(held.at, now) else set()
        return labels - over - ({_NOT_FOR_PARENTS} if shown else set())

    @staticmethod
    def _opens(flow: Flow) -> set[str]:
        """Return what a flow takes off the documents that it names, for those to whom it said: not yet."""
        if flow.action is Action.ANNOUNCE:
            return {"INVISIBLE_PATIENT"}
        return set(flow.amendment.removes) if flow.action is Action.AMEND and flow.amendment else set()

    def _hides(self, held: Fact, now: int) -> bool:
        deposit = held.flow.deposit
        names = {held.document} | ({f"type:{deposit.type_code}", f"episode:{deposit.episode}"} if deposit else set())
        return any(each.kind == "hide" and each.subject in names for each in self._in_force(now))

    def _holds(self, kind: str, now: int, subject: str | None = None) -> bool:
        return any(each.kind == kind and each.subject == subject for each in self._in_force(now))

    def _about(self, actor: Actor, kind: str, now: int) -> bool:
        names = {f"person:{actor.id}", f"organisation:{actor.organisation}", f"profession:{actor.profession}"}
        return any(
            each.kind == kind
            and not names.isdisjoint({each.subject, *each.members})
            # What let him in before he or his structure was blocked lets him in no more: she is asked again.
            and (kind == "block" or not self._blocked_anyhow(actor, each.place))
            for each in self._in_force(now)
        )

    def _blocked_anyhow(self, actor: Actor, place: int) -> bool:
        names = (f"person:{actor.id}", f"organisation:{actor.organisation}")
        return any(self._blocked_since(each, place) for each in names)

    def _evidence(self, actor: Actor, now: int, secret: bool) -> str:
        if self._about(actor, "authorise", now):
            return "patient"
        if self._about(actor, "treating-doctor", now):
            return "treating-doctor"
        found = {each.flow.care.evidence for each in self._declared(actor, now, secret) if each.flow.care}
        return next((each for each in ("code", "admission", "appointment", "declared") if each in found), "")

    def _declared(self, actor: Actor, now: int, secret: bool) -> Iterator[Fact]:
        """Return the declarations that serve somebody now: his own, and of a stay also his organisation's.

        One that was made in secret serves nobody in the open.
        """
        for place, each in enumerate(self.facts):
            flow = each.flow
            if (
                flow.action is not Action.DECLARE_CARE
                or not each.allowed
                or flow.care is None
                or now >= flow.care.until
                or (flow.secret and not secret)
                or self._ended(each)
            ):
                continue
            stay = flow.care.evidence == "admission" and flow.actor.organisation
            subject = f"organisation:{flow.actor.organisation}" if stay else f"person:{flow.actor.id}"
            serves = {f"person:{actor.id}", f"organisation:{actor.organisation}"}
            began_at = f"organisation:{flow.actor.organisation}"
            if (
                subject in serves
                and not self._blocked_anyhow(actor, place)
                and not self._blocked_since(began_at, place)
            ):
                yield each

    def _ended(self, declared: Fact) -> bool:
        """Say whether she, or the establishment, ended what was declared; a structure has one stay at a time."""
        named = any(
            each.allowed and each.flow.change is not None and each.flow.change.ends == declared.id
            for each in self.facts
        )
        return named or any(
            each.allowed and self._of_a_stay(each) and self._of_a_stay(declared)
            and each.flow.actor.organisation == declared.flow.actor.organisation
            for each in self.facts[self.facts.index(declared) + 1 :]
        )  # fmt: skip

    @staticmethod
    def _of_a_stay(told: Fact) -> bool:
        care = told.flow.care
        return told.flow.action is Action.END_CARE or (care is not None and care.evidence == "admission")

    def _said_too_often(self, who: str, now: int) -> bool:
        """Say whether, since she had a part in it last, his own word alone was taken for hers thrice in thirty days."""
        said: list[int] = []
        for place, each in enumerate(self.facts):
            care, by = each.flow.care, each.flow.actor
            if care is None or each.flow.secret or (by.kind, by.id) != ("professional", who):
                continue
            if self._code_holds(care.code, place, each.at, secret=False):
                said = []
            elif care.evidence in {"declared", "appointment"}:
                said = [at for at in said if each.at - at < 30 * _DAY]
                said += [each.at] if len(said) < 3 else []
        return sum(now - at < 30 * _DAY for at in said) >= 3

    def _is_its_stay(self, flow: Flow, now: int) -> bool:
        """Say whether what an establishment would end is a stay there that lasts."""
        return any(
            flow.change is not None
            and each.id == flow.change.ends
            and each.allowed
            and each.flow.care is not None
            and each.flow.care.evidence == "admission"
            and each.flow.actor.organisation == flow.actor.organisation
            and now < each.flow.care.until
            and not self._ended(each)
            and not self._blocked_since(f"organisation:{flow.actor.organisation}", place)
            for place, each in enumerate(self.facts)
        )

    def _code_holds(self, code: str | None, before: int, now: int, secret: bool) -> bool:
        made = any(
            each.kind == "code" and code in each.members and (each.hers or not secret)
            for each in self._in_force(now, before)
        )
        return (
            made
            # Shown before it was made, it was somebody's guess.
            and not any(
                each.flow.care is not None
                and each.flow.care.code == code
                and self._code_holds(code, place, each.at, each.flow.secret)
                for place, each in enumerate(self.facts[:before])
            )
        )

    def _in_force(self, now: int, before: int | None = None, *, over_too: bool = False) -> Iterable[Word]:
        """Return her words that hold, as of a place in the journal (by default its end); `over_too`: by time."""
        past = self.facts[:before]
        ended = {each.flow.change.ends: place for place, each in enumerate(past) if each.flow.change}
        ended.pop(None, None)
        for word in self._words(past):
            over = word.until is not None and now >= word.until and not over_too
            if not over and ended.get(word.id, -1) < word.place and not self._overtaken(word, past):
                members = tuple(each for each in word.members if not self._blocked_since(each, word.place, before))
                yield word._replace(members=members)

    @staticmethod
    def _words(past: list[Fact]) -> Iterator[Word]:
        for place, each in enumerate(past):
            change = each.flow.change
            if change is None or change.kind in {"end", _SHOWS}:
                continue
            if change.kind == "preset":
                for number, (kind, subject) in enumerate(_PRESET_WORDS[change.subject or ""], 1):
                    yield Word(place, f"{each.id}.{number}", kind, subject, None, ())
            else:
                yield Word(
                    place,
                    each.id,
                    change.kind,
                    change.subject,
                    change.until,
                    change.members,
                    each.flow.actor.kind == "patient",
                )

    def _overtaken(self, word: Word, past: list[Fact]) -> bool:
        general = word.kind in _REPLACED_BY_PRESET or (word.kind, word.subject) == ("oppose-prevention", None)
        preset_since = any(each.flow.change and each.flow.change.kind == "preset" for each in past[word.place + 1 :])
        lets_in = word.kind in {"authorise", "treating-doctor"}
        if word.kind == "treating-doctor" and any(
            each.flow.change and each.flow.change.kind == "treating-doctor" for each in past[word.place + 1 :]
        ):
            return True  # one has one
        return (general and preset_since) or (lets_in and self._blocked_since(word.subject, word.place, len(past)))

    def _blocked_since(self, subject: str | None, place: int, before: int | None = None) -> bool:
        return any(
            each.flow.change is not None and each.flow.change.kind == "block" and each.flow.change.subject == subject
            for each in self.facts[place + 1 : before]
        )
