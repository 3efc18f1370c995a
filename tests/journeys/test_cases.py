"""A tenth of the table of cases through the front door: what the caller is told, and what her journal says."""

import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.tokens import Application, Emergency, Organisation, Representative
from contracts.identity import Holder
from deploy.local.caller import Answer, Caller
from deploy.local.synthetic import LOINC, fresh_oid, label_patch
from services.consent.domain.flow import Action, Actor
from services.consent.domain.judging import MOST_CARE_MS, RECENT_SECONDS
from services.consent.domain.rules import NOTHING_THERE
from services.documents.fhir.systems import CONFIDENTIALITY, TRE_A07
from tests.cases.meaning import (
    IT,
    Amends,
    Declares,
    Discharges,
    Ends,
    Gives,
    Paper,
    Passes,
    Pleads,
    Purpose,
    Represented,
    Says,
    Step,
    Want,
)
from tests.cases.scene import RULES
from tests.cases.table import Line, read
from tests.cases.vocabulary import INVENTED_CODE, RESIDENCE, STAY, UNKNOWN_TYPE
from tests.journeys.records import PATIENT, Opened, represent
from tests.unit.consent.people import PARENT

# Rules that no request from outside can meet, and why.
OUT_OF_REACH = {
    "rule-error",  # a fault of a rule (tests/unit/consent/test_rules.py)
    "care-too-long", "emergency-without-reason",  # refused before it is a flow: a 422, no such token
    # Stand in a stream that she may not read yet.
    "not-announced-yet", "no-notice-before-announcement", "labels-exclusive",
    "secret-from-representatives", "hidden-from-heirs",  # a second wall: to them it is not there
    "projection-stale",  # identity falls silent (tests/integration/consent/test_projection.py)
    "no-notice-of-a-secret",  # what services ask
    "notice-without-content", "prevention", "prevention-opposed",  # what services ask, on no one's request
    "exports-opposed",  # no interface copies a record yet
}  # fmt: skip
_MOST_OF_A_RULE = 4
_ESTABLISHMENT = ("application", "care-software")
_MOTIVES = {"cause-of-death", "memory", "rights"}
_WORDS = "Je suis sa fille et je veux comprendre."
_REFUSED = {Action.LIST: 200, Action.READ: 404, Action.DEPOSIT: 403, Action.DECLARE_CARE: 202, Action.ANNOUNCE: 202,
            Action.END_CARE: 202, Action.AMEND: 404}  # fmt: skip
_ALLOWED = {Action.DEPOSIT: 201, Action.CHANGE_DIRECTIVES: 201, Action.ASK_AS_HEIR: 201, Action.DECLARE_CARE: 202,
            Action.ANNOUNCE: 202, Action.END_CARE: 202}  # fmt: skip
_AIMS = {"patient": "PATRQT", "representative": "PATRQT", "application": "PATADMIN"}
# A body of POST /consent/directives names its subject by its kind.
_FIELDS = {"person": "professional", "organisation": "organisation", "profession": "profession", "type": "type",
           "topic": "topic"}  # fmt: skip


