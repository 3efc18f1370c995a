"""An entry in plain French: who, what for, when, and the rule that decided."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from contracts.identity import EMERGENCY_REASONS
from services.consent.domain.care import Relation
from services.consent.domain.entry import Entry, Outcome, Repeated, Reviewing
from services.consent.domain.flow import (
    MASKED,
    NOT_FOR_REPRESENTATIVES,
    UNANNOUNCED,
    Action,
    Actor,
    Amendment,
    Change,
    Flow,
    compact,
)
from services.consent.domain.record import confidence
from services.consent.domain.review import Review
from services.consent.domain.rules import Rules

_PARIS = ZoneInfo("Europe/Paris")
_MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
           "novembre", "décembre")  # fmt: skip
_PURPOSES = {
    "TREAT": "pour vos soins",
    "PATRQT": "à votre demande",
    "PATADMIN": "pour gérer un séjour",
    "BTG": "en urgence, sans votre accord préalable",
    "ETREAT": "pour un appel au SAMU",
    "PREVENT": "pour des conseils de prévention",
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
    Action.PREVENT: "{have} préparé des conseils de prévention",
    Action.ANNOUNCE: "{have} annoncé un résultat, qui devient visible",
    Action.END_CARE: "{have} signalé la fin de votre séjour",
    Action.AMEND: "{have} changé les étiquettes d'un document",
    Action.NOTIFY: "vous {have} prévenu d'une nouveauté, sans en dire le contenu",
    Action.READ_JOURNAL: "{have} lu le journal",
    Action.READ_DIRECTIVES: "{have} relu les choix en vigueur",
    Action.READ_OWN_TRACES: "{have} relu ses propres demandes, sans ce qui en est advenu",
    Action.ASK_AS_HEIR: "{have} demandé à lire le dossier d'une personne décédée",
}
_ASKED = {
    Action.DEPOSIT: "{have} voulu déposer un document",
    Action.LIST: "{have} voulu voir la liste des documents",
    Action.READ: "{have} voulu lire un document",
    Action.EXPORT: "{have} voulu copier le dossier",
    Action.PREVENT: "{have} voulu préparer des conseils de prévention",
    Action.DECLARE_CARE: "{have} voulu déclarer vous soigner",
    Action.ANNOUNCE: "{have} voulu annoncer un résultat",
    Action.END_CARE: "{have} voulu signaler la fin d'un séjour",
    Action.AMEND: "{have} voulu changer les étiquettes d'un document",
    Action.NOTIFY: "{have} voulu vous prévenir d'une nouveauté",
    Action.READ_JOURNAL: "{have} voulu lire le journal",
    Action.READ_DIRECTIVES: "{have} voulu relire vos choix",
    Action.READ_OWN_TRACES: "{have} voulu relire ses propres demandes",
    Action.CHANGE_DIRECTIVES: "{have} voulu changer vos choix",
    Action.ASK_AS_HEIR: "{have} voulu demander à lire le dossier d'une personne décédée",
}
_LABELS = {
    MASKED: "masqué aux professionnels",
    UNANNOUNCED: "pas encore annoncé",
    NOT_FOR_REPRESENTATIVES: "caché à vos représentants",
}
_HAPPENED = {
    "opened": "Votre dossier a été ouvert",
    "represented": "Carnet a appris qui peut agir pour vous",
    "abandoned": "Un dépôt inachevé a été annulé",
    "revealed": "Un résultat déposé il y a un mois est devenu visible de lui-même",
}


_EVIDENCE = {
    "code": "par un code que vous lui avez donné",
    "admission": "pour une hospitalisation dans son établissement",
    "appointment": "pour un rendez-vous",
    "declared": "en affirmant que vous lui avez donné votre accord de vive voix",
}
_MOTIVES = {
    "cause-of-death": "pour connaître les causes du décès",
    "memory": "pour défendre la mémoire de la personne décédée",
    "rights": "pour faire valoir des droits",
}
# Refusals that only an heir meets.
_OF_HEIRS = frozenset({"heirs-opposed", "heir-without-request", "hidden-from-heirs"})
_DOCTORS = {"authorise": "autorisé", "treating-doctor": "déclaré comme médecin traitant", "block": "bloqué"}
_CHOICES = {
    "close": "fermé votre dossier aux professionnels, sauf urgence",
    "ask-me": "demandé que l'on vous demande toujours votre accord à vous-même",
    "open-hidden": "permis que ce que vous masquez soit vu en cas d'urgence",
    "oppose-export": "refusé toute copie complète de votre dossier",
    "oppose-heirs": "refusé d'avance que vos ayants droit lisent votre dossier après votre décès",
}
_OVER = {"care": "l'accès de qui avait déclaré vous soigner"}
_PRESETS = {"legal": "ce que la loi prévoit", "careful": "prudent", "closed": "fermé"}
_SHOWN = {Action.LIST: "a vu la liste des documents", Action.READ: "a lu un document"}
# What an officer reviews, and whether French says "il" of it.
_REVIEWED = {"emergency": ("l'accès en urgence", True), "declared-care": ("la déclaration de soins", False)}
_IN_EMERGENCY = {"BTG": "en urgence, sans accord préalable", "ETREAT": "pour la régulation du SAMU"}


def when(at: int) -> str:
    """Return a time (Unix, ms) as people say it, in Paris."""
    local = datetime.fromtimestamp(at / 1000, _PARIS)
    day = "1er" if local.day == 1 else str(local.day)
    return f"le {day} {_MONTHS[local.month - 1]} {local.year} à {local:%H:%M:%S}"


def entry_view(entry: Entry, rules: Rules) -> dict[str, Any]:
    """Return an entry as the patient's interface gives it: codes for programs, and one French sentence for people."""
    view: dict[str, Any] = {
        "n": entry.n,
        "stream": entry.stream,
        "at": _iso(entry.at),
        "kind": entry.kind,
        "policies": entry.policies,
    }
    flow, outcome = entry.flow, entry.outcome
    if entry.reviewing is not None:
        said = _doctor_told if entry.kind == "told-doctor" else _reviewing
        return view | said(entry.reviewing, entry.at)
    if entry.repeated is not None:
        return view | _repeated(entry.repeated)
    if flow is None or outcome is None:
        return view | {"phrase": f"{_HAPPENED[entry.kind]}, {when(entry.at)}."}
    # A rule of an older version keeps its id; its sentence may have gone with it.
    rule = rules.rules.get(outcome.rule)
    because = {"id": outcome.rule, "law": rule.law if rule else "", "sentence": rule.sentence if rule else ""}
    amended = {"amendment": compact(flow.amendment)} if flow.amendment else {}
    return (
        view
        | amended
        | {
            "flow": flow.id,
            "who": _who(flow.actor),
            "action": flow.action,
            "purpose": flow.purpose,
            "documents": list(flow.documents) or ([outcome.document] if outcome.document else []),
            "outcome": outcome.verdict,
            "count": outcome.count,
            "refused": dict(outcome.refused),
            "rule": because,
            "phrase": _phrase(entry, flow, outcome, because["sentence"]),
        }
        | ({"motive": flow.motive.code} if flow.motive else {})
    )


