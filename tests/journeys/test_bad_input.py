"""What is wrong is refused by name, and nothing of it is stored, asked or told."""

import contextlib
import hmac
import time
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any

import aiohttp
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt

from chassis.mongo import Mongo
from chassis.sealing import b64
from chassis.settings import MongoSettings
from chassis.tokens import AUDIENCE, AccessToken, issue, signing_jwk
from deploy.local.caller import Answer
from deploy.local.stack import Stack
from deploy.local.synthetic import INS, document_reference, laboratory_report
from tests.journeys.records import PATIENT, Opened, doctor, open_record

MEGABYTE = 1024 * 1024
HEADER = {"alg": "Ed25519", "typ": "at+jwt"}


async def stored(stack: Stack, record: str) -> dict[str, int]:
    """Count all that a deposit leaves anywhere."""
    documents, consent, notifications = (
        Mongo(MongoSettings(uri=stack.mongo_uri(each), database=f"carnet_{each}"))
        for each in ("documents", "consent", "notifications")
    )
    try:
        return {
            "documents": await documents["documents"].count_documents({}),
            "blobs": await documents["blobs"].count_documents({}),
            "outbox": await documents["outbox"].count_documents({}),
            "keys": await consent["document_keys"].count_documents({}),
            # Of this record alone: the journal of another one may move meanwhile.
            "entries": await consent["journal"].count_documents({"record": record}),
            "items": await notifications["items"].count_documents({}),
        }
    finally:
        for each in (documents, consent, notifications):
            await each.close()


