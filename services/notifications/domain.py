"""An inbox says that something happened in a record and when, never what: it holds no title, no type, no content."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What an item tells."""

    NEW_DOCUMENT = "new-document"
    EMERGENCY_ACCESS = "emergency-access"
    DECLARED_CARE = "declared-care"


# What the patient reads.
SENTENCES = {
    Kind.NEW_DOCUMENT: "Un nouvel élément est arrivé dans votre dossier.",
    Kind.EMERGENCY_ACCESS: (
        "Un professionnel a consulté votre dossier en urgence, sans votre accord préalable. Vous pouvez lire qui et "
        "pourquoi dans votre journal, et demander des explications."
    ),
    Kind.DECLARED_CARE: (
        "Un professionnel a déclaré vous soigner avec votre accord : oral, par un code, pour un rendez-vous ou une "
        "hospitalisation. Si ce n'est pas le cas, dites-le : vous pouvez lire qui dans votre journal, et le bloquer."
    ),
}
# What is read by whoever acts in the patient's place: a parent, a guardian.
SENTENCES_FOR_ANOTHER = {
    Kind.NEW_DOCUMENT: "Un nouvel élément est arrivé dans le dossier de la personne que vous représentez.",
    Kind.EMERGENCY_ACCESS: (
        "Un professionnel a consulté en urgence, sans accord préalable, le dossier de la personne que vous représentez."
        " Vous pouvez lire qui et pourquoi dans le journal de ce dossier, et demander des explications."
    ),
    Kind.DECLARED_CARE: (
        "Un professionnel a déclaré soigner la personne que vous représentez, avec un accord : oral, par un code, pour "
        "un rendez-vous ou une hospitalisation. Si ce n'est pas le cas, dites-le : vous pouvez lire qui dans le "
        "journal de ce dossier, et le bloquer si vous en gérez les accès."
    ),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a record's inbox; numbers run from 1 without a gap, and stand in the order of their commits."""

    record: str
    number: int
    kind: Kind
    at: datetime
    read_at: datetime | None = None

    def sentence(self, *, for_another: bool = False) -> str:
        """Return the item in French: to the person herself, or to whoever represents her."""
        return (SENTENCES_FOR_ANOTHER if for_another else SENTENCES)[self.kind]


class NotDecided(Exception):
    """Consent answered, but with no verdict (its projection is stale): the event is set aside until a replay."""
