"""What identity says: whose record was opened, which keys sign tokens, and that it is alive."""

from typing import ClassVar, Literal

from pydantic import Field

from contracts.fact import Fact, RecordId


class RecordOpened(Fact):
    """A person's record was opened, or its identity status changed: the whole state, ordered by `version`."""

    TYPE: ClassVar = "carnet.identity.record-opened.v1"

    record: RecordId
    version: int = Field(ge=1)
    identity_status: Literal["provisional", "retrieved", "validated", "qualified"]


class BeatSent(Fact):
    """Identity was alive and had published all that it knew before: one a partition, every few seconds."""

    TYPE: ClassVar = "carnet.identity.beat-sent.v1"

    partition: int = Field(ge=0)


class TokenKeysAnnounced(Fact):
    """The keys that sign access tokens: a statement (JWS) signed by identity's role key under the pinned root."""

    TYPE: ClassVar = "carnet.identity.token-keys-announced.v1"

    role_certificate: str = Field(description="JWS by the root over identity's role key.")
    statement: str = Field(description="JWS by the role key: {use, version, keys: [JWK], exp}.")
