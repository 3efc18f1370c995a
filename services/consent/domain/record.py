"""A record as its journal tells it: the fold of its entries, up to a version."""

from base64 import b32encode
from dataclasses import dataclass, field, replace
from hashlib import sha256

from services.consent.domain.care import EVIDENCE, MOST_OWN_WORDS, OWN_WORDS, OWN_WORDS_MS, Relation
from services.consent.domain.directive import PRESETS, Directive
from services.consent.domain.document import Document
from services.consent.domain.entry import MAIN, Entry, Outcome
from services.consent.domain.flow import (
    Action,
    Actor,
    ActorKind,
    Amendment,
    Change,
    Flow,
)
from services.consent.domain.representation import HEIR, HEIR_MS, Holder, Representation, Request


def confidence(record: str) -> str:
    """Return the stream of a record's secret consultations, for what is about no document (L.1111-5)."""
    return b32encode(sha256(f"confidence:{record}".encode()).digest()[:16]).decode().rstrip("=").lower()


def subjects(actor: Actor) -> set[str]:
    """Return the names under which a directive may mean this actor."""
    named = {f"person:{actor.id}"}
    if actor.organisation:
        named.add(f"organisation:{actor.organisation}")
    if actor.profession:
        named.add(f"profession:{actor.profession}")
    return named


