"""What happens to a Carnet before it is searched: care, refusals, bad input, crashes, poison."""

import asyncio
import contextlib
import io
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer

from deploy.local.caller import FHIR_JSON, Answer, Caller
from deploy.local.stack import Stack
from tests import synthetic
from tests.integration.observing import eventually
from tests.integration.privacy.canaries import STEMS, bad, document, person
from tests.integration.privacy.people import MOREAU, PETIT, SYSTEM, People, new_ins

LARGE = 8 * 1024 * 1024 + 64 * 1024  # two blocks of ciphertext
TOPIC = "carnet.documents.documents"


def small(ins: str) -> tuple[bytes, bytes]:
    """Return a CDA report whose every text is a canary, and the request that deposits it."""
    report = synthetic.laboratory_report(
        ins=ins,
        title=document("cda-title"),
        body=document("content"),
        family=person("family"),
        given=person("given"),
        author_family=person("author"),
    )
    return report, _request(report, ins, "small")


def large(ins: str) -> tuple[bytes, bytes]:
    """Return a text of over 8 MB with a canary on every line, and the request that deposits it."""
    line = (document("large").ljust(4_095) + "\n").encode()
    return line * (LARGE // len(line)), _request(line * (LARGE // len(line)), ins, "large", content_type="text/plain")


def _request(content: bytes, ins: str, name: str, **more: Any) -> bytes:
    resource = synthetic.document_reference(content, ins=ins, title=document(f"title-{name}"), **more)
    resource["description"] = document(f"description-{name}")
    resource["type"]["text"] = document(f"type-{name}")
    resource["type"]["coding"][0]["display"] = document(f"display-{name}")
    resource["contained"][0]["name"] = [{"family": person("author"), "given": [person("author-given")]}]
    if "content_type" in more:
        # A code that no value set knows, and an identifier of the depositor's own: consent journals both.
        resource["type"]["coding"][0]["code"] = document("code")
        resource["masterIdentifier"] = {"system": "urn:oid:1.2.3", "value": document("identifier")}
    return orjson.dumps(resource)


async def care(people: People) -> dict[str, Answer]:
    """Deposit, list, read, be refused, be told, read the journal; return the answers that prove it happened."""
    moreau, petit, camille, insurer = await asyncio.gather(
        people.doctor(MOREAU), people.doctor(PETIT), people.camille(), people.insurer()
    )
    (_, first), (_, second) = small(people.ins), large(people.ins)
    said = {"before": await camille.search()}
    said |= {"small": await moreau.deposit(first), "large": await moreau.deposit(second)}
    documents = [str(said[name].json()["id"]) for name in ("small", "large")]
    for name, who in (("camille", camille), ("moreau", moreau), ("petit", petit), ("insurer", insurer)):
        said[f"list {name}"] = await who.search()
        said[f"form {name}"] = await _searched_by_form(who)
        for what, each in zip(("small", "large"), documents, strict=True):
            said[f"{what} {name}"] = await who.read(each)
            await who.ask("GET", f"/fhir/DocumentReference/{each}")
    await insurer.deposit(first)
    said["conflict"] = await moreau.deposit(_other_bytes(second))
    await camille.begin(kind="block", professional=PETIT.rpps)
    hidden = await camille.begin(kind="hide", document=documents[1])
    await camille.end(hidden.json()["id"])
    await _streamed(camille)
    said["inbox"] = await _told(camille, 2)
    said["journal"] = await camille.journal()
    said["directives"] = await camille.directives()
    return said


async def bad_input(stack: Stack, people: People) -> list[int]:
    """Send everything that is refused, each with a canary in it; return the statuses."""
    moreau, camille = await people.doctor(MOREAU), await people.camille()
    ins, other = people.ins, new_ins()
    wrong_key = other[:13] + f"{(int(other[13:]) + 1) % 97:02}"
    people.others += [other, wrong_key]
    good = synthetic.document_reference(b"%PDF-" + bad("pdf").encode(), ins=ins, content_type="application/pdf")

    def but(**changes: Any) -> bytes:
        return orjson.dumps(good | changes)

    def attached(**changes: Any) -> bytes:
        return but(content=[{"attachment": good["content"][0]["attachment"] | changes}])

    theirs = synthetic.laboratory_report(ins=other, family=bad("family"), body=bad("body"))
    markup = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "' + bad("entity").encode() + b'">]><x>&a;</x>'
    deposits = [
        bad("not json").encode(),
        b'{"resourceType": "' + bad("type").encode() + b'"}',
        b"\xff\xfe" + bad("utf-16").encode("utf-16-le"),
        but(status=bad("status")),
        but(**{bad("unknown"): bad("value")}),
        but(date=bad("date")),
        but(type={"coding": [{"system": synthetic.LOINC, "code": bad("code") * 9}]}),  # longer than a contract takes
        but(masterIdentifier={"value": bad("identifier") * 40}),
        but(securityLabel=[{"coding": [{"system": bad("system"), "code": bad("label")}]}]),
        but(subject={"reference": f"Patient?identifier={SYSTEM}|{other}"}),
        but(subject={"reference": f"Patient?identifier={SYSTEM}|{wrong_key}"}),
        but(subject={"reference": bad("subject")}),
        but(description=bad("description") * 800_000),  # its row would be larger than a database takes
        attached(data=bad("not*base64")),
        attached(hash=bad("hash")),
        attached(contentType=bad("content-type")),
        attached(data="QQ" * 14_100_000 + bad("end") + "="),  # over 20 MB
        synthetic.deposit_request(theirs, ins=ins),
        synthetic.deposit_request(markup, ins=ins),
        synthetic.deposit_request(b"<broken>" + bad("xml").encode(), ins=ins),
    ]
    statuses = [(await moreau.deposit(each)).status for each in deposits]
    headers = dict.fromkeys(
        ("User-Agent", "Accept", "Prefer", "Cookie", "Referer", "Baggage", "Tracestate", "Traceparent", "Last-Event-ID",
         "X-Forwarded-For", "X-Request-ID"), bad("header")
    )  # fmt: skip
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/fhir/DocumentReference", {"params": {"patient.identifier": f"{SYSTEM}|{other}"}}),
        ("GET", "/fhir/DocumentReference", {"params": {"patient.identifier": f"{SYSTEM}|{wrong_key}"}}),
        ("GET", "/fhir/DocumentReference", {"params": {"patient.identifier": bad("patient"), bad("name"): ins}}),
        ("GET", "/fhir/DocumentReference", {"params": {"type": bad("code"), "date": bad("date")}, "headers": headers}),
        ("POST", "/fhir/DocumentReference/_search", {"data": b"patient.identifier=" + bad("\xff").encode("latin-1")}),
        ("GET", f"/fhir/Binary/{bad('name')}", {}),
        ("GET", f"/fhir/DocumentReference/{ins}", {}),
        ("GET", f"/fhir/{bad('type')}?{bad('query')}={ins}", {}),
        ("GET", f"/{bad('path')}/{ins}", {}),
        ("DELETE", "/fhir/DocumentReference", {"json": {bad("body"): ins}}),
        ("POST", "/consent/directives", {"json": {"kind": bad("kind"), bad("field"): ins}}),
        ("POST", "/consent/directives", {"json": {"kind": "block", "professional": bad("professional")}}),
        ("POST", "/consent/directives", {"data": bad("not json").encode()}),
        ("DELETE", f"/consent/directives/{bad('directive')}", {}),
        ("GET", "/consent/journal", {"params": {"before": bad("before"), "_count": ins}}),
        ("GET", "/notifications/inbox", {"params": {"before": bad("before")}}),
        ("POST", f"/notifications/inbox/{bad('item')}/read", {}),
        ("GET", "/notifications/stream", {"headers": headers}),
        ("POST", "/identity/demo/sign-in", {"json": {"patient": f"{bad('system')}|{other}"}}),
        ("POST", "/identity/demo/sign-in", {"json": {"patient": {bad("field"): other}}}),
        ("POST", "/identity/token", {"data": {"grant_type": bad("grant"), "client_assertion": bad("assertion")}}),
        ("POST", "/identity/token", {"data": bad("form").encode(), "headers": {"Content-Type": bad("type/x")}}),
    ]
    for who in (camille, moreau):
        statuses += [(await who.ask(method, path, **options)).status for method, path, options in requests]
    too_large = io.BytesIO(bad("large").encode() * 2_000_000)  # the door takes 30 MB
    # It answers before the body is whole, and cuts a connection that cannot serve again: we may never read its answer.
    with contextlib.suppress(aiohttp.ClientOSError):
        await moreau.ask("POST", "/fhir/DocumentReference", data=too_large, headers={"Connection": "close"})
    for token in (bad("token"), f"{camille.token[:-9]}{'A' * 9}", f"{bad('a')}.{bad('b')}.{bad('c')}"):
        forger = Caller(people.session, people.base, token, camille.patient)
        statuses += [answer.status for answer in (await forger.search(), await forger.journal(), await forger.inbox())]
    ports = [stack.port_of(name) for name in (*stack.processes, "front-door")]
    await asyncio.gather(*(asyncio.to_thread(_garbage, port) for port in ports))
    return statuses


