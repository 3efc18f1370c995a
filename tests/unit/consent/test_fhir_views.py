"""Directives as Consent, entries as AuditEvent: valid FHIR; the patient's in full, a professional's without answers."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import orjson
import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.consent import Consent
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consent.domain.directive import Directive
from services.consent.domain.entry import Entry, Outcome, Repeated, Reviewing
from services.consent.domain.flow import Action, Actor, Care, Change, DirectiveKind, Reason
from services.consent.domain.record import Record
from services.consent.domain.representation import Holder, Representation
from services.consent.fhir.audit_events import audit_event, own_trace
from services.consent.fhir.capability import capability_statement
from services.consent.fhir.consents import consent
from services.consent.french.phrases import entry_view
from tests.unit.consent.lives import STEPS, lived
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    DAY,
    INSURER,
    MOREAU,
    NOTICES,
    NOW,
    ORGANISATION,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    Book,
    entry,
    flow,
    opening,
    paper,
)

BASE = "https://carnet.test"
_SUBJECTS = {"close-emergency": "others", "hide": "a" * 26, "authorise": PERSON, "block": ORGANISATION,
             "treating-doctor": PERSON}  # fmt: skip


def as_consent(kind: str, subject: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a directive as a Consent that R4 allows."""
    found = consent(Directive("d" * 32, kind, subject, NOW, None, **more), RECORD, BASE, RULES)
    Consent.model_validate(orjson.loads(orjson.dumps(found)))
    return found


def as_event(book: Book) -> dict[str, Any]:
    """Return the newest entry as an AuditEvent that R4 allows."""
    found = audit_event(book.entries[-1], BASE, RULES)
    AuditEvent.model_validate(orjson.loads(orjson.dumps(found)))
    return found


def details(entity: dict[str, Any]) -> dict[str, str]:
    """Return an entity's details by type."""
    return {each["type"]: each["valueString"] for each in entity["detail"]}


@pytest.fixture
def book() -> Book:
    """Open a record's journal."""
    return Book()


@pytest.mark.parametrize("kind", get_args(DirectiveKind))
def test_every_kind_of_directive_has_its_rule_s_law(kind: str) -> None:
    """Each kind is an active patient-privacy Consent that says permit or deny, and by which article."""
    found = as_consent(kind, _SUBJECTS.get(kind))
    assert found["policyRule"]["text"] == RULES[found["policyRule"]["coding"][0]["code"]].law
    assert found["provision"]["type"] in {"permit", "deny"}
    assert found["status"] == "active"
    assert found["scope"]["coding"][0]["code"] == "patient-privacy"
    assert [each["coding"][0]["code"] for each in found["category"]] == ["59284-0", kind]
    assert found["policy"] == [{"uri": "https://carnet.test/consent/rules"}]


def test_a_consent_names_the_record_and_nobody_s_number() -> None:
    """The patient is a record's id; times are instants, and an end is the period's."""
    found = consent(Directive("d1", "block", PERSON, NOW, NOW + DAY), RECORD, BASE, RULES)
    assert found["patient"] == {
        "type": "Patient",
        "identifier": {"system": "https://carnet.example/fhir/NamingSystem/record", "value": RECORD},
    }
    # Who said it, she or whoever acts for her, stands in the AuditEvent of its entry.
    assert "performer" not in found
    assert found["dateTime"] == "2026-05-28T20:26:40.000Z"
    assert found["provision"]["period"] == {"start": "2026-05-28T20:26:40.000Z", "end": "2026-05-29T20:26:40.000Z"}


@pytest.mark.parametrize(
    ("kind", "subject", "rule", "meaning", "purposes"),
    [
        ("close-emergency", "samu", "samu-closed", "deny", ["ETREAT"]),
        ("close-emergency", "others", "emergency-closed", "deny", ["BTG"]),
        ("open-hidden", None, "hidden-by-patient", "permit", ["BTG", "ETREAT"]),
        ("oppose", None, "opposed", "deny", None),
        ("oppose-export", None, "exports-opposed", "deny", ["PATRQT"]),
        ("oppose-prevention", None, "prevention-opposed", "deny", ["PREVENT"]),
        ("authorise", PERSON, "authorised-by-patient", "permit", ["TREAT"]),
    ],
)
def test_switches_and_oppositions(
    kind: str, subject: str | None, rule: str, meaning: str, purposes: list[str] | None
) -> None:
    """Each emergency switch and each opposition denies its own purposes, by its own rule."""
    found = as_consent(kind, subject)
    provision = found["provision"]
    assert (found["policyRule"]["coding"][0]["code"], provision["type"]) == (rule, meaning)
    assert [each["code"] for each in provision["purpose"]] == purposes if purposes else "purpose" not in provision


