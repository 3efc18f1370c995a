"""An entry of the journal as a FHIR AuditEvent, after IHE BALP's pattern of an authorisation decision.

The patient's says all that the journal says. A professional's own trace says what he asked and nothing of the answer:
hidden, blocked, absent and allowed look the same (EHDS, article 8).
"""

from typing import Final

from services.consent.domain.entry import Entry, Outcome, Repeated
from services.consent.domain.flow import Action, Actor, Flow
from services.consent.domain.rules import Rules
from services.consent.fhir import systems
from services.consent.fhir.systems import Json, coding, concept
from services.consent.french.phrases import entry_view

_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_DECIDED: Final = coding(_DICOM, "110113", "Security Alert")  # what BALP calls a decision
_RECORD: Final = coding(_DICOM, "110110", "Patient Record")
_LOG_USED: Final = coding(_DICOM, "110101", "Audit Log Used")
_DECISION: Final = coding(
    "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType", "AuthZ-Consent",
    "Authorization Decision using Roles and Consent",
)  # fmt: skip
_USER: Final = concept(coding(f"{_TERMINOLOGY}/v3-ParticipationType", "IRCP", "information recipient"))
_PLACE: Final = concept(coding(f"{_TERMINOLOGY}/v3-RoleClass", "PROV", "healthcare provider"))
_SOFTWARE: Final = concept(coding(_DICOM, "110150", "Application"))
_DECIDER: Final = concept(coding(f"{_TERMINOLOGY}/extra-security-role-type", "authserver", "authorization server"))
_PERSON: Final = coding(f"{_TERMINOLOGY}/audit-entity-type", "1", "Person")
_OBJECT: Final = coding(f"{_TERMINOLOGY}/audit-entity-type", "2", "System Object")
_CONSENT: Final = coding("http://hl7.org/fhir/resource-types", "Consent", "Consent")
_OF_PATIENT: Final = coding(f"{_TERMINOLOGY}/object-role", "1", "Patient")
_OF_REPORT: Final = coding(f"{_TERMINOLOGY}/object-role", "3", "Report")
_OF_EVENT: Final = coding(f"{_TERMINOLOGY}/object-role", "4", "Domain Resource")
_OF_RULE: Final = coding(f"{_TERMINOLOGY}/object-role", "13", "Security Resource")
_CARNET: Final = systems.logical("Device", systems.SERVICE, "consent", "Carnet, service du consentement")
_SOURCE: Final = {
    "observer": _CARNET,
    "type": [coding(f"{_TERMINOLOGY}/security-source-type", "6", "Security Server")],
}
# Create, read, update, delete, execute.
_ACTIONS: Final = {
    Action.DEPOSIT: "C", Action.LIST: "E", Action.READ: "R", Action.EXPORT: "R", Action.PREVENT: "E",
    Action.NOTIFY: "E", Action.DECLARE_CARE: "C", Action.READ_JOURNAL: "R", Action.READ_DIRECTIVES: "R",
    Action.CHANGE_DIRECTIVES: "U", Action.ANNOUNCE: "U", Action.AMEND: "U", Action.END_CARE: "U",
    Action.READ_OWN_TRACES: "R", Action.ASK_AS_HEIR: "C",
}  # fmt: skip
_SUCCESS, _MINOR, _SERIOUS = "0", "4", "8"
# What nobody's flow did, by the entry's kind: type, action, outcome. Whatever is not known here was done, and is told.
_WITHOUT_FLOW: Final = {
    "opened": (_RECORD, "C", _SUCCESS),
    "represented": (_RECORD, "U", _SUCCESS),
    "abandoned": (_RECORD, "D", _SUCCESS),
    "revealed": (_RECORD, "U", _SUCCESS),
    "activated": (_RECORD, "U", _SUCCESS),
    "looked-at-review": (_LOG_USED, "R", _SUCCESS),
    "reviewed": (_LOG_USED, "U", _SUCCESS),
    "told-doctor": (_LOG_USED, "R", _SUCCESS),
    "repeated": (_DECIDED, "E", _MINOR),
}
_UNKNOWN: Final = (_RECORD, "E", _SUCCESS)
_ABOUT_A_DOCUMENT: Final = frozenset({"abandoned", "revealed"})
_ASKED: Final = {
    Action.ASK_AS_HEIR: "Vous avez demandé à lire le dossier d'une personne décédée.",
    Action.DEPOSIT: "Vous avez demandé à déposer un document.",
    Action.LIST: "Vous avez demandé la liste des documents.",
    Action.READ: "Vous avez demandé à lire des documents.",
    Action.AMEND: "Vous avez demandé à changer les étiquettes d'un document.",
    Action.EXPORT: "Vous avez demandé à copier le dossier.",
    Action.PREVENT: "Vous avez demandé à préparer des conseils de prévention.",
    Action.NOTIFY: "Vous avez demandé à prévenir cette personne.",
    Action.DECLARE_CARE: "Vous avez déclaré soigner cette personne.",
    Action.ANNOUNCE: "Vous avez déclaré avoir annoncé un résultat à cette personne.",
    Action.END_CARE: "Vous avez déclaré la fin d'un séjour de cette personne.",
    Action.READ_JOURNAL: "Vous avez demandé à lire le journal de cette personne.",
    Action.READ_DIRECTIVES: "Vous avez demandé à relire les choix de cette personne.",
    Action.CHANGE_DIRECTIVES: "Vous avez demandé à changer les choix de cette personne.",
    Action.READ_OWN_TRACES: "Vous avez relu vos propres demandes à ce dossier.",
}


