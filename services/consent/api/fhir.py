"""FHIR R4 views for patients' frontends, and for professionals in their own scope; each call is a flow."""

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Depends, Request, Response

from chassis.problems import Problem
from chassis.tokens import AccessToken, patient_digest
from chassis.web import authenticated
from services.consent.api.calls import asking, rules_of, tried
from services.consent.bootstrap import Room
from services.consent.domain.directive import Directive
from services.consent.fhir.audit_events import audit_event, own_trace
from services.consent.fhir.bundles import searchset
from services.consent.fhir.capability import capability_statement
from services.consent.fhir.consents import consent
from services.consent.fhir.outcomes import operation_outcome
from services.consent.fhir.queries import Search, parse_search
from services.consent.fhir.systems import Json
from services.consent.use_cases.read_traces import NoSuchCursor, Traces

PLACE = "/consent/fhir"
FHIR_JSON = "application/fhir+json"
_VERSION, _RELEASED = "0.1.0", datetime(2026, 11, 24, tzinfo=UTC)
_MOST_FORM = 16 * 1024  # bytes


def fhir_error(problem: Problem) -> Response:
    """Return a problem in the dialect of this interface's paths."""
    return _fhir(operation_outcome(problem), problem.status, problem.headers)


def fhir_router(room: Room) -> APIRouter:  # noqa: C901 - the table of routes
    """Return the FHIR routes."""
    routes = APIRouter(prefix=PLACE, tags=["fhir"])
    base = room.settings.public_base
    token = Depends(authenticated(room.verifier))
    Token = Annotated[AccessToken, token]  # noqa: N806 - a type

    @routes.get("/metadata")
    async def metadata() -> Response:
        return _fhir(capability_statement(base, f"{base}/identity/token", version=_VERSION, date=_RELEASED))

    @routes.get("/Consent")
    @routes.post("/Consent/_search")
    async def consents(request: Request, caller: Token) -> Response:
        search = await _search(request, caller, "status")
        found = [consent(each, caller.record, base, room.in_force.rules) for each in await _directives(caller)]
        return _fhir(searchset(f"{base}{PLACE}/Consent", found, search.used))

    @routes.get("/Consent/{name}")
    async def one_consent(name: str, caller: Token) -> Response:
        for each in await _directives(caller):
            if each.id == name:
                return _fhir(consent(each, caller.record, base, room.in_force.rules))
        raise _not_found()

    @routes.get("/AuditEvent")
    @routes.post("/AuditEvent/_search")
    async def audit_events(request: Request, caller: Token) -> Response:
        search = await _search(request, caller, "agent", "date", "_count", "_after", "_sort")
        try:
            traces = await tried(room, room.read_traces(asking(caller), search.wanted))
        except NoSuchCursor:
            raise Problem(400, "after-unknown", "Follow the link 'next' of a page as it is.") from None
        return _fhir(searchset(f"{base}{PLACE}/AuditEvent", await _told(traces), search.used, traces.following))

    @routes.get("/AuditEvent/{name}")
    async def one_audit_event(name: str, caller: Token) -> Response:
        for each in await _told(await tried(room, room.read_traces.one(asking(caller), name))):
            return _fhir(each)
        raise _not_found()

    async def _directives(caller: AccessToken) -> tuple[Directive, ...]:
        return (await tried(room, room.read_directives(asking(caller)))).directives

    async def _told(traces: Traces) -> list[Json]:
        if not traces.reader.own_only:
            return [audit_event(each, base, await rules_of(room, each)) for each in traces.entries]
        return [own_trace(each, each.flow, base) for each in traces.entries if each.flow]

    return routes


def _fhir(resource: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a resource; nothing of a record stays in a cache."""
    return Response(orjson.dumps(resource), status, {"Cache-Control": "no-store", **(headers or {})}, FHIR_JSON)


async def _search(request: Request, caller: AccessToken, *known: str) -> Search:
    """Return the search of a URL, or of a form: an INS belongs into no URL. Raise Problem."""
    form = bytearray()
    async for chunk in request.stream():
        form += chunk
        if len(form) > _MOST_FORM:
            raise Problem(413, "form-too-large", "A search's form has at most 16 KB.")
    stated = parse_qsl(form.decode(errors="replace"), keep_blank_values=True)
    search = parse_search([*request.query_params.multi_items(), *stated], *known)
    for each in search.patients:
        _require_patient(caller, each)
    return search


def _require_patient(caller: AccessToken, named: str) -> None:
    """Compare whom a search names with the token's patient: by the record's id, or by the INS."""
    system, separator, value = named.rpartition("|")
    same = named.removeprefix("Patient/") == caller.record
    if not same and not (separator and patient_digest(system, value, caller.record) == caller.patient):
        sentence = (
            "The token names another patient than the request. Ask identity for a token of this patient's record."
        )
        raise Problem(403, "patient-mismatch", sentence)


def _not_found() -> Problem:
    return Problem(404, "not-found", "There is nothing to see under this id.")
