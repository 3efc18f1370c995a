"""One trace leads from the request through Kafka to the reply, and on to whoever takes the event in."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace

from opentelemetry.trace import SpanKind

from deploy.local.caller import FHIR_JSON, Answer, Caller
from deploy.local.stack import DEFAULT_PROCESSES, Stack
from deploy.local.trust_material import ServiceProcess
from tests.integration.observing import eventually
from tests.integration.privacy.collector import Span
from tests.integration.privacy.conftest import Carnet
from tests.integration.privacy.people import MOREAU
from tests.integration.privacy.traffic import small

DEPOSITED = "take carnet.documents.deposited.v1"
# OTLP counts kinds from 1.
_SERVER, _PRODUCER, _CONSUMER = (kind.value + 1 for kind in (SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER))
_ATTRIBUTES = {
    "http.route",
    "http.response.status_code",
    "carnet.flow",
    "carnet.action",
    "carnet.outcome",
    "messaging.destination.name",
    "messaging.message.id",
}


def new_trace(*, sampled: bool = True) -> tuple[str, str, str]:
    """Return a caller's trace id, span id, and traceparent (W3C Trace Context)."""
    trace, span = os.urandom(16).hex(), os.urandom(8).hex()
    return trace, span, f"00-{trace}-{span}-{'01' if sampled else '00'}"


async def deposited(carnet: Carnet, who: Caller, **headers: str) -> Answer:
    """Deposit a new report."""
    headers = {"Content-Type": FHIR_JSON, **headers}
    answer = await who.ask("POST", "/fhir/DocumentReference", data=small(carnet.people.ins)[1], headers=headers)
    assert answer.status == 201
    return answer


async def exported(carnet: Carnet, trace: str, *names: str) -> dict[tuple[str, str], Span]:
    """Return the spans of a trace by service and name, once each of these (service/name) has come."""

    async def come() -> dict[tuple[str, str], Span] | None:
        spans = {(each.service.removeprefix("carnet-"), each.name): each for each in carnet.collector.spans(trace)}
        return spans if {f"{service}/{name}" for service, name in spans} >= set(names) else None

    return await eventually(come, 20)


def lines(stack: Stack, trace: str) -> dict[str, list[dict[str, str]]]:
    """Return what each process logged under a trace."""
    found: dict[str, list[dict[str, str]]] = {}
    for process in stack.processes:
        for line in stack.log_of(process).read_text(encoding="utf-8").splitlines():
            if trace in line:
                found.setdefault(process, []).append(json.loads(line))
    return found


def chain(spans: dict[tuple[str, str], Span], *names: str) -> Sequence[tuple[str, str]]:
    """Return (id, parent) of the spans named service/name."""
    return [
        (spans[service, name].id, spans[service, name].parent) for service, _, name in (n.partition("/") for n in names)
    ]


async def test_a_deposit_is_one_trace_as_far_as_the_notification(carnet: Carnet) -> None:
    """Request, flow, decision, and what took the event in are one trace, each span under the one that caused it."""
    trace, caller, parent = new_trace()
    await deposited(carnet, await carnet.people.doctor(MOREAU), traceparent=parent)
    names = (
        "documents/POST /fhir/DocumentReference",
        "documents/flow deposit",
        "consent/decide deposit",
        f"consent/{DEPOSITED}",
        f"notifications/{DEPOSITED}",
        "notifications/flow notify",
        "consent/decide notify",
    )
    spans = await exported(carnet, trace, *names)
    request, flow, decision, confirmed, told, asked, judged = (one for one, _ in chain(spans, *names))
    assert chain(spans, *names) == [
        (request, caller),
        (flow, request),
        (decision, flow),
        (confirmed, request),
        (told, request),
        (asked, told),
        (judged, asked),
    ]
    assert len({request, flow, decision, confirmed, told, asked, judged}) == len(carnet.collector.spans(trace))
    kinds = [_SERVER, _PRODUCER, _CONSUMER, _CONSUMER, _CONSUMER, _PRODUCER, _CONSUMER]
    assert [spans[service, name].kind for service, _, name in (n.partition("/") for n in names)] == kinds


async def test_a_read_is_one_trace_and_the_logs_name_it(carnet: Carnet) -> None:
    """Without a caller's trace one begins at documents; both services' log lines and spans carry its id."""
    moreau = await carnet.people.doctor(MOREAU)
    document = (await deposited(carnet, moreau)).json()["id"]
    known = carnet.collector.traces_of("GET /fhir/Binary/{name}")
    assert (await moreau.read(document)).status == 200

    async def new() -> set[str]:
        return carnet.collector.traces_of("GET /fhir/Binary/{name}") - known

    (trace,) = await eventually(new, 20)
    names = ("documents/GET /fhir/Binary/{name}", "documents/flow read", "consent/decide read")
    spans = await exported(carnet, trace, *names)
    request, flow, decision = (one for one, _ in chain(spans, *names))
    assert chain(spans, *names) == [(request, ""), (flow, request), (decision, flow)]
    by_process = lines(carnet.stack, trace)
    (answered,) = by_process.pop("documents-1")
    assert (answered["event"], answered["trace_id"], answered["span_id"]) == ("answered", trace, request)
    ((decided,),) = by_process.values()
    assert decided["service"] == "consent"
    assert (decided["event"], decided["trace_id"], decided["span_id"]) == ("decided", trace, decision)
    assert decided["flow"] == spans["documents", "flow read"].attributes["carnet.flow"]


