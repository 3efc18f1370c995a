"""The token endpoint (RFC 6749, 7521, 7523), the keys, the metadata (RFC 8414), and the demo's sign-in."""

from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field

from chassis import mongo
from chassis.tokens import LIFETIME_SECONDS, AccessToken, issue
from contracts.identity import EMERGENCY_REASONS
from services.identity.bootstrap import Room
from services.identity.domain.links import Refused
from services.identity.use_cases.sign_patient_in import SignPatientIn

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_CREDENTIALS = "client_credentials"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = "application/x-www-form-urlencoded"
_MOST_BODY = 32 * 1024
_MOST_FIELDS = 20
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
# What RFC 6749 section 5.2 calls what the domain calls otherwise; all the rest is an invalid grant.
_UNAUTHORIZED = {
    "application-not-of-organisation", "purpose-not-allowed", "nobody-behind", "emergency-limit-of-application",
}  # fmt: skip

TOKENS = Counter("carnet_tokens_total", "Token requests by grant and end.", ["grant", "end"])


class OAuthError(Exception):
    """An answer of RFC 6749 section 5.2; `description` begins with a stable slug and quotes nobody."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(error)
        self.status, self.error, self.description = status, error, description


class SignIn(BaseModel):
    """Who signs in at the demo, and for whom if not for themselves: `<system>|<INS>`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    patient: str = Field(max_length=100)
    acting_for: str | None = Field(default=None, max_length=100)


def router(room: Room) -> APIRouter:
    """Return identity's routes."""
    routes = APIRouter(prefix="/identity", tags=["identity"])

    @routes.post("/token")
    async def token(request: Request) -> JSONResponse:
        """Issue an access token of one record to an authenticated application."""
        grant = "unknown"
        try:
            form = await _form(request)
            grant = {JWT_BEARER: "professional", CLIENT_CREDENTIALS: "application"}.get(
                form.get("grant_type", ""), grant
            )
            return _issued(room, grant, await _granted(room, form))
        except OAuthError as error:
            return _error(grant, error)
        except Refused as refused:
            return _error(grant, _oauth(refused))
        except mongo.Unreachable:
            return _error(grant, OAuthError(503, "temporarily_unavailable", "database: try again in a moment"))

    @routes.get("/jwks")
    async def jwks() -> dict[str, Any]:
        """Return the public halves of the keys that sign tokens (RFC 7517), as they are announced."""
        return {"keys": list(room.keys.public)}

    @routes.get("/emergency-reasons")
    async def emergency_reasons() -> dict[str, list[dict[str, str]]]:
        """Return the codes that an emergency's reason may have, with the sentence that the patient reads."""
        return {"reasons": [{"code": code, "label": label} for code, label in EMERGENCY_REASONS.items()]}

    @routes.get("/.well-known/oauth-authorization-server")
    async def metadata() -> dict[str, Any]:
        """Return what this authorization server offers (RFC 8414)."""
        settings = room.settings
        return {
            "issuer": settings.issuer,
            "token_endpoint": settings.token_endpoint,
            "jwks_uri": f"{settings.issuer}/jwks",
            "response_types_supported": [],
            "grant_types_supported": [JWT_BEARER, CLIENT_CREDENTIALS],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["Ed25519"],
        }

    if room.sign_in is not None:
        _add_demo(routes, room, room.sign_in)
    return routes


def _add_demo(routes: APIRouter, room: Room, sign_in: SignPatientIn) -> None:
    @routes.post("/demo/sign-in")
    async def demo_sign_in(body: SignIn) -> JSONResponse:
        """Give a token to whoever says to be this patient, or to act for another: the local stack only."""
        try:
            return _issued(room, "demo", await sign_in(body.patient, body.acting_for))
        except Refused as refused:
            return _error("demo", _oauth(refused))


async def _granted(room: Room, form: dict[str, str]) -> AccessToken:
    """Authenticate the client, then answer its grant; raise OAuthError or Refused."""
    try:
        if form.get("client_assertion_type") != CLIENT_ASSERTION:
            raise Refused("client-assertion-missing", f"Authenticate by private_key_jwt ({CLIENT_ASSERTION}).")
        application = await room.authenticate(_required(form, "client_assertion"))
        if form.get("client_id", application.client_id) != application.client_id:
            raise Refused("client-id-other", "The parameter 'client_id' is not the assertion's issuer.")
    except Refused as refused:
        raise OAuthError(401, "invalid_client", _described(refused)) from None
    match _required(form, "grant_type"):
        case grant if grant == JWT_BEARER:
            return await room.grant_professional(application, _required(form, "assertion"))
        case grant if grant == CLIENT_CREDENTIALS:
            about = _required(form, "patient"), _required(form, "purpose")
            return await room.grant_application(application, *about, form.get("organisation"))
    raise OAuthError(400, "unsupported_grant_type", f"grant-type: use {JWT_BEARER} or {CLIENT_CREDENTIALS}")


async def _form(request: Request) -> dict[str, str]:
    """Return the form's parameters, each at most once (RFC 6749 section 3.2); raise OAuthError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise OAuthError(400, "invalid_request", f"content-type: send the parameters as {_FORM}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY:
            raise OAuthError(413, "invalid_request", f"too-large: at most {_MOST_BODY} bytes")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise OAuthError(400, "invalid_request", "form: the body cannot be read as form parameters") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise OAuthError(400, "invalid_request", "form: a parameter is given twice")
    return form


def _required(form: dict[str, str], name: str) -> str:
    value = form.get(name)
    if not value:
        raise OAuthError(400, "invalid_request", f"parameter-missing: '{name}'")
    return value


def _issued(room: Room, grant: str, token: AccessToken) -> JSONResponse:
    TOKENS.labels(grant, "issued").inc()
    body = {"access_token": issue(token, room.signing_key), "token_type": "Bearer", "expires_in": LIFETIME_SECONDS}
    return JSONResponse(body, headers=_NO_STORE)


def _oauth(refused: Refused) -> OAuthError:
    error = "unauthorized_client" if refused.slug in _UNAUTHORIZED else "invalid_grant"
    return OAuthError(400, error, _described(refused))


def _described(refused: Refused) -> str:
    return f"{refused.slug}: {refused.sentence}"


def _error(grant: str, error: OAuthError) -> JSONResponse:
    TOKENS.labels(grant, error.description.partition(":")[0]).inc()
    body = {"error": error.error, "error_description": error.description}
    return JSONResponse(body, error.status, headers=_NO_STORE)
