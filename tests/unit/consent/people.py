"""Synthetic people, documents and flows of one record, and a journal that is kept by hand. Nobody is real."""

from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from chassis.sealing import digest
from services.consent.domain.entry import MAIN, Entry, Outcome, leaf_class
from services.consent.domain.flow import Action, Actor, ActorKind, Care, Change, Deposit, Flow
from services.consent.domain.judging import Verdict, judge
from services.consent.domain.record import Record
from services.consent.domain.representation import Holder, Representation
from services.consent.domain.rules import Rules
from services.consent.domain.writing import entries_of
from services.consent.french.phrases import entry_view

RECORD: Final = "carnetexamplerecordaaaa234"
OTHER_RECORD: Final = "carnetexamplerecordbbbb234"
ABSENT: Final = "carnetexampledocumentxxx77"
NOW: Final = 1_780_000_000_000  # ms: 28 May 2026
DAY: Final = 86_400_000
MONTH: Final = 31 * DAY  # to 28 June
RULES: Final = Rules()

CAMILLE = Actor("patient", RECORD, "Camille Exemple", "portail", "Portail", "patient-frontend")
MOREAU = Actor(
    "professional", "899700000001", "Dr Moreau", "logiciel-moreau", "Logiciel Moreau", "care-software",
    profession="10", organisation="750000001", organisation_name="Cabinet Moreau",
)  # fmt: skip
COLLEAGUE = replace(MOREAU, id="899700000003", name="Dr Collègue")
PETIT = replace(MOREAU, id="899700000002", name="Dr Petit", organisation="750000002", organisation_name="Cabinet Petit")
NOTICES = Actor("service", "notifications", "Avis de Carnet", "notifications", "Avis de Carnet", "service")
INSURER = Actor("application", "assureur", "Assureur", "assureur", "Assureur", "insurer")
# The software of the structure where Dr Moreau works, with nobody behind it.
HOSPITAL = Actor(
    "application", "logiciel-hopital", "Logiciel Hôpital", "logiciel-hopital", "Logiciel Hôpital", "care-software",
    organisation=MOREAU.organisation, organisation_name="Hôpital Exemple",
)  # fmt: skip

# Who act for Camille, where identity says so.
PARENT = Actor("representative", OTHER_RECORD, "Alex Exemple", "portail", "Portail", "patient-frontend")
OTHER_PARENT = replace(PARENT, id="carnetexamplerecordcccc234", name="Dominique Exemple")
CAREGIVER = replace(PARENT, id="carnetexamplerecorddddd234", name="Noa Exemple")
HIDDEN: Final = "INVISIBLE_REPRESENTANTS_LEGAUX"
SCOPES: Final = ("read", "govern", "deposit", "journal")

PERSON, ORGANISATION = f"person:{MOREAU.id}", f"organisation:{MOREAU.organisation}"
_PURPOSES = {
    "patient": "PATRQT",
    "representative": "PATRQT",
    "professional": "TREAT",
    "service": "NOTIFY",
    "application": "COVERAGE",
}


def paper(
    name: str = "report", *, content: str = "content", visibility: tuple[str, ...] = (), code: str = "11502-2"
) -> Deposit:
    """Return what is judged of a document that asks to enter; `name` stands for its masterIdentifier."""
    return Deposit(
        master_identifier=f"urn:oid:2.25.{name}",
        content_digest=digest(content.encode()),
        type_code=code,
        type_system="http://loinc.org",
        class_code="10",
        visibility=visibility,
    )


def holder(actor: Actor, role: str = "parent", scopes: tuple[str, ...] = SCOPES) -> Holder:
    """Return what identity says of somebody who acts for Camille."""
    return Holder(actor.id, role, scopes)


def flow(actor: Actor, action: Action, *documents: str, **more: Any) -> Flow:
    """Return a flow of an actor under the purpose that is his, with no deadline."""
    said: dict[str, Any] = {"purpose": _PURPOSES[actor.kind], "record": RECORD, "id": uuid4().hex} | more
    said.setdefault("digest", digest(said["id"].encode()))
    return Flow(action=action, actor=actor, documents=documents, **said)


