"""A directive as a FHIR Consent: what the patient said, of whom and of what, and the rule by which it works."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from services.consent.domain.directive import Directive
from services.consent.domain.rules import Rules
from services.consent.fhir import systems
from services.consent.fhir.systems import Json, coding, concept

_SCOPE: Final = concept(
    coding("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy", "Privacy Consent")
)
_PATIENT_CONSENT: Final = concept(coding(systems.LOINC, "59284-0", "Patient Consent"))
_RECIPIENT: Final = concept(
    coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient")
)
_TREATING: Final = concept(
    coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationFunction", "PCP", "primary care physician")
)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a kind of directive permits or denies, the rule that reads it, and for which purposes (none: for all)."""

    type: Literal["permit", "deny"]
    rule: str
    purposes: tuple[str, ...] = ()


_MEANINGS: Final = {
    "authorise": _Meaning("permit", "authorised-by-patient", ("TREAT",)),
    "treating-doctor": _Meaning("permit", "treating-doctor", ("TREAT",)),
    "code": _Meaning("permit", "one-time-code", ("TREAT",)),
    "block": _Meaning("deny", "blocked"),
    "close": _Meaning("deny", "closed-by-patient", ("TREAT",)),
    "ask-me": _Meaning("deny", "asks-to-be-asked", ("TREAT",)),
    "hide": _Meaning("deny", "hidden-by-patient"),
    "open-hidden": _Meaning("permit", "hidden-by-patient", ("BTG", "ETREAT")),
    "close-emergency": _Meaning("deny", "emergency-closed", ("BTG",)),
    "oppose": _Meaning("deny", "opposed"),
    "oppose-export": _Meaning("deny", "exports-opposed", ("PATRQT",)),
    "oppose-prevention": _Meaning("deny", "prevention-opposed", ("PREVENT",)),
    "oppose-heirs": _Meaning("deny", "heirs-opposed", ("PATRQT",)),
}
_REFERENCES: Final[dict[str, Callable[[str], Json]]] = {
    "person": systems.professional,
    "team": systems.professional,
    "organisation": systems.structure,
    "profession": systems.profession,
}
_SAMU: Final = _Meaning("deny", "samu-closed", ("ETREAT",))


def consent(directive: Directive, record: str, base: str, rules: Rules) -> Json:
    """Return a directive in force as a Consent; `base` is the public base, without a path."""
    meaning = _SAMU if directive.subject == "samu" else _MEANINGS.get(directive.kind)
    found = rules.rules.get(meaning.rule) if meaning else None
    return {
        "resourceType": "Consent",
        "id": directive.id,
        "status": "active",
        "scope": _SCOPE,
        "category": [_PATIENT_CONSENT, concept(coding(systems.DIRECTIVE, directive.kind))],
        "patient": systems.patient(record),
        "dateTime": systems.instant(directive.since),
        "policy": [{"uri": f"{base}/consent/rules"}],
        "policyRule": concept(coding(systems.RULE, found.id, found.sentence), text=found.law)
        if found
        else {"text": "choix du patient"},
        "provision": _provision(directive, meaning, record, base),
    }


def _provision(directive: Directive, meaning: _Meaning | None, record: str, base: str) -> Json:
    period = {"start": systems.instant(directive.since)}
    if directive.until is not None:
        period["end"] = systems.instant(directive.until)
    found: Json = {"period": period}
    if meaning is not None:
        found["type"] = meaning.type
    if meaning is not None and meaning.purposes:
        found["purpose"] = [systems.purpose(each) for each in meaning.purposes]
    return found | _about(directive, record, base)


def _about(directive: Directive, record: str, base: str) -> Json:
    """Return whom or what a directive names: actors; types and topics as codes; documents and episodes as data."""
    head, _, tail = (directive.subject or "").partition(":")
    if actors := _actors(directive, head, tail):
        return {"actor": actors}
    if head == "type":
        return {"code": [concept(systems.document_type(tail))]}
    if head == "topic":
        return {"code": [concept(coding(systems.TOPIC, tail))]}
    if head == "episode":
        episode = systems.logical("EpisodeOfCare", systems.EPISODE, tail)
        return {"data": [{"meaning": "related", "reference": episode}]}
    if directive.kind == "hide":
        return {"data": [{"meaning": "instance", "reference": systems.document(base, record, head)}]}
    return {}


def _actors(directive: Directive, head: str, tail: str) -> list[Json]:
    role = _TREATING if directive.kind == "treating-doctor" else _RECIPIENT
    named = [each.partition(":")[2] for each in directive.members] if head == "team" else [tail]
    to_reference = _REFERENCES.get(head)
    return [{"role": role, "reference": to_reference(each)} for each in named] if to_reference else []