def _at_the_door(line: Line) -> bool:
    """Say whether a line can be lived through by requests from outside, at this day's clock."""
    want, purpose = line.want, line.purpose
    secret = any(each.label == "INVISIBLE_PATIENT" for each in line.papers.held)
    # Each is told at once: what is said after it is about an earlier state.
    represented = [each for each in line.steps if isinstance(each, Represented)]
    return (
        line.actor.kind != "service"
        and want.action not in {Action.EXPORT, Action.PREVENT, Action.NOTIFY}
        # Anybody else who searches traces asks for the journal.
        and (want.action is not Action.READ_OWN_TRACES or line.actor.kind == "professional")
        and (want.action is not Action.LIST or line.papers.asked == "whole")
        and want.code != "of-another-record"
        and (want.action is not Action.ASK_AS_HEIR or (want.motive in _MOTIVES and want.words))
        and (want.evidence is None or 0 < want.lasts <= MOST_CARE_MS[want.evidence])
        # Time does not pass, she makes one code at most, and no stay is named by the table's own name.
        and all(not isinstance(each, Passes) for each in line.steps)
        and sum(isinstance(each, Gives) for each in line.steps) < 2
        and not any(isinstance(each, Says) and each.subject == f"episode:{STAY}" for each in line.steps)
        and not any(each.type_code in {RESIDENCE, UNKNOWN_TYPE} for each in line.papers.held)
        # An emergency's token says why, and is a professional's; the very last moment is not to be hit by a request.
        and (purpose.code not in {"BTG", "ETREAT"} or (purpose.reasoned and line.actor.kind == "professional"))
        and abs((purpose.signed_in or 0) - RECENT_SECONDS) > 30
        # What is about a result that she may not know of yet is in her journal once it was announced.
        and (not secret or (want.action is Action.ANNOUNCE and line.verdict == "allowed"))
        and not purpose.stale
        # Identity names as heirs those who may read, once she is dead, and nobody else.
        and all(each.role != "heir" or (each.deceased and each.scopes == ("read",)) for each in represented)
        and (line.actor.kind != "representative" or want.action is not Action.ANNOUNCE)
        # Nobody may read the journal of the dead: what stands in it is read where an error is taken back.
        and not (any(each.deceased for each in represented) and want.action is Action.READ_JOURNAL)
    )


def _chosen() -> list[Line]:
    """Return the first lines of each rule, no two of them about the same person's same wish."""
    met: dict[str, set[tuple[str, str]]] = defaultdict(set)
    chosen: list[Line] = []
    for line in filter(_at_the_door, read()):
        wish = line.who, line.wants
        if len(met[line.rule]) < _MOST_OF_A_RULE and wish not in met[line.rule]:
            met[line.rule].add(wish)
            chosen.append(line)
    return chosen


LINES = _chosen()