def relation_view(relation: Relation) -> dict[str, Any]:
    """Return a declared care relation as the patient reads it: who, on what ground, since when and until when."""
    place = relation.place or relation.organisation
    whole = relation.subject.startswith("organisation:") and place is not None
    who = place if whole else f"{relation.who} ({place})" if place else relation.who
    return {
        "id": relation.id,
        "who": relation.who,
        "organisation": relation.place,
        "subject": relation.subject,
        "evidence": relation.evidence,
        "since": relation.since,
        "until": relation.until,
        "phrase": f"{who} peut lire votre dossier : {_EVIDENCE[relation.evidence]}, depuis {when(relation.since)}, "
        f"jusqu'au {_until(relation.until)}. Vous pouvez y mettre fin.",
    }


def review_view(review: Review, access: Entry) -> dict[str, Any]:
    """Return what an officer must review: who, when and why.

    No document, no count and no rule: an officer learns nothing of the record, nor what the person hides in it.
    """
    flow = access.flow
    if flow is None:
        raise ValueError("an access without a flow")
    why = flow.reason
    if flow.care is not None:
        word = (
            "un rendez-vous avec la personne" if flow.care.evidence == "appointment" else "l'accord oral de la personne"
        )
        done = f"a déclaré avoir {word}, jusqu'au {_until(flow.care.until)}"
        because = "Elle seule peut le confirmer ; elle en a été avertie."
    else:
        done = f"{_SHOWN[flow.action]}, {_IN_EMERGENCY[flow.purpose]}"
        because = f"Motif ({why.code}) : « {why.text} »." if why else "Aucun motif n'a été donné."
    return {
        "flow": review.flow,
        "record": review.record,
        "at": _iso(access.at),
        "opened_at": _iso(review.opened_at),
        "due_at": _iso(review.due_at),
        "who": _who(flow.actor),
        "action": flow.action,
        "purpose": flow.purpose,
        "reason": {"code": why.code, "text": why.text} if why else None,
        "phrase": f"{when(access.at).capitalize()}, {_named(flow.actor)} {done}. {because}",
    }