async def crashes(stack: Stack, people: People) -> dict[str, Answer]:
    """Kill processes and a database amid requests, start them again, deposit again; return what was answered."""
    moreau, camille = await people.doctor(MOREAU), await people.camille()
    report, _ = small(people.ins)
    request = _request(report.replace(b"2.25.", b"2.25.9"), people.ins, "crash")
    killed = ("mongod-documents", "consent-2", "notifications-1", "documents-1")
    for name in killed[:3]:
        await stack.stop_process(name, signal.SIGKILL)
    away = await asyncio.gather(camille.search(), moreau.deposit(request))
    await stack.stop_process(killed[3], signal.SIGKILL)
    await stack.start_process(killed[0])
    fault = "documents.deposit.blob-stored:1"  # approved and encrypted, and nothing is stored yet
    await asyncio.gather(
        *(stack.start_process(name) for name in killed[1:3]), stack.start_process(killed[3], CARNET_FAULT=fault)
    )
    torn = await moreau.deposit(request)
    down = await camille.search()  # the front door answers by itself, for an address that holds the INS
    await stack.start_process(killed[3])

    async def mended() -> Answer | None:
        answer = await moreau.deposit(request)
        return answer if answer.status == 201 else None

    again = await eventually(mended, 20)
    await _told(camille, 3)
    return {"away list": away[0], "away deposit": away[1], "torn": torn, "down": down, "again": again}