class Visit:
    """A fresh record, and everybody of a line at the front door."""

    def __init__(self, record: Opened, line: Line) -> None:
        self._record, self._line = record, line
        self._requests: list[bytes] = []
        self._documents: list[str] = []
        self._oids: list[str] = []
        self._begun: dict[str, list[str]] = {}
        self._code, self._stay = INVENTED_CODE, "0" * 32
        self._dead = False

    def caller(self, actor: Actor, purpose: Purpose | None = None) -> Caller:
        """Return an actor's software, under a purpose; by default the one for which he is there."""
        if purpose is None:
            purpose = Purpose(_AIMS.get(actor.kind, "TREAT"))
        reason = Emergency(code="vital", text="La personne est inconsciente.") if purpose.reasoned else None
        return self._record.caller({
            "actor": actor.kind,
            "representative": Representative(holder=actor.id, role="parent")
            if actor.kind == "representative" else None,
            "secret": bool(purpose.secret),
            "sub": self._record.record if actor.kind == "patient" else actor.id,
            "name": actor.name,
            "profession": actor.profession,
            "organisation": Organisation(id=actor.organisation, name=actor.organisation_name or "")
            if actor.organisation else None,
            "application": Application(
                id=actor.application, name=actor.application_name, kind=actor.application_kind
            ),
            "purpose": purpose.code,
            "emergency": reason,
            "auth_time": int(time.time()) - purpose.signed_in if purpose.signed_in is not None else 0,
        })  # fmt: skip

    @property
    def patient(self) -> Caller:
        """Camille at her portal."""
        return self._record.caller(PATIENT)

    async def lived(self) -> None:
        """Deposit what the record holds, and live through the situation."""
        for each in self._line.papers.held:
            await self._deposited(each)
        for step in self._line.steps:
            await self._live(step)

    async def asked(self) -> Answer:  # noqa: C901, PLR0911 - a table: one wish, one request
        """Return the answer to what the line asks."""
        line, want = self._line, self._line.want
        caller = self.caller(line.actor, line.purpose)
        if want.action is Action.LIST:
            return await caller.search()
        if want.action is Action.READ:
            return await caller.read(self._document)
        if want.action is Action.DEPOSIT:
            return await caller.deposit(self._deposit())
        if want.action is Action.READ_JOURNAL:
            return await caller.journal()
        if want.action is Action.READ_DIRECTIVES:
            return await caller.directives()
        if want.action is Action.CHANGE_DIRECTIVES:
            return await self._changed(caller, want)
        if want.action is Action.AMEND:
            return await caller.amend(self._document, label_patch(adds=want.adds, removes=want.removes))
        if want.action is Action.ASK_AS_HEIR:
            return await caller.ask("POST", "/consent/heirs/requests", json={"motive": want.motive, "text": _WORDS})
        if want.action is Action.READ_OWN_TRACES:
            return await caller.ask("GET", "/consent/fhir/AuditEvent")
        if want.action is Action.ANNOUNCE:
            return await caller.ask("POST", "/consent/announcements", json={"document": self._document})
        if want.action is Action.END_CARE:
            return await caller.ask("DELETE", f"/consent/care/{self._stay}")
        return await caller.ask("POST", "/consent/care", json=self._care(want.evidence, want.lasts, want.code))

    async def _changed(self, caller: Caller, want: Want) -> Answer:
        if want.shows:
            return await caller.begin(kind="show-to-representatives", document=self._documents[0])
        if want.heirs == "oppose":
            return await caller.begin(kind="oppose-heirs")
        if want.heirs == "let":
            return await caller.end(self._begun["oppose-heirs"][-1])
        return await caller.begin(kind="authorise", professional="899700000001")

    async def told(self) -> tuple[str, str]:
        """Return the verdict and the rule of the line's flow, as she reads them."""
        line = self._line
        if self._dead:
            await represent(self._record)
        journal = await self.patient.journal(_count=500)
        assert journal.status == 200, journal.body
        entries = journal.json()["entries"]
        who = self._record.record if line.actor.kind == "patient" else line.actor.id
        asked = (str(line.want.action), who, line.purpose.code)
        found = [
            each
            for each in entries
            if (each.get("action"), each.get("who", {}).get("id"), each.get("purpose")) == asked
        ]
        # The newest is this very look at the journal, where the line was one of hers.
        entry = found[line.want.action is Action.READ_JOURNAL and asked[1:] == (self._record.record, "PATRQT")]
        assert entry["rule"]["law"] == line.law
        assert entry["rule"]["sentence"] in entry["phrase"]
        return entry["outcome"], entry["rule"]["id"]

    @property
    def _document(self) -> str:
        if self._line.papers.asked == "absent":
            return f"{self._record.record}-{'a' * 26}"
        return self._documents[0]

    async def _deposited(self, held: Paper) -> None:
        self._oids.append(fresh_oid())
        content = self._record.report(document_oid=self._oids[-1], type_code=held.type_code)
        labels = ((CONFIDENTIALITY, "N"), (TRE_A07, held.label)) if held.label else ()
        request = self._record.request(content, type_code=held.type_code, type_system=LOINC, labels=labels)
        answer = await self.caller(held.by).deposit(request)
        assert answer.status == 201, answer.body
        self._requests.append(request)
        self._documents.append(answer.json()["id"])

    def _deposit(self) -> bytes:
        if self._line.papers.deposit == "same":
            return self._requests[0]
        if self._line.papers.deposit == "other":
            return self._record.request(self._record.report(document_oid=self._oids[0], body="autre"))
        label = self._line.papers.label
        return self._record.request(labels=((CONFIDENTIALITY, "N"), (TRE_A07, label)) if label else ())

    async def _live(self, step: Step) -> None:
        match step:
            case Says():
                body = {"kind": step.kind} | self._about(step) | ({"until": _in(step.lasts)} if step.lasts else {})
                answer = await self.patient.ask("POST", "/consent/directives", json=body)
                assert answer.status == 201, answer.body
                self._begun.setdefault(step.kind, []).append(answer.json()["id"])
            case Represented(role, scopes, minor, deceased):
                heirs = (PARENT.id,) if role == "heir" else ()
                acting = role and not heirs
                held = [Holder(holder=PARENT.id, role=role, scopes=scopes)] if acting else []  # type: ignore[arg-type]
                await represent(self._record, *held, minor=minor, deceased=deceased, heirs=heirs)
                self._dead = deceased
            case Pleads(motive):
                heir = self.caller(PARENT)
                asked = await heir.ask("POST", "/consent/heirs/requests", json={"motive": motive, "text": _WORDS})
                assert asked.status == 201, asked.body
            case Gives(lasts):
                days = lasts // 86_400_000
                answer = await self.patient.ask("POST", "/consent/codes", json={"count": 1, "days": days})
                assert answer.status == 201, answer.body
                self._begun.setdefault("code", []).append(answer.json()["id"])
                self._code = answer.json()["codes"][0]
            case Ends(kind):
                assert (await self.patient.end(self._begun[kind].pop())).status == 200
            case Amends(who, adds, removes):
                answer = await self.caller(who).amend(self._documents[0], label_patch(adds=adds, removes=removes))
                assert answer.status == 200, answer.body
            case Declares():
                for _ in range(step.times):
                    await self._declared(step)
            case Discharges(who):
                answer = await self.caller(who).ask("DELETE", f"/consent/care/{self._stay}")
                assert answer.status == 202, answer.body

    async def _declared(self, step: Declares) -> None:
        code = "hers" if step.evidence == "code" else None
        body = self._care(step.evidence, step.lasts, code)
        answer = await self.caller(step.who).ask("POST", "/consent/care", json=body)
        # What does not count is answered like what does, but for a time or a code that is wrong in itself.
        assert answer.status == 202 or (not step.counts and answer.status == 422), answer.body
        if step.evidence == "admission" and step.counts:
            self._stay = answer.json()["id"]

    def _about(self, step: Says) -> dict[str, Any]:
        if step.subject is None:
            return {}
        if step.subject == IT:
            return {"document": self._documents[0]}
        if step.kind == "preset":
            return {"preset": step.subject}
        if step.kind == "close-emergency":
            return {"to": step.subject}
        if step.members:
            return {"team": [each.removeprefix("person:") for each in step.members]}
        head, _, tail = step.subject.partition(":")
        return {_FIELDS[head]: tail}

    def _care(self, evidence: str | None, lasts: int, code: str | None) -> dict[str, Any]:
        shown = {"hers": self._code, "invented": INVENTED_CODE}
        return {"evidence": evidence, "until": _in(lasts)} | ({"code": shown[code]} if code else {})


