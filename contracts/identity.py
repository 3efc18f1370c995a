"""What identity says: whose record was opened, which keys sign tokens, that it is alive; the reasons of emergencies."""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.fact import Fact, RecordId

# Why a professional goes past the authorisation (the token's `emergency.code`), and how the patient reads it. The list
# is closed: identity grants nothing under another code. It only grows, so that old journals stay readable.
EMERGENCY_REASONS: Final[Mapping[str, str]] = {
    "unconscious": "La personne est inconsciente",
    "life-threatening": "La vie de la personne est en danger immédiat",
    "cannot-consent": "La personne n'est pas en état de donner son accord",
    "samu-call": "Appel au SAMU (15)",
    "other": "Autre urgence, précisée par le professionnel",
}


class RecordOpened(Fact):
    """A person's record was opened, or its identity status changed: the whole state, ordered by `version`."""

    TYPE: ClassVar = "carnet.identity.record-opened.v1"

    record: RecordId
    version: int = Field(ge=1)
    identity_status: Literal["provisional", "retrieved", "validated", "qualified"]


class Holder(BaseModel):
    """Who may act for the person, and in what. A field that a reader does not know is an error: it could narrow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holder: RecordId = Field(description="The record of the one who acts.")
    role: Literal["parent", "guardian", "family-authorisation", "caregiver"]
    scopes: tuple[Literal["read", "govern", "deposit", "journal"], ...] = Field(min_length=1)


class RepresentationChanged(Fact):
    """Whom a person's record obeys now: the whole state, ordered by `version` (its own, not RecordOpened's).

    Of an adult who governs alone nothing is said. Dates stay with identity, which says it again when one has come.
    """

    TYPE: ClassVar = "carnet.identity.representation-changed.v1"

    record: RecordId = Field(description="The record of the one who is represented.")
    version: int = Field(ge=1)
    minor: bool
    deceased: bool
    holders: tuple[Holder, ...] = Field(description="Everybody who may act now; the others may not.")
    # No role of a holder: that list is closed, and a reader of before must find here nobody who may act.
    heirs: tuple[RecordId, ...] = Field(
        default=(), description="Of the dead alone: who may ask, as an heir, to read (L.1110-4 V); by their own record."
    )


class BeatSent(Fact):
    """Identity was alive and had published all that it knew before: one a partition, every few seconds."""

    TYPE: ClassVar = "carnet.identity.beat-sent.v1"

    partition: int = Field(ge=0)
    as_of: int | None = Field(
        default=None, ge=0, description="Unix time (ms) up to which all is published; without it, the envelope's time."
    )


class TokenKeysAnnounced(Fact):
    """The keys that sign access tokens: a statement (JWS) signed by identity's role key under the pinned root."""

    TYPE: ClassVar = "carnet.identity.token-keys-announced.v1"

    role_certificate: str = Field(description="JWS by the root over identity's role key.")
    statement: str = Field(description="JWS by the role key: {use, version, keys: [JWK], exp}.")
