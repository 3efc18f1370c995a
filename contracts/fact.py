"""The base of every fact: a frozen value that knows its type and refuses what it may not ignore."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

RecordId = Annotated[str, Field(pattern=r"^[a-z2-7]{26}$|^public$", description="Random id of a record, base32.")]
DocumentId = Annotated[str, Field(pattern=r"^[a-z2-7]{26}$", description="Random id of a document, base32.")]
Digest = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$", description="SHA-256, base64url without padding.")]
Base64Url = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", description="Bytes, base64url without padding.")]


class Fact(BaseModel):
    """Something that happened, in the past tense; readers ignore unknown fields, but for critical ones."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    TYPE: ClassVar[str]

    critical: tuple[str, ...] = Field(
        default=(),
        description="Names of fields that narrow a permission: a reader that does not know one refuses the fact.",
    )

    @property
    def record_id(self) -> str:
        """The record that this is about: the Kafka key and the CloudEvents subject."""
        return str(getattr(self, "record", "public"))
