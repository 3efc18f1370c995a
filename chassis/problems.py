"""Errors as people and programs read them: RFC 9457 problem documents with a stable code."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

_TYPE = "https://carnet.example/problems/"
# What the framework itself refuses.
_HTTP = {
    400: ("malformed-request", "The body cannot be read as what its content type says."),
    404: ("not-found", "There is nothing here that answers this request."),
    405: ("method-not-allowed", "This address answers other methods: see the Allow header."),
}


class Problem(Exception):
    """An answer that is an error: `code` is stable, `detail` tells the way out and quotes no person."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(code)
        self.status, self.code, self.detail, self.headers, self.more = status, code, detail, headers, more


Dialect = Callable[[Problem], Response]
"""How an interface with an error format of its own writes a problem."""


def problem_response(problem: Problem) -> Response:
    """Return the problem as `application/problem+json`."""
    body = {
        "type": _TYPE + problem.code,
        "title": problem.code.replace("-", " ").capitalize(),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        **problem.more,
    }
    return JSONResponse(body, problem.status, problem.headers, "application/problem+json")


def written(problem: Problem, path: str, dialects: Mapping[str, Dialect]) -> Response:
    """Return the problem in the dialect of the path, else as `application/problem+json`.

    A dialect is named by the path at and below which it is spoken: "/fhir" is not the dialect of "/fhirs".
    """
    for place, dialect in dialects.items():
        if path == place or path.startswith(f"{place}/"):
            return dialect(problem)
    return problem_response(problem)


def install(app: FastAPI, dialects: Mapping[str, Dialect]) -> None:
    """Answer every error of this application as a problem document, or in the dialect of its path."""

    def answered(request: Request, problem: Problem) -> Response:
        return written(problem, request.scope["path"], dialects)

    async def on_problem(request: Request, error: Exception) -> Response:
        return answered(request, error if isinstance(error, Problem) else unexpected())

    async def on_invalid(request: Request, error: Exception) -> Response:
        found = error.errors() if isinstance(error, RequestValidationError) else []
        # The place and the kind of each error, never the value that was sent.
        fields = [{"at": ".".join(str(part) for part in each["loc"]), "kind": each["type"]} for each in found]
        sentence = "One or more fields are missing or malformed."
        return answered(request, Problem(422, "invalid-request", sentence, fields=fields))

    async def on_http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            return answered(request, unexpected())
        code, detail = _HTTP.get(error.status_code, ("http-error", "The request cannot be answered as it is."))
        return answered(request, Problem(error.status_code, code, detail, dict(error.headers or {})))

    async def on_crash(request: Request, __: Exception) -> Response:
        return answered(request, unexpected())

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_crash)


def unexpected() -> Problem:
    """Return what is said of an error that nobody foresaw."""
    return Problem(500, "internal-error", "Carnet failed, and cannot say whether anything was stored. Try again.")
