"""What consent's answer means here: a refusal in the domain's words, or metadata that its key opens."""

import time

from chassis.asking import ConsentUnreachable
from chassis.flows import GIVE_UP_SECONDS
from chassis.sealing import decrypt, unb64
from contracts.consent import FlowAnswer, Grant
from services.documents.domain import Kept, sealed_for
from services.documents.fhir.resources import StoredDocument


class Refused(Exception):
    """Consent refused. `rule`, `law` and `sentence` stand where the asker may know them."""

    def __init__(self, answer: FlowAnswer) -> None:
        super().__init__(answer.outcome)
        self.rule, self.law, self.sentence = answer.rule, answer.law, answer.sentence


class Conflict(Exception):
    """Another content stands under this identifier and organisation."""


class NotReady(Exception):
    """The record is being opened."""


class Approval:
    """The time that an approval lives from its question on; what comes later is answered as if consent were away."""

    def __init__(self) -> None:
        self._end = time.monotonic() + GIVE_UP_SECONDS

    def require_in_time(self) -> None:
        """Return while keys may be used; raise ConsentUnreachable after (a slow store, a process that was stopped)."""
        if time.monotonic() > self._end:
            raise ConsentUnreachable


def refuse(answer: FlowAnswer) -> None:
    """Return when the answer allows; raise what it means otherwise."""
    if answer.outcome == "conflict":
        raise Conflict
    if answer.outcome == "stale":
        raise NotReady
    if answer.outcome != "allowed":
        raise Refused(answer)


def opened(kept: Kept, grant: Grant) -> StoredDocument:
    """Return a document, its metadata in clear; raise Unsealable when key and ciphertext do not belong together."""
    context = sealed_for("metadata", kept.record, kept.document, kept.version)
    return StoredDocument(
        record=kept.record,
        document=kept.document,
        version=kept.version,
        updated=kept.deposited_at,
        metadata=decrypt(unb64(grant.metadata_key), kept.metadata, context),
        visibility=grant.visibility,
    )
