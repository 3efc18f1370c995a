"""What Camille reads: each flow in one French sentence, with who, what for, when, and the rule that decided."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import pytest

from services.consent.domain.entry import Outcome
from services.consent.domain.flow import Action, Actor, Care, Change, Evidence, Flow, Motive, Reason
from services.consent.domain.record import Record
from services.consent.french.phrases import entry_view, when
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    INSURER,
    MOREAU,
    NOTICES,
    NOW,
    ORGANISATION,
    PARENT,
    PERSON,
    RECORD,
    RULES,
    Book,
    entry,
    flow,
    opening,
    paper,
)

_RULE = {
    "allowed": "patient-own-record",
    "refused": "blocked",
    "red-line": "red-line-insurance",
    "conflict": "own-deposit",
}
CHANGES = (
    Change("authorise", PERSON),
    Change("authorise", ORGANISATION, NOW),
    Change("block", PERSON),
    Change("block", ORGANISATION),
    Change("hide", ABSENT),
    Change("oppose"),
    Change("authorise", "profession:60"),
    Change("authorise", "team", members=(PERSON, "person:899700000009")),
    Change("treating-doctor", PERSON),
    Change("code", until=NOW, members=("d" * 43,)),
    Change("hide", "type:11502-2"),
    Change("hide", f"episode:{'e' * 43}"),
    Change("oppose-export"),
    Change("oppose-heirs"),
    Change("oppose-prevention"),
    Change("oppose-prevention", "topic:vaccines"),
    Change("close-emergency", "samu"),
    Change("close-emergency", "others"),
    Change("open-hidden"),
    Change("close"),
    Change("ask-me"),
    Change("show-to-representatives", ABSENT),
    Change("preset", "careful"),
    Change("end", ends="a" * 32),
)
_SAID = {
    "authorise": "autorisé", "treating-doctor": "médecin traitant", "code": "code à usage unique", "block": "bloqué",
    "hide": "masqué", "oppose": "opposé", "oppose-export": "refusé toute copie", "oppose-prevention": "prévention",
    "close-emergency": "refusé d'avance", "open-hidden": "en cas d'urgence", "close": "fermé", "ask-me": "demandé",
    "preset": "« prudent »", "end": "mis fin", "oppose-heirs": "ayants droit lisent votre dossier après votre décès",
    "show-to-representatives": "montré un document à ceux qui vous représentent",
}  # fmt: skip
_NAMED = {"person": "le professionnel", "organisation": "la structure", "profession": "la profession",
          "type": "les documents de type", "topic": "prévention"}  # fmt: skip


def view(asked: Flow, verdict: Any = "allowed", *, rule: str = "", count: int = 1) -> dict[str, Any]:
    """Return how a flow reads."""
    outcome = Outcome(verdict, rule or _RULE[verdict], count=count)
    return entry_view(entry(Record(RECORD), asked, outcome, NOW), RULES)


def phrase(asked: Flow, verdict: Any = "allowed", **more: Any) -> str:
    """Return a flow's sentence."""
    return str(view(asked, verdict, **more)["phrase"])


def _asked(actor: Actor, action: Action) -> Flow:
    more: dict[Action, dict[str, Any]] = {
        Action.CHANGE_DIRECTIVES: {"change": CHANGES[0]},
        Action.DECLARE_CARE: {"care": Care("declared", NOW)},
        Action.DEPOSIT: {"deposit": paper()},
    }
    return flow(actor, action, **more.get(action, {}))


@pytest.mark.parametrize("verdict", get_args(get_type_hints(Outcome)["verdict"]))
@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("actor", [CAMILLE, MOREAU, NOTICES, INSURER], ids=lambda actor: actor.kind)
def test_every_flow_has_a_sentence(actor: Actor, action: Action, verdict: str) -> None:
    """Whoever asks for whatever with whatever end: a whole French sentence, with no code and no gap in it."""
    said = phrase(_asked(actor, action), verdict)
    assert re.match(r"Le \d+(er)? \w+ \d{4} à \d\d:\d\d:\d\d, \S", said)
    assert said.endswith(RULES[_RULE[verdict]].sentence)
    assert not re.search(r"[{}]|None|  |\b(TREAT|PATRQT|NOTIFY|COVERAGE)\b", said)
    assert {"allowed": "Autorisé.", "refused": "Refusé.", "red-line": "aucun accord", "conflict": "autre contenu"}[
        verdict
    ] in said


@pytest.mark.parametrize("action", list(Action))
def test_to_the_patient_it_says_you(action: Action) -> None:
    """The patient is addressed ('vous avez'), others are told about ('a')."""
    for verdict in ("allowed", "refused"):
        mine, others = phrase(_asked(CAMILLE, action), verdict), phrase(_asked(MOREAU, action), verdict)
        assert re.search(r", vous \(logiciel Portail\) (avez|vous avez|vous êtes) ", mine)
        assert ", Dr Moreau (Cabinet Moreau, logiciel Logiciel Moreau) " in others
        if verdict == "refused":
            assert "avez" not in others.split(", pour vos soins")[0]
            assert " a voulu " in others


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.kind} {change.subject}")
def test_a_representative_is_told_about(change: Change) -> None:
    """What somebody else chose in her name names them, and does not say that she did."""
    said = phrase(flow(PARENT, Action.CHANGE_DIRECTIVES, change=change))
    assert ", Alex Exemple, en votre nom (logiciel Portail) " in said
    assert "avez" not in said
    assert "vous êtes" not in said
    assert _SAID[change.kind] in said


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.kind} {change.subject}")
def test_each_change_says_what_it_changed(change: Change) -> None:
    """A directive's sentence names whom it is about, and until when."""
    said = phrase(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=change))
    head, _, tail = (change.subject or "").partition(":")
    if head in _NAMED:
        assert tail in said
        assert _NAMED[head] in said
    if head == "team":
        assert "une équipe de 2 professionnels" in said
    if change.until:
        assert f"jusqu'au {when(change.until).removeprefix('le ')}" in said
    assert _SAID[change.kind] in said
    assert not any(digest in said for digest in ("d" * 43, "e" * 43))


