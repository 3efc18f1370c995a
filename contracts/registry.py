"""Type <-> class, and the catalogue: the only place that encodes or decodes a fact."""

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts import consent, documents, identity
from contracts.envelope import Envelope, Headers
from contracts.fact import Fact

FACTS: dict[str, type[Fact]] = {
    fact.TYPE: fact
    for fact in (
        identity.RecordOpened,
        identity.RepresentationChanged,
        identity.BeatSent,
        identity.TokenKeysAnnounced,
        consent.FlowRequested,
        consent.FlowDecided,
        consent.SealingKeysAnnounced,
        consent.DepositUnconfirmed,
        consent.AccessAnnounced,
        consent.DocumentRevealed,
        documents.Deposited,
        documents.DepositAbandoned,
    )
}


class Undecodable(ValueError):
    """A message that no redelivery can mend: wrong envelope, unknown type, broken value, unknown critical field."""


class Topic(BaseModel):
    """A card of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str
    producers: tuple[str, ...] = ()
    key: str
    partitions: int = Field(ge=1)
    retention_hours: float
    types: tuple[str, ...] = Field(min_length=1)
    consumers: tuple[str, ...] = Field(min_length=1)

    @property
    def publishers(self) -> tuple[str, ...]:
        """The services that may publish here: the owner, unless the card names others."""
        return self.producers or (self.owner,)


@cache
def catalogue() -> dict[str, Topic]:
    """Return the topics by name, read once from `catalogue.toml`."""
    cards = tomllib.loads((Path(__file__).parent / "catalogue.toml").read_text(encoding="utf-8"))["topics"]
    return {name: Topic.model_validate(card) for name, card in cards.items()}


@cache
def topic_of(fact: type[Fact]) -> str:
    """Return the topic of a fact; KeyError when the catalogue does not know it."""
    for name, card in catalogue().items():
        if fact.TYPE in card.types:
            return name
    raise KeyError(fact.TYPE)


def encode(fact: Fact) -> bytes:
    """Return the value of the Kafka message: the fact as JSON, without the fields left at None."""
    return fact.model_dump_json(exclude_none=True).encode()


def decode(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> tuple[Envelope, Fact]:
    """Read a Kafka message; raise Undecodable, which never quotes its input."""
    try:
        envelope = Envelope.from_headers(headers)
        kind = FACTS[envelope.type]
        fact = kind.model_validate_json(value or b"")
    except (ValidationError, ValueError, KeyError) as error:
        raise Undecodable(type(error).__name__) from None
    if envelope.subject != fact.record_id:
        raise Undecodable("ForeignSubject")
    if set(fact.critical) - set(kind.model_fields):
        raise Undecodable("UnknownCriticalField")
    return envelope, fact


__all__ = ["FACTS", "Envelope", "Headers", "Topic", "Undecodable", "catalogue", "decode", "encode", "topic_of"]
