"""What consent says and is asked: a flow's question, its sealed answer, keys, deposits, what the person must learn."""

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.fact import Base64Url, Digest, DocumentId, Fact, RecordId

MAX_RESOURCES = 100
MAX_DEADLINE_MS = 2_000


class Action(StrEnum):
    """What a flow does to a record."""

    DEPOSIT = "deposit"
    LIST = "list"
    READ = "read"
    AMEND = "amend"
    NOTIFY = "notify"
    READ_JOURNAL = "read-journal"
    READ_DIRECTIVES = "read-directives"
    CHANGE_DIRECTIVES = "change-directives"


Visibility = Literal["MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"]


class Closed(BaseModel):
    """A value that is sealed or signed as a whole: an unknown field is an error, not an extension."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FlowHeader(Closed):
    """The clear part of a question: its digest is the `info` of the sealed part and stands under the signature."""

    flow: str = Field(pattern=r"^[0-9a-f]{32}$", description="Random id; it binds the digest of the whole request.")
    record: RecordId
    reply_partition: int = Field(ge=0)
    deadline_ms: int = Field(description="Unix time, milliseconds; at most 2 s after it is received.")


class DepositAttributes(Closed):
    """What the rules judge of a deposited document, and what makes a retry the same deposit."""

    master_identifier: str = Field(min_length=1, max_length=256, description="DocumentReference.masterIdentifier.")
    content_digest: Digest = Field(description="SHA-256 of the clear content.")
    type_code: str = Field(max_length=64)
    type_system: str = Field(max_length=128)
    class_code: str | None = Field(default=None, max_length=64)
    visibility: tuple[Visibility, ...] = Field(default=(), description="Labels that narrow who sees; none: everyone.")
    episode: Digest | None = Field(
        default=None, description="Names the episode of care (encounter), where there is one."
    )


class LabelAmendment(Closed):
    """Labels that one wants on a document, and labels that one wants off it; what is so already stays as it is."""

    adds: tuple[Visibility, ...] = ()
    removes: tuple[Visibility, ...] = ()


class FlowQuestion(Closed):
    """The sealed part of a question: who asks (the caller's token), for what, about which resources."""

    action: Action
    token: str | None = Field(default=None, description="The caller's access token; none for a service's own flow.")
    documents: tuple[DocumentId, ...] = Field(default=(), max_length=MAX_RESOURCES)
    deposit: DepositAttributes | None = None
    amendment: LabelAmendment | None = Field(default=None, description="What `amend` wants changed of one document.")
    cause: str | None = Field(default=None, max_length=64, description="The event id that a service's own flow is for.")


class FlowRequested(Fact):
    """A question to consent: certified, signed by the instance, sealed to consent (HPKE, RFC 9180)."""

    TYPE: ClassVar = "carnet.consent.flow-requested.v1"

    header: FlowHeader
    role_certificate: str = Field(description="JWS by the root over the asking role's key.")
    certificate: str = Field(description="JWS by the role key over the asking instance's keys.")
    sealed: Base64Url = Field(description="HPKE of FlowQuestion; info = digest of header and certificate.")
    signature: Base64Url = Field(description="Ed25519 by the instance over header, certificate and sealed part.")

    @property
    def record_id(self) -> str:
        """The record that this is about."""
        return self.header.record


class Grant(Closed):
    """One document version that the flow may use, with the keys for it."""

    document: DocumentId
    version: int = Field(ge=1)
    visibility: tuple[Visibility, ...] = ()
    metadata_key: Base64Url
    content_key: Base64Url | None = None


class FlowAnswer(Closed):
    """The verdict. `rule`, `law` and `sentence` are absent where the asker may not know why (neutral refusals)."""

    outcome: Literal["allowed", "refused", "red-line", "conflict", "stale"]
    rule: str | None = None
    law: str | None = None
    sentence: str | None = Field(default=None, description="French, for people.")
    grants: tuple[Grant, ...] = ()
    already_stored: bool = Field(default=False, description="A deposit's retry whose first try is live.")


class FlowDecided(Fact):
    """Consent's answer: the decider's name, and one HPKE envelope for the asking instance."""

    TYPE: ClassVar = "carnet.consent.flow-decided.v1"

    flow: str
    record: RecordId
    decider: str
    sealed: Base64Url = Field(description="HPKE of {answer, promise, certificates}; info = digest of the request.")


class SealingKeysAnnounced(Fact):
    """The HPKE keys that questions are sealed to: a statement (JWS) signed by consent's role key."""

    TYPE: ClassVar = "carnet.consent.sealing-keys-announced.v1"

    role_certificate: str
    statement: str = Field(description="JWS by the role key: {use, version, keys: [JWK], exp}.")


class DepositUnconfirmed(Fact):
    """A deposit was approved a day ago, and documents has not said that it stands."""

    TYPE: ClassVar = "carnet.consent.deposit-unconfirmed.v1"

    record: RecordId
    document: DocumentId
    version: int = Field(ge=1)


class AccessAnnounced(Fact):
    """Something that the person must learn at once, and that no preference suppresses, came into the journal."""

    TYPE: ClassVar = "carnet.consent.access-announced.v1"

    record: RecordId
    kind: Literal["emergency", "declared-care"] = Field(
        description="An emergency opened the record, or a professional declared that he cares for the person."
    )
    flow: str = Field(pattern=r"^[0-9a-f]{32}$", description="The flow whose entry says who and why.")
    at: int = Field(ge=0, description="When it was decided: Unix time, milliseconds.")


class DocumentRevealed(Fact):
    """A document that was kept from the person until its announcement is hers now: a professional told her, or a month.

    Whether she is told that there is something new is a flow of its own, as for a deposit.
    """

    TYPE: ClassVar = "carnet.consent.document-revealed.v1"

    record: RecordId
    document: DocumentId
    at: int = Field(ge=0, description="When it became hers to see: Unix time, milliseconds.")