def _in(lasts: int) -> str:
    return (datetime.now(UTC) + timedelta(milliseconds=lasts)).isoformat()


def _status(line: Line) -> int:  # noqa: PLR0911 - a table: one end, one status
    """Return the status that the caller is to get: what professionals may not see looks like nothing."""
    action, verdict = line.want.action, line.verdict
    if verdict == "allowed":
        return _ALLOWED.get(action, 200)
    if verdict == "conflict":
        return 409
    if verdict == "red-line":
        return 403
    if line.rule == "own-word-too-often":
        return 409
    if line.rule == "code-wrong" or (line.want.code == "invented" and line.actor.kind == "professional"):
        return 422
    hers = line.actor.kind in {"patient", "representative"} and line.rule != NOTHING_THERE  # and is told why
    silent = line.actor.kind == "professional" or (line.actor.kind, line.actor.application_kind) == _ESTABLISHMENT
    if hers or (action in {Action.DECLARE_CARE, Action.END_CARE, Action.ANNOUNCE} and not silent):
        return 403
    return _REFUSED.get(action, 403)


def test_the_lines_are_a_tenth_and_meet_every_rule_within_reach() -> None:
    """As many as a tenth of the table, and some of each rule that a request can meet; a new rule is thought of here."""
    assert len(LINES) >= len(read()) // 10
    assert len(set(LINES)) == len(LINES)
    assert {each.rule for each in LINES} == set(RULES.rules) - OUT_OF_REACH


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.number}-{line.rule}")
async def test_a_case_goes_through_the_front_door_as_its_line_says(record: Opened, line: Line) -> None:
    """On the real engines: the caller's status, and in her journal the verdict, the rule, its law and its sentence."""
    visit = Visit(record, line)
    await visit.lived()
    answer = await visit.asked()
    assert answer.status == _status(line), answer.body
    if answer.status == 200 and line.want.action is Action.LIST and line.verdict == "refused":
        assert answer.ids == []
    assert await visit.told() == (line.verdict, line.rule)
