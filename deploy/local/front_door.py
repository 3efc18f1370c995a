"""The one front door: Caddy, which routes by path and answers by itself for a service that is down.

Paths are passed on as they are; /health and /metrics of the processes are not reachable from outside.
"""

import hashlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from deploy.local.engines import EngineMissing
from deploy.local.processes import Program

PATHS = {"identity": "identity", "fhir": "documents", "consent": "consent", "notifications": "notifications"}
# Where errors are OperationOutcomes; each before the path that it lies under.
FHIR_PLACES = {"fhir": "documents", "consent/fhir": "consent"}
BODY_LIMIT = "30MB"
_PROBLEM, _FHIR = "application/problem+json", "application/fhir+json"


def caddy(name: str, folder: Path, port: int, upstreams: Mapping[str, Sequence[int]]) -> Program:
    """Return Caddy on this port; `upstreams` are the ports of each service's processes that serve HTTP."""
    binary = Path(sys.executable).with_name("caddy")
    found = str(binary) if binary.exists() else shutil.which("caddy")
    if found is None:
        raise EngineMissing("no caddy: run 'make setup'")
    folder.mkdir(parents=True, exist_ok=True)
    text, path = caddyfile(port, upstreams), folder / "Caddyfile"
    path.write_text(text, encoding="utf-8")
    return Program(
        name,
        "front-door",
        (found, "run", "--adapter", "caddyfile", "--config", str(path)),
        port,
        environment={"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
        revision=hashlib.sha256(text.encode()).hexdigest(),
    )


def caddyfile(port: int, upstreams: Mapping[str, Sequence[int]]) -> str:
    """Return Caddy's configuration."""
    routes = "".join(_route(path, upstreams[service]) for path, service in PATHS.items() if upstreams.get(service))
    errors = "".join(_errors(path, service) for path, service in (FHIR_PLACES | PATHS).items())
    nothing = _body("not-found", 404, "There is nothing here that answers this request.")
    return f"""\
{{
	admin off
	auto_https off
	persist_config off
	# Caddy's own lines about a failed request quote its URL, and a query string may hold an INS.
	log {{
		exclude http.log.error http.handlers.reverse_proxy http.stdlib
	}}
	servers {{
		protocols h1
	}}
}}

http://:{port} {{
	bind 127.0.0.1
	request_body {{
		max_size {BODY_LIMIT}
	}}
{routes}	handle {{
		header Content-Type {_PROBLEM}
		respond `{nothing}` 404
	}}
	handle_errors {{
		header -Server
{errors}	}}
}}
"""


def _route(path: str, ports: Sequence[int]) -> str:
    # The stream of notifications is passed on byte by byte; the rest may be buffered.
    flush = "\n\t\t\tflush_interval -1" if path == "notifications" else ""
    retry = "\n\t\t\tlb_policy least_conn\n\t\t\tlb_retries 2\n\t\t\tfail_duration 2s" if len(ports) > 1 else ""
    return f"""\
	@{path} path /{path} /{path}/*
	handle @{path} {{
		reverse_proxy {" ".join(f"127.0.0.1:{port}" for port in ports)} {{{flush}{retry}
			header_down -Server
			header_down -Via
			transport http {{
				dial_timeout 1s
				response_header_timeout 15s
				keepalive 60s
			}}
		}}
	}}
"""


def _errors(path: str, service: str) -> str:
    large, unreachable = "The request is larger than 30 MB.", f"The {service} service cannot be reached. Try again."
    if path in FHIR_PLACES:
        kind, down = _FHIR, _outcome(f"{service}-unreachable", "transient", unreachable)
        too_large = _outcome("content-too-large", "too-long", large)
    else:
        kind, down = _PROBLEM, _body(f"{service}-unreachable", 503, unreachable)
        too_large = _body("content-too-large", 413, large)
    at, name = f"path('/{path}', '/{path}/*')", path.replace("/", "-")
    return f"""\
		@{name}-large expression `{{err.status_code}} == 413 && {at}`
		handle @{name}-large {{
			header Content-Type {kind}
			respond `{too_large}` 413
		}}
		@{name}-down expression `{{err.status_code}} >= 500 && {at}`
		handle @{name}-down {{
			header Content-Type {kind}
			header Retry-After 1
			respond `{down}` 503
		}}
"""


def _body(code: str, status: int, detail: str) -> str:
    title = code.replace("-", " ").capitalize()
    problem = {"type": f"https://carnet.example/problems/{code}", "title": title, "status": status, "code": code}
    return orjson.dumps({**problem, "detail": detail}).decode()


def _outcome(slug: str, code: str, diagnostics: str) -> str:
    coding = [{"system": "https://carnet.example/fhir/CodeSystem/problem", "code": slug}]
    issue = {"severity": "error", "code": code, "details": {"coding": coding}, "diagnostics": diagnostics}
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).decode()
