"""A record's past, of which each question looks up what it needs: the oracle's memory of a journal, never folded.

Where it and the fold (services/consent/domain/record.py) differ, one of them is wrong.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from services.consent.domain.flow import Action, Actor, Flow
from services.consent.domain.representation import Representation
from tests.cases.oracle import AN_HEIR_S, NEVER, NOT_FOR_PARENTS, SHOWS, TOUCHING, Said, Situation, decide

_DAY: Final = 24 * 3_600_000
# What of it takes which part of the representation; a caregiver neither governs nor copies.
_TAKES: Final = {
    Action.LIST: "read",
    Action.READ: "read",
    Action.EXPORT: "read",
    Action.READ_JOURNAL: "journal",
    Action.READ_DIRECTIVES: "govern",
    Action.CHANGE_DIRECTIVES: "govern",
}
_MOTIVES: Final = {"cause-of-death", "memory", "rights"}
_NOT_A_CAREGIVER_S: Final = {Action.EXPORT, Action.READ_DIRECTIVES, Action.CHANGE_DIRECTIVES}


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
        if flow.action not in TOUCHING:
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
        kept = {each for each, fact in held.items() if NOT_FOR_PARENTS in self._labels(fact, now)}
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
        reason = min((verdict for _, verdict in said), key=lambda each: (not each.allowed, each.rule not in NEVER))
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
        return "allowed" if said.allowed else "red-line" if said.rule in NEVER else "refused"

    def _empty(self, flow: Flow, now: int) -> Situation:
        labels = frozenset({NOT_FOR_PARENTS} if flow.secret else ())
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
                    return facts | {"role": "heir", "delegated": flow.action in AN_HEIR_S and "read" in each.scopes}
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
            and each.flow.change.kind == SHOWS
            and each.allowed
            and each.flow.change.subject == held.document
            for each in self.facts
        )
        over = {"INVISIBLE_PATIENT"} if announced or _a_month_is_over(held.at, now) else set()
        return labels - over - ({NOT_FOR_PARENTS} if shown else set())

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
            if change is None or change.kind in {"end", SHOWS}:
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
