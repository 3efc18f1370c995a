"""A document version as documents holds it: ids, times, sizes and ciphertext."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

MOST_BYTES = 20 * 1024 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """What stands of a document version. `metadata` is ciphertext, and so is its content, in the blob port."""

    record: str
    document: str
    version: int
    deposited_at: datetime
    size: int  # of the ciphertext, bytes
    digest: str  # of the ciphertext
    metadata: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Staged:
    """Ciphertext of a content that is to be kept with its metadata; `loose` names what stands of it already."""

    loose: str | None
    ciphertext: bytes


def sealed_for(use: str, record: str, document: str, version: int) -> dict[str, Any]:
    """Return what a ciphertext is bound to: `content` or `metadata` of one version of one document of one record."""
    return {"use": use, "record": record, "document": document, "version": version}


class Abandoned(Exception):
    """This deposit was given up: its key is being destroyed, and the caller must deposit again."""
