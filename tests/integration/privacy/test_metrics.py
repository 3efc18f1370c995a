"""Each process tells its metrics, to operators only, and no label could name a person, a record or a document."""

import asyncio
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.stack import SERVICES
from tests.integration.privacy.conftest import Carnet
from tests.integration.privacy.people import MOREAU
from tests.integration.privacy.traffic import small

_EVERY = {
    "carnet_http_requests": {"method", "route", "status"},
    "carnet_http_request_seconds": {"method", "route"},
    "carnet_kafka_unsent": set[str](),
    "carnet_limited": {"scope"},
}
_CONSUMER = {
    "carnet_events_handled": {"consumer", "type", "end"},
    "carnet_consumer_paused": {"consumer"},
    "carnet_dead_letters": {"consumer", "state"},
}
_ASKER = {
    "carnet_flows_asked": {"action", "end"},
    "carnet_flow_seconds": {"action"},
    "carnet_flows_in_flight": set[str](),
}
_RELAY = {"carnet_outbox_published": set[str](), "carnet_outbox_refused": set[str]()}
_FLOWS = {"carnet_flows_dropped": {"reason"}}
# What operators may build upon: families by service, with their labels.
DOCUMENTED: dict[str, dict[str, set[str]]] = {
    "identity": _EVERY | _RELAY | {"carnet_tokens": {"grant", "end"}},
    "consent": _EVERY
    | _CONSUMER
    | _RELAY
    | _FLOWS
    | {
        "carnet_consent_identity_beat_seconds": {"partition"},
        "carnet_consent_stale_partitions": set[str](),
        "carnet_consent_announced": {"kind", "end"},
        "carnet_consent_snapshots": {"end"},
        "carnet_consent_oldest_due_seconds": set[str](),
        "carnet_decisions": {"action", "outcome", "rule", "purpose"},
    },
    "documents": _EVERY | _CONSUMER | _RELAY | _FLOWS | _ASKER,
    "notifications": _EVERY | _CONSUMER | _FLOWS | _ASKER | {"carnet_notifications_listeners": set[str]()},
}
# A word, a fact's type, a route's template, a status, a partition: no place for an id, a number of a person, a name.
_HARMLESS = re.compile(
    r"(?!.*[a-z2-7]{26})[A-Za-z_.-]{0,64}(?:\.v[0-9])?|[0-9]{1,3}|(?:/(?:[a-zA-Z_.-]+|\{[a-z_]+\}))+"
)

Series = dict[str, set[frozenset[tuple[str, str]]]]


async def series(carnet: Carnet, process: str) -> Series:
    """Return the label sets of each of our families, without a histogram's buckets."""
    url = f"http://127.0.0.1:{carnet.stack.port_of(process)}/metrics"
    async with carnet.people.session.get(url) as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
        families = list(text_string_to_metric_families(await answer.text()))
    return {
        family.name: {frozenset((k, v) for k, v in each.labels.items() if k != "le") for each in family.samples}
        for family in families
        if family.name.startswith("carnet_") and not family.name.endswith("_created")
    }


async def some_care(carnet: Carnet) -> None:
    """Deposit, list and read, and ask for what is not there."""
    moreau, camille = await carnet.people.doctor(MOREAU), await carnet.people.camille()
    deposited = await moreau.deposit(small(carnet.people.ins)[1])
    assert deposited.status == 201
    for who in (moreau, camille):
        assert (await who.search()).status == 200
        assert (await who.read(deposited.json()["id"])).status == 200
        assert (await who.read(f"{carnet.people.record}-{'a' * 26}")).status == 404
    assert (await camille.journal()).status == 200
    assert (await camille.inbox()).status == 200
    assert (await camille.ask("DELETE", f"/consent/directives/{'0' * 32}")).status == 404


@pytest.mark.parametrize("service", SERVICES)
async def test_each_process_tells_its_documented_metrics(carnet: Carnet, service: str) -> None:
    """Every process of a service answers /metrics with the documented families, and with no label beside theirs."""
    await some_care(carnet)
    # A process may tell more than it ever uses: the chassis declares all of its own wherever it is imported.
    known = {family: labels for families in DOCUMENTED.values() for family, labels in families.items()}
    for process in (name for name, each in carnet.stack.processes.items() if each.service == service):
        told = await series(carnet, process)
        assert DOCUMENTED[service].keys() <= told.keys() <= known.keys(), process
        for family, samples in told.items():
            assert {name for sample in samples for name, _ in sample} <= known[family], family


async def test_metrics_count_what_happens(carnet: Carnet) -> None:
    """A flow is counted where it is asked, an answer where it is given, a fact where it is published and taken in."""
    await some_care(carnet)
    documents, notifications = await series(carnet, "documents-1"), await series(carnet, "notifications-1")
    assert frozenset({("action", "deposit"), ("end", "allowed")}) in documents["carnet_flows_asked"]
    assert frozenset({("action", "read")}) in documents["carnet_flow_seconds"]
    decided = [await series(carnet, name) for name, each in carnet.stack.processes.items() if each.service == "consent"]
    read = {("action", "read"), ("outcome", "refused"), ("rule", "no-such-document"), ("purpose", "TREAT")}
    assert any(frozenset(read) in each["carnet_decisions"] for each in decided)
    answered = {("method", "GET"), ("route", "/fhir/Binary/{name}"), ("status", "404")}
    assert frozenset(answered) in documents["carnet_http_requests"]
    taken = {("consumer", "carnet.notifications"), ("type", "carnet.documents.deposited.v1"), ("end", "handled")}
    assert frozenset(taken) in notifications["carnet_events_handled"]


async def test_labels_hold_no_ids(carnet: Carnet) -> None:
    """Every label's value is of a small vocabulary, and other records, documents or people bring no new one."""
    await some_care(carnet)
    before = {process: await series(carnet, process) for process in carnet.stack.processes}
    await some_care(carnet)
    after = {process: await series(carnet, process) for process in carnet.stack.processes}
    values = {v for told in after.values() for labels in told.values() for each in labels for _, v in each}
    assert [value for value in values if not _HARMLESS.fullmatch(value)] == []
    new = {
        (family, each)
        for process, told in after.items()
        for family, labels in told.items()
        for each in labels - before[process][family]
        # Not a matter of whom it is about: which of two deciders answered, what and how.
        if not family.startswith(("carnet_flows_dropped", "carnet_decisions"))
    }
    assert new == set()


@pytest.mark.parametrize(
    "path",
    ["/metrics", "//metrics", "/fhir/../metrics", "/fhir/%2e%2e/metrics", "/fhir/..%2fmetrics", "/consent/metrics",
     "/notifications/..;/metrics", "/%6detrics", "/health/ready", "/identity/../health/live"],
)  # fmt: skip
async def test_the_front_door_leads_to_no_metrics(carnet: Carnet, path: str) -> None:
    """Neither metrics nor health are reachable from outside, however the path is written."""
    reader, writer = await asyncio.open_connection("127.0.0.1", carnet.stack.ports.front_door)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert int(answer.split()[1]) in {400, 401, 404}
    assert b"carnet_" not in answer
    assert b"python_info" not in answer
    assert b'"live"' not in answer
    assert b'"ready"' not in answer
