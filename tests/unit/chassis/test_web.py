"""A process answers its health, its metrics and its routes, and tells none of them by URL."""

import io
import json
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
import structlog
from fastapi import APIRouter, Body, Depends, FastAPI, Response
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest
from pydantic import BaseModel, Field
from starlette.types import Message

from chassis import logs, telemetry
from chassis.problems import Problem
from chassis.tokens import AccessToken, TokenVerifier, issue
from chassis.web import authenticated, create_app
from tests.unit.chassis.asgi import Answer, ask
from tests.unit.chassis.test_tokens import KEY, RECORD, token, verifier

CANARY = "CANARY-279035121518989"
PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


class Sent(BaseModel):
    """A body with bounds."""

    size: int = Field(ge=0)


def routes() -> APIRouter:
    """Return routes that answer, refuse, and crash."""
    router = APIRouter()

    @router.get("/things/{name}")
    async def thing(name: str) -> dict[str, str]:
        return {"name": name}

    @router.post("/things")
    async def sent(body: Annotated[Sent, Body()]) -> int:
        return body.size

    @router.get("/refused")
    async def refused() -> None:
        raise Problem(409, "already-there", "Use another identifier.", {"Retry-After": "1"}, at="here")

    @router.get("/crash")
    async def crash() -> None:
        raise RuntimeError(CANARY)

    @router.get("/me")
    async def me(caller: Annotated[AccessToken, Depends(authenticated(verifier()))]) -> str:
        return caller.record

    return router


async def _holds() -> bool:
    return True


async def _fails() -> bool:
    raise ConnectionError(CANARY)


@pytest.fixture
def app() -> FastAPI:
    """Return a ready application."""
    return create_app("documents", [routes()], {"database": _holds})


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.BytesIO]:
    """Return what is logged."""
    found = io.BytesIO()
    out = io.TextIOWrapper(found, write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    structlog.reset_defaults()
    logs.setup("documents", "documents-1", "INFO")
    # Loggers made at import keep the configuration of their first line.
    monkeypatch.setattr("chassis.web._log", logs.get("http"))
    yield found
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    out.detach()


@pytest.fixture
async def spans(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InMemorySpanExporter]:
    """Return what is traced."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def problem(answer: Answer) -> dict[str, Any]:
    """Return the problem document of an answer."""
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.body)
    assert body["status"] == answer.status
    assert body["type"] == f"https://carnet.example/problems/{body['code']}"
    return body


async def test_a_live_process_says_so(app: FastAPI) -> None:
    """Liveness asks nothing of anybody."""
    assert (await ask(app, "GET", "/health/live")).status == 200


async def test_a_process_is_ready_when_every_check_holds(app: FastAPI) -> None:
    """A check that is false or fails makes the process wait, and is named; its error is not quoted."""
    assert (await ask(app, "GET", "/health/ready")).status == 200
    waiting = await ask(create_app("documents", [], {"database": _holds, "keys": _fails}), "GET", "/health/ready")
    assert (waiting.status, json.loads(waiting.body)) == (503, {"status": "waiting", "missing": ["keys"]})


async def test_metrics_tell_routes_by_their_template(app: FastAPI) -> None:
    """Neither the path's values nor the query reach a metric; an unknown path is `unrouted`."""
    await ask(app, "GET", f"/things/{CANARY}?patient.identifier={CANARY}")
    await ask(app, "GET", f"/nowhere/{CANARY}")
    answer = await ask(app, "GET", "/metrics")
    said = answer.body.decode()
    assert 'carnet_http_requests_total{method="GET",route="/things/{name}",status="200"}' in said
    assert 'carnet_http_requests_total{method="GET",route="unrouted",status="404"}' in said
    assert CANARY not in said
    assert CANARY not in generate_latest().decode()


async def test_spans_and_lines_hold_no_url(app: FastAPI, spans: InMemorySpanExporter, lines: io.BytesIO) -> None:
    """A request's span and line carry the template and the status, in the caller's trace."""
    headers = {"traceparent": PARENT, "authorization": f"Bearer {CANARY}", "user-agent": CANARY}
    await ask(app, "GET", f"/things/{CANARY}?patient.identifier=urn:oid:1|{CANARY}", headers=headers)
    (span,) = spans.get_finished_spans()
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert span.name == "GET /things/{name}"
    assert dict(span.attributes or {}) == {"http.route": "/things/{name}", "http.response.status_code": 200}
    (line,) = [json.loads(each) for each in lines.getvalue().splitlines()]
    assert (line["route"], line["status"], line["trace_id"]) == ("/things/{name}", 200, PARENT.split("-")[1])
    assert CANARY not in span.to_json() + lines.getvalue().decode()


async def test_health_is_neither_traced_nor_logged(
    app: FastAPI, spans: InMemorySpanExporter, lines: io.BytesIO
) -> None:
    """What is asked every second stays silent."""
    await ask(app, "GET", "/health/ready")
    await ask(app, "GET", "/metrics")
    assert spans.get_finished_spans() == ()
    assert lines.getvalue() == b""


async def test_an_unknown_route_is_a_problem(app: FastAPI) -> None:
    """404 and 405 are problem documents with their codes."""
    assert problem(await ask(app, "GET", "/nowhere"))["code"] == "not-found"
    answer = await ask(app, "DELETE", "/refused")
    assert problem(answer)["code"] == "method-not-allowed"
    assert answer.headers["allow"] == "GET"


async def test_a_slash_too_many_redirects_nowhere(app: FastAPI) -> None:
    """No answer holds an address made of the caller's Host header."""
    answer = await ask(app, "GET", "/things/one/")
    assert (answer.status, "location" in answer.headers) == (404, False)


async def test_a_refusal_is_a_problem_with_its_way_out(app: FastAPI) -> None:
    """A problem raised anywhere is answered with its code, detail, headers and more."""
    answer = await ask(app, "GET", "/refused")
    said = problem(answer)
    assert (said["status"], said["code"], said["title"], said["at"]) == (409, "already-there", "Already there", "here")
    assert said["detail"] == "Use another identifier."
    assert answer.headers["retry-after"] == "1"


async def test_a_crash_is_a_problem_that_quotes_nothing(
    app: FastAPI, spans: InMemorySpanExporter, lines: io.BytesIO
) -> None:
    """An unexpected error is 500 `internal-error`; its message stays inside."""
    answer = await ask(app, "GET", "/crash")
    assert problem(answer)["code"] == "internal-error"
    assert answer.status == 500
    assert '"error":"RuntimeError","where":"test_web.py:' in lines.getvalue().decode()
    said = answer.body.decode() + lines.getvalue().decode() + "".join(s.to_json() for s in spans.get_finished_spans())
    assert CANARY not in said
    assert "RuntimeError" in said


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("GET", "/things/nothing/there", b"404 not-found"),
        ("DELETE", "/things", b"405 method-not-allowed"),
        ("POST", "/things", b"422 invalid-request"),
        ("GET", "/crash", b"500 internal-error"),
        ("GET", "/refused", b"409 already-there"),
    ],
)
async def test_a_path_tells_its_errors_in_its_dialect(method: str, path: str, said: bytes) -> None:
    """Every error at and below a dialect's place is written by it, a crash included."""
    spoken = dict.fromkeys(("/things", "/crash", "/refused"), lambda it: Response(f"{it.status} {it.code}", it.status))
    answer = await ask(create_app("documents", [routes()], {}, spoken), method, path)
    assert answer.body == said
    assert str(answer.status).encode() == said[:3]


