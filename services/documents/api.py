"""FHIR R4 for software (PDSm, IHE MHD): every route is a flow; every error is an OperationOutcome."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from chassis import faults
from chassis.asking import ConsentUnreachable, FlowsShed
from chassis.mongo import DatabaseError
from chassis.problems import Problem
from chassis.tokens import AccessToken, TokenRefused, patient_digest
from chassis.web import admit, bearer
from services.documents.answers import Conflict, NotReady, Refused
from services.documents.bootstrap import Room
from services.documents.domain import MOST_BYTES, Abandoned
from services.documents.fhir import resources
from services.documents.fhir.capability import capability_statement
from services.documents.fhir.deposits import parse_deposit
from services.documents.fhir.outcomes import FhirRejected, Issue, Kind, operation_outcome
from services.documents.fhir.patches import parse_patch
from services.documents.fhir.queries import parse_query, prefers_strict
from services.documents.fhir.systems import Identifier, ins_holds

FHIR_JSON = "application/fhir+json"
_VERSION, _RELEASED = "0.1.0", datetime(2026, 11, 24, tzinfo=UTC)
# Base64 of the largest document, and room for its metadata.
_MOST_BODY = MOST_BYTES * 4 // 3 + 1024 * 1024
_LARGE_BODY = 512 * 1024
_MOST_FORM = 16 * 1024  # of a search
_DOCUMENT = re.compile(r"[a-z2-7]{26}")
_STATUS: dict[Kind, int] = {
    "malformed": 400,
    "invalid": 422,
    "too-large": 413,
    "unsupported": 415,
    "not-acceptable": 406,
    "forbidden": 403,
    "not-found": 404,
    "conflict": 409,
}
# FHIR's issue type of what the framework or a crash answers.
_ISSUE = {404: "not-found", 405: "not-supported", 422: "invalid", 429: "throttled", 500: "exception"}
_UNREACHABLE = Issue(
    "consent-unreachable",
    "transient",
    "The consent service did not answer in time: nothing was approved and nothing moved. Try again in a moment.",
)
_BUSY = Issue("flows-shed", "throttled", "Too many flows wait already: nothing was asked. Try again in a moment.")
_UNSTORED = Issue("storage-unreachable", "transient", "The storage cannot be reached. Try again with the same bytes.")
_OPENING = Issue("record-not-ready", "transient", "The record is being opened. Try again in a moment.")
_GIVEN_UP = Issue("deposit-abandoned", "transient", "This deposit was given up half-way. Deposit again.")
_DIFFERS = Issue(
    "deposit-differs",
    "duplicate",
    "Your organisation has deposited another content under this masterIdentifier. A new document needs a new one.",
    "DocumentReference.masterIdentifier",
)
_NOT_FOUND = Issue("not-found", "not-found", "There is nothing to see under this id.")
_UNCHANGED = Issue(
    "not-found", "not-found", "There is nothing under this id whose labels you may change so: nothing was changed."
)
_NOT_A_PATCH = Issue(
    "patch-type",
    "not-supported",
    "A patch is a Parameters resource (FHIRPath Patch): send it as application/fhir+json.",
)
_REFUSED = Issue("deposit-refused", "forbidden", "This record takes no deposit from you.")
_TOO_LARGE = Issue("content-too-large", "too-long", "A document has at most 20 MB.", "DocumentReference.content")
_OTHER_PATIENT = Issue(
    "patient-mismatch",
    "forbidden",
    "The token names another patient than the request. Ask identity for a token of this patient's record.",
)
_INVALID_INS = Issue("ins-invalid", "value", "The matricule's key is wrong: check the INS.")


class FhirRoute(APIRoute):
    """A route whose errors are OperationOutcomes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                response = _failed(error)
                if response is None:
                    raise
                return response

        return answered


