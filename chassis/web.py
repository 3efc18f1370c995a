"""The HTTP side of a process: health, metrics, tracing, and the routes of its room."""

import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import logs, problems, telemetry
from chassis.limits import Limits, TooMany
from chassis.tokens import AccessToken, TokenRefused, TokenVerifier

Check = Callable[[], Awaitable[bool]]

REQUESTS = Counter("carnet_http_requests_total", "Answers by route and status.", ["method", "route", "status"])
SECONDS = Histogram("carnet_http_request_seconds", "Time to answer.", ["method", "route"])
_log = logs.get("http")
_QUIET = ("/health/", "/metrics")


class Observed:
    """ASGI middleware: one span, one log line and two metrics a request, by route template, never by URL."""

    def __init__(self, app: ASGIApp, dialects: Mapping[str, problems.Dialect]) -> None:
        self._app, self._dialects = app, dialects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request."""
        if scope["type"] != "http" or scope["path"].startswith(_QUIET):
            await self._app(scope, receive, send)
            return
        parent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
        status, began, started, method = 500, False, time.perf_counter(), scope["method"]

        async def watched(message: Message) -> None:
            nonlocal status, began
            if message["type"] == "http.response.start":
                status, began = message["status"], True
            await send(message)

        with telemetry.span(f"http {method}", SpanKind.SERVER, parent=parent) as span:
            try:
                await self._app(scope, receive, watched)
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                _log.error("crashed", error=type(error).__name__, where=logs.where(error.__traceback__))
                if began:
                    raise
                # Raised further, the server would cut a connection on which the front door sends its next request.
                answer = problems.written(problems.unexpected(), scope["path"], self._dialects)
                await answer(scope, receive, watched)
            finally:
                route = getattr(scope.get("route"), "path", "unrouted")
                spent = time.perf_counter() - started
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.route": route, "http.response.status_code": status})
                REQUESTS.labels(method, route, str(status)).inc()
                SECONDS.labels(method, route).observe(spent)
                _log.info("answered", method=method, route=route, status=status, ms=round(spent * 1000, 1))


def create_app(
    service: str, routers: list[APIRouter], checks: dict[str, Check],
    dialects: Mapping[str, problems.Dialect] | None = None, *, limits: Limits | None = None,
) -> FastAPI:  # fmt: skip
    """Return the application of a process.

    `checks` decide whether it is ready, `dialects` how a path tells errors, `limits` how often one may ask.
    """
    spoken = dialects or {}
    app = FastAPI(
        title=f"Carnet {service}",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the address of the answer would be made of the caller's Host header
        openapi_url=f"/{service}/openapi.json",
        # FastAPI measures by itself otherwise: spans of whole URLs, and the same work twice.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.limits = limits
    problems.install(app, spoken)
    app.add_middleware(Observed, dialects=spoken)

    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        missing = [name for name, check in checks.items() if not await _holds(check)]
        body = {"status": "waiting" if missing else "ready", "missing": missing}
        return JSONResponse(body, 503 if missing else 200)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for router in routers:
        app.include_router(router)
    return app


async def _holds(check: Check) -> bool:
    try:
        return await check()
    except Exception:  # noqa: BLE001 - whatever fails, the answer is: not ready
        return False


def bearer(request: Request) -> str:
    """Return the access token of a request (RFC 6750); raise TokenRefused when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenRefused("token-missing")
    return token


def admit(request: Request, caller: AccessToken) -> None:
    """Count a request of a caller whose token is believed; raise a 429 problem when they ask too often."""
    limits: Limits | None = request.app.state.limits
    try:
        if limits is not None:
            limits.take(caller)
    except TooMany as error:
        sentence = "You ask more often than is allowed: nothing was asked for you. Wait, then ask again."
        headers = {"Retry-After": str(error.seconds)}
        raise problems.Problem(429, "too-many-requests", sentence, headers) from None


def authenticated(verifier: TokenVerifier, *, every_record: bool = False) -> Callable[[Request], AccessToken]:
    """Return a FastAPI dependency: the caller's verified token.

    Else a 401 problem that names the check it failed, or a 429 problem (`admit`). `every_record`: a token that names no
    record is taken too.
    """

    def verified(request: Request) -> AccessToken:
        try:
            caller = verifier.verify(bearer(request), every_record=every_record)
        except TokenRefused as refused:
            raise problems.Problem(
                401,
                refused.slug,
                "Ask identity's token endpoint for a token of this record, and send it as 'Authorization: Bearer'.",
                {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{refused.slug}"'},
            ) from None
        admit(request, caller)
        return caller

    return verified
