"""What consent needs of the world, as promises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from services.consent.domain.entry import Entry
from services.consent.domain.record import Document

Clock = Callable[[], int]
"""Unix time in milliseconds."""


class RecordUnknown(LookupError):
    """No record key: the record was never opened here, or its key was destroyed."""


class KeyMissing(LookupError):
    """Documents has stored what consent has no key for: an operator must know."""


class OutcomeUnknown(Exception):
    """The database did not say whether it took the entries: they are read again by cause, and nobody is answered."""


class Journal(Protocol):
    """The entries of every record, and the lock that they are."""

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Insert entries, at most one a record; True where one stands durably, False where a version or cause stood.

        Raises OutcomeUnknown when the database did not say.
        """

    async def head(self, record: str) -> tuple[int, int] | None:
        """Return (version, n of the main stream) of the newest entry; None while there is none."""

    async def changing(self, record: str, after: int, to: int) -> list[Entry]:
        """Return in order the entries between two versions whose class may change a state (requests do not)."""

    async def by_cause(self, record: str, cause: str) -> Entry | None:
        """Return the entry that a flow or an event caused."""

    async def page(self, record: str, before: int | None, limit: int) -> list[Entry]:
        """Return entries, the newest first, from below a version."""


class RootKey(Protocol):
    """Wraps record keys. A file in the local stack; PKCS#11 or a vault elsewhere: hence asynchronous."""

    name: str

    async def wrap(self, record: str, key: bytes) -> bytes:
        """Return the record key, wrapped for this record alone."""

    async def unwrap(self, record: str, wrapped: bytes) -> bytes:
        """Return the record key; raise Unsealable when it was wrapped for another record or by another root."""


class RecordKeys(Protocol):
    """One key a record; nothing of the record can be read without it."""

    async def key(self, record: str) -> bytes:
        """Return a record's key; raise RecordUnknown."""

    async def create(self, record: str) -> bool:
        """Create a record's key, durably; False when it stands already."""


@dataclass(frozen=True, slots=True)
class Held:
    """A document version's key, and whether documents has said that its ciphertext stands."""

    document: Document
    key: bytes
    state: Literal["pending", "live"]


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A deposit that was approved and of which nothing was heard since."""

    record: str
    document: str
    version: int


class DocumentKeys(Protocol):
    """A row per document version: its wrapped key and its state."""

    async def hold(self, documents: Sequence[tuple[str, Document]]) -> Sequence[Held]:
        """Create and return a fresh key for each new (record, document), `pending`, durable before its entry stands."""

    async def release(self, wanted: Sequence[tuple[str, Sequence[Document]]]) -> Sequence[tuple[Held, ...]]:
        """Return for each (record, documents) the keys that stand; a destroyed one is left out."""

    async def confirm(self, record: str, document: str, version: int, digest: str) -> None:
        """Make a row live: its ciphertext, of this digest, is durable; raise KeyMissing when there is no such row."""

    async def destroy(self, record: str, document: str, version: int) -> bool:
        """Destroy the key of a version that is pending; a live one stays, and the answer is False."""

    async def pending_since(self, before_ms: int, limit: int) -> list[Unconfirmed]:
        """Return rows that are pending since before a time and that were not asked about for a day."""