def _failed(error: Exception) -> Response | None:  # noqa: C901, PLR0911 - a table: one error, one answer
    match error:
        case FhirRejected():
            return _outcome(_STATUS[error.kind], *error.issues)
        case TokenRefused():
            sentence = "Ask identity's token endpoint for a token of this record, and send it as a Bearer token."
            challenge = {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{error.slug}"'}
            return _outcome(401, Issue(error.slug, "login", sentence), headers=challenge)
        case FlowsShed():
            return _outcome(503, _BUSY, headers={"Retry-After": "2"})
        case ConsentUnreachable():
            return _outcome(503, _UNREACHABLE, headers={"Retry-After": "2"})
        case DatabaseError():
            return _outcome(503, _UNSTORED, headers={"Retry-After": "2"})
        case NotReady():
            return _outcome(503, _OPENING, headers={"Retry-After": "2"})
        case Abandoned():
            return _outcome(503, _GIVEN_UP, headers={"Retry-After": "2"})
        case Conflict():
            return _outcome(409, _DIFFERS)
        case Refused(rule=str(rule)):
            return _outcome(403, Issue(rule, "forbidden", f"{error.sentence} ({error.law})"))
        case Refused():
            return _outcome(403, _REFUSED)
    return None


def fhir_error(problem: Problem) -> Response:
    """Return as an OperationOutcome what no route answered: an unknown address, another method, a crash."""
    issue = Issue(problem.code, _ISSUE.get(problem.status, "structure"), problem.detail)
    return _outcome(problem.status, issue, headers=problem.headers)


def _outcome(status: int, *issues: Issue, headers: dict[str, str] | None = None) -> Response:
    return Response(operation_outcome(issues), status, {"Cache-Control": "no-store", **(headers or {})}, FHIR_JSON)


def router(room: Room) -> APIRouter:  # noqa: C901, PLR0915 - the table of routes
    """Return the FHIR routes."""
    routes = APIRouter(prefix="/fhir", route_class=FhirRoute, tags=["fhir"])
    base = room.settings.public_base

    def caller(request: Request) -> tuple[AccessToken, str]:
        token = bearer(request)
        read = room.verifier.verify(token)
        admit(request, read)  # before anything is read of the request, or asked of consent
        return read, token

    @routes.get("/metadata")
    async def metadata() -> Response:
        statement = capability_statement(base, f"{base}/identity/token", version=_VERSION, date=_RELEASED)
        return Response(statement, media_type=FHIR_JSON)

    @routes.post("/DocumentReference")
    async def deposit(request: Request) -> Response:
        read, token = caller(request)
        body, now = await _body(request), datetime.now(UTC)
        faults.point("documents.deposit.received")
        if len(body) > _LARGE_BODY:
            parsed = await asyncio.to_thread(parse_deposit, body, now=now)
        else:
            parsed = parse_deposit(body, now=now)
        _require_patient(read, parsed.patient)
        stored = await room.deposit(parsed, read.record, token)
        name = resources.resource_id(stored.record, stored.document)
        location = f"{base}/fhir/DocumentReference/{name}"
        headers = {"Location": f"{location}/_history/{stored.version}", "ETag": f'W/"{stored.version}"'}
        if parsed.warnings:
            headers["Carnet-Warnings"] = ",".join(sorted({each.slug for each in parsed.warnings}))
        return _fhir(resources.document_reference(stored, base), 201, headers)

    @routes.get("/DocumentReference")
    async def search(request: Request) -> Response:
        return await _search(caller(request), request, [])

    @routes.post("/DocumentReference/_search")
    async def search_by_form(request: Request) -> Response:
        asked = caller(request)
        form = parse_qsl((await _body(request, _MOST_FORM)).decode(errors="replace"), keep_blank_values=True)
        return await _search(asked, request, form)

    async def _search(asked: tuple[AccessToken, str], request: Request, form: list[tuple[str, str]]) -> Response:
        read, token = asked
        parameters = [*request.query_params.multi_items(), *form]
        query = parse_query(parameters, strict=prefers_strict(request.headers.get("prefer")))
        if query.patient is not None:
            _require_patient(read, query.patient)
        return _fhir(resources.searchset(query, await room.list_documents(read.record, token), base))

    @routes.get("/DocumentReference/{name}")
    async def read_reference(name: str, request: Request) -> Response:
        read, token = caller(request)
        found = await room.list_documents(read.record, token, [_document_of(name, read)])
        if not found:
            raise FhirRejected("not-found", _NOT_FOUND)
        return _fhir(resources.document_reference(found[0], base), headers={"ETag": f'W/"{found[0].version}"'})

    @routes.patch("/DocumentReference/{name}")
    async def change_labels(name: str, request: Request) -> Response:
        read, token = caller(request)
        # The type says which kind of patch it is (JSON Patch has another).
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FHIR_JSON:
            raise FhirRejected("unsupported", _NOT_A_PATCH)
        patch = parse_patch(await _body(request))
        stored = await room.change_labels(read.record, token, _document_of(name, read), patch)
        if stored is None:
            raise FhirRejected("not-found", _UNCHANGED)
        return _fhir(resources.document_reference(stored, base), headers={"ETag": f'W/"{stored.version}"'})

    @routes.get("/Binary/{name}")
    async def retrieve(name: str, request: Request) -> Response:
        read, token = caller(request)
        found = await room.read_document(read.record, token, _document_of(name, read))
        if found is None:
            raise FhirRejected("not-found", _NOT_FOUND)
        stored, content = found
        media_type = resources.content_type(stored)
        if FHIR_JSON in request.headers.get("accept", ""):
            return _fhir(resources.binary(stored, media_type, content))
        safe = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": "sandbox",  # a deposited document must not run in a browser
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        return Response(content, 200, safe, media_type)

    return routes


def _fhir(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, FHIR_JSON)


async def _body(request: Request, most: int = _MOST_BODY) -> bytes:
    """Return the body; raise FhirRejected as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise FhirRejected("too-large", _TOO_LARGE)
    return bytes(body)


def _require_patient(token: AccessToken, patient: Identifier) -> None:
    """Compare the request's INS with the token's; documents has no table of INS, and needs none."""
    if patient_digest(patient.system, patient.value, token.record) == token.patient:
        return
    if not ins_holds(patient.value):
        raise FhirRejected("malformed", _INVALID_INS)
    raise FhirRejected("forbidden", _OTHER_PATIENT)


def _document_of(name: str, token: AccessToken) -> str:
    """Return the document id to ask consent about; an id of another record is asked for too, and is not there."""
    parts = resources.split_id(name)
    if parts is None or not _DOCUMENT.fullmatch(parts[1]):
        raise FhirRejected("not-found", _NOT_FOUND)
    record, document = parts
    # Under another record's name the same document must look absent, and take as long as absent ones take.
    return document if record == token.record else _elsewhere(document)


def _elsewhere(document: str) -> str:
    return document[:25] + ("a" if document[25] != "a" else "e")