async def test_a_caller_that_does_not_sample_is_not_recorded(carnet: Carnet) -> None:
    """An unsampled traceparent keeps its trace id in the logs of both services, and no span of it is exported."""
    trace, _, parent = new_trace(sampled=False)
    moreau = await carnet.people.doctor(MOREAU)
    await deposited(carnet, moreau, traceparent=parent)
    # What is exported after it has come: so would it have.
    later, _, parent = new_trace()
    await deposited(carnet, moreau, traceparent=parent)
    await exported(carnet, later, "consent/decide notify", f"consent/{DEPOSITED}", "documents/flow deposit")
    assert carnet.collector.spans(trace) == []
    assert {"documents", "consent"} <= {name.partition("-")[0] for name in lines(carnet.stack, trace)}


async def test_spans_are_ours_and_hold_no_address(carnet: Carnet) -> None:
    """No library makes spans by itself; ours hold routes, codes and ids, never a URL or a query string."""
    trace, _, parent = new_trace()
    camille = await carnet.people.camille()
    await camille.ask(
        "GET",
        "/fhir/DocumentReference",
        params={"patient.identifier": camille.patient},
        headers={"traceparent": parent},
    )
    await exported(carnet, trace, "documents/GET /fhir/DocumentReference", "consent/decide list")
    # Those of bad requests too, when the other tests of this folder ran before.
    spans = carnet.collector.spans()
    assert {span.scope for span in spans} <= {"carnet", ""}
    ours = [span for span in spans if span.scope == "carnet"]
    assert {name for span in ours for name in span.attributes} <= _ATTRIBUTES
    texts = {text for span in ours for text in (span.name, *span.attributes.values())}
    assert [text for text in texts if "?" in text or "://" in text or "%" in text or len(text) > 64] == []


async def test_no_telemetry_names_a_record(carnet: Carnet) -> None:
    """A line tells the rule that ended a flow, so neither lines nor spans may tell whose flow it was."""
    trace, _, parent = new_trace()
    document = (await deposited(carnet, await carnet.people.doctor(MOREAU), traceparent=parent)).json()["id"]
    camille = await carnet.people.camille()
    assert (await camille.read(document)).status == 200
    assert (await camille.ask("GET", "/consent/fhir/AuditEvent")).status == 200
    spans = await exported(
        carnet, trace, "documents/flow deposit", "consent/decide deposit", "notifications/flow notify"
    )
    assert spans["documents", "flow deposit"].attributes["carnet.flow"]
    # Other tests of this folder have left their lines and spans here too.
    texts = [text for span in carnet.collector.spans() for text in (span.name, *span.attributes.values())]
    said = [carnet.stack.log_of(process).read_text(encoding="utf-8") for process in carnet.stack.processes]
    assert any('"rule":"care-professional-deposits"' in each for each in said)
    assert [text for text in texts if carnet.people.record in text] == []
    assert [carnet.people.record in each for each in said] == [False] * len(said)


async def test_without_an_endpoint_nothing_is_exported(carnet: Carnet) -> None:
    """A process that is given no endpoint exports no span, nor does who works for it; both log the trace id."""
    camille, moreau = await carnet.people.camille(), await carnet.people.doctor(MOREAU)
    silent = ServiceProcess("documents", 2, ("serve", "relay"))
    beside = Stack(
        carnet.stack.data, ports=carnet.stack.ports, mongods="per-service", processes=(*DEFAULT_PROCESSES, silent)
    )
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in beside.env_of(silent.name) | os.environ
    await beside.start_process(silent.name)
    try:
        trace, _, parent = new_trace()
        at = replace(moreau, base=f"http://127.0.0.1:{beside.port_of(silent.name)}")
        await deposited(carnet, at, traceparent=parent)
        # The others export: what they do after it comes, and so would this have.
        later, _, parent = new_trace()
        await camille.ask("GET", "/consent/journal", headers={"traceparent": parent})
        await exported(carnet, later, "consent/GET /consent/journal")
        by_process = lines(beside, trace)
    finally:
        await beside.stop_process(silent.name)  # which sends what is left
    assert silent.name not in {span.instance for span in carnet.collector.spans()}
    assert carnet.collector.spans(trace) == []
    (answered,) = by_process.pop(silent.name)
    assert (answered["event"], answered["trace_id"]) == ("answered", trace)
    assert {line["event"] for told in by_process.values() for line in told} >= {"decided"}
