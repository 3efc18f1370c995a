"""What documents says about ciphertext: that it stands, or that it never will."""

from typing import ClassVar

from pydantic import Field

from contracts.fact import Digest, DocumentId, Fact, RecordId


class Deposited(Fact):
    """The ciphertext of a document version is durable and its metadata committed."""

    TYPE: ClassVar = "carnet.documents.deposited.v1"

    record: RecordId
    document: DocumentId
    version: int = Field(ge=1)
    digest: Digest = Field(description="SHA-256 of the ciphertext.")
    size: int = Field(ge=0, description="Bytes of ciphertext.")


class DepositAbandoned(Fact):
    """A deposit that consent had approved was never stored, and never will be: its key may be destroyed."""

    TYPE: ClassVar = "carnet.documents.deposit-abandoned.v1"

    record: RecordId
    document: DocumentId
    version: int = Field(ge=1)
