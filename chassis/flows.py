"""The flow protocol's wire format, which both of its ends (`asking`, `hearing`) compute alike (ADR 0003)."""

import zlib
from hashlib import sha256

from prometheus_client import Counter

from chassis.sealing import canonical
from contracts.consent import FlowDecided, FlowHeader, FlowRequested
from contracts.registry import catalogue, topic_of

REQUESTS, DECISIONS = topic_of(FlowRequested), topic_of(FlowDecided)
PROMISE = "carnet-promise+jws"
# A question is good for 1.5 s; the asker gives up at 2 s, and a promise ends then.
DEADLINE_SECONDS, GIVE_UP_SECONDS = 1.5, 2.0

DROPPED = Counter("carnet_flows_dropped_total", "Questions and answers that were not believed, by reason.", ["reason"])


def partition_of(record: str) -> int:
    """Return the partition where a record's questions go first, so that one decider's cache serves it."""
    return zlib.crc32(record.encode()) % catalogue()[REQUESTS].partitions


def request_digest(request: FlowRequested) -> bytes:
    """Return SHA-256 over everything that the instance signs: the clear header, its certificate, the sealed part."""
    header = sha256(canonical(request.header.model_dump())).digest()
    certificate = sha256(request.certificate.encode()).digest()
    return sha256(b"carnet-flow-request-v1" + header + certificate + request.sealed.encode()).digest()


def header_info(header: FlowHeader, certificate: str) -> bytes:
    """Return the HPKE `info` of a question: the clear header, and the certificate of the one who sealed it.

    Without the certificate another certified instance could sign a captured question as its own, and get the keys for a
    token that it never saw.
    """
    clear = sha256(canonical(header.model_dump())).digest() + sha256(certificate.encode()).digest()
    return sha256(b"carnet-flow-question-v1" + clear).digest()
