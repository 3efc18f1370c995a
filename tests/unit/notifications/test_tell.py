"""What nobody may silence: told once for each event, and nobody is asked whether."""

from dataclasses import fields

import pytest

from services.notifications.domain import SENTENCES, SENTENCES_FOR_ANOTHER, Kind
from services.notifications.use_cases.tell import Tell
from tests.unit.notifications.test_notify import Shelf


@pytest.mark.parametrize("kind", [Kind.EMERGENCY_ACCESS, Kind.DECLARED_CARE])
async def test_an_event_is_told_once(kind: Kind) -> None:
    """The event again leaves one item; another event is another item."""
    shelf = Shelf()
    tell = Tell(shelf)
    assert [await tell(record="r", event_id=event, kind=kind) for event in ("e", "e", "f")] == [True, False, True]
    assert shelf.told == [("r", "e", kind), ("r", "f", kind)]


def test_it_has_nobody_to_ask() -> None:
    """No consent, no preference: what could refuse is not within its reach."""
    assert [each.name for each in fields(Tell)] == ["items"]


def test_the_sentences_say_what_to_do() -> None:
    """An emergency points to the journal and to explanations, a declaration to saying that it is not so."""
    emergency, declared = SENTENCES[Kind.EMERGENCY_ACCESS], SENTENCES[Kind.DECLARED_CARE]
    assert emergency == (
        "Un professionnel a consulté votre dossier en urgence, sans votre accord préalable. Vous pouvez lire qui et "
        "pourquoi dans votre journal, et demander des explications."
    )
    assert "votre accord : oral" in declared
    assert "Si ce n'est pas le cas, dites-le" in declared


def test_a_representative_reads_of_the_person_s_record_not_of_their_own() -> None:
    """Each kind has a sentence that calls nothing of the person's the reader's own, and says whose record it is."""
    assert set(SENTENCES_FOR_ANOTHER) == set(Kind)
    for said in SENTENCES_FOR_ANOTHER.values():
        assert "la personne que vous représentez" in said
        assert not any(word in said for word in ("votre dossier", "votre journal", "votre accord", "vous soigner"))
    assert SENTENCES_FOR_ANOTHER[Kind.NEW_DOCUMENT] == (
        "Un nouvel élément est arrivé dans le dossier de la personne que vous représentez."
    )
