"""Deposit a document (PDSm TD2, ITI-105): ask, encrypt, make the ciphertext durable, then say that it stands."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256

import orjson

from chassis import faults
from chassis.sealing import b64, digest, encrypt, unb64
from contracts.consent import Action, DepositAttributes, FlowQuestion, Grant
from services.documents.answers import opened, refuse
from services.documents.domain import Abandoned, Kept, sealed_for
from services.documents.fhir.deposits import ParsedDeposit
from services.documents.fhir.resources import StoredDocument
from services.documents.ports import Blobs, Consent, Shelf

_LARGE = 512 * 1024


class Deposit:
    """Stores what consent approved, once: the same bytes again are answered with the first result."""

    def __init__(self, consent: Consent, blobs: Blobs, shelf: Shelf) -> None:
        self._consent, self._blobs, self._shelf = consent, blobs, shelf

    async def __call__(self, parsed: ParsedDeposit, record: str, token: str) -> StoredDocument:
        """Return the stored document; raise Refused, Conflict, NotReady, Abandoned or ConsentUnreachable."""
        answer = await self._consent.ask(record, await _question(parsed, token))
        refuse(answer)
        if not answer.grants:
            raise Abandoned
        grant = answer.grants[0]
        faults.point("documents.deposit.approved")
        stands = None
        if not answer.already_stored and grant.content_key is not None:
            stands = await self._stored(parsed, record, grant, unb64(grant.content_key))
        if stands is None:  # the first try stored it
            stands = (await self._shelf.find(record, [(grant.document, grant.version)])).get(grant.document)
            faults.point("documents.deposit.found")
        if stands is None:
            raise Abandoned
        return opened(stands, grant)

    async def _stored(self, parsed: ParsedDeposit, record: str, grant: Grant, content_key: bytes) -> Kept | None:
        """Store the document; None when it stands already."""
        where = (record, grant.document, grant.version)
        ciphertext = await _maybe_apart(
            len(parsed.content), lambda: encrypt(content_key, parsed.content, sealed_for("content", *where))
        )
        faults.point("documents.deposit.encrypted")
        staged = await self._blobs.put(ciphertext)
        faults.point("documents.deposit.blob-stored")
        metadata, now = orjson.dumps(parsed.metadata), datetime.now(UTC)
        kept = Kept(
            record=record,
            document=grant.document,
            version=grant.version,
            # MongoDB keeps milliseconds: the first answer must not differ from later ones.
            deposited_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
            size=len(ciphertext),
            digest=digest(ciphertext),
            metadata=encrypt(unb64(grant.metadata_key), metadata, sealed_for("metadata", *where)),
        )
        stored = await self._shelf.keep(kept, staged, grant.document)
        faults.point("documents.deposit.kept")
        if not stored:
            await self._blobs.drop(staged)
            faults.point("documents.deposit.dropped")
        return kept if stored else None


async def _question(parsed: ParsedDeposit, token: str) -> FlowQuestion:
    content = await _maybe_apart(len(parsed.content), lambda: sha256(parsed.content).digest())
    attributes = DepositAttributes(
        master_identifier=parsed.master_identifier,
        content_digest=b64(content),
        type_code=parsed.type_code,
        type_system=parsed.type_system,
        class_code=parsed.class_code or None,
        visibility=parsed.visibility,  # type: ignore[arg-type]  # the contract checks the labels
        episode=digest(f"{parsed.episode.system}|{parsed.episode.value}".encode()) if parsed.episode else None,
    )
    return FlowQuestion(action=Action.DEPOSIT, token=token, deposit=attributes)


async def _maybe_apart(size: int, work: Callable[[], bytes]) -> bytes:
    """Run work on large bytes in a thread: others' requests must not wait for it."""
    return await asyncio.to_thread(work) if size > _LARGE else work()
