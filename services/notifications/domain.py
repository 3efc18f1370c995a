"""An inbox says that something happened in a record and when, never what: it holds no title, no type, no content."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What an item tells."""

    NEW_DOCUMENT = "new-document"


# What the patient reads.
SENTENCES = {Kind.NEW_DOCUMENT: "Un nouvel élément est arrivé dans votre dossier."}


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a record's inbox; numbers run from 1 without a gap, and stand in the order of their commits."""

    record: str
    number: int
    kind: Kind
    at: datetime
    read_at: datetime | None = None

    @property
    def sentence(self) -> str:
        """The item in French."""
        return SENTENCES[self.kind]


class NotDecided(Exception):
    """Consent answered, but with no verdict (its projection is stale): the event is set aside until a replay."""
