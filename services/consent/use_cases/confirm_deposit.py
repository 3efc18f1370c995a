"""Confirm a deposit: documents says that its ciphertext stands."""

from chassis import faults
from services.consent.ports import DocumentKeys


class ConfirmDeposit:
    """Makes a document's row live; from then on its key is destroyed with the record only."""

    def __init__(self, keys: DocumentKeys) -> None:
        self._keys = keys

    async def __call__(self, record: str, document: str, version: int, digest: str) -> None:
        """Confirm; a repeat changes nothing."""
        await self._keys.confirm(record, document, version, digest)
        faults.point("consent.confirm.confirmed")