@pytest.mark.parametrize(
    ("kind", "subject", "expected"),
    [
        ("authorise", PERSON, ("Practitioner", "urn:oid:1.2.250.1.71.4.2.1", MOREAU.id)),
        ("block", ORGANISATION, ("Organization", "urn:oid:1.2.250.1.71.4.2.2", f"1{MOREAU.organisation}")),
        ("authorise", "profession:60", ("PractitionerRole", None, "60")),
    ],
)
def test_whom_a_directive_names(kind: str, subject: str, expected: tuple[str, str | None, str]) -> None:
    """People, structures and professions are actors, under their national systems."""
    (actor,) = as_consent(kind, subject)["provision"]["actor"]
    named = actor["reference"]
    assert (named["type"], named["identifier"]["value"]) == (expected[0], expected[2])
    assert expected[1] in {None, named["identifier"]["system"]}


def test_a_team_is_its_members_and_a_code_is_nobody() -> None:
    """Each member is an actor; the digests of one-time codes stand nowhere."""
    team = as_consent("authorise", "team", members=(PERSON, "person:899700000009"))
    assert [each["reference"]["identifier"]["value"] for each in team["provision"]["actor"]] == [
        MOREAU.id, "899700000009",
    ]  # fmt: skip
    assert "digest" not in str(as_consent("code", members=("digest",)))


def test_what_a_directive_names() -> None:
    """A document is data, a type and a topic are codes, an episode is related data."""
    document = as_consent("hide", "b" * 26)["provision"]["data"][0]
    assert document["reference"]["reference"] == f"{BASE}/fhir/DocumentReference/{RECORD}-{'b' * 26}"
    loinc, local = (as_consent("hide", f"type:{code}")["provision"]["code"] for code in ("11502-2", "EXPPAT_3"))
    assert loinc[0]["coding"] == [{"system": "http://loinc.org", "code": "11502-2"}]
    assert "TRE-A05" in local[0]["coding"][0]["system"]
    assert as_consent("oppose-prevention", "topic:vaccins")["provision"]["code"][0]["coding"][0]["code"] == "vaccins"
    assert as_consent("hide", "episode:e")["provision"]["data"][0]["meaning"] == "related"


def test_a_kind_that_is_not_known_permits_nothing() -> None:
    """A directive of a later version is a Consent without a meaning, not one that permits."""
    found = consent(Directive("d1", "later", None, NOW, None), RECORD, BASE, RULES)
    assert ("type" in found["provision"], found["policyRule"]) == (False, {"text": "choix du patient"})


def test_a_read_is_told_in_full_to_the_patient(book: Book) -> None:
    """Who, for whom, with what software, why, which documents, and the rule that allowed it."""
    document = book.deposit(paper())
    book.say("authorise", PERSON)
    book.ask(flow(MOREAU, Action.READ, document, ABSENT))
    found = as_event(book)
    assert (found["action"], found["outcome"], found["recorded"]) == ("R", "0", "2026-05-28T20:26:40.000Z")
    assert [each["code"] for each in found["subtype"]] == ["AuthZ-Consent", "read"]
    assert "Dr Moreau" in found["outcomeDesc"]
    assert found["purposeOfEvent"][0]["coding"][0] == {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT",
    }  # fmt: skip
    asker, place, software, decider = found["agent"]
    assert [each["requestor"] for each in found["agent"]] == [True, False, False, False]
    assert (asker["name"], asker["who"]["identifier"]["value"]) == ("Dr Moreau", MOREAU.id)
    assert (asker["role"][0]["coding"][0]["code"], asker["policy"]) == (
        "10", [f"{BASE}/consent/rules#authorised-by-patient"],
    )  # fmt: skip
    assert (place["who"]["display"], software["who"]["display"]) == ("Cabinet Moreau", "Logiciel Moreau")
    assert decider["who"] == found["source"]["observer"]
    person, first, second, rule = found["entity"]
    assert person["what"]["identifier"]["value"] == RECORD
    assert details(person) == {"allowed": "1", "refused:no-such-document": "1"}
    assert first["what"]["reference"].endswith(f"/fhir/DocumentReference/{RECORD}-{document}")
    assert [details(each) for each in (first, second)] == [{"decision": "allowed"}, {"decision": "refused"}]
    assert rule["description"] == RULES["authorised-by-patient"].sentence


