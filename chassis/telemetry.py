"""One trace from the HTTP request through Kafka to the reply, exported by OTLP when an endpoint is named.

Spans carry ids, codes and route templates. They are made by hand: the instrumentation libraries record URLs with
their query strings, and ours may hold an INS.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("carnet")


def setup(service: str, instance: str) -> TracerProvider:
    """Install the tracer; without an endpoint trace ids still run through (logs show them), and nothing is recorded."""
    # An empty variable is an unset one (OpenTelemetry's rule): it must not mean the collector's default address.
    exporting = bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    ratio = float(os.environ.get("OTEL_TRACES_SAMPLER_ARG") or 1)
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"carnet-{service}", "service.instance.id": instance}),
        sampler=ParentBased(TraceIdRatioBased(ratio)) if exporting else ALWAYS_OFF,
    )
    if exporting:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=1_000))
    trace.set_tracer_provider(provider)
    return provider


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    parent: str | None = None,
    attributes: Mapping[str, str | int] | None = None,
) -> Iterator[Span]:
    """Run a block under a span; `parent` is a W3C traceparent. An exception leaves its class, never its message."""
    above = _propagator.extract({"traceparent": parent}) if parent else context.get_current()
    with _tracer.start_as_current_span(
        name,
        context=above,
        kind=kind,
        attributes=dict(attributes or {}),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def traceparent() -> str | None:
    """Return the W3C trace context of the current span."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")
