"""Whom a record has met lately: the newest entries of its journal, page by page and no further."""

from dataclasses import replace
from typing import Any

from services.consent.acquaintances import MOST_ENTRIES, Acquaintances
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action
from tests.unit.consent.memory import MemoryJournal
from tests.unit.consent.people import COLLEAGUE, MOREAU, PETIT, RECORD, Book, flow


class Paged(MemoryJournal):
    """A journal that remembers what was asked of it."""

    def __init__(self, book: Book) -> None:
        super().__init__()
        self.entries[RECORD] = book.entries
        self.asked: list[tuple[int | None, int]] = []

    async def page(self, record: str, before: int | None, limit: int, *narrowed: Any, **more: Any) -> list[Entry]:
        """Note, and return a page."""
        self.asked.append((before, limit))
        return await super().page(record, before, limit, *narrowed, **more)


async def test_whom_the_newest_entries_name_is_met_latest_first() -> None:
    """Each professional once for each place, as he came last; patients and services are none."""
    book = Book()
    book.ask(flow(MOREAU, Action.LIST))
    book.ask(flow(PETIT, Action.LIST))
    renamed = replace(MOREAU, name="Dr Moreau-Petit")
    book.ask(flow(renamed, Action.LIST))
    book.say("ask-me")
    journal = Paged(book)
    assert await Acquaintances(journal)(RECORD) == [renamed, PETIT]
    assert len(journal.asked) == 1


async def test_what_is_further_back_is_not_looked_for() -> None:
    """A long journal costs as much as a short one: the newest five hundred entries, in pages of a hundred."""
    book = Book()
    book.ask(flow(COLLEAGUE, Action.LIST))
    for number in range(MOST_ENTRIES):
        book.ask(flow(PETIT if number else MOREAU, Action.LIST))
    journal = Paged(book)
    assert await Acquaintances(journal)(RECORD) == [PETIT, MOREAU]
    assert [limit for _, limit in journal.asked] == [100] * 5