@pytest.mark.parametrize(
    ("actor", "action", "more", "expected"),
    [
        (PETIT, Action.LIST, {}, ("E", "4")),
        (INSURER, Action.LIST, {}, ("E", "8")),
        (MOREAU, Action.DEPOSIT, {"deposit": paper()}, ("C", "0")),
        (MOREAU, Action.DEPOSIT, {"deposit": paper("known", content="other")}, ("C", "4")),
        (CAMILLE, Action.EXPORT, {}, ("R", "0")),
        (NOTICES, Action.NOTIFY, {"documents": (ABSENT,)}, ("E", "4")),
        (MOREAU, Action.DECLARE_CARE, {"care": Care("declared", NOW + DAY)}, ("C", "0")),
        (CAMILLE, Action.READ_JOURNAL, {}, ("R", "0")),
        (CAMILLE, Action.CHANGE_DIRECTIVES, {"change": Change("ask-me")}, ("U", "0")),
    ],
)
def test_what_was_done_and_how_it_ended(
    book: Book, actor: Actor, action: Action, more: dict[str, Any], expected: tuple[str, str]
) -> None:
    """Create, read, update or execute; success, a refusal, or a red line."""
    book.deposit(paper("known"))
    book.ask(replace(flow(actor, action), **more))
    found = as_event(book)
    assert (found["action"], found["outcome"]) == expected


def test_a_rule_that_failed_is_a_serious_failure(book: Book) -> None:
    """An access that was refused because a rule could not be evaluated stands out."""
    book.ask(flow(MOREAU, Action.LIST))
    last = book.entries[-1]
    assert last.outcome is not None
    broken = replace(last, outcome=replace(last.outcome, rule="rule-error", errors=True))
    assert audit_event(broken, BASE, RULES)["outcome"] == "8"


def test_an_emergency_tells_its_reason(book: Book) -> None:
    """Why the glass was broken, in the professional's own words, stands beside the purpose."""
    asked = flow(
        MOREAU, Action.LIST, purpose="BTG", reason=Reason("coma", "Patiente inconsciente"), auth_time=NOW // 1000
    )
    book.ask(asked)
    assert as_event(book)["purposeOfEvent"][0]["text"] == "Patiente inconsciente"


def test_a_choice_names_its_consent(book: Book) -> None:
    """What began or ended a directive names the Consent."""
    begun = book.say("ask-me")
    assert as_event(book)["entity"][-1]["what"]["reference"] == f"Consent/{begun}"
    book.say("end", ends=begun)
    assert as_event(book)["entity"][-1]["what"]["reference"] == f"Consent/{begun}"


def test_what_nobody_asked_for_is_carnet_s_own(book: Book) -> None:
    """The opening of the record and a deposit that was given up are told with Carnet as their agent."""
    opened = as_event(book)
    assert (opened["subtype"][0]["code"], opened["action"], opened["agent"][0]["requestor"]) == ("opened", "C", True)
    book.abandon(book.deposit(paper()))
    assert (as_event(book)["action"], as_event(book)["outcome"]) == ("D", "0")


