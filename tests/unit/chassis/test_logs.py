"""A log line is JSON, carries the trace, and has no way in for a name, an INS, a title, a token or content."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN

from chassis import logs, telemetry

CANARY = "CANARY-Camille-279035121518989"


class Lines(io.BytesIO):
    """Standard output, as bytes."""

    def said(self) -> list[dict[str, Any]]:
        """Return the lines as they were written."""
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Set logging up as a service does, onto a buffer; put back what stood."""
    found, root = Lines(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.TextIOWrapper(found, write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    structlog.reset_defaults()
    logs.setup("documents", "documents-1", "INFO")
    yield found
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)
    out.detach()


async def test_a_line_says_who_what_and_when(lines: Lines) -> None:
    """Service, instance, level, time, module and the allowed fields stand in one JSON object a line."""
    logs.get("api").info("stored", flow="0" * 32, ms=1.5, count=2)
    (line,) = lines.said()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "stored",
        "level": "info",
        "service": "documents",
        "instance": "documents-1",
        "module": "api",
        "flow": "0" * 32,
        "ms": 1.5,
        "count": 2,
    }


@pytest.mark.parametrize(
    "field",
    [
        "name",
        "ins",
        "title",
        "token",
        "content",
        "url",
        "query",
        "patient",
        "record",
        "document",
        "key",
        "exc_info",
        "x",
    ],
)
async def test_a_field_that_is_not_allowed_is_dropped(lines: Lines, field: str) -> None:
    """No caller can add a field by inventing a name for it."""
    logs.get("api").info("stored", **{field: CANARY})
    assert CANARY not in lines.getvalue().decode()
    assert lines.said()[0]["event"] == "stored"


@pytest.mark.parametrize("value", [{"name": CANARY}, [CANARY], (CANARY,), ValueError(CANARY), CANARY.encode()])
async def test_an_allowed_field_takes_no_whole_object(lines: Lines, value: object) -> None:
    """A structure, an exception or bytes under an allowed name is dropped: it may hold anything."""
    logs.get("api").warning("failed", error=value, reason=value)
    assert CANARY not in lines.getvalue().decode()


async def test_bound_context_is_filtered_too(lines: Lines) -> None:
    """What was bound for a while passes the same list."""
    with structlog.contextvars.bound_contextvars(name=CANARY):
        logs.get("api").bind(title=CANARY).info("stored")
    assert CANARY not in lines.getvalue().decode()


async def test_an_exception_leaves_its_class_and_its_place(lines: Lines) -> None:
    """A library's traceback is told by class, file, line and function; its message may quote anything."""
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed for %s", CANARY)
    (line,) = lines.said()
    assert (line["event"], line["error"], line["module"]) == ("Task failed for %s", "ValueError", "asyncio")
    assert "test_logs.py:" in line["where"]
    assert CANARY not in lines.getvalue().decode()


async def test_a_library_s_filled_in_message_is_replaced_by_its_place(lines: Lines) -> None:
    """A message without arguments may be an f-string: the line of code is said instead."""
    logging.getLogger("aiokafka").error(f"Unable to decode {CANARY}")  # noqa: G004 - as libraries do
    logging.getLogger("aiokafka").warning(ValueError(CANARY))
    assert CANARY not in lines.getvalue().decode()
    assert [line["event"].split(":")[0] for line in lines.said()] == ["test_logs", "test_logs"]


async def test_a_library_s_extra_fields_are_dropped(lines: Lines) -> None:
    """`extra` of the standard library has no way in."""
    logging.getLogger("uvicorn.error").error("failed: %s", CANARY, extra={"record": CANARY, "color_message": CANARY})
    assert CANARY not in lines.getvalue().decode()


async def test_libraries_are_quiet_below_warnings(lines: Lines) -> None:
    """Access lines and debugging of libraries quote URLs: they are not written."""
    logging.getLogger("uvicorn.access").info("GET /fhir?patient.identifier=%s", CANARY)
    logging.getLogger("pymongo").debug("{'find': %s}", CANARY)
    assert lines.said() == []


async def test_a_line_carries_the_trace_of_its_span(lines: Lines) -> None:
    """Within a span, a line names the trace and the span; outside, neither."""
    parent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    provider = TracerProvider()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
        with telemetry.span("deposit", parent=parent):
            logs.get("api").info("inside")
    logs.get("api").info("outside")
    inside, outside = lines.said()
    assert inside["trace_id"] == "0123456789abcdef0123456789abcdef"
    assert len(inside["span_id"]) == 16
    assert inside["span_id"] != "0123456789abcdef"
    assert "trace_id" not in outside
    assert not INVALID_SPAN.get_span_context().is_valid


async def test_where_names_places_and_no_values() -> None:
    """The place of an error is files, lines and functions, the innermost first."""
    try:
        _fails(CANARY)
    except ValueError as error:
        said = logs.where(error.__traceback__)
    assert said.startswith("test_logs.py:")
    assert " _fails < " in said
    assert CANARY not in said
    assert logs.where(None) == ""


def _fails(text: str) -> None:
    raise ValueError(text)