async def test_a_crash_does_not_reach_the_server(app: FastAPI) -> None:
    """The error is answered within the application: a server that saw it would cut a connection that others share."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/crash", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    assert sent[0]["status"] == 500


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"size": -1}', b'{"size": "CANARY"}', b'{"other": "CANARY"}'])
async def test_a_malformed_body_is_told_by_place_and_kind(app: FastAPI, body: bytes) -> None:
    """A validation problem names each field and what is wrong with it, never the value that was sent."""
    answer = await ask(app, "POST", "/things", body, headers={"content-type": "application/json"})
    said = problem(answer)
    assert (said["status"], said["code"]) == (422, "invalid-request")
    assert said["fields"]
    assert all(set(each) == {"at", "kind"} for each in said["fields"])
    assert "CANARY" not in answer.body.decode()


async def test_a_body_that_is_no_text_is_a_400(app: FastAPI) -> None:
    """Bytes that are no UTF-8 cannot be read at all: the problem says so."""
    answer = await ask(app, "POST", "/things", b"\xff", headers={"content-type": "application/json"})
    assert (answer.status, problem(answer)["code"]) == (400, "malformed-request")


async def test_a_token_opens_its_route(app: FastAPI) -> None:
    """The caller's verified token reaches the route."""
    answer = await ask(app, "GET", "/me", headers={"authorization": f"bearer {issue(token(), KEY)}"})
    assert (answer.status, json.loads(answer.body)) == (200, RECORD)


@pytest.mark.parametrize(
    ("authorization", "slug"),
    [
        (None, "token-missing"),
        ("", "token-missing"),
        ("Bearer", "token-missing"),
        ("Bearer ", "token-missing"),
        (f"Basic {CANARY}", "token-missing"),
        (f"Bearer {CANARY}", "token-foreign"),
        (f"Bearer {issue(token(exp=1), KEY)}", "token-expired"),
        (f"Bearer {issue(token(record='public', patient=''), KEY)}", "token-of-every-record"),
    ],
)
async def test_a_refused_token_is_a_401_that_says_which_check(
    app: FastAPI, authorization: str | None, slug: str
) -> None:
    """RFC 6750: the challenge and the problem name the check; the token is not quoted."""
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await ask(app, "GET", "/me", headers=headers)
    said = problem(answer)
    assert (said["status"], said["code"]) == (401, slug)
    assert slug in answer.headers["www-authenticate"]
    assert CANARY not in answer.body.decode() + str(answer.headers)


async def test_a_verifier_without_keys_refuses() -> None:
    """Before identity announced anything, a good token is refused too."""
    router = APIRouter()

    @router.get("/me")
    async def me(caller: Annotated[AccessToken, Depends(authenticated(TokenVerifier()))]) -> str:
        return caller.record

    answer = await ask(
        create_app("x", [router], {}), "GET", "/me", headers={"authorization": f"Bearer {issue(token(), KEY)}"}
    )
    assert answer.status == 401