def emergency_view(access: Entry) -> dict[str, Any]:
    """Return what a treating doctor is told of an access in an emergency (R.1111-48): when, who and the coded reason.

    Neither the professional's own words nor what he saw: no document, no count, no rule.
    """
    flow = access.flow
    if flow is None:
        raise ValueError("an access without a flow")
    actor, why = flow.actor, flow.reason
    label = EMERGENCY_REASONS.get(why.code, why.code) if why else None
    because = f"Motif : « {label} »." if label else "Aucun motif n'a été donné."
    return {
        "record": access.record,
        "at": _iso(access.at),
        "who": {"name": actor.name, "profession": actor.profession, "organisation": actor.organisation_name},
        "purpose": flow.purpose,
        "reason": {"code": why.code, "label": label} if why else None,
        "phrase": f"{when(access.at).capitalize()}, {_placed(actor)} a ouvert ce dossier "
        f"{_IN_EMERGENCY[flow.purpose]}. {because}",
    }


def _placed(actor: Actor) -> str:
    return f"{actor.name} ({actor.organisation_name})" if actor.organisation_name else actor.name


def _doctor_told(said: Reviewing, at: int) -> dict[str, Any]:
    """Return what the person reads when her treating doctor was told of an access."""
    access = f"l'accès en urgence du {when(said.at).removeprefix('le ')}"
    phrase = f"{when(at).capitalize()}, le médecin traitant, {_named(said.by)}, a été averti de {access}."
    return {"who": _who(said.by), "flow": said.flow, "phrase": phrase}


def _repeated(said: Repeated) -> dict[str, Any]:
    """Return what the person reads of refusals that are told by their number."""
    end = "refusé à chaque fois, et aucun accord ne peut le permettre"
    # Who was refused may be no representative, or an heir: in whose name, the first of these refusals says.
    acts = said.by.kind == "representative"
    who = f"{said.by.name} (logiciel {said.by.application_name})" if acts else _named(said.by)
    phrase = (
        f"Après sa demande du {_until(said.since)}, {who} a redemandé {said.times} fois la même chose, "
        f"jusqu'au {_until(said.until)} ; {end if said.verdict == 'red-line' else 'refusé à chaque fois'}."
    )
    return {
        "flow": said.flow,
        "who": _who(said.by),
        "action": said.action,
        "purpose": said.purpose,
        "outcome": said.verdict,
        "times": said.times,
        "until": _iso(said.until),
        "phrase": phrase,
    }


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, _PARIS).isoformat(timespec="milliseconds")


