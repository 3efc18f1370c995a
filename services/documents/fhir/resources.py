"""What documents answers: DocumentReference, searchset Bundle, Binary, from stored JSON that is not validated again."""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from services.documents.fhir import systems, value_sets
from services.documents.fhir.dates import EARLIEST, fhir_span, instant
from services.documents.fhir.queries import SearchQuery

MAX_ID: Final = 64


@dataclass(frozen=True, slots=True, repr=False)
class StoredDocument:
    """A document whose metadata were decrypted: ids, version (1..), time of the version, DocumentReference (JSON).

    `visibility` is what consent says of its labels now: they may have changed since it was deposited.
    """

    record: str
    document: str
    version: int
    updated: datetime
    metadata: bytes
    visibility: tuple[str, ...] = ()


def resource_id(record: str, document: str) -> str:
    """Return the FHIR id `<record>-<document>`; ValueError past FHIR's 64 characters."""
    name = f"{record}-{document}"
    if len(name) > MAX_ID:
        raise ValueError("a FHIR id has at most 64 characters")
    return name


def split_id(name: str) -> tuple[str, str] | None:
    """Return the record and the document of a FHIR id, None when it is none; a document's id holds no hyphen."""
    record, _, document = name.rpartition("-")
    return (record, document) if record and document and len(name) <= MAX_ID else None


def document_reference(stored: StoredDocument, base: str) -> bytes:
    """Return the DocumentReference (JSON) of a stored document; `base` is the public base, without `/fhir`."""
    return orjson.dumps(_complete(_labelled(stored), stored, base))


def searchset(query: SearchQuery, allowed: Iterable[StoredDocument], base: str) -> bytes:
    """Return the Bundle (JSON) of what matches among the allowed documents, sorted by date, one page of it.

    `total` counts what was allowed and matches. Links carry what was understood of the query, never the patient.
    """
    found = []
    for stored in allowed:
        resource = _labelled(stored)
        if query.matches(resource):
            date = fhir_span(resource["date"]).low if "date" in resource else EARLIEST
            found.append((date, stored.document, stored, resource))
    # documents of one date keep one order from page to page
    found.sort(key=lambda entry: entry[:2], reverse=query.newest_first)
    end = query.offset + query.count
    address = f"{base}/fhir/DocumentReference"
    links = [{"relation": "self", "url": _url(address, query.used, query.offset)}]
    if query.count and end < len(found):
        links.append({"relation": "next", "url": _url(address, query.used, end)})
    entries = [
        {
            "fullUrl": f"{address}/{resource_id(stored.record, stored.document)}",
            "resource": _complete(resource, stored, base),
            "search": {"mode": "match"},
        }
        for _, _, stored, resource in found[query.offset : end]
    ]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(found), "link": links}
    if entries:  # FHIR has no empty arrays
        bundle["entry"] = entries
    return orjson.dumps(bundle)


def content_type(stored: StoredDocument) -> str:
    """Return the media type under which the content was deposited."""
    return str(orjson.loads(stored.metadata)["content"][0]["attachment"]["contentType"])


def binary(stored: StoredDocument, media_type: str, content: bytes) -> bytes:
    """Return the Binary (JSON) of a document for who asks for `application/fhir+json` (ITI-68)."""
    name = resource_id(stored.record, stored.document)
    return orjson.dumps(
        {
            "resourceType": "Binary",
            "id": name,
            "meta": _version(stored),
            "contentType": media_type,
            "securityContext": {"reference": f"DocumentReference/{name}"},
            "data": b64encode(content).decode(),
        }
    )


def _version(stored: StoredDocument) -> dict[str, Any]:
    return {"versionId": str(stored.version), "lastUpdated": instant(stored.updated)}


def _labelled(stored: StoredDocument) -> dict[str, Any]:
    """Return the deposited resource under its labels of now; where these are the same, as it was deposited."""
    resource: dict[str, Any] = orjson.loads(stored.metadata)
    concepts = resource.get("securityLabel", [])
    now, before = set(stored.visibility), {one.get("code") for each in concepts for one in each.get("coding", ())}
    if before & value_sets.VISIBILITIES == now:
        return resource
    over = value_sets.VISIBILITIES - now
    kept = [
        each | {"coding": codings}
        for each in concepts
        if (codings := [one for one in each.get("coding", ()) if one.get("code") not in over])
    ]
    kept += [{"coding": [{"system": systems.TRE_A07, "code": code}]} for code in sorted(now - before)]
    # PDSm wants one label at least: without any other it is N.
    resource["securityLabel"] = kept or [{"coding": [{"system": systems.CONFIDENTIALITY, "code": "N"}]}]
    return resource


def _complete(resource: dict[str, Any], stored: StoredDocument, base: str) -> dict[str, Any]:
    name = resource_id(stored.record, stored.document)
    resource["id"] = name
    resource["meta"] = resource.get("meta", {}) | _version(stored)
    resource["content"][0]["attachment"]["url"] = f"{base}/fhir/Binary/{name}"
    return resource


def _url(address: str, used: tuple[tuple[str, str], ...], offset: int) -> str:
    parameters = [*used, ("_offset", str(offset))] if offset else used
    return f"{address}?{urlencode(parameters)}" if parameters else address