_ACCESS = "f" * 32
_LOOKED = Reviewing(_ACCESS, NOW, replace(MOREAU, profession="dpo", name="Déléguée Exemple"))
_REPEATED = Repeated(_ACCESS, MOREAU, Action.LIST, "TREAT", "refused", 12, NOW - 60_000, NOW)
_WITHOUT_FLOW: dict[Any, tuple[str, str, dict[str, Any]]] = {
    "opened": ("110110", "C", {}),
    "represented": ("110110", "U", {"representation": Representation(1, True, False, (Holder("r", "parent", ()),))}),
    "abandoned": ("110110", "D", {"about": ABSENT}),
    "revealed": ("110110", "U", {"about": ABSENT}),
    "looked-at-review": ("110101", "R", {"reviewing": _LOOKED}),
    "told-doctor": ("110101", "R", {"reviewing": replace(_LOOKED, by=PETIT)}),
    "repeated": ("110113", "E", {"repeated": _REPEATED}),
    "reviewed": ("110101", "U", {"reviewing": replace(_LOOKED, answer="Rien à redire à cela.", justified=True)}),
}


@pytest.mark.parametrize("kind", _WITHOUT_FLOW)
def test_every_kind_of_entry_is_an_event_of_its_own(kind: Any) -> None:
    """A type and an action that mean it, success, the person, and the sentence that her journal says."""
    what, done, more = _WITHOUT_FLOW[kind]
    written = replace(opening(), kind=kind, **more)
    found = audit_event(written, BASE, RULES)
    AuditEvent.model_validate(orjson.loads(orjson.dumps(found)))
    assert (found["type"]["code"], found["action"]) == (what, done)
    assert found["outcome"] == ("4" if kind == "repeated" else "0")
    assert [each["code"] for each in found["subtype"]] == [kind]
    assert found["outcomeDesc"] == entry_view(written, RULES)["phrase"]
    assert found["entity"][0]["what"]["identifier"]["value"] == RECORD
    named = [each["what"]["reference"] for each in found["entity"][1:]]
    document = f"{BASE}/fhir/DocumentReference/{RECORD}-{ABSENT}"
    assert named == (
        [document] if "about" in more else [f"AuditEvent/{_ACCESS}"] if more.keys() & {"reviewing", "repeated"} else []
    )


def test_no_kind_of_entry_is_without_its_event() -> None:
    """Those of the public record, which is nobody's, are no patient's; a new kind is thought of here."""
    assert {*_WITHOUT_FLOW, "decision", "activated"} == set(get_args(get_type_hints(Entry)["kind"]))


def test_a_number_of_refusals_says_whose_how_many_and_when() -> None:
    """Who asked again, what for, how often, from when to when; beyond a red line, it is as serious as the first."""
    found = audit_event(replace(opening(), kind="repeated", repeated=_REPEATED), BASE, RULES)
    assert (found["agent"][0]["name"], found["purposeOfEvent"][0]["coding"][0]["code"]) == ("Dr Moreau", "TREAT")
    assert found["period"] == {"start": "2026-05-28T20:25:40.000Z", "end": "2026-05-28T20:26:40.000Z"}
    assert details(found["entity"][1]) == {"repeated": "12"}
    red = replace(_REPEATED, verdict="red-line")
    assert audit_event(replace(opening(), kind="repeated", repeated=red), BASE, RULES)["outcome"] == "8"


def test_an_officer_is_the_one_who_looked_or_answered() -> None:
    """Who reviewed an access in an emergency, for which organisation, and whether it was found justified."""
    looked = audit_event(replace(opening(), kind="looked-at-review", reviewing=_LOOKED), BASE, RULES)
    asker, place, *_ = looked["agent"]
    assert (asker["name"], asker["requestor"], place["who"]["display"]) == ("Déléguée Exemple", True, "Cabinet Moreau")
    assert "detail" not in looked["entity"][1]
    said = replace(_LOOKED, answer="Rien à redire à cela.", justified=False)
    answered = audit_event(replace(opening(), kind="reviewed", reviewing=said), BASE, RULES)
    assert details(answered["entity"][1]) == {"justified": "false"}
    assert "Rien à redire à cela." in answered["outcomeDesc"]


