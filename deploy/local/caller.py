"""Any software before the front door, with one token: what it may ask, and what it was answered in how long."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp
import orjson

FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read whole; `ms` from the request's first byte to the answer's last."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ms: float

    def json(self) -> Any:
        """Return the body as JSON."""
        return orjson.loads(self.body)

    @property
    def code(self) -> str | None:
        """The stable name of an error, in an OperationOutcome or in a problem document; None for anything else."""
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        if kind == "application/problem+json":
            return str(self.json()["code"])
        if kind == FHIR_JSON and self.json()["resourceType"] == "OperationOutcome":
            return str(self.json()["issue"][0]["details"]["coding"][0]["code"])
        return None

    @property
    def ids(self) -> list[str]:
        """The ids of a searchset's documents."""
        return [entry["resource"]["id"] for entry in self.json().get("entry", ())]


@dataclass(frozen=True, slots=True)
class Caller:
    """Software that holds one token; `patient` is the `<system>|<INS>` that its FHIR searches name."""

    session: aiohttp.ClientSession
    base: str
    token: str
    patient: str

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send one request under the token and return its answer, whatever the status."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        began = time.perf_counter()
        async with self.session.request(method, self.base + path, headers=headers, **options) as response:
            body = await response.read()
            return Answer(response.status, response.headers, body, (time.perf_counter() - began) * 1000)

    async def deposit(self, request: bytes) -> Answer:
        """Deposit by ITI-105."""
        # As a file: aiohttp sends large bytes in one piece otherwise, and warns.
        return await self.ask(
            "POST", "/fhir/DocumentReference", data=BytesIO(request), headers={"Content-Type": FHIR_JSON}
        )

    async def search(self, **more: str) -> Answer:
        """List the current documents by ITI-67."""
        query = {"patient.identifier": self.patient, "status": "current", **more}
        return await self.ask("GET", "/fhir/DocumentReference", params=query)

    async def read(self, document: str) -> Answer:
        """Retrieve a document's bytes by ITI-68."""
        return await self.ask("GET", f"/fhir/Binary/{document}")

    async def amend(self, document: str, patch: bytes) -> Answer:
        """Change a document's labels by FHIRPath Patch (TD3.3a, b)."""
        headers = {"Content-Type": FHIR_JSON}
        return await self.ask("PATCH", f"/fhir/DocumentReference/{document}", data=patch, headers=headers)

    async def begin(self, **directive: str) -> Answer:
        """Begin a directive: `kind`, and its subject."""
        return await self.ask("POST", "/consent/directives", json=directive)

    async def end(self, directive: str) -> Answer:
        """End a directive."""
        return await self.ask("DELETE", f"/consent/directives/{directive}")

    async def directives(self) -> Answer:
        """Return the directives in force."""
        return await self.ask("GET", "/consent/directives")

    async def journal(self, **page: str | int) -> Answer:
        """Return a page of the journal, the newest entries first."""
        return await self.ask("GET", "/consent/journal", params=page)

    async def inbox(self) -> Answer:
        """Return the newest items of the inbox."""
        return await self.ask("GET", "/notifications/inbox")