def audit_event(entry: Entry, base: str, rules: Rules) -> Json:
    """Return an entry as the patient reads it: who, what, when, for what, the verdict and its rule.

    `rules` are those that judged it.
    """
    flow, outcome = entry.flow, entry.outcome
    told = _framed(entry) | {"outcome": _code(entry), "outcomeDesc": entry_view(entry, rules)["phrase"]}
    if flow is None or outcome is None:
        told |= _when_and_why(entry.repeated) if entry.repeated else {}
        somebody = entry.reviewing or entry.repeated
        agents = _agents(somebody.by, entry.record) if somebody else [_decider(requestor=True)]
        return told | {"agent": agents, "entity": [_person(entry), *_concerned(entry, base)]}
    agents = _agents(flow.actor, flow.record)
    agents[0]["policy"] = [f"{base}/consent/rules#{outcome.rule}"]
    entities = [_person(entry, outcome), *_documents(flow, outcome, base), _rule(entry, outcome, rules), *_choice(flow)]
    return told | {"purposeOfEvent": [_purpose(flow)], "agent": agents, "entity": entities}


def own_trace(entry: Entry, flow: Flow, base: str) -> Json:
    """Return an entry as the professional reads it whose flow it was: what was asked, and not what came of it."""
    asked = [_asked_for(base, flow.record, each) for each in flow.documents]
    return _framed(entry) | {
        "outcomeDesc": _ASKED[flow.action],
        "purposeOfEvent": [_purpose(flow)],
        "agent": _agents(flow.actor, flow.record),
        "entity": [_person(entry), *asked],
    }


def _framed(entry: Entry) -> Json:
    action = entry.flow.action if entry.flow else None
    kind = coding(systems.ACTION, action) if action else coding(systems.ENTRY, entry.kind)
    what, done, _ = (_DECIDED, _ACTIONS[action], "") if action else _WITHOUT_FLOW.get(entry.kind, _UNKNOWN)
    return {
        "resourceType": "AuditEvent",
        "id": entry.cause,
        "type": what,
        "subtype": [_DECISION, kind] if action else [kind],
        "action": done,
        "recorded": systems.instant(entry.at),
        "source": _SOURCE,
    }


def _code(entry: Entry) -> str:
    outcome = entry.outcome
    if entry.repeated and entry.repeated.verdict == "red-line":
        return _SERIOUS
    if outcome is None:
        return _WITHOUT_FLOW.get(entry.kind, _UNKNOWN)[2]
    if outcome.verdict == "allowed":
        return _SUCCESS
    return _SERIOUS if outcome.verdict == "red-line" or outcome.errors else _MINOR


def _purpose(flow: Flow) -> Json:
    return concept(systems.purpose(flow.purpose), text=flow.reason.text if flow.reason else None)


