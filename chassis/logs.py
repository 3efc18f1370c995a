"""JSON lines on standard output, of allow-listed fields only: a name, an INS, a title or a token has no way in."""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import orjson
import structlog
from opentelemetry import trace

# What a line may carry. Ids are random, codes are ours, counts are numbers; a value outside these types is dropped.
# No record, and no document or message's key that would name one: a line tells by which rule a flow ended, and whoever
# reads lines must not learn whose flow it was.
FIELDS = frozenset({
    "event", "level", "timestamp", "module", "service", "instance", "role", "trace_id", "span_id", "flow",
    "event_id", "type", "topic", "partition", "offset", "consumer", "action", "outcome", "rule", "purpose",
    "actor", "application", "policies", "refused", "status", "method", "route", "ms", "count", "error", "where",
    "version", "reason", "port", "attempt", "decider", "from_role",
})  # fmt: skip
_EventDict = MutableMapping[str, Any]


def _allow_listed(_: Any, __: str, event: _EventDict) -> _EventDict:
    return {k: v for k, v in event.items() if k in FIELDS and isinstance(v, str | int | float | bool)}


def _with_trace(_: Any, __: str, event: _EventDict) -> _EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event


def where(tb: TracebackType | None) -> str:
    """Return the last three places of a traceback: file, line and function, never a value."""
    frames = traceback.extract_tb(tb)[-3:]
    return " < ".join(f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno} {frame.name}" for frame in reversed(frames))


class _Libraries(logging.Handler):
    """What libraries log: the template without its arguments, and an exception's class without its message."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"module": record.name}
        if record.exc_info and record.exc_info[0]:
            fields["error"] = record.exc_info[0].__name__
            fields["where"] = where(record.exc_info[2])
        # A template that is already filled in (an f-string) may hold anything: name the line of code instead.
        said = record.msg if isinstance(record.msg, str) and record.args else f"{record.module}:{record.lineno}"
        structlog.get_logger().log(record.levelno, said, **fields)


def setup(service: str, instance: str, level: str) -> None:
    """Send every line, ours and the libraries', through the allow list to standard output."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_trace,
            _allow_listed,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=instance)
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()], force=True)


def get(name: str) -> Any:
    """Return a logger; call it as `log.info("what happened", flow=..., count=...)`."""
    return structlog.get_logger(module=name)