def _with(record: Opened, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return a deposit of this record with one thing changed."""
    resource = document_reference(record.report(), ins=record.ins)
    change(resource)
    return orjson.dumps(resource)


def _attachment(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda resource: resource["content"][0]["attachment"].update(values)


def _plain_text(record: Opened, size: int) -> bytes:
    return record.request(b"x" * size, content_type="text/plain")


def _bomb(record: Opened) -> bytes:
    lots = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    report = record.report().replace(
        b'encoding="UTF-8"?>', f'encoding="UTF-8"?><!DOCTYPE b [<!ENTITY a0 "ha">{lots}]>'.encode()
    )
    return record.request(report.replace(b"<title>", b"<title>&a9;"))


def _outside(record: Opened) -> bytes:
    report = record.report().replace(
        b'encoding="UTF-8"?>', b'encoding="UTF-8"?><!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    )
    return record.request(report.replace(b"<title>", b"<title>&x;"))


BODIES: dict[str, tuple[Callable[[Opened], bytes], int, str, str]] = {
    "not JSON": (lambda _: b"{", 400, "not-json", "structure"),
    "a JSON array": (lambda _: b"[]", 400, "not-fhir", "structure"),
    "another resource": (lambda _: b'{"resourceType":"Patient"}', 422, "wrong-resource-type", "structure"),
    "an unknown element": (lambda it: _with(it, lambda own: own.update(colour="red")), 400, "structure", "structure"),
    "an INS whose key is wrong": (
        lambda it: it.request(ins=it.ins[:-2] + f"{(int(it.ins[-2:]) % 97) + 1:02}", content=b"x",
                              content_type="text/plain"), 400, "ins-invalid", "value",
    ),
    "another patient than the token's": (
        lambda it: it.request(laboratory_report(), ins=INS), 403, "patient-mismatch", "forbidden",
    ),
    "a CDA of another patient": (
        lambda it: it.request(laboratory_report()), 422, "cda-patient-mismatch", "invalid",
    ),
    "one byte over 20 MB": (lambda it: _plain_text(it, 20 * MEGABYTE + 1), 413, "content-too-large", "too-long"),
    "35 MB": (lambda it: _plain_text(it, 26 * MEGABYTE), 413, "content-too-large", "too-long"),
    "an XML bomb": (_bomb, 422, "xml-doctype", "invalid"),
    "an external entity": (_outside, 422, "xml-doctype", "invalid"),
    "XML cut short": (lambda it: it.request(it.report()[:-30]), 422, "xml-malformed", "invalid"),
    "wrong base64": (lambda it: _with(it, _attachment(data="QUJ$")), 422, "not-base64", "value"),
    "base64 without padding": (lambda it: _with(it, _attachment(data="QUJDRA")), 422, "not-base64", "value"),
    "a hash of other bytes": (
        lambda it: _with(it, _attachment(hash=b64encode(sha1(b"other").digest()).decode())),  # noqa: S324 - FHIR's
        422, "hash-mismatch", "invalid",
    ),
    "a size of other bytes": (lambda it: _with(it, _attachment(size=3)), 422, "size-mismatch", "invalid"),
    "a PDF that is none": (
        lambda it: it.request(b"MZ", content_type="application/pdf"), 422, "content-type-mismatch", "invalid",
    ),
    "a media type that is not taken": (
        lambda it: it.request(b"MZ", content_type="application/x-msdownload"), 415, "content-type-unsupported",
        "not-supported",
    ),
    "an unknown label": (lambda it: it.request(labels=(("urn:x", "SECRET"),)), 422, "security-label-unknown",
                         "code-invalid"),
}  # fmt: skip


def told(answer: Answer, status: int, slug: str, code: str) -> None:
    """Expect one precise OperationOutcome, with a sentence that tells the way out."""
    assert (answer.status, answer.code) == (status, slug), answer.body[:500]
    issue = answer.json()["issue"][0]
    assert (issue["severity"], issue["code"]) == ("error", code)
    assert len(issue["diagnostics"]) > 20


@pytest.mark.parametrize("name", BODIES)
async def test_a_bad_deposit_is_refused_by_name_and_leaves_nothing(stack: Stack, record: Opened, name: str) -> None:
    """The OperationOutcome names what is wrong; no document, blob, key, entry, event or item came of it."""
    body, status, slug, code = BODIES[name]
    before = await stored(stack, record.record)
    answer = await _answered(record, body(record))
    told(answer, status, slug, code)
    assert record.ins.encode() not in answer.body
    assert await stored(stack, record.record) == before


async def _answered(record: Opened, request: bytes) -> Answer:
    """Return the answer; a server that refuses a large body closes, and a client still writing may never read why."""
    for _ in range(4):
        with contextlib.suppress(aiohttp.ClientOSError):
            return await record.caller(doctor()).deposit(request)
    return await record.caller(doctor()).deposit(request)


async def test_a_good_deposit_is_counted(stack: Stack, record: Opened) -> None:
    """The positive control of the counts: the same request without a fault moves them."""
    before = await stored(stack, record.record)
    answer = await record.caller(doctor()).deposit(record.request())
    assert answer.status == 201, answer.body
    after = await stored(stack, record.record)
    assert {name for name in before if after[name] > before[name]} >= {"documents", "blobs", "keys", "entries"}


async def test_twenty_megabytes_are_taken(record: Opened) -> None:
    """The limit itself: 20 MB go in and come out."""
    content = b"x" * (20 * MEGABYTE)
    answer = await record.caller(doctor()).deposit(record.request(content, content_type="text/plain"))
    assert answer.status == 201, answer.body
    assert (await record.caller(PATIENT).read(answer.json()["id"])).body == content


def _encoded(token: AccessToken, key: Any, header: dict[str, Any], **claims: Any) -> str:
    said = token.model_dump(exclude_none=True) | {"iss": "carnet-identity", "aud": AUDIENCE} | claims
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(header, said, key, algorithms=[str(header["alg"])])


def _unsigned(record: Opened) -> str:
    said = record.token(doctor()).model_dump(exclude_none=True) | {"iss": "carnet-identity", "aud": AUDIENCE}
    return f"{b64(orjson.dumps({'alg': 'none', 'typ': 'at+jwt'}))}.{b64(orjson.dumps(said))}."


def _confused(record: Opened) -> str:
    """Return a token whose HMAC key is the public key that everybody knows (CVE-2015-9235)."""
    public = record.key.as_dict(private=False)["x"]
    said = record.token(doctor()).model_dump(exclude_none=True) | {"iss": "carnet-identity", "aud": AUDIENCE}
    header = b64(orjson.dumps({"alg": "HS256", "typ": "at+jwt", "kid": record.key.kid}))
    signed = f"{header}.{b64(orjson.dumps(said))}"
    return f"{signed}.{b64(hmac.digest(str(public).encode(), signed.encode(), 'sha256'))}"


def _foreign(record: Opened) -> str:
    return issue(
        record.token(doctor()), signing_jwk(str(record.key.kid), Ed25519PrivateKey.generate().private_bytes_raw())
    )


def _past(record: Opened) -> str:
    now = int(time.time())
    return issue(record.token(doctor(), iat=now - 301, exp=now - 1), record.key)


def _signed(**claims: Any) -> Callable[[Opened], str]:
    return lambda record: _encoded(record.token(doctor()), record.key, HEADER | {"kid": record.key.kid}, **claims)


def _tampered(record: Opened) -> str:
    head, _, signature = issue(record.token(doctor()), record.key).split(".")
    said = record.token(doctor(), name="Dr Autre").model_dump(exclude_none=True)
    return f"{head}.{b64(orjson.dumps(said | {'iss': 'carnet-identity', 'aud': AUDIENCE}))}.{signature}"


TOKENS: dict[str, tuple[Callable[[Opened], str], str]] = {
    "expired": (_past, "token-expired"),
    "signed by another key": (_foreign, "token-foreign"),
    "changed after it was signed": (_tampered, "token-foreign"),
    "for another audience": (_signed(aud="elsewhere"), "token-audience"),
    "without an audience": (_signed(aud=None), "token-audience"),
    "without an expiry": (_signed(exp=None), "token-audience"),
    "of another issuer": (_signed(iss="elsewhere"), "token-audience"),
    "without a record": (_signed(record=None), "token-malformed"),
    "of the algorithm none": (_unsigned, "token-foreign"),
    "signed by HMAC with the public key": (_confused, "token-foreign"),
    "no JWT": (lambda _: "abc", "token-foreign"),
}


@pytest.mark.parametrize("name", TOKENS)
async def test_a_bad_token_opens_nothing(stack: Stack, record: Opened, name: str) -> None:
    """Deposit, list, read: 401 with an OperationOutcome; directives, journal, inbox: 401 with a problem; no trace."""
    make, slug = TOKENS[name]
    caller, before = record.bearer(make(record)), await stored(stack, record.record)
    for answer in (await caller.deposit(record.request()), await caller.search(),
                   await caller.read(f"{record.record}-{'a' * 26}")):  # fmt: skip
        told(answer, 401, slug, "login")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    for answer in (await caller.begin(kind="oppose"), await caller.directives(), await caller.journal(),
                   await caller.inbox()):  # fmt: skip
        assert (answer.status, answer.code) == (401, slug)
    assert await stored(stack, record.record) == before


async def test_no_token_opens_nothing(stack: Stack, record: Opened) -> None:
    """Without an Authorization header every route of a record says so."""
    before = await stored(stack, record.record)
    for path in (f"/fhir/DocumentReference?patient.identifier={record.patient}", "/fhir/Binary/x", "/consent/journal",
                 "/consent/directives", "/notifications/inbox", "/notifications/stream"):  # fmt: skip
        async with record.session.get(record.base + path) as response:
            assert (response.status, b"token-missing" in await response.read()) == (401, True), path
    async with record.session.post(f"{record.base}/fhir/DocumentReference", data=record.request()) as response:
        assert (response.status, b"token-missing" in await response.read()) == (401, True)
    assert await stored(stack, record.record) == before


async def test_a_token_opens_its_own_record_only(stack: Stack, record: Opened) -> None:
    """A token of one record neither searches nor reads another, whatever INS or id the request names."""
    document = (await record.caller(doctor()).deposit(record.request())).json()["id"]
    other = await open_record(stack, record.session)
    stranger = other.caller(PATIENT)
    told(await stranger.search(**{"patient.identifier": record.patient}), 403, "patient-mismatch", "forbidden")
    told(await stranger.read(document), 404, "not-found", "not-found")
    assert (await stranger.search()).ids == []
    assert (await record.caller(PATIENT).read(document)).status == 200