def _reviewing(said: Reviewing, at: int) -> dict[str, Any]:
    """Return what the person reads of an officer: that he looked at an access, or what he answers about it."""
    officer = f"{said.by.name}, pour la protection des données de {said.by.organisation_name or said.by.organisation}"
    name, masculine = _REVIEWED[said.of]
    access = f"{name} du {when(said.at).removeprefix('le ')}"
    view = {"who": _who(said.by), "flow": said.flow}
    if said.answer is None:
        return view | {"phrase": f"{when(at).capitalize()}, {officer}, a examiné {access}."}
    it, just = ("il", "justifié") if masculine else ("elle", "justifiée")
    found = f"{it} était {just}" if said.justified else f"{it} n'était pas {just}"
    phrase = f"{when(at).capitalize()}, {officer}, a répondu sur {access} : {found}. Réponse : « {said.answer} »"
    return view | {"answer": said.answer, "justified": said.justified, "phrase": phrase}


def _who(actor: Actor) -> dict[str, str | None]:
    return {
        "kind": actor.kind,
        "id": actor.id,
        "name": actor.name,
        "profession": actor.profession,
        "organisation": actor.organisation_name,
        "software": actor.application_name,
    }


def _phrase(entry: Entry, flow: Flow, outcome: Outcome, sentence: str) -> str:
    verdict, said = outcome.verdict, (flow.reason.text if flow.reason else None)
    what = _what(flow, outcome.count) if verdict == "allowed" else _wanted(flow)
    purpose = _PURPOSES.get(flow.purpose, f"pour la raison « {flow.purpose} »")
    named = _named(flow.actor)
    if flow.actor.kind == "representative" and (flow.motive or outcome.rule in _OF_HEIRS):
        named = f"{flow.actor.name}, ayant droit (logiciel {flow.actor.application_name})"
        purpose = _MOTIVES.get(flow.motive.code, "sans motif connu") if flow.motive else "sans demande en cours"
        said = flow.motive.text if flow.motive else None
    end = {
        "allowed": "Autorisé",
        "refused": "Refusé",
        "red-line": "Refusé, et aucun accord ne peut le permettre",
        "conflict": "Refusé : un autre contenu porte déjà ce numéro",
    }[verdict]
    what = what.format(have="avez" if flow.actor.kind == "patient" else "a")
    if flow.secret and entry.stream == confidence(entry.record):
        purpose += ", en connexion secrète"  # what she shows one day of a document says nothing of the consultation
    reason = f" Raison donnée : « {said} »." if said else ""
    return f"{when(entry.at).capitalize()}, {named} {what}, {purpose}. {end}. {sentence}{reason}".strip()


def _named(actor: Actor) -> str:
    if actor.kind == "patient":
        return f"vous (logiciel {actor.application_name})"
    if actor.kind == "representative":
        return f"{actor.name}, en votre nom (logiciel {actor.application_name})"
    if actor.kind == "service":
        return actor.name
    # An application that acts alone is its own software.
    software = None if actor.kind == "application" and actor.organisation_name else f"logiciel {actor.application_name}"
    places = [place for place in (actor.organisation_name, software) if place]
    return f"{actor.name} ({', '.join(places)})"


