"""An entry in plain French: who, what for, when, and the rule that decided."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Actor, Change, Flow
from services.consent.domain.rules import Rules

_PARIS = ZoneInfo("Europe/Paris")
_MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
           "novembre", "décembre")  # fmt: skip
_PURPOSES = {
    "TREAT": "pour vos soins",
    "PATRQT": "à votre demande",
    "NOTIFY": "pour vous prévenir",
    "COVERAGE": "pour une assurance",
    "HPAYMT": "pour un remboursement",
    "CLMATTCH": "pour une assurance",
    "EMPLOYMENT": "pour un emploi",
    "HMARKT": "pour de la publicité",
    "COMMERCE": "pour un usage commercial",
}
_DONE = {
    Action.DEPOSIT: "{have} déposé un document",
    Action.READ: "{have} lu un document",
    Action.NOTIFY: "vous {have} prévenu d'une nouveauté, sans en dire le contenu",
    Action.READ_JOURNAL: "{have} lu le journal",
    Action.READ_DIRECTIVES: "{have} relu les choix en vigueur",
}
_ASKED = {
    Action.DEPOSIT: "{have} voulu déposer un document",
    Action.LIST: "{have} voulu voir la liste des documents",
    Action.READ: "{have} voulu lire un document",
    Action.NOTIFY: "{have} voulu vous prévenir d'une nouveauté",
    Action.READ_JOURNAL: "{have} voulu lire le journal",
    Action.READ_DIRECTIVES: "{have} voulu relire vos choix",
    Action.CHANGE_DIRECTIVES: "{have} voulu changer vos choix",
}


def when(at: int) -> str:
    """Return a time (Unix, ms) as people say it, in Paris."""
    local = datetime.fromtimestamp(at / 1000, _PARIS)
    day = "1er" if local.day == 1 else str(local.day)
    return f"le {day} {_MONTHS[local.month - 1]} {local.year} à {local:%H:%M:%S}"


def entry_view(entry: Entry, rules: Rules) -> dict[str, Any]:
    """Return an entry as the patient's interface gives it: codes for programs, and one French sentence for people."""
    view: dict[str, Any] = {
        "version": entry.version,
        "at": datetime.fromtimestamp(entry.at / 1000, _PARIS).isoformat(timespec="milliseconds"),
        "kind": entry.kind,
        "policies": entry.policies,
    }
    flow, outcome = entry.flow, entry.outcome
    if flow is None or outcome is None:
        said = "Votre dossier a été ouvert" if entry.kind == "opened" else "Un dépôt inachevé a été annulé"
        return view | {"phrase": f"{said}, {when(entry.at)}."}
    # A rule of an older version keeps its id; its sentence may have gone with it.
    rule = rules.rules.get(outcome.rule)
    because = {"id": outcome.rule, "law": rule.law if rule else "", "sentence": rule.sentence if rule else ""}
    return view | {
        "flow": flow.id,
        "who": _who(flow.actor),
        "action": flow.action,
        "purpose": flow.purpose,
        "documents": list(flow.documents) or ([outcome.document] if outcome.document else []),
        "outcome": outcome.verdict,
        "count": outcome.count,
        "refused": dict(outcome.refused),
        "rule": because,
        "phrase": _phrase(entry.at, flow, outcome.verdict, outcome.count, because["sentence"]),
    }


def _who(actor: Actor) -> dict[str, str | None]:
    return {
        "kind": actor.kind,
        "id": actor.id,
        "name": actor.name,
        "profession": actor.profession,
        "organisation": actor.organisation_name,
        "software": actor.application_name,
    }


def _phrase(at: int, flow: Flow, verdict: str, count: int, sentence: str) -> str:
    what = _what(flow, count) if verdict == "allowed" else _ASKED[flow.action]
    purpose = _PURPOSES.get(flow.purpose, f"pour la raison « {flow.purpose} »")
    end = {
        "allowed": "Autorisé",
        "refused": "Refusé",
        "red-line": "Refusé, et aucun accord ne peut le permettre",
        "conflict": "Refusé : un autre contenu porte déjà ce numéro",
    }[verdict]
    what = what.format(have="avez" if flow.actor.kind == "patient" else "a")
    return f"{when(at).capitalize()}, {_named(flow.actor)} {what}, {purpose}. {end}. {sentence}".strip()


def _named(actor: Actor) -> str:
    if actor.kind == "patient":
        return f"vous (logiciel {actor.application_name})"
    if actor.kind == "service":
        return actor.name
    places = [place for place in (actor.organisation_name, f"logiciel {actor.application_name}") if place]
    return f"{actor.name} ({', '.join(places)})"


def _what(flow: Flow, count: int) -> str:
    if flow.action is Action.LIST:
        number = {0: "aucun document visible", 1: "1 document visible"}.get(count, f"{count} documents visibles")
        return f"{{have}} vu la liste des documents ({number})"
    if flow.action is Action.CHANGE_DIRECTIVES and flow.change is not None:
        return _changed(flow.change)
    return _DONE[flow.action]


def _changed(change: Change) -> str:
    subject = (change.subject or "").partition(":")
    named = {"person": "le professionnel", "organisation": "la structure"}.get(subject[0], "le document")
    number = subject[2] or subject[0]
    until = f" jusqu'au {when(change.until).removeprefix('le ')}" if change.until else ""
    return {
        "authorise": f"avez autorisé {named} {number}{until}",
        "block": f"avez bloqué {named} {number}{until}",
        "hide": f"avez masqué un document aux professionnels{until}",
        "oppose": f"vous êtes opposé à votre dossier{until}",
        "end": "avez mis fin à un de vos choix",
    }[change.kind]
