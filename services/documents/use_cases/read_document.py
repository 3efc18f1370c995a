"""Read a document (PDSm TD3.2, ITI-68): its bytes as they were deposited."""

import asyncio

from chassis.sealing import decrypt, unb64
from contracts.consent import Action, FlowQuestion
from services.documents.answers import Approval, Refused, opened, refuse
from services.documents.domain import sealed_for
from services.documents.fhir.resources import StoredDocument
from services.documents.ports import Blobs, Consent, Shelf

_LARGE = 512 * 1024


class ReadDocument:
    """Decrypts one document with the key that came with this very decision, and drops the key."""

    def __init__(self, consent: Consent, blobs: Blobs, shelf: Shelf) -> None:
        self._consent, self._blobs, self._shelf = consent, blobs, shelf

    async def __call__(self, record: str, token: str, document: str) -> tuple[StoredDocument, bytes] | None:
        """Return the document and its bytes; None when there is nothing to see.

        Raise Refused where the asker may know why.
        """
        approval = Approval()
        answer = await self._consent.ask(record, FlowQuestion(action=Action.READ, token=token, documents=(document,)))
        try:
            refuse(answer)
        except Refused as refused:
            if refused.rule is not None:  # the asker may know why: a public red line, or a patient's own record
                raise
            return None
        grant = next((each for each in answer.grants if each.document == document), None)
        if grant is None or grant.content_key is None:
            return None
        found, ciphertext = await asyncio.gather(
            self._shelf.find(record, [(document, grant.version)]), self._blobs.get(record, document, grant.version)
        )
        if (kept := found.get(document)) is None or ciphertext is None:
            return None
        approval.require_in_time()
        key, context = unb64(grant.content_key), sealed_for("content", record, document, grant.version)
        if len(ciphertext) > _LARGE:
            return opened(kept, grant), await asyncio.to_thread(decrypt, key, ciphertext, context)
        return opened(kept, grant), decrypt(key, ciphertext, context)
