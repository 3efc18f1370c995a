"""How a test searches in FHIR: what a searchset holds, where its links lead, and what a refusal says."""

from typing import Any

import orjson
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.operationoutcome import OperationOutcome

from tests.unit.chassis.asgi import Answer
from tests.unit.consent.viewing import Viewing

HERE = "https://carnet.test/consent/fhir/"


def refused(answer: Answer, status: int, slug: str) -> None:
    """Expect one OperationOutcome with a stable code and a sentence."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/fhir+json"), answer
    said = orjson.loads(answer.body)
    OperationOutcome.model_validate(said)
    assert said["issue"][0]["details"]["coding"][0]["code"] == slug
    assert len(said["issue"][0]["diagnostics"]) > 20


def resources(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a searchset's resources; it is a Bundle that R4 allows, and has no total."""
    Bundle.model_validate(orjson.loads(orjson.dumps(bundle)))
    assert (bundle["type"], "total" in bundle) == ("searchset", False)
    found = [each["resource"] for each in bundle.get("entry", [])]
    for each in found:
        if each["resourceType"] == "AuditEvent":
            AuditEvent.model_validate(orjson.loads(orjson.dumps(each)))
    return found


def links(bundle: dict[str, Any]) -> dict[str, str]:
    """Return where a bundle leads, by relation, below the interface's own place."""
    return {each["relation"]: each["url"].removeprefix(HERE) for each in bundle["link"]}


async def found(consent: Viewing, path: str, **more: Any) -> list[dict[str, Any]]:
    """Return what a search finds."""
    return resources(await consent.told("GET", f"/fhir/{path}", **more))


async def pages(consent: Viewing, path: str, **more: Any) -> list[list[dict[str, Any]]]:
    """Follow the links of a search to its end."""
    read: list[list[dict[str, Any]]] = []
    while path:
        bundle = await consent.told("GET", f"/fhir/{path}", **more)
        read.append(resources(bundle))
        path = links(bundle).get("next", "")
    return read