def test_a_rule_that_is_gone_keeps_its_name(book: Book) -> None:
    """An entry of an older version of the rules is told without a sentence that nobody has any more."""
    book.ask(flow(MOREAU, Action.LIST))
    last = book.entries[-1]
    assert last.outcome is not None
    old = replace(last, outcome=replace(last.outcome, rule="once-a-rule"))
    rule = audit_event(old, BASE, RULES)["entity"][1]
    assert (rule["name"], "description" in rule) == ("once-a-rule", False)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_every_journal_is_valid_fhir(steps: list[tuple[Any, ...]]) -> None:
    """Whatever a record lived, its entries are AuditEvents and its directives Consents that R4 allows."""
    book = lived(steps)
    for each in book.entries:
        AuditEvent.model_validate(orjson.loads(orjson.dumps(audit_event(each, BASE, RULES))))
    for directive in book.record.directives.values():
        Consent.model_validate(orjson.loads(orjson.dumps(consent(directive, RECORD, BASE, RULES))))


def _trace(entry: Entry) -> dict[str, Any]:
    assert entry.flow is not None
    found = own_trace(entry, entry.flow, BASE)
    AuditEvent.model_validate(orjson.loads(orjson.dumps(found)))
    return found


_OUTCOMES = st.builds(
    Outcome,
    verdict=st.sampled_from(["allowed", "refused", "red-line", "conflict"]),
    rule=st.sampled_from(["blocked", "not-authorised", "authorised-by-patient", "red-line-insurance"]),
    allowed=st.sampled_from([(), (ABSENT,)]),
    count=st.integers(0, 5),
    refused=st.sampled_from([(), (("blocked", 3),)]),
    document=st.sampled_from([None, ABSENT]),
    version=st.sampled_from([None, 1]),
    errors=st.booleans(),
)


@pytest.mark.parametrize(
    "asked",
    [
        flow(MOREAU, Action.LIST),
        flow(MOREAU, Action.READ, ABSENT, "b" * 26),
        flow(MOREAU, Action.DEPOSIT, deposit=paper()),
        flow(MOREAU, Action.DECLARE_CARE, care=Care("declared", NOW + DAY)),
    ],
    ids=lambda each: each.action,
)
@given(_OUTCOMES)
def test_a_professional_s_trace_says_nothing_of_the_answer(asked: Any, outcome: Outcome) -> None:
    """Whatever came of it, the same question is the same trace: no outcome, no rule, no count, and as many bytes."""
    book = Book()
    book.ask(asked)
    told = book.entries[-1]
    assert orjson.dumps(_trace(replace(told, outcome=outcome))) == orjson.dumps(_trace(told))
    assert "outcome" not in _trace(told)


def test_a_professional_s_trace_says_what_was_asked(book: Book) -> None:
    """The documents that were named, by whom, for what and when."""
    book.ask(flow(MOREAU, Action.READ, ABSENT))
    found = _trace(book.entries[-1])
    assert (found["outcomeDesc"], found["action"]) == ("Vous avez demandé à lire des documents.", "R")
    assert found["entity"][1]["what"]["reference"].endswith(ABSENT)
    assert found["agent"][0]["who"]["identifier"]["value"] == MOREAU.id
    assert "policy" not in found["agent"][0]


@pytest.mark.parametrize("action", list(Action))
def test_whatever_a_professional_asked_his_trace_says_it_to_him(action: Action) -> None:
    """In a sentence of its own, of what he asked and not of what was done, and with a FHIR action that means it."""
    asked = flow(MOREAU, action, ABSENT, purpose="BTG", reason=Reason("coma", "Patiente inconsciente"))
    found = _trace(entry(Record(RECORD), asked, Outcome("refused", "blocked"), NOW))
    assert re.match(r"Vous avez (demandé|déclaré|relu) [^.]+\.$", found["outcomeDesc"])
    assert found["purposeOfEvent"][0]["text"] == "Patiente inconsciente"
    others = {_trace(entry(Record(RECORD), flow(MOREAU, each), Outcome("refused", "blocked"), NOW))["outcomeDesc"]
              for each in Action if each is not action}  # fmt: skip
    assert found["outcomeDesc"] not in others


def test_the_capability_statement_is_valid() -> None:
    """What is offered is said in FHIR."""
    said = capability_statement(
        BASE, f"{BASE}/identity/token", version="0.1.0", date=datetime(2026, 11, 24, tzinfo=UTC)
    )
    CapabilityStatement.model_validate(orjson.loads(orjson.dumps(said)))
    assert {each["type"] for each in said["rest"][0]["resource"]} == {"Consent", "AuditEvent"}
