"""One trace runs through, and no span holds what a person could be known by."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from chassis import telemetry

PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
TRACE = 0x0123456789ABCDEF0123456789ABCDEF
CANARY = "CANARY-279035121518989"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Record spans in memory."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


async def test_a_span_continues_the_trace_it_was_given(spans: InMemorySpanExporter) -> None:
    """From a W3C traceparent on, every span and what it hands on is of that trace."""
    with telemetry.span("outer", SpanKind.SERVER, parent=PARENT):
        handed = telemetry.traceparent()
        with telemetry.span("inner"):
            pass
    assert handed is not None
    with telemetry.span("elsewhere", parent=handed):
        pass
    finished = {span.name: span for span in spans.get_finished_spans()}
    assert {span.context.trace_id for span in finished.values() if span.context} == {TRACE}
    inner, outer, elsewhere = finished["inner"], finished["outer"], finished["elsewhere"]
    assert inner.parent is not None
    assert elsewhere.parent is not None
    assert outer.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == elsewhere.parent.span_id == outer.context.span_id
    assert outer.parent.span_id == 0x0123456789ABCDEF


@pytest.mark.parametrize(
    "parent", [None, "", "garbage", "00-0-0-00", "\u00e9" * 55, "00-" + "0" * 32 + "-" + "0" * 16 + "-01"]
)
async def test_a_broken_parent_begins_a_trace(spans: InMemorySpanExporter, parent: str | None) -> None:
    """A caller's malformed trace context neither fails nor joins traces."""
    with telemetry.span("alone", parent=parent):
        pass
    (span,) = spans.get_finished_spans()
    assert span.context is not None
    assert span.parent is None
    assert span.context.trace_id not in {0, TRACE}


async def test_an_exception_leaves_its_class_only(spans: InMemorySpanExporter) -> None:
    """A span says which class of error ended it; the message and the stack are not recorded."""
    with pytest.raises(ValueError, match=CANARY), telemetry.span("fails", attributes={"carnet.action": "read"}):
        raise ValueError(CANARY)
    (span,) = spans.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError")
    assert span.events == ()
    assert CANARY not in span.to_json()


async def test_without_a_span_there_is_no_traceparent() -> None:
    """Outside any span nothing is handed on."""
    assert telemetry.traceparent() is None


@pytest.mark.parametrize("endpoint", [None, ""])
async def test_without_an_endpoint_trace_ids_run_through_unrecorded(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None
) -> None:
    """Logs show the trace even where nothing collects spans; nothing is queued for nobody. Empty is unset."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    if endpoint is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    set_to: list[TracerProvider] = []
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", set_to.append)
    provider = telemetry.setup("documents", "documents-1")
    assert set_to == [provider]
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    with telemetry.span("quiet", parent=PARENT) as span:
        assert span.get_span_context().trace_id == TRACE
        assert not span.is_recording()
    provider.shutdown()
