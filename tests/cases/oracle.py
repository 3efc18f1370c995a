"""The rules said a second time, in plain Python, from the law, the patient's sentences and the issue; not from Cedar.

`decide` judges one situation; `life.py` tells which situation stands. Where it and the public rules differ, one of them
is wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from services.consent.domain.flow import Action, ActorKind

_LOOKING: Final = {Action.LIST, Action.READ}
# Who announces a result tells what it says: he must be one who may read it.
_KNOWING: Final = _LOOKING | {Action.ANNOUNCE}
# What touches a document that must be there.
TOUCHING: Final = _LOOKING | {Action.EXPORT, Action.NOTIFY, Action.ANNOUNCE, Action.AMEND}
# What a professional says of the care relation without her part in it.
_HIS_WORD: Final = {"declared", "appointment", "admission"}
_URGENT: Final = {"BTG", "ETREAT"}

# What no agreement makes lawful: whose software it may not be, and what for.
NEVER: Final[dict[str, tuple[str, set[str]]]] = {
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
NOT_FOR_PARENTS: Final = "INVISIBLE_REPRESENTANTS_LEGAUX"
SHOWS: Final = "show-to-representatives"
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
# The dead's heirs: they ask, then look (L.1110-4 V), and nothing else.
AN_HEIR_S: Final = _LOOKING | {Action.ASK_AS_HEIR}
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
    for line, (software, purposes) in NEVER.items():
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
    if asked.action in TOUCHING and not asked.exists:
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
    hidden = NOT_FOR_PARENTS in asked.labels
    if hidden and asked.actor == "representative" and asked.action in _LOOKING | {Action.EXPORT}:
        yield "secret-from-representatives"
    if hidden and asked.actor == "service" and asked.action is Action.NOTIFY:
        yield "no-notice-of-a-secret"
    if asked.actor == "representative" and asked.action is Action.CHANGE_DIRECTIVES and asked.changes == SHOWS:
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
    if NOT_FOR_PARENTS in asked.adds - asked.labels:
        yield "secret-from-the-deposit-on"
    if NOT_FOR_PARENTS in asked.removes & asked.labels:
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
    if asked.heirs_opposed and asked.action in AN_HEIR_S:
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