def _what(flow: Flow, count: int) -> str:  # noqa: PLR0911 - a table: one act, one sentence
    if flow.action is Action.LIST:
        number = {0: "aucun document visible", 1: "1 document visible"}.get(count, f"{count} documents visibles")
        return f"{{have}} vu la liste des documents ({number})"
    if flow.action is Action.EXPORT:
        return f"{{have}} copié le dossier ({count} documents)"
    if flow.action is Action.DECLARE_CARE and flow.care is not None and flow.actor.kind == "application":
        return (
            f"{{have}} signalé votre hospitalisation dans cet établissement, jusqu'au {_until(flow.care.until)} au plus"
        )
    if flow.action is Action.DECLARE_CARE and flow.care is not None:
        return f"{{have}} déclaré vous soigner, {_EVIDENCE[flow.care.evidence]}, jusqu'au {_until(flow.care.until)}"
    if flow.action is Action.CHANGE_DIRECTIVES and flow.change is not None:
        return _changed(flow.change, hers=flow.actor.kind == "patient")
    if flow.amendment is not None:
        return f"{{have}} {_amended(flow.amendment, 'retiré', 'ajouté', 'remplacé')}"
    return _DONE[flow.action]


def _wanted(flow: Flow) -> str:
    if flow.care is not None and flow.care.evidence == "admission":
        return "{have} voulu signaler une hospitalisation"
    if flow.amendment is not None:
        return f"{{have}} voulu {_amended(flow.amendment, 'retirer', 'ajouter', 'remplacer')}"
    return _ASKED[flow.action]


def _amended(wanted: Amendment, take: str, put: str, replace: str) -> str:
    """Say what was wanted; of all labels that are not wanted, none is named: the document may never have had them."""
    added = [f"« {_LABELS[each]} »" for each in wanted.adds]
    taken = [f"« {_LABELS[each]} »" for each in wanted.removes]
    if {*wanted.adds, *wanted.removes} >= _LABELS.keys():
        if not added:
            return f"{take} toute étiquette d'un document"
        return f"{replace} les étiquettes d'un document par {' et '.join(added)}"
    said = [f"{put} à un document l'étiquette {each}" for each in added]
    said += [f"{take} d'un document l'étiquette {each}" for each in taken]
    return " et ".join(said)


def _until(at: int) -> str:
    return when(at).removeprefix("le ")


def _changed(change: Change, *, hers: bool) -> str:  # noqa: PLR0911 - a table: one choice, one sentence
    until = f" jusqu'au {_until(change.until)}" if change.until else ""
    be = "vous êtes" if hers else "s'est"
    head, _, tail = (change.subject or "").partition(":")
    if change.kind == "end":
        return f"{{have}} mis fin à {_OVER.get(head, 'un de vos choix')}"
    if change.kind == "preset":
        return f"{{have}} choisi le réglage d'ensemble « {_PRESETS[head]} »"
    if change.kind in _DOCTORS:
        return f"{{have}} {_DOCTORS[change.kind]} {_subject(head, tail, len(change.members))}{until}"
    if change.kind == "code":
        number = len(change.members)
        codes = "un code à usage unique" if number == 1 else f"{number} codes à usage unique"
        return f"{{have}} fait {codes}, à donner à un professionnel{until}"
    if change.kind == "hide":
        hidden = {"type": f"les documents de type {tail}", "episode": "les documents d'un épisode de soins"}
        return f"{{have}} masqué {hidden.get(head, 'un document')} aux professionnels{until}"
    if change.kind == "show-to-representatives":
        return "{have} montré un document à ceux qui vous représentent"
    if change.kind == "oppose":
        return f"{be} opposé à votre dossier{until}"
    if change.kind == "oppose-prevention":
        return f"{{have}} refusé les conseils de prévention{f' sur « {tail} »' if tail else ''}{until}"
    if change.kind == "close-emergency":
        whom = "au SAMU" if head == "samu" else "aux professionnels, en urgence,"
        return f"{{have}} refusé d'avance {whom} l'ouverture de votre dossier{until}"
    return f"{{have}} {_CHOICES[change.kind]}{until}"


def _subject(head: str, tail: str, members: int) -> str:
    named = {
        "person": f"le professionnel {tail}",
        "organisation": f"la structure {tail}",
        "profession": f"la profession {tail}",
        "team": f"une équipe de {members} professionnels",
    }
    return named[head]