def stay(until: int, by: Actor = HOSPITAL) -> Flow:
    """Return an establishment's report of a stay until a time (ms); `by` its software, or who works there."""
    software = replace(HOSPITAL, organisation=by.organisation, organisation_name=by.organisation_name)
    return flow(software, Action.DECLARE_CARE, care=Care("admission", until), purpose="PATADMIN")


def entry(record: Record, asked: Flow, outcome: Outcome, at: int) -> Entry:
    """Return the entry that comes next."""
    return Entry(
        record=record.id, version=record.version + 1, cause=asked.id, stream=MAIN, n=record.n + 1, at=at,
        policies=RULES.digest, leaf_class=leaf_class(asked, outcome), kind="decision", flow=asked, outcome=outcome,
    )  # fmt: skip


def opening(record: str = RECORD, at: int = NOW - 365 * DAY) -> Entry:
    """Return the first entry of a record."""
    return Entry(record, 1, f"opened-{record}", MAIN, 1, at, RULES.digest, "other", "opened")


class Book:
    """One record's journal, kept by hand: what is judged is written, what is written is folded."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules, self.now = rules, NOW
        self.entries = [opening()]
        self.record = Record(RECORD)
        self.record.apply(self.entries[0])

    def ask(self, asked: Flow) -> Verdict:
        """Judge a flow now, and write it."""
        verdict = judge(self.record, asked, self.now, self.rules, new_document=digest(asked.id.encode())[:26])
        for each in entries_of(self.record, asked, self.now, verdict, self.rules.digest):
            last = max((other.n for other in self.entries if other.stream == each.stream), default=0)
            self._write(replace(each, n=last + 1))
        return verdict

    def deposit(self, what: Deposit, by: Actor = MOREAU) -> str:
        """Deposit; return the document's id."""
        document = self.ask(flow(by, Action.DEPOSIT, deposit=what)).outcome.document
        assert document is not None
        return document

    def say(self, kind: Any, subject: str | None = None, **more: Any) -> str:
        """Have Camille begin a directive, or end one; return its id."""
        asked = flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=Change(kind, subject, **more))
        assert self.ask(asked).outcome.verdict == "allowed"
        return asked.id

    def represent(self, *holders: Holder, minor: bool = False, deceased: bool = False) -> None:
        """Have identity say whom the record obeys from now on."""
        known = self.record.represented
        said = Representation(known.version + 1 if known else 1, minor, deceased, holders)
        version, n = self.record.version + 1, self.record.n + 1
        self._write(
            Entry(RECORD, version, uuid4().hex, MAIN, n, self.now, self.rules.digest, "other", "represented",
                  representation=said)
        )  # fmt: skip

    def abandon(self, document: str) -> None:
        """Write that a deposit was given up."""
        cause = uuid4().hex
        self._write(
            Entry(RECORD, self.record.version + 1, cause, MAIN, self.record.n + 1, self.now, self.rules.digest,
                  "other", "abandoned", about=document)
        )  # fmt: skip

    def shows(self, kind: ActorKind) -> list[dict[str, Any]]:
        """Return what the journal shows to a kind of actor now."""
        streams = self.record.open_streams(self.now, kind)
        return [entry_view(each, self.rules) for each in self.entries if each.stream in streams]

    def tells(self, kind: ActorKind) -> list[dict[str, Any]]:
        """Return what it shows without what chance drew, so that two journals can be compared."""
        drawn = {"flow", "documents"}
        return [{name: held for name, held in each.items() if name not in drawn} for each in self.shows(kind)]

    def _write(self, written: Entry) -> None:
        self.entries.append(written)
        self.record.apply(written)


def minor(*holders: Holder) -> Book:
    """Open the journal of a minor with these holders, by default one parent."""
    book = Book()
    book.represent(*(holders or (holder(PARENT),)), minor=True)
    return book


def folded(entries: list[Entry]) -> Record:
    """Return the state that a journal tells, from its first entry on."""
    record = Record(entries[0].record)
    for each in entries:
        record.apply(each)
    return record
