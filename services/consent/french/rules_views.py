"""The public rules as programs read them; the page and the command line say the same in French words."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.consent.domain.delegation import Delegation, Delegations
from services.consent.domain.difference import Cell, Difference
from services.consent.domain.habilitation import ANY, Matrix
from services.consent.domain.rules import Rule
from services.consent.use_cases.read_rules import Activated, Published

_PARIS = ZoneInfo("Europe/Paris")
PROVISIONAL = "table provisoire, sans valeur officielle"
_ROLES = {
    "parent": "un titulaire de l'autorité parentale",
    "guardian": "le tuteur",
    "family-authorisation": "la personne habilitée dans la famille",
    "caregiver": "l'aidant",
    "heir": "l'ayant droit de la personne décédée",
}
_ACTS = {
    "list": "voir la liste des documents",
    "read": "lire un document",
    "export": "copier le dossier",
    "deposit": "déposer un document",
    "read-journal": "lire le journal",
    "read-directives": "relire les choix",
    "change-directives": "changer les choix",
    "ask-as-heir": "demander à lire, en disant pourquoi",
}
_READ = {True: "peut lire", False: "ne peut pas lire", None: "n'est pas dans la table"}


def published_view(published: Published) -> dict[str, Any]:
    """Return the rules in force, where each comes from and since when it stands."""
    return {
        **_activated(published.in_force),
        "cosigned_by": list(published.signers),
        "rules": [
            rule_view(each.rule) | {"since": _time(each.since) if each.since is not None else None}
            for each in published.rules
        ],
        "habilitation": matrix_view(published.matrix),
        "delegations": delegations_view(published.delegations),
        "activations": [_activated(each) for each in published.activations],
    }


def rule_view(rule: Rule) -> dict[str, Any]:
    """Return one rule: what it says, its source, what it does, what is evaluated."""
    return {
        "id": rule.id,
        "sentence": rule.sentence,
        "law": rule.law,
        "effect": "permit" if rule.permits else "forbid",
        "subject": rule.file or None,
        "condition": rule.condition or None,
    }


def matrix_view(matrix: Matrix) -> dict[str, Any]:
    """Return the habilitation matrix: whether it is the official one, the names of its types, its other lines."""
    return {
        "authoritative": matrix.authoritative,
        "notice": None if matrix.authoritative else PROVISIONAL,
        "source": matrix.source,
        "types": {row.type_code: row.source for row in matrix.rows if row.profession == ANY and row.type_code != ANY},
        "lines": [
            {"profession": row.profession, "type": row.type_code, "read": row.read, "source": row.source}
            for row in matrix.rows
            if row.profession != ANY or row.type_code == ANY
        ],
    }


def delegations_view(table: Delegations) -> list[dict[str, Any]]:
    """Return what each kind of representative may do, or would where that is under study."""
    return [_delegation(each) for each in table.rows]


def difference_view(found: Difference) -> dict[str, Any]:
    """Return what changed from one version to another."""
    return {
        "from": found.before,
        "to": found.after,
        "added": [rule_view(each) for each in found.added],
        "removed": [rule_view(each) for each in found.removed],
        "changed": [{"before": rule_view(one), "after": rule_view(other)} for one, other in found.changed],
        "vocabulary": found.vocabulary,
        "habilitation": {
            "source": None if found.source is None else {"before": found.source[0], "after": found.source[1]},
            "cells": [_cell(each) for each in found.cells],
        },
        "delegations": [
            {name: _delegation(each) if each else None for name, each in (("before", one), ("after", other))}
            for one, other in found.delegations
        ],
    }


def difference_lines(view: dict[str, Any]) -> list[str]:
    """Return a difference in French, a line a fact; a rule's lines that follow its first are indented."""
    lines: list[str] = []
    for name, title in (("added", "Règle ajoutée"), ("removed", "Règle retirée")):
        for rule in view[name]:
            lines += [f"{title} : {rule['id']}", *(f"  {line}" for line in rule_lines(rule))]
    for change in view["changed"]:
        lines.append(f"Règle modifiée : {change['after']['id']}")
        for moment, rule in (("avant", change["before"]), ("après", change["after"])):
            lines += [f"  {moment} :", *(f"    {line}" for line in rule_lines(rule))]
    return lines + other_changes(view) or ["Rien de ce que disent les règles n'a changé."]


def other_changes(view: dict[str, Any]) -> list[str]:
    """Return in French what changed beside the rules: the matrix, the delegations and the vocabulary."""
    table = view["habilitation"]
    lines = [f"Habilitation : {line}" for line in map(cell_line, table["cells"])]
    if table["source"]:
        lines.append(f"Source de la table d'habilitation : {table['source']['before']} → {table['source']['after']}")
    for change in view["delegations"]:
        said = " → ".join(delegation_line(each) if each else "rien" for each in (change["before"], change["after"]))
        lines.append(f"Représentants : {said}")
    if view["vocabulary"]:
        lines.append("Le vocabulaire des règles (ce dont elles peuvent parler) a changé.")
    return lines


def delegation_line(line: dict[str, Any]) -> str:
    """Return a line of the delegations in French."""
    state = "" if line["in_force"] else " (à l'étude : refusé)"
    return f"{_ROLES[line['role']]} peut {_ACTS[line['action']]}{state}"


def cell_line(cell: dict[str, Any]) -> str:
    """Return a cell's change in French."""
    return (
        f"la profession {cell['profession']} {_READ[cell['after']]} le type {cell['type']}"
        f" (avant : {_READ[cell['before']]})"
    )


def rule_lines(rule: dict[str, Any]) -> list[str]:
    """Return a rule in French, a line a fact."""
    condition = (rule["condition"] or "").split("\n")
    return [
        rule["sentence"],
        f"Source : {rule['law']}",
        f"Effet : {effect(rule)}",
        *([f"Condition : {condition[0]}", *(f"  {line}" for line in condition[1:])] if rule["condition"] else []),
    ]


def effect(rule: dict[str, Any]) -> str:
    """Return whether a rule permits or forbids, in French."""
    return "permet" if rule["effect"] == "permit" else "interdit"


def _activated(each: Activated) -> dict[str, str]:
    return {"digest": each.digest, "activated_at": _time(each.at)}


def _delegation(line: Delegation) -> dict[str, Any]:
    return {
        "role": line.role, "action": line.action, "scope": line.scope, "in_force": line.in_force, "source": line.source,
    }  # fmt: skip


def _cell(cell: Cell) -> dict[str, Any]:
    return {"profession": cell.profession, "type": cell.type_code, "before": cell.before, "after": cell.after}


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, _PARIS).isoformat(timespec="milliseconds")
