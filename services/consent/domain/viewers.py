"""Whose eyes a record may be seen through: people whom it has met, whom a choice names, and anybody."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Action, Actor, Change, Flow, Reason
from services.consent.domain.record import Record

Situation = Literal["care", "emergency", "samu", "representation"]
_PURPOSES: dict[Situation, str] = {"care": "TREAT", "emergency": "BTG", "samu": "ETREAT", "representation": "PATRQT"}
_DOCTOR, _NURSE = "10", "60"
# TRE_G15, those that people know; any other is named by its code.
_PROFESSIONS = {
    _DOCTOR: "médecin", "21": "pharmacien", "40": "chirurgien-dentiste", "50": "sage-femme", _NURSE: "infirmier",
    "70": "masseur-kinésithérapeute", "80": "pédicure-podologue",
}  # fmt: skip
_PERSON, _ORGANISATION, _PROFESSION = "person", "organisation", "profession"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who would ask, and in which situation.

    `assumed` says that the profession is a guess: the person was named by a choice, and never met.
    """

    actor: Actor
    situation: Situation = "care"
    assumed: bool = False

    def flow(self, record: str, action: Action, now: int, **about: Any) -> Flow:
        """Return what would be judged if this one asked at a time (ms); in an emergency, with all that it takes."""
        reason = Reason("preview", "") if self.situation in {"emergency", "samu"} else None
        return Flow(
            id="", digest="", record=record, action=action, purpose=_PURPOSES[self.situation], actor=self.actor,
            reason=reason, auth_time=now // 1000, **about,
        )  # fmt: skip


def _somebody(
    name: str, profession: str | None = _DOCTOR, *, person: str = "", organisation: str | None = None
) -> Actor:
    return Actor(
        "professional", person, name, "", "", "care-software", profession=profession, organisation=organisation
    )


# Anybody: what the record shows to people with whom it has nothing to do.
ANYBODY: dict[str, Viewer] = {
    "any-doctor": Viewer(_somebody("Un médecin sans lien avec vous")),
    "nurse": Viewer(_somebody("Un infirmier sans lien avec vous", _NURSE)),
    "emergency": Viewer(_somebody("Un médecin en urgence"), "emergency"),
    "samu": Viewer(_somebody("Le SAMU"), "samu"),
}


_REPRESENTATIVES = {
    "parent": "Un parent, titulaire de l'autorité parentale",
    "guardian": "Le tuteur",
    "family-authorisation": "La personne de la famille que le juge a habilitée",
    "caregiver": "Un aidant",
}


def representatives(record: Record) -> list[Viewer]:
    """Return those who act for the person now, each by what makes them one: the journal does not know their names."""
    held = record.represented.holders if record.represented else ()
    named = [(each.holder, _REPRESENTATIVES.get(each.role, each.role)) for each in held]
    return [
        Viewer(Actor("representative", holder, name, "", "", "patient-frontend"), "representation")
        for holder, name in named
    ]


def met(entries: Iterable[Entry]) -> list[Actor]:
    """Return the professionals of entries (the newest first) as they came last: one for each place they acted for.

    Entries of a reserved stream are passed over: whom they name would tell what they are about.
    """
    found: dict[tuple[str, str | None], Actor] = {}
    for entry in entries:
        if entry.stream == MAIN and entry.flow is not None and entry.flow.actor.kind == "professional":
            actor = entry.flow.actor
            found.setdefault((actor.id, actor.organisation), actor)
    return list(found.values())


def people(record: Record, change: Change, known: Iterable[Actor]) -> list[Viewer]:
    """Return whom a change may concern: whom it names, anybody, whom the record has met, whom other choices name.

    Whoever the change itself names is also looked at in an emergency: a block holds there too.
    """
    known = list(known)
    first = [viewer for name in _named_by(record, change) for viewer in viewers_of(name, known)]
    urgent = [Viewer(each.actor, "emergency", each.assumed) for each in first if each.actor.id]
    others = [viewer for name in _named_in(record) for viewer in viewers_of(name, known)]
    found: dict[tuple[Actor, Situation], Viewer] = {}
    for each in (*first, *urgent, *ANYBODY.values(), *map(Viewer, known), *others):
        found.setdefault((each.actor, each.situation), each)
    return list(found.values())


def viewers_of(name: str, known: Iterable[Actor]) -> list[Viewer]:
    """Return who stands for a name of `subjects`; a person as he was met, else a doctor, which may be wrong."""
    head, _, tail = name.partition(":")
    if head == _PERSON:
        same = [Viewer(each) for each in known if each.id == tail]
        return same or [Viewer(_somebody(f"Le professionnel {tail}", person=tail), assumed=True)]
    if head == _ORGANISATION:
        place = next((each.organisation_name for each in known if each.organisation == tail), None) or tail
        return [Viewer(_somebody(f"Un médecin de la structure {place}", organisation=tail))]
    if head == _PROFESSION:
        trade = _PROFESSIONS.get(tail, f"professionnel de code {tail}")
        return [Viewer(_somebody(f"Un {trade} sans lien avec vous", tail))]
    return []


def _named_by(record: Record, change: Change) -> Iterator[str]:
    ended = record.directives.get(change.ends or "")
    for subject, members in ((change.subject, change.members), *(((ended.subject, ended.members),) if ended else ())):
        yield subject or ""
        yield from members


def _named_in(record: Record) -> Iterator[str]:
    for directive in record.directives.values():
        yield directive.subject or ""
        yield from directive.members
    for relation in record.care.values():
        yield relation.subject
