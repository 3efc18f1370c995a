"""Previews and sights as the patient reads them: codes for programs, and French sentences for people."""

from typing import Any

from services.consent.domain.previewing import Difference, Preview, Sight, Use, UseName
from services.consent.domain.rules import Rules
from services.consent.domain.viewers import Viewer

# (possible from then on, no longer possible)
_USES: dict[UseName, tuple[str, str]] = {
    "notices": (
        "Carnet pourrait de nouveau vous prévenir des nouveautés",
        "Carnet ne vous préviendrait plus des nouveautés",
    ),
    "export": (
        "la copie complète de votre dossier serait de nouveau possible",
        "plus aucune copie complète de votre dossier ne serait possible",
    ),
    "prevention": (
        "Carnet pourrait de nouveau préparer des conseils de prévention",
        "Carnet ne préparerait plus de conseils de prévention",
    ),
    "deposits": (
        "les professionnels pourraient de nouveau déposer des documents",
        "les professionnels ne pourraient plus déposer de documents",
    ),
    "declared-care": (
        "un professionnel pourrait de nouveau déclarer lui-même votre accord oral",
        "un professionnel ne pourrait plus déclarer lui-même votre accord oral",
    ),
    "heirs": (
        "vos ayants droit pourraient de nouveau demander à lire votre dossier après votre décès",
        "vos ayants droit ne pourraient plus demander à lire votre dossier après votre décès",
    ),
}
_IN_EMERGENCY = ", en urgence"


def preview_view(preview: Preview, rules: Rules) -> dict[str, Any]:
    """Return a preview: whose sight would change, what other uses would, and one sentence for all."""
    return {
        "allowed": preview.outcome.verdict == "allowed",
        "rule": _rule(rules, preview.outcome.rule),
        "effects": [_effect(each, rules) for each in preview.differences],
        "uses": [_use(each, rules) for each in preview.uses],
        "considered": preview.considered,
        "partial": preview.partial,
        "phrase": _summary(preview, rules),
    }


def sight_view(sight: Sight, rules: Rules) -> dict[str, Any]:
    """Return what a viewer sees, and of each hidden document the rule that hides it."""
    shown, every = len(sight.shown), len(sight.shown) + len(sight.hidden)
    decided = _rule(rules, sight.rule)
    phrase = f"{_named(sight.viewer)} : {_visible(shown)} sur {every}." if every else f"{_named(sight.viewer)}."
    return {
        "who": _who(sight.viewer),
        "visible": [{"document": each, "rule": _rule(rules, rule)} for each, rule in sight.shown.items()],
        "hidden": [{"document": each, "rule": _rule(rules, rule)} for each, rule in sight.hidden.items()],
        "rule": decided,
        "phrase": f"{phrase} {decided['sentence']}".strip(),
    }


def _effect(told: Difference, rules: Rules) -> dict[str, Any]:
    rule = _rule(rules, told.rule)
    return {
        "who": _who(told.viewer),
        "now": told.now,
        "then": told.then,
        "gains": list(told.gains),
        "loses": list(told.loses),
        "rule": rule,
        "phrase": f"{_named(told.viewer)} : {_visible(told.now)} aujourd'hui, {_visible(told.then)} ensuite. "
        f"{rule['sentence']}".strip(),
    }


def _use(use: Use, rules: Rules) -> dict[str, Any]:
    return {
        "use": use.name,
        "topic": use.topic,
        "now": not use.possible,
        "then": use.possible,
        "rule": _rule(rules, use.rule),
        "phrase": f"{_capital(_said(use))}.",
    }


def _summary(preview: Preview, rules: Rules) -> str:
    if preview.outcome.verdict != "allowed":
        return f"Ce changement serait refusé. {_rule(rules, preview.outcome.rule)['sentence']}".strip()
    losing = sum(bool(each.loses) for each in preview.differences)
    gaining = sum(bool(each.gains) for each in preview.differences)
    people = (_many(losing, "verrait moins de documents"), _many(gaining, "verrait plus de documents"))
    said = [*filter(None, people), *map(_said, preview.uses)]
    if not said:
        return f"Ce changement ne changerait rien aujourd'hui.{_partly(preview)}"
    return f"Avec ce changement, {' ; '.join(said)}.{_partly(preview)}"


def _partly(preview: Preview) -> str:
    return f" Seules les {preview.considered} premières personnes ont été examinées." if preview.partial else ""


def _many(people: int, does: str) -> str:
    if people > 1:
        return f"{people} personnes ou situations {does.replace('verrait', 'verraient')}"
    return f"une personne ou situation {does}" if people else ""


def _said(use: Use) -> str:
    sentence = _USES[use.name][0 if use.possible else 1]
    return f"{sentence} sur « {use.topic} »" if use.topic else sentence


def _visible(many: int) -> str:
    return {0: "aucun document visible", 1: "1 document visible"}.get(many, f"{many} documents visibles")


def _named(viewer: Viewer) -> str:
    actor = viewer.actor
    place = f" ({actor.organisation_name})" if actor.organisation_name and actor.id else ""
    guess = " (supposé médecin : Carnet ne l'a jamais rencontré ici)" if viewer.assumed else ""
    urgent = _IN_EMERGENCY if viewer.situation == "emergency" and actor.id else ""
    return f"{actor.name}{place}{urgent}{guess}"


def _who(viewer: Viewer) -> dict[str, Any]:
    actor = viewer.actor
    return {
        "name": actor.name,
        "id": actor.id or None,
        "profession": actor.profession,
        "organisation": actor.organisation,
        "organisation_name": actor.organisation_name,
        "situation": viewer.situation,
        "assumed": viewer.assumed,
    }


def _rule(rules: Rules, name: str) -> dict[str, str]:
    rule = rules[name]
    return {"id": rule.id, "law": rule.law, "sentence": rule.sentence}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
