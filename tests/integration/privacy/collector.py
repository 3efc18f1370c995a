"""What an operator's telemetry receives: an OTLP/HTTP collector that keeps every body, and the spans in them."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Span:
    """A span as it was exported; ids are hex, `parent` is empty for the first of a trace."""

    service: str
    instance: str
    scope: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]


@dataclass
class Collector:
    """Keeps request bodies, decompressed."""

    endpoint: str
    bodies: list[bytes] = field(default_factory=list)
    compressed: int = 0

    def spans(self, trace: str | None = None) -> list[Span]:
        """Return the spans received so far, of one trace or of all."""
        found = [span for body in self.bodies for span in self.read(body)]
        return [span for span in found if trace in {None, span.trace}]

    @staticmethod
    def read(body: bytes) -> list[Span]:
        """Return the spans in a request body."""
        return _spans(body)

    def traces_of(self, route: str) -> set[str]:
        """Return the traces in which a server span has this name."""
        return {span.trace for span in self.spans() if span.name == route}


@asynccontextmanager
async def collecting(port: int) -> AsyncIterator[Collector]:
    """Collect on this port while the block runs."""
    collector = Collector(f"http://127.0.0.1:{port}")

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        collector.compressed += request.headers.get("Content-Encoding") == "gzip"
        collector.bodies.append(gzip.decompress(body) if body.startswith(_GZIP) else body)
        return web.Response(content_type="application/x-protobuf")

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield collector
    finally:
        await runner.cleanup()


def _spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    found = []
    for resource in request.resource_spans:
        of = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            found += [
                Span(
                    service=of.get("service.name", ""),
                    instance=of.get("service.instance.id", ""),
                    scope=scope.scope.name,
                    name=span.name,
                    kind=span.kind,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    attributes=_values(span.attributes),
                )
                for span in scope.spans
            ]
    return found


def _values(attributes: Any) -> dict[str, str]:
    def value(held: Any) -> str:
        kind = held.WhichOneof("value")
        return str(getattr(held, kind)) if kind else ""

    return {each.key: value(each.value) for each in attributes}