def test_every_kind_of_change_has_its_sentence() -> None:
    """None that a patient may choose is left without words."""
    assert {each.kind for each in CHANGES} == set(_SAID) == {
        each for kinds in get_args(get_type_hints(Change)["kind"]) for each in (get_args(kinds) or [kinds])
    }  # fmt: skip


@pytest.mark.parametrize("evidence", get_args(Evidence))
def test_a_declared_relation_says_what_it_rests_on(evidence: Any) -> None:
    """The patient reads what a professional claims, and until when."""
    said = phrase(flow(MOREAU, Action.DECLARE_CARE, care=Care(evidence, NOW)))
    assert "a déclaré vous soigner" in said
    assert when(NOW).removeprefix("le ") in said


@pytest.mark.parametrize(("motive", "said"), [
    ("cause-of-death", "pour connaître les causes du décès"),
    ("memory", "pour défendre la mémoire de la personne décédée"),
    ("rights", "pour faire valoir des droits"),
])  # fmt: skip
def test_an_heir_says_what_for(motive: str, said: str) -> None:
    """A request quotes the heir; each look that follows names the motive; and nobody acts in the dead's name."""
    asked = phrase(flow(PARENT, Action.ASK_AS_HEIR, motive=Motive(motive, "Je suis sa fille.")), rule="heir-asks")
    looked = phrase(flow(PARENT, Action.READ, ABSENT, motive=Motive(motive)), rule="heir")
    refused = phrase(flow(PARENT, Action.LIST), "refused", rule="heir-without-request")
    for each in (asked, looked, refused):
        assert ", Alex Exemple, ayant droit (logiciel Portail) a " in each
        assert "en votre nom" not in each
        assert "à votre demande" not in each
    assert said in asked
    assert said in looked
    assert asked.endswith("Raison donnée : « Je suis sa fille. ».")
    assert "Raison donnée" not in looked
    assert "sa demande lui ouvre le dossier pour 30 jours" in refused
    assert view(flow(PARENT, Action.READ, motive=Motive(motive)))["motive"] == motive


def test_an_emergency_says_its_reason() -> None:
    """Whoever breaks the glass is quoted."""
    said = phrase(flow(MOREAU, Action.READ, purpose="BTG", reason=Reason("unconscious", "Patient {inconscient}")))
    assert "en urgence, sans votre accord préalable" in said
    assert said.endswith("Raison donnée : « Patient {inconscient} ».")


def test_nobody_is_left_unnamed() -> None:
    """Beside the sentence: the person's id and name, the structure, the software, the profession, and the documents."""
    document = "carnetexampledocumentaa567"
    seen = view(flow(MOREAU, Action.READ, document))
    assert seen["who"] == {
        "kind": "professional", "id": MOREAU.id, "name": "Dr Moreau", "profession": "10",
        "organisation": "Cabinet Moreau", "software": "Logiciel Moreau",
    }  # fmt: skip
    assert seen["documents"] == [document]
    assert seen["rule"]["law"] == RULES["patient-own-record"].law
    assert (seen["action"], seen["purpose"], seen["outcome"]) == ("read", "TREAT", "allowed")


@pytest.mark.parametrize(
    ("count", "said"), [(0, "aucun document visible"), (1, "1 document visible"), (7, "7 documents visibles")]
)
def test_a_list_says_how_many(count: int, said: str) -> None:
    """A list's sentence counts what was shown."""
    assert f"a vu la liste des documents ({said})" in phrase(flow(MOREAU, Action.LIST), count=count)


def test_beginnings_and_ends_have_a_sentence() -> None:
    """Entries that nobody asked for read well too."""
    assert entry_view(opening(), RULES)["phrase"].startswith("Votre dossier a été ouvert, le ")
    book = Book()
    book.abandon(book.deposit(paper()))
    assert entry_view(book.entries[-1], RULES)["phrase"].startswith("Un dépôt inachevé a été annulé, le ")


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 8, 3, 10, 5, 9, tzinfo=UTC), "le 3 août 2026 à 12:05:09"),
        (datetime(2026, 1, 1, 23, 30, tzinfo=UTC), "le 2 janvier 2026 à 00:30:00"),
        (datetime(2026, 2, 28, 23, 30, tzinfo=UTC), "le 1er mars 2026 à 00:30:00"),
    ],
)
def test_a_time_is_said_as_in_paris(at: datetime, said: str) -> None:
    """Dates are French, in Paris time, summer and winter."""
    assert when(int(at.timestamp() * 1000)) == said


def test_a_rule_that_is_gone_keeps_its_name() -> None:
    """An entry under rules of another age still reads: the id stands, the sentence went."""
    seen = view(flow(MOREAU, Action.READ), "refused", rule="rule-of-2019")
    assert (seen["rule"]["id"], seen["rule"]["sentence"]) == ("rule-of-2019", "")
    assert str(seen["phrase"]).endswith("Refusé.")


def test_an_unknown_purpose_is_quoted() -> None:
    """A purpose without a French name is shown as it is, between quotes."""
    assert "pour la raison « HRESCH »" in phrase(flow(MOREAU, Action.READ, purpose="HRESCH"))


def test_braces_in_a_name_are_only_braces() -> None:
    """A name is data: it cannot reach the sentence's own gaps."""
    assert "{have} & {0} (" in phrase(flow(replace(MOREAU, name="{have} & {0}"), Action.READ))