@dataclass(slots=True)
class Record:
    """The state that judges. It changes only by `apply`, one version at a time; the journal's lock validates it."""

    id: str
    version: int = 0
    n: int = 0  # of the main stream
    last_change: int = 0  # the newest entry that can change a verdict about what stood before it
    directives: dict[str, Directive] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    gone: dict[str, Document] = field(default_factory=dict)  # given up: their streams open as theirs would have
    deposits: dict[tuple[str, str], str] = field(default_factory=dict)  # (organisation, masterIdentifier) -> document
    care: dict[str, Relation] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)  # digests of one-time codes that were shown
    words: dict[str, tuple[int, ...]] = field(
        default_factory=dict
    )  # person -> when his own word was all there was (ms)
    asked_anew: dict[str, int] = field(default_factory=dict)  # who was ever blocked -> the version of the newest block
    requests: dict[str, Request] = field(default_factory=dict)  # by heir: the newest that was allowed
    represented: Representation | None = None  # nothing was said: a living adult who governs alone

    def apply(self, entry: Entry) -> None:
        """Take in the next entry that changes anything; those between, which change nothing, may be left out."""
        if entry.version <= self.version:
            raise ValueError("entries are folded in order")
        self.version = entry.version
        if entry.stream == MAIN:
            self.n = entry.n
        if entry.about and entry.kind == "abandoned":
            self._forget(entry.about, entry.version)
        elif entry.about and entry.kind == "revealed":
            self._announced(entry.about, entry.version)
        elif entry.kind == "represented" and entry.representation:
            self.last_change, self.represented = entry.version, entry.representation
            if not entry.representation.deceased:
                self.requests = {}  # said dead by mistake: whatever comes of it is over
        elif entry.flow is not None and entry.outcome is not None:
            self._decided(entry, entry.flow, entry.outcome)

    def _decided(self, entry: Entry, flow: Flow, outcome: Outcome) -> None:
        if flow.care and flow.care.code and self.code_holds(flow.care.code, entry.at, secret=flow.secret):
            # Used by being shown: a second time it is wrong to everybody, or it would tell the blocked from the others.
            self.spent.add(flow.care.code)
            self.last_change = entry.version
            if not flow.secret:
                self.words.pop(f"person:{flow.actor.id}", None)  # she had a part in it
        if self.counts_word(flow, entry.at):
            self.words[f"person:{flow.actor.id}"] = (*self.words_of(flow.actor, entry.at), entry.at)
            self.last_change = entry.version
        if outcome.verdict == "allowed":
            self._done(entry, flow, outcome)

    def _done(self, entry: Entry, flow: Flow, outcome: Outcome) -> None:
        if flow.action is Action.DEPOSIT:
            self._take_in(entry)
            return
        if flow.action is Action.ANNOUNCE:
            for document in outcome.allowed:
                self._announced(document, entry.version)
        elif flow.action is Action.AMEND and flow.amendment is not None:
            self._amended(outcome.allowed, flow.amendment, entry.version)
        elif flow.action is Action.DECLARE_CARE:
            self.last_change = entry.version
            self._begin_care(entry)
        elif flow.action is Action.END_CARE and flow.change is not None:
            self.last_change = entry.version
            self._end_stays(flow.actor)
        elif flow.action is Action.ASK_AS_HEIR and flow.motive is not None:
            self.last_change = entry.version
            self.requests[flow.actor.id] = Request(flow.motive.code, entry.at + HEIR_MS)
        elif flow.action is Action.CHANGE_DIRECTIVES and flow.change is not None:
            self.last_change = entry.version
            self._change(flow.change, entry)

    def advance(self, version: int, n: int) -> None:
        """Move past entries that change nothing."""
        self.version, self.n = version, n

    def evidence(self, actor: Actor, now: int, *, secret: bool = False) -> str:
        """Return what the care relation of a professional rests on, the strongest of `EVIDENCE`; "" for nothing.

        What began in secret serves in secret only: an open access that rests on it would tell of it.
        """
        if self._meant("authorise", actor, now, self._asked_anew(actor)):
            return "patient"
        if self.treated_by(actor, now):
            return "treating-doctor"
        names, since = subjects(actor), self._asked_anew(actor)
        found = {
            each.evidence
            for each in self.care.values()
            if each.subject in names
            and each.entry > since
            and (secret or each.stream == MAIN)
            and self._lasts(each, now)
        }
        return next((each for each in EVIDENCE if each in found), "")

    def treated_by(self, actor: Actor, now: int) -> bool:
        """Say whether she declared this professional as treating doctor, and neither ended nor blocked it since."""
        return self._meant("treating-doctor", actor, now, self._asked_anew(actor))

    def open_streams(self, now: int, kind: ActorKind) -> set[str]:
        """Return the streams that a kind of actor may read: the main one, and those of what they may know of."""
        if kind not in {"patient", "representative"}:
            return {MAIN}
        hers = {confidence(self.id)} if kind == "patient" else set()
        held = (*self.documents.values(), *self.gone.values())
        return {MAIN} | hers | {each.stream for each in held if not each.absent_to(kind, now)}

    def known_to(self, kind: ActorKind, now: int) -> "Record":
        """Return the state as far as a kind of actor may know of it; it is read, and never folded further."""
        if kind not in {"patient", "representative"}:
            return self
        open_ = self.open_streams(now, kind)
        return replace(
            self,
            documents={name: each for name, each in self.documents.items() if not each.absent_to(kind, now)},
            directives={name: each for name, each in self.directives.items() if each.stream in open_},
            care={name: each for name, each in self.care.items() if each.stream in open_},
        )

    def held_by(self, holder: str) -> Holder | None:
        """Return what somebody may do for the person, by their own record; None for who does not represent her."""
        holders = self.represented.holders if self.represented else ()
        return next((each for each in holders if each.holder == holder), None)

    def is_heir(self, actor: Actor) -> bool:
        """Say whether an actor acts as an heir, by the record's own state."""
        held = self.held_by(actor.id) if actor.kind == "representative" else None
        return held is not None and held.role == HEIR

    def request_of(self, actor: Actor, now: int) -> Request | None:
        """Return what an heir asked for and may read by at a time (ms)."""
        asked = self.requests.get(actor.id) if self.is_heir(actor) else None
        return asked if asked is not None and now < asked.until else None

    def stream_of(self, change: Change) -> str:
        """Return where a change of directives is told: with what it names, where that is secret."""
        if change.kind == "end":
            ended = self.directives.get(change.ends or "") or self.care.get(change.ends or "")
            return ended.stream if ended else MAIN
        named = [
            each for each in self.documents.values()
            if change.subject is not None and change.subject in {each.id, f"episode:{each.episode}"}
        ]  # fmt: skip
        # What is shown opens its stream, which is told to everybody.
        if change.kind == "show-to-representatives" or not named or not all(each.secret for each in named):
            return MAIN
        # With the document, and shown with it; about several, in what is hers for good.
        return named[0].stream if change.subject == named[0].id else confidence(self.id)

    def stays(self, change: Change | None, actor: Actor, now: int) -> bool:
        """Say whether what a change ends is a stay, which lasts, in the structure that an actor acts for."""
        stay = self.care.get(change.ends or "") if change else None
        if stay is None or stay.evidence != "admission" or not stay.holds(now):
            return False
        return stay.subject == f"organisation:{actor.organisation}"

    def relations(self, now: int) -> list[Relation]:
        """Return what was declared and holds: not over, not ended, and not overtaken by a block."""
        return [each for each in self.care.values() if self._lasts(each, now)]

    def _lasts(self, relation: Relation, now: int) -> bool:
        """Say whether a relation holds and no block came since, of whom it serves or of where it began."""
        names = (relation.subject, f"organisation:{relation.organisation}")
        return relation.holds(now) and relation.entry > max(self.asked_anew.get(name, 0) for name in names)

    def words_of(self, actor: Actor, now: int) -> tuple[int, ...]:
        """Return when a professional took his own word for hers of late, as often as it counts."""
        said = self.words.get(f"person:{actor.id}", ())
        return tuple(at for at in said if now - at < OWN_WORDS_MS)

    def word_taken_too_often(self, actor: Actor, now: int) -> bool:
        """Say whether a professional's own word has stood for hers as often as it may."""
        return len(self.words_of(actor, now)) >= MOST_OWN_WORDS

    def counts_word(self, flow: Flow, now: int) -> bool:
        """Say whether a flow is one more time that a professional's own word is all there is: no number stands for it.

        Whether it is believed does not matter: how often he may say it would tell him what she chose. Nor does what is
        said in secret, of which an answer in the open would tell.
        """
        own = flow.care is not None and flow.care.evidence in OWN_WORDS and flow.actor.kind == "professional"
        return own and not flow.secret and not self.word_taken_too_often(flow.actor, now)

    def blocked(self, actor: Actor, now: int) -> bool:
        """Say whether the patient blocked this person or this organisation."""
        return self._meant("block", actor, now)

    def said(self, kind: str, now: int, *subjects: str | None) -> bool:
        """Say whether a directive of this kind is in force: about one of these subjects, or about nothing named."""
        wanted = {None, *subjects}
        return any(
            each.kind == kind and each.subject in wanted and each.holds(now) for each in self.directives.values()
        )

    def hidden(self, now: int) -> set[str]:
        """Return what the patient hides from professionals: documents' ids, and names as `traits` gives them."""
        return {
            each.subject
            for each in self.directives.values()
            if each.kind == "hide" and each.subject is not None and each.holds(now)
        }

    def kind_of(self, directive: str | None) -> str:
        """Return the kind of a directive that stands; "" for none."""
        held = self.directives.get(directive or "")
        return held.kind if held else ""

    def code_holds(self, code: str | None, now: int, *, secret: bool = False) -> bool:
        """Say whether a one-time code (its digest) was made for the patient, is not over and was not used.

        In secret only one that she made herself: a parent's would open what she keeps from them, and be used up unseen.
        """
        return code not in self.spent and any(
            each.kind == "code" and code in each.members and each.holds(now) and (each.hers or not secret)
            for each in self.directives.values()
        )

    def _meant(self, kind: str, actor: Actor, now: int, since: int = 0) -> bool:
        names = subjects(actor)
        return any(
            each.kind == kind
            and (each.subject in names or not names.isdisjoint(each.members))
            and each.entry > since
            and each.holds(now)
            for each in self.directives.values()
        )

    def _asked_anew(self, actor: Actor) -> int:
        """Return the version from which on consent counts: what was given before a block is over, lifted or not."""
        return max((self.asked_anew.get(each, 0) for each in subjects(actor)), default=0)

    def _change(self, change: Change, entry: Entry) -> None:
        if change.kind == "end":
            self.directives.pop(change.ends or "", None)
            self.care.pop(change.ends or "", None)
            return
        if change.kind == "show-to-representatives":
            if (shown := self.documents.get(change.subject or "")) is not None:
                self.documents[shown.id] = replace(shown, shown=True)
            return
        if change.kind == "preset":
            self.directives = {name: each for name, each in self.directives.items() if not each.general}
            for number, (kind, subject) in enumerate(PRESETS[change.subject or ""], 1):
                name = f"{entry.cause}.{number}"
                self.directives[name] = Directive(name, kind, subject, entry.at, None, entry=entry.version)
            return
        if change.kind == "treating-doctor":  # one has one
            self.directives = {name: each for name, each in self.directives.items() if each.kind != change.kind}
        if change.kind == "block":
            # After a block is lifted, consent must be asked again: his own goes, and others' no longer means him.
            self.asked_anew[change.subject or ""] = entry.version
            self.directives = {
                name: each.without(change.subject)
                for name, each in self.directives.items()
                if not (each.kind in {"authorise", "treating-doctor"} and each.subject == change.subject)
            }
            self.care = {name: each for name, each in self.care.items() if each.subject != change.subject}
        self.directives[entry.cause] = Directive(
            entry.cause, change.kind, change.subject, entry.at, change.until, change.members,
            entry=entry.version, stream=entry.stream, hers=entry.flow is None or entry.flow.actor.kind == "patient",
        )  # fmt: skip

    def _begin_care(self, entry: Entry) -> None:
        flow = entry.flow
        if flow is None or flow.care is None:
            return
        actor, care = flow.actor, flow.care
        # A stay is cared for by all who work there; anything else is between two persons.
        whole = care.evidence == "admission" and actor.organisation
        subject = f"organisation:{actor.organisation}" if whole else f"person:{actor.id}"
        if whole:
            self._end_stays(actor)  # said again, it is the same stay
        self.care = {name: each for name, each in self.care.items() if each.holds(entry.at)}
        self.care[entry.cause] = Relation(
            entry.cause, care.evidence, subject, entry.at, care.until, entry.version, entry.stream,
            who=actor.name, organisation=actor.organisation, place=actor.organisation_name,
        )  # fmt: skip

    def _end_stays(self, actor: Actor) -> None:
        """End what a structure reported: whoever reports twice, having heard no answer, knows one name of two."""
        there = f"organisation:{actor.organisation}"
        self.care = {
            name: each for name, each in self.care.items() if (each.evidence, each.subject) != ("admission", there)
        }

    def _take_in(self, entry: Entry) -> None:
        flow, outcome = entry.flow, entry.outcome
        if flow is None or flow.deposit is None or outcome is None or outcome.document is None:
            return
        if outcome.document in self.documents:
            return  # a retry of a deposit that stands
        self.documents[outcome.document] = Document(
            id=outcome.document,
            version=outcome.version or 1,
            type_code=flow.deposit.type_code,
            class_code=flow.deposit.class_code or "",
            visibility=flow.deposit.visibility,
            depositor=flow.actor.id,
            organisation=flow.actor.organisation or "",
            deposited_at=entry.at,
            entry=entry.version,
            content_digest=flow.deposit.content_digest,
            episode=flow.deposit.episode,
            stream=entry.stream,
        )
        self.deposits[flow.actor.organisation or flow.actor.id, flow.deposit.master_identifier] = outcome.document

    def _announced(self, document: str, version: int) -> None:
        self.last_change = version
        if document in self.documents:
            self.documents[document] = replace(self.documents[document], announced=True)

    def _amended(self, documents: tuple[str, ...], amendment: Amendment, version: int) -> None:
        self.last_change = version
        for name in documents:
            if name in self.documents:
                self.documents[name] = self.documents[name].amended(amendment)

    def _forget(self, document: str, version: int) -> None:
        self.last_change = version
        if (gone := self.documents.pop(document, None)) is not None and gone.stream != MAIN:
            self.gone[document] = gone
        self.directives = {name: each for name, each in self.directives.items() if each.subject != document}
        self.deposits = {name: held for name, held in self.deposits.items() if held != document}
