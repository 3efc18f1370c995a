"""What the use cases rely on."""

from typing import Protocol

from services.notifications.domain import Item, Kind


class Consent(Protocol):
    """Whoever decides whether the person may be told."""

    async def allows(self, record: str, document: str, event_id: str, correlation_id: str) -> bool:
        """Ask with a fresh flow id for this event; True only for a verified, allowed verdict.

        Raise DependencyUnreachable when nobody answers in time, NotDecided when the answer is no verdict.
        """


class Items(Protocol):
    """The inboxes. A record's items are numbered in the order in which they become visible to readers."""

    async def holds(self, record: str, event_id: str) -> bool:
        """Say whether this event has its item already."""

    async def put(self, record: str, event_id: str, kind: Kind) -> bool:
        """Add one item with the record's next number; False, and no second item, when the event was told before."""

    async def before(self, record: str, number: int | None, limit: int) -> list[Item]:
        """Return the newest items of a record under a number (all when None), the newest first."""

    async def after(self, record: str, number: int, limit: int) -> list[Item]:
        """Return a record's items above a number, the oldest first; none that commits later has a lower number."""

    async def last(self, record: str) -> int:
        """Return the number of the newest item, 0 for an empty inbox."""

    async def mark_read(self, record: str, number: int) -> bool:
        """Remember when the item was first read; False when the record has no such item."""
