"""What documents needs of the world, as promises."""

from collections.abc import Sequence
from typing import Protocol

from contracts.consent import FlowAnswer, FlowQuestion
from services.documents.domain import Kept, Staged


class Consent(Protocol):
    """The way to consent."""

    async def ask(self, record: str, question: FlowQuestion, *, correlation_id: str | None = None) -> FlowAnswer:
        """Return a verified answer; raise ConsentUnreachable, after 2 s at most."""


class Blobs(Protocol):
    """Ciphertext of contents, one a document version. MongoDB here; an object store at national scale (ADR 0006)."""

    async def put(self, ciphertext: bytes) -> Staged:
        """Bring bytes here; they are durable once `Shelf.keep` says so, and may be swept after 24 h until then."""

    async def get(self, record: str, document: str, version: int) -> bytes | None:
        """Return the bytes that were kept of a version; None when there are none."""

    async def drop(self, staged: Staged) -> None:
        """Remove bytes that were not kept."""

    async def sweep(self, older_than_seconds: float) -> int:
        """Remove bytes that no metadata keep; return how many."""


class Shelf(Protocol):
    """Metadata of document versions, and the facts about them, in one transaction."""

    async def keep(self, kept: Kept, staged: Staged, correlation_id: str) -> bool:
        """Store metadata, keep their blob and tell `Deposited`, all or nothing; False when the version stands already.

        Raises Abandoned when the version was given up.
        """

    async def find(self, record: str, versions: Sequence[tuple[str, int]]) -> dict[str, Kept]:
        """Return by document id what stands of these (document, version)."""

    async def settle(self, record: str, document: str, version: int, event_id: str) -> None:
        """Tell `Deposited` again if the version stands; else give it up for good and tell `DepositAbandoned`."""
