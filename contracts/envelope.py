"""CloudEvents 1.0 attributes of a fact, in the Kafka protocol binding's binary mode (``ce_*`` headers)."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

CONTENT_TYPE = "application/json"
_ATTRIBUTES = {
    "ce_specversion": "specversion",
    "ce_id": "id",
    "ce_source": "source",
    "ce_type": "type",
    "ce_time": "time",
    "ce_subject": "subject",
    "ce_correlationid": "correlation_id",
    "ce_causationid": "causation_id",
    "traceparent": "traceparent",
}

Headers = list[tuple[str, bytes]]


class Envelope(BaseModel):
    """Who says what, about which record, because of what.

    `subject` is the record id, which is the Kafka key too. `correlation_id` names the conversation, `causation_id` the
    event or flow that led here. `traceparent` is a W3C trace context.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: str = Field(default="1.0", pattern=r"^1\.0$")
    id: str = Field(default_factory=lambda: uuid4().hex, min_length=1, max_length=64)
    source: str = Field(min_length=1, max_length=128)
    type: str = Field(pattern=r"^carnet\.[a-z]+\.[a-z-]+\.v[1-9][0-9]*$")
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))
    subject: str = Field(min_length=1, max_length=64)
    correlation_id: str = Field(min_length=1, max_length=64)
    causation_id: str | None = Field(default=None, max_length=64)
    traceparent: str | None = Field(default=None, max_length=64)

    def to_headers(self) -> Headers:
        """Return the Kafka headers of the binary mode, `content-type` included."""
        values = self.model_dump(mode="json", exclude_none=True)
        headers = [(header, str(values[name]).encode()) for header, name in _ATTRIBUTES.items() if name in values]
        return [*headers, ("content-type", CONTENT_TYPE.encode())]

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[str, bytes]]) -> Self:
        """Read Kafka headers; raise ValueError when one is missing, malformed or not UTF-8.

        A reader makes nothing up: an absent id would differ at each delivery, and the inbox would know none of them.
        """
        # Kafka allows a header without a value.
        found = {_ATTRIBUTES[name]: (value or b"").decode() for name, value in headers if name in _ATTRIBUTES}
        if missing := {"specversion", "id", "time"} - found.keys():
            raise ValueError(f"missing {', '.join(sorted(missing))}")
        return cls.model_validate(found)