def _agents(actor: Actor, record: str) -> list[Json]:
    """Return who asked, first; the structure that he acted for, the software, and who decided."""
    first: Json = {"type": _USER, "who": _who(actor, record), "name": actor.name, "requestor": True}
    if actor.profession:
        first["role"] = [concept(coding(systems.PROFESSION, actor.profession))]
    agents = [first]
    if actor.organisation:
        place = systems.structure(actor.organisation, actor.organisation_name)
        agents.append({"type": _PLACE, "who": place, "requestor": False})
    software = systems.logical("Device", systems.APPLICATION, actor.application, actor.application_name)
    return [*agents, {"type": _SOFTWARE, "who": software, "requestor": False}, _decider()]


def _who(actor: Actor, record: str) -> Json:
    match actor.kind:
        case "patient":
            return systems.patient(record)
        case "professional":
            return systems.professional(actor.id, actor.name)
        case "application" | "service":
            return systems.logical("Device", systems.APPLICATION, actor.id, actor.name)
    return systems.logical("RelatedPerson", systems.RECORD, actor.id, actor.name)


def _decider(*, requestor: bool = False) -> Json:
    return {"type": _DECIDER, "who": _CARNET, "requestor": requestor}


def _person(entry: Entry, outcome: Outcome | None = None) -> Json:
    found: Json = {"what": systems.patient(entry.record), "type": _PERSON, "role": _OF_PATIENT}
    if outcome is not None:
        refused = [(f"refused:{rule}", number) for rule, number in outcome.refused]
        counts = [("allowed", outcome.count), *refused]
        found["detail"] = [{"type": name, "valueString": str(number)} for name, number in counts]
    return found


def _concerned(entry: Entry, base: str) -> list[Json]:
    """Return what an entry without a flow is about: a document, the access that was reviewed, the first refusal."""
    if entry.about and entry.kind in _ABOUT_A_DOCUMENT:
        return [_asked_for(base, entry.record, entry.about)]
    somebody = entry.reviewing or entry.repeated
    if somebody is None:
        return []
    access = {"reference": f"AuditEvent/{somebody.flow}", "type": "AuditEvent"}
    found: Json = {"what": access, "type": _OBJECT, "role": _OF_EVENT}
    if entry.reviewing and entry.reviewing.justified is not None:
        found["detail"] = [{"type": "justified", "valueString": str(entry.reviewing.justified).lower()}]
    if entry.repeated:
        found["detail"] = [{"type": "repeated", "valueString": str(entry.repeated.times)}]
    return [found]


def _when_and_why(said: Repeated) -> Json:
    """Return from when to when a refusal was repeated, and what for."""
    period = {"start": systems.instant(said.since), "end": systems.instant(said.until)}
    return {"period": period, "purposeOfEvent": [concept(systems.purpose(said.purpose))]}


def _documents(flow: Flow, outcome: Outcome, base: str) -> list[Json]:
    """Return the documents that were named, each with its own verdict; of a list the entry keeps numbers only."""
    named = flow.documents or ((outcome.document,) if outcome.document else ())
    # A list's entry does not say which; a deposit's document is there because it was allowed.
    told = flow.action is not Action.LIST
    let_in = {*outcome.allowed, *((outcome.document,) if outcome.verdict == "allowed" else ())}
    found = [_asked_for(base, flow.record, each) for each in named]
    if told:
        for each, name in zip(found, named, strict=True):
            each["detail"] = [{"type": "decision", "valueString": "allowed" if name in let_in else "refused"}]
    return found


def _asked_for(base: str, record: str, name: str) -> Json:
    return {"what": systems.document(base, record, name), "type": _OBJECT, "role": _OF_REPORT}


def _rule(entry: Entry, outcome: Outcome, rules: Rules) -> Json:
    known = rules.rules.get(outcome.rule)
    found: Json = {
        "what": {"identifier": {"system": systems.RULE, "value": outcome.rule}},
        "type": _OBJECT,
        "role": _OF_RULE,
        "name": known.law if known else outcome.rule,
        "detail": [{"type": "policies", "valueString": entry.policies}],
    }
    # A rule of an older version keeps its id; its sentence may have gone with it.
    return found | ({"description": known.sentence} if known else {})


def _choice(flow: Flow) -> list[Json]:
    """Return the directive that a change began or ended."""
    if flow.change is None or flow.action is not Action.CHANGE_DIRECTIVES:
        return []
    return [{"what": {"reference": f"Consent/{flow.change.ends or flow.id}", "type": "Consent"}, "type": _CONSENT}]
