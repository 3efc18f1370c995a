"""FHIR's interface: whatever goes wrong under /fhir is told in FHIR's words."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from chassis.limits import Limits
from chassis.settings import LimitSettings
from chassis.tokens import TokenVerifier, issue
from chassis.web import create_app
from services.documents.__main__ import SERVICE
from services.documents.bootstrap import Room
from tests.unit.chassis.asgi import Answer, ask
from tests.unit.chassis.test_limits import KEY, OTHER, token

CANARY = "CANARY-279035121518989"


class _Broken:
    def verify(self, token: str) -> None:
        raise RuntimeError(CANARY + token)


def _typed(room: Any) -> Room:
    typed: Room = room
    return typed


@pytest.fixture
def app() -> FastAPI:
    """Return documents' application, put together as its process does it; it fails at every token."""
    room = SimpleNamespace(settings=SimpleNamespace(public_base="http://carnet.example"), verifier=_Broken())
    return create_app(SERVICE.name, SERVICE.routers(_typed(room)), {}, SERVICE.dialects)


def told(answer: Answer, status: int, slug: str, code: str) -> None:
    """Expect one OperationOutcome that quotes nothing."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/fhir+json")
    assert answer.headers["cache-control"] == "no-store"
    body = json.loads(answer.body)
    assert body["resourceType"] == "OperationOutcome"
    (issue,) = body["issue"]
    assert (issue["severity"], issue["code"], issue["details"]["coding"][0]["code"]) == ("error", code, slug)
    assert len(issue["diagnostics"]) > 20
    assert CANARY not in answer.body.decode()


async def test_a_crash_is_an_outcome_that_quotes_nothing(app: FastAPI) -> None:
    """An error that nobody foresaw is a 500 in FHIR's form, and its message stays inside."""
    for method, path in (("GET", "/fhir/Binary/x"), ("POST", "/fhir/DocumentReference")):
        answer = await ask(app, method, path, headers={"authorization": f"Bearer {CANARY}"})
        told(answer, 500, "internal-error", "exception")


async def test_a_crash_is_counted_under_its_route(app: FastAPI) -> None:
    """A crash in FHIR's form is one of the metrics' 500s all the same."""
    await ask(app, "GET", "/fhir/Binary/x", headers={"authorization": "Bearer x"})
    metrics = (await ask(app, "GET", "/metrics")).body.decode()
    assert 'carnet_http_requests_total{method="GET",route="/fhir/Binary/{name}",status="500"}' in metrics


@pytest.mark.parametrize("path", ["/fhir", f"/fhir/{CANARY}", f"/fhir/Patient/{CANARY}", f"/fhir/Binary/{CANARY}/x"])
async def test_an_unknown_address_is_an_outcome(app: FastAPI, path: str) -> None:
    """What no route answers under /fhir is a 404 in FHIR's form."""
    told(await ask(app, "GET", path), 404, "not-found", "not-found")


async def test_another_method_is_an_outcome_that_tells_the_methods(app: FastAPI) -> None:
    """A method that an address does not take is a 405 in FHIR's form, with the Allow header."""
    answer = await ask(app, "DELETE", f"/fhir/Binary/{CANARY}")
    told(answer, 405, "method-not-allowed", "not-supported")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("path", ["/nowhere", "/fhirs", "/documents/x"])
async def test_beside_fhir_an_error_is_a_problem(app: FastAPI, path: str) -> None:
    """What does not stand under /fhir is told as a problem document."""
    answer = await ask(app, "GET", path)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


class _Asked:
    """A use case that finds nothing, and remembers that it was asked."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self, *_: Any) -> Any:
        self.times += 1
        return []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/fhir/DocumentReference"),
        ("GET", "/fhir/DocumentReference"),
        ("POST", "/fhir/DocumentReference/_search"),
        ("GET", f"/fhir/DocumentReference/{'a' * 26}-{'a' * 26}"),
        ("GET", f"/fhir/Binary/{'a' * 26}-{'a' * 26}"),
    ],
)
async def test_who_asks_too_often_is_told_so_before_anything_is_asked(method: str, path: str) -> None:
    """Every route of a flow: 429 in FHIR's form with Retry-After, alike for any record, and consent hears nothing."""
    verifier, asked = TokenVerifier(), _Asked()
    verifier.use({"keys": [KEY.as_dict(private=False)]})
    room = SimpleNamespace(
        settings=SimpleNamespace(public_base="http://carnet.example"), verifier=verifier,
        deposit=asked, list_documents=asked, read_document=asked,
    )  # fmt: skip
    limits = Limits(LimitSettings(professional_per_minute=1), lambda: 0.0)
    app = create_app(SERVICE.name, SERVICE.routers(_typed(room)), {}, SERVICE.dialects, limits=limits)

    async def called(**said: Any) -> Answer:
        headers = {"authorization": f"Bearer {issue(token(**said), KEY)}", "content-type": "application/fhir+json"}
        return await ask(app, method, path, b"{" + CANARY.encode(), headers)

    assert (await called()).status != 429
    before = asked.times
    refused = [await called(), await called(record=OTHER)]
    for answer in refused:
        told(answer, 429, "too-many-requests", "throttled")
        assert answer.headers["retry-after"] == "60"
    assert refused[0].body == refused[1].body
    assert asked.times == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/fhir/DocumentReference"),
        ("GET", "/fhir/DocumentReference?patient.identifier=urn:oid:1.2.250.1.213.1.4.10|279035121518989"),
        ("POST", "/fhir/DocumentReference/_search"),
        ("GET", f"/fhir/DocumentReference/public-{'a' * 26}"),
        ("GET", f"/fhir/Binary/public-{'a' * 26}"),
        ("GET", f"/fhir/Binary/{'a' * 26}-{'a' * 26}"),
    ],
)
async def test_a_token_of_every_record_opens_no_document(method: str, path: str) -> None:
    """It names nobody: whatever is asked, nothing is asked of consent, and the answer names the way out."""
    verifier = TokenVerifier()
    verifier.use({"keys": [KEY.as_dict(private=False)]})
    room = SimpleNamespace(settings=SimpleNamespace(public_base="http://carnet.example"), verifier=verifier)
    app = create_app(SERVICE.name, SERVICE.routers(_typed(room)), {}, SERVICE.dialects)
    said = issue(token(record="public", patient=""), KEY)
    answer = await ask(app, method, path, b"{}", headers={"authorization": f"Bearer {said}"})
    told(answer, 401, "token-of-every-record", "login")


@pytest.mark.parametrize(("authorised", "status", "slug", "kind"), [
    (False, 401, "token-missing", "login"), (True, 413, "content-too-large", "too-long"),
])  # fmt: skip
async def test_a_search_by_form_reads_no_more_than_a_search(
    *, authorised: bool, status: int, slug: str, kind: str
) -> None:
    """Nothing of a body is read before its token, and a form ends at 16 KB: nobody parses megabytes of parameters."""
    verifier, asked = TokenVerifier(), _Asked()
    verifier.use({"keys": [KEY.as_dict(private=False)]})
    room = SimpleNamespace(
        settings=SimpleNamespace(public_base="http://carnet.example"), verifier=verifier, list_documents=asked
    )
    app = create_app(SERVICE.name, SERVICE.routers(_typed(room)), {}, SERVICE.dialects)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    headers |= {"authorization": f"Bearer {issue(token(), KEY)}"} if authorised else {}
    answer = await ask(app, "POST", "/fhir/DocumentReference/_search", b"a=1&" * 5_000, headers)
    told(answer, status, slug, kind)
    assert asked.times == 0
