"""Records of their own for tests: opened by identity's fact, with tokens signed by the stack's token keys."""

import asyncio
import secrets
import time
from base64 import b32encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from joserfc.jwk import OKPKey

from chassis import kafka
from chassis.settings import KafkaSettings
from chassis.tokens import (
    EVERY_RECORD,
    AccessToken,
    Application,
    Organisation,
    Representative,
    issue,
    patient_digest,
    signing_jwk,
)
from chassis.trust import AnnouncedKeys
from contracts.fact import Fact
from contracts.identity import Holder, RecordOpened, RepresentationChanged
from contracts.registry import Envelope, encode, topic_of
from deploy.local.caller import Caller
from deploy.local.stack import Stack
from deploy.local.synthetic import SYSTEM_OID, deposit_request, laboratory_report

SYSTEM = f"urn:oid:{SYSTEM_OID}"
PATIENT: dict[str, Any] = {
    "actor": "patient",
    "name": "Personne Synthétique",
    "application": Application(id="portail", name="Portail", kind="patient-frontend"),
    "purpose": "PATRQT",
}


def doctor(rpps: str = "10000000009", organisation: str = "920000009") -> dict[str, Any]:
    """Return the claims of a general practitioner at care software."""
    return {
        "actor": "professional",
        "sub": f"8{rpps}",
        "name": "Dr Synthétique",
        "profession": "10",
        "organisation": Organisation(id=organisation, name="Cabinet synthétique"),
        "application": Application(id="logiciel", name="Logiciel", kind="care-software"),
        "purpose": "TREAT",
    }


def _ins() -> str:
    number = f"2790351{secrets.randbelow(10**6):06}"
    return f"{number}{97 - int(number) % 97:02}"


@dataclass(frozen=True)
class Opened:
    """A fresh record of a person whose INS nobody else has."""

    base: str
    session: aiohttp.ClientSession
    key: OKPKey
    kafka: str
    record: str = field(default_factory=lambda: b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower())
    ins: str = field(default_factory=_ins)
    said: list[str] = field(default_factory=list)  # one a representation that was said

    @property
    def patient(self) -> str:
        """The `<system>|<INS>` of a search."""
        return f"{SYSTEM}|{self.ins}"

    def token(self, claims: dict[str, Any], **other: Any) -> AccessToken:
        """Return a token's claims: those of an actor, and what a test wants different."""
        now = int(time.time())
        said: dict[str, Any] = {
            "sub": self.record,
            "record": self.record,
            "patient": patient_digest(SYSTEM, self.ins, self.record),
            "auth_time": now,
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
        }
        said |= claims | other
        if said["record"] == EVERY_RECORD:
            said["patient"] = ""
        return AccessToken(**said)

    def caller(self, claims: dict[str, Any], **other: Any) -> Caller:
        """Return software with such a token."""
        return self.bearer(issue(self.token(claims, **other), self.key))

    def bearer(self, token: str) -> Caller:
        """Return software that sends this very string as its token."""
        return Caller(self.session, self.base, token, self.patient)

    def report(self, **variations: Any) -> bytes:
        """Return a synthetic CDA report about this person."""
        return laboratory_report(**({"ins": self.ins, "system_oid": SYSTEM_OID} | variations))

    def request(self, content: bytes | None = None, **variations: Any) -> bytes:
        """Return an ITI-105 request that deposits it."""
        named = {"ins": self.ins, "system_oid": SYSTEM_OID}
        return deposit_request(self.report() if content is None else content, **(named | variations))


def token_key(stack: Stack) -> OKPKey:
    """Return the key by which the stack's identity signs tokens."""
    held = AnnouncedKeys.load(Path(stack.env_of("identity-1")["CARNET_IDENTITY_TOKEN_KEYS"]))
    return signing_jwk(*held.private[0])


def acting(holder: str, role: str = "parent", name: str = "Alex Synthétique") -> dict[str, Any]:
    """Return the claims of somebody who acts for the person at the portal; `holder` is their own record."""
    representative = Representative(holder=holder, role=role)
    return PATIENT | {"actor": "representative", "sub": holder, "name": name, "representative": representative}


async def represent(
    opened: Opened, *holders: Holder, minor: bool = False, deceased: bool = False, heirs: tuple[str, ...] = ()
) -> None:
    """Say whom a record obeys, as identity would; return once consent has journalled it."""
    opened.said.append(opened.record)
    version = len(opened.said)
    await _publish(opened, RepresentationChanged(
        record=opened.record, version=version, minor=minor, deceased=deceased, holders=holders, heirs=heirs
    ))  # fmt: skip
    async with asyncio.timeout(20):
        while True:
            answer = await opened.caller(PATIENT).journal(_count=500)
            if answer.status == 403 and deceased:
                return
            if answer.status == 200 and not deceased:
                kinds = [each["kind"] for each in answer.json()["entries"]]
                if kinds.count("represented") == version:
                    return
            await asyncio.sleep(0.05)


async def _publish(opened: Opened, fact: Fact) -> None:
    headers = Envelope(
        source="carnet/identity", type=fact.TYPE, subject=opened.record, correlation_id=opened.record
    ).to_headers()
    async with kafka.started(kafka.producer(KafkaSettings(bootstrap=opened.kafka))) as producer:
        await producer.send_and_wait(topic_of(type(fact)), encode(fact), key=opened.record.encode(), headers=headers)


async def open_record(stack: Stack, session: aiohttp.ClientSession) -> Opened:
    """Open a record as identity would; return once consent knows it."""
    opened = Opened(stack.base, session, token_key(stack), stack.kafka)
    await _publish(opened, RecordOpened(record=opened.record, version=1, identity_status="qualified"))
    patient = opened.caller(PATIENT)
    # A directive that is not there: the one question that needs the record and leaves no entry in it.
    async with asyncio.timeout(20):
        while (await patient.end("none")).status != 404:  # noqa: ASYNC110 - another process's event
            await asyncio.sleep(0.05)
    return opened