async def poison(stack: Stack, record: str) -> None:
    """Put messages that nobody can decode on the topic of deposits: canaries in keys, headers and values."""
    word = STEMS["poison"]
    header = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"x"), ("ce_time", b"2026-11-24T00:00:00Z"),
              ("ce_type", b"carnet.documents.deposited.v1"), ("ce_correlationid", word.encode())]  # fmt: skip
    right = [*header, ("ce_subject", record.encode())]
    broken = {"record": record, "document": word, "version": word, "digest": word, "size": word}
    async with producing(stack) as producer:
        for value, headers in (
            (word.encode(), []),
            (word.encode("utf-16"), [("ce_id", b"\xff" + word.encode()), (word, word.encode())]),
            (orjson.dumps(broken), right),
            (orjson.dumps({"record": word, "title": word}), [*header, ("ce_subject", word.encode())]),
            (None, [*header, ("ce_subject", word.encode())]),
        ):
            await producer.send_and_wait(TOPIC, value, key=word.encode(), headers=headers)


@asynccontextmanager
async def producing(stack: Stack) -> AsyncIterator[AIOKafkaProducer]:
    """Give a producer of our own, as any holder of Kafka's credentials has one."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def _other_bytes(request: bytes) -> bytes:
    resource = orjson.loads(request)
    attachment = resource["content"][0]["attachment"]
    attachment["data"] = synthetic.document_reference(document("other").encode())["content"][0]["attachment"]["data"]
    return orjson.dumps(resource)


async def _searched_by_form(who: Caller) -> Answer:
    form = {"patient.identifier": who.patient}
    return await who.ask("POST", "/fhir/DocumentReference/_search", data=form, headers={"Accept": FHIR_JSON})


async def _streamed(camille: Caller) -> None:
    """Open the stream of notifications and leave it after its first bytes: the front door would log the address."""
    headers = {"Authorization": f"Bearer {camille.token}", "Last-Event-ID": "0"}
    address, query = f"{camille.base}/notifications/stream", {bad("query"): camille.patient}
    async with camille.session.get(address, params=query, headers=headers) as stream:
        await stream.content.readany()


async def _told(camille: Caller, items: int) -> Answer:
    async def told() -> Answer | None:
        inbox = await camille.inbox()
        return inbox if inbox.status == 200 and len(inbox.json()["items"]) >= items else None

    return await eventually(told, 20)


def _garbage(port: int) -> None:
    """Send what is no HTTP, or not quite."""
    for said in (
        f"GET /{bad('line')}\r\n\r\n",
        f"{bad('METHOD')} /{bad('path')} HTTP/1.1\r\nHost: {bad('host')}\r\n\r\n",
        f"GET /fhir/metadata HTTP/9.9\r\n{bad('header')}\r\n\r\n",
        (
            f"GET /fhir/{bad('ws')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Key: {bad('key')}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ),
        f"POST /fhir/DocumentReference HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{bad('cut off')}",
        f"POST /identity/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{bad('chunk')}\r\n",
    ):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(said.encode())
            connection.settimeout(0.3)
            connection.recv(4_096)
