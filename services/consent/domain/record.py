"""A record as its journal tells it: the fold of its entries, up to a version."""

from dataclasses import dataclass, field

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Action, Actor, Change

# R.1111-53: a result that was not announced becomes visible to the patient by itself.
UNANNOUNCED_MS = 31 * 86_400_000


@dataclass(frozen=True, slots=True)
class Document:
    """What the rules know of a document version, from the entry of its deposit."""

    id: str
    version: int
    type_code: str
    class_code: str
    visibility: tuple[str, ...]
    depositor: str
    organisation: str
    deposited_at: int
    entry: int
    content_digest: str

    def visibility_at(self, now: int) -> tuple[str, ...]:
        """Return the labels as they stand at a time (ms)."""
        if now - self.deposited_at < UNANNOUNCED_MS:
            return self.visibility
        return tuple(label for label in self.visibility if label != "INVISIBLE_PATIENT")


@dataclass(frozen=True, slots=True)
class Directive:
    """What the patient said and has not taken back. `id` is the cause of the entry that said it."""

    id: str
    kind: str
    subject: str | None
    since: int
    until: int | None

    def holds(self, now: int) -> bool:
        """Say whether it is in force at a time (ms)."""
        return self.until is None or now < self.until


def subjects(actor: Actor) -> set[str]:
    """Return the names under which a directive may mean this actor."""
    named = {f"person:{actor.id}"}
    return named | {f"organisation:{actor.organisation}"} if actor.organisation else named


@dataclass(slots=True)
class Record:
    """The state that judges. It changes only by `apply`, one version at a time; the journal's lock validates it."""

    id: str
    version: int = 0
    n: int = 0  # of the main stream
    last_change: int = 0  # the newest entry that can change a verdict about what stood before it
    directives: dict[str, Directive] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    deposits: dict[tuple[str, str], str] = field(default_factory=dict)  # (organisation, masterIdentifier) -> document

    def apply(self, entry: Entry) -> None:
        """Take in the next entry that changes anything; those between, which change nothing, may be left out."""
        if entry.version <= self.version:
            raise ValueError("entries are folded in order")
        self.version = entry.version
        if entry.stream == MAIN:
            self.n = entry.n
        if entry.kind == "abandoned" and entry.about:
            self._forget(entry.about, entry.version)
        flow, outcome = entry.flow, entry.outcome
        if flow is None or outcome is None or outcome.verdict != "allowed":
            return
        if flow.action is Action.DEPOSIT:
            self._take_in(entry)
        elif flow.action is Action.CHANGE_DIRECTIVES and flow.change is not None:
            self.last_change = entry.version
            self._change(flow.change, entry)

    def advance(self, version: int, n: int) -> None:
        """Move past entries that change nothing."""
        self.version, self.n = version, n

    def authorised(self, actor: Actor, now: int) -> bool:
        """Say whether the patient authorised this person or this organisation."""
        return self._meant("authorise", actor, now)

    def blocked(self, actor: Actor, now: int) -> bool:
        """Say whether the patient blocked this person or this organisation."""
        return self._meant("block", actor, now)

    def opposed(self, now: int) -> bool:
        """Say whether the patient opposed the record itself."""
        return any(each.kind == "oppose" and each.holds(now) for each in self.directives.values())

    def hidden(self, document: str, now: int) -> bool:
        """Say whether the patient hid this document from professionals."""
        return any(
            each.kind == "hide" and each.subject == document and each.holds(now) for each in self.directives.values()
        )

    def _meant(self, kind: str, actor: Actor, now: int) -> bool:
        names = subjects(actor)
        return any(each.kind == kind and each.subject in names and each.holds(now) for each in self.directives.values())

    def _change(self, change: Change, entry: Entry) -> None:
        if change.kind == "end":
            self.directives.pop(change.ends or "", None)
            return
        if change.kind == "block":
            # After a block is lifted, consent must be asked again.
            self.directives = {
                name: each
                for name, each in self.directives.items()
                if not (each.kind == "authorise" and each.subject == change.subject)
            }
        self.directives[entry.cause] = Directive(entry.cause, change.kind, change.subject, entry.at, change.until)

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
        )
        self.deposits[flow.actor.organisation or flow.actor.id, flow.deposit.master_identifier] = outcome.document

    def _forget(self, document: str, version: int) -> None:
        self.last_change = version
        self.documents.pop(document, None)
        self.deposits = {name: held for name, held in self.deposits.items() if held != document}
