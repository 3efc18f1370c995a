"""The one attachment of an ITI-105 deposit: from base64 in JSON to the bytes that are stored."""

import binascii
import hashlib
from base64 import b64encode
from typing import Any, Final

from services.documents.fhir.outcomes import FhirRejected, Issue
from services.documents.fhir.structure import invalid

MAX_CONTENT: Final = 20 * 1024 * 1024  # bytes, decoded
CDA_TYPES: Final = frozenset({"text/xml", "application/xml"})
# how a file of each type begins; text has no signature
_SIGNATURES: Final[dict[str, tuple[bytes, ...]]] = {
    "application/pdf": (b"%PDF-",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/tiff": (b"II*\x00", b"MM\x00*"),
    "application/rtf": (b"{\\rtf",),
    "text/rtf": (b"{\\rtf",),
    "text/plain": (),
}
CONTENT_TYPES: Final = CDA_TYPES | _SIGNATURES.keys()
_PDF_HEAD: Final = 1024  # readers look for %PDF- in the first KB (ISO 32000-1, annex H.3.4.1)


def sha1(content: bytes) -> str:
    """Return `Attachment.hash` as R4 defines it: SHA-1 in base64. It identifies; it protects nothing."""
    return b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()


def read_content(attachment: dict[str, Any], data: str) -> tuple[bytes, str]:
    """Return the bytes of the attachment and its media type without parameters; `size` and `hash` must match if given.

    Raise FhirRejected: no data, over 20 MB, not base64, another size or hash, a media type that is not taken.
    """
    where = "content[0].attachment"
    if not data:
        raise invalid(
            "data-missing", "required", "ITI-105 carries the document inline: fill attachment.data.", f"{where}.data"
        )
    media_type = attachment.get("contentType", "").split(";")[0].strip().lower()
    if media_type not in CONTENT_TYPES:
        issue = Issue(
            "content-type-unsupported",
            "required" if not media_type else "not-supported",
            f"The media type must be one of {', '.join(sorted(CONTENT_TYPES))}.",
            f"DocumentReference.{where}.contentType",
        )
        raise FhirRejected("unsupported" if media_type else "invalid", issue)
    content = _decode(data, f"{where}.data")
    if attachment.get("size", len(content)) != len(content):
        raise invalid(
            "size-mismatch",
            "invalid",
            f"attachment.size differs from the {len(content)} bytes received: send the file again.",
            f"{where}.size",
        )
    if "hash" in attachment and attachment["hash"] != sha1(content):
        raise invalid(
            "hash-mismatch",
            "invalid",
            "attachment.hash is not the SHA-1 (base64) of the bytes received: send the file again.",
            f"{where}.hash",
        )
    signatures = _SIGNATURES.get(media_type, ())
    if signatures and not _signed(content, media_type, signatures):
        raise invalid(
            "content-type-mismatch",
            "invalid",
            f"The bytes are no {media_type}: declare what the file is.",
            f"{where}.contentType",
        )
    return content, media_type


def _signed(content: bytes, media_type: str, signatures: tuple[bytes, ...]) -> bool:
    if media_type == "application/pdf":
        return signatures[0] in content[:_PDF_HEAD]
    return content.startswith(signatures)


def _decode(data: str, expression: str) -> bytes:
    if len(data) // 4 * 3 > MAX_CONTENT + 2:  # before allocating; padding may stand for two bytes
        raise _too_large(expression)
    content = _base64(data)
    if content is None:
        content = _base64("".join(data.split()))  # R4: readers ignore white space in base64Binary
    if content is None:
        raise invalid(
            "not-base64",
            "value",
            "attachment.data is not base64 (RFC 4648, with padding): encode the file again.",
            expression,
        )
    if not content:
        raise invalid("data-missing", "required", "attachment.data is empty: send the document.", expression)
    if len(content) > MAX_CONTENT:
        raise _too_large(expression)
    return content


def _base64(data: str) -> bytes | None:
    if len(data) % 4:  # binascii's strict mode lets "QUJD=" pass
        return None
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        return None


def _too_large(expression: str) -> FhirRejected:
    megabytes = MAX_CONTENT // (1024 * 1024)
    return FhirRejected(
        "too-large",
        Issue(
            "content-too-large",
            "too-long",
            f"A document has at most {megabytes} MB: deposit a smaller file.",
            f"DocumentReference.{expression}",
        ),
    )
