"""The table of cases as people read it: `consent.csv`, one line a case, each word one of the vocabulary."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from services.consent.domain.flow import Actor
from tests.cases.meaning import Papers, Purpose, Step, Want
from tests.cases.vocabulary import DOCUMENTS, PEOPLE, PURPOSES, SITUATIONS, THEN, VERDICTS, WANTS

FOLDER: Final = Path(__file__).parent
HEADINGS: Final = ("n°", "situation", "qui", "veut", "document", "pourquoi", "verdict", "règle", "droit")


class Line(NamedTuple):
    """One line, in its own words."""

    number: int
    situation: str
    who: str
    wants: str
    document: str
    why: str
    said: str
    rule: str
    law: str

    @property
    def steps(self) -> list[Step]:
        """What happened before, in order."""
        found = [SITUATIONS[each] for each in self.situation.split(THEN)]
        return [each for each in found if each is not None]

    @property
    def actor(self) -> Actor:
        """Who asks."""
        return PEOPLE[self.who]

    @property
    def want(self) -> Want:
        """What is wanted."""
        return WANTS[self.wants]

    @property
    def papers(self) -> Papers:
        """What the record holds, and what is asked for."""
        return DOCUMENTS[self.document]

    @property
    def purpose(self) -> Purpose:
        """What for."""
        return PURPOSES[self.why]

    @property
    def verdict(self) -> str:
        """The verdict as an entry names it."""
        return VERDICTS[self.said]

    def words(self) -> set[tuple[str, str]]:
        """Return each word of the line, with the vocabulary that should say it."""
        return {("situation", each) for each in self.situation.split(THEN)} | {
            ("qui", self.who), ("veut", self.wants), ("document", self.document), ("pourquoi", self.why),
            ("verdict", self.said),
        }  # fmt: skip


VOCABULARY: Final[dict[str, Mapping[str, object]]] = {
    "situation": SITUATIONS, "qui": PEOPLE, "veut": WANTS, "document": DOCUMENTS, "pourquoi": PURPOSES,
    "verdict": VERDICTS,
}  # fmt: skip


def read() -> list[Line]:
    """Return the table's lines in their order; a line of other columns is an error."""
    with (FOLDER / "consent.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter=";", strict=True)
        headings = tuple(next(rows))
        if headings != HEADINGS:
            raise ValueError(f"the columns of consent.csv are {', '.join(headings)}")
        return [Line(int(number), *words) for number, *words in rows]
