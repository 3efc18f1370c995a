"""Before a change, through others' eyes, and in FHIR: what the patient is shown is what happens, on real engines."""

import orjson
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.consent import Consent

from tests.journeys.records import PATIENT, Opened, doctor

OTHER = "10000000017"


async def test_what_a_preview_foretells_happens(record: Opened) -> None:
    """A doctor who sees nothing is foretold to see the document, sees it once authorised, and loses it by a block."""
    first, second, patient = record.caller(doctor()), record.caller(doctor(OTHER)), record.caller(PATIENT)
    document = (await first.deposit(record.request())).json()["id"]
    assert (await second.search()).ids == []
    for kind, gains, loses in (("authorise", [document], []), ("block", [], [document])):
        body = {"kind": kind, "professional": OTHER}
        answer = await patient.ask("POST", "/consent/directives/preview", json=body)
        assert answer.status == 200, answer.body
        effect = next(each for each in answer.json()["effects"] if each["who"]["situation"] == "care")
        # He was met: it was his own list that the journal holds.
        assert (effect["who"]["name"], effect["who"]["assumed"]) == ("Dr Synthétique", False)
        names = {way: [f"{record.record}-{each}" for each in effect[way]] for way in ("gains", "loses")}
        assert names == {"gains": gains, "loses": loses}
        assert (await patient.begin(**body)).status == 201
        assert (await second.search()).ids == gains
    answer = await patient.ask("GET", f"/consent/see-as?professional={OTHER}")
    (sight,) = answer.json()["sights"]
    assert [each["rule"]["id"] for each in sight["hidden"]] == ["blocked"]


async def test_choices_and_traces_are_fhir_through_the_front_door(record: Opened) -> None:
    """Consents and audit events are searched, paged and read; a professional is refused in FHIR."""
    moreau, patient = record.caller(doctor()), record.caller(PATIENT)
    document = (await moreau.deposit(record.request())).json()["id"]
    assert (await moreau.read(document)).status == 200
    begun = (await patient.begin(kind="close-emergency", to="samu")).json()["id"]

    (told,) = (await patient.ask("GET", "/consent/fhir/Consent")).json()["entry"]
    Consent.model_validate(told["resource"])
    assert told["resource"]["id"] == begun
    assert (await patient.ask("GET", f"/consent/fhir/Consent/{begun}")).json() == told["resource"]

    found: list[str] = []
    path = f"/consent/fhir/AuditEvent?agent={doctor()['sub']}&_count=1&date=ge2020-01-01"
    while path:
        answer = await patient.ask("GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/fhir+json"), answer.body
        assert record.ins.encode() not in answer.body
        bundle = answer.json()
        Bundle.model_validate(orjson.loads(answer.body))
        found += [each["resource"]["subtype"][-1]["code"] for each in bundle["entry"]]
        links = {each["relation"]: each["url"] for each in bundle["link"]}
        path = links.get("next", "").removeprefix(record.base)
    assert found == ["read", "deposit"]

    form = {"patient.identifier": record.patient, "_count": "1"}
    answer = await patient.ask("POST", "/consent/fhir/AuditEvent/_search", data=form)
    (newest,) = answer.json()["entry"]
    AuditEvent.model_validate(newest["resource"])
    assert newest["resource"]["subtype"][-1]["code"] == "read-journal"

    refused = await moreau.ask("GET", "/consent/fhir/Consent")
    assert (refused.status, refused.code) == (403, "not-for-you")
    assert (await patient.ask("GET", "/consent/fhir/metadata")).json()["resourceType"] == "CapabilityStatement"


async def test_a_professional_reads_what_he_asked_and_nothing_of_her_choices(record: Opened) -> None:
    """Authorised and then blocked, he is answered the same; what she reads of it says that he looked."""
    first, second, patient = record.caller(doctor()), record.caller(doctor(OTHER)), record.caller(PATIENT)
    document = (await first.deposit(record.request())).json()["id"]
    told = []
    for kind in ("authorise", "block"):
        assert (await patient.begin(kind=kind, professional=OTHER)).status == 201
        assert (await second.read(document)).status == (200 if kind == "authorise" else 404)
        answer = await second.ask("GET", "/consent/fhir/AuditEvent?_count=2")
        assert answer.status == 200, answer.body
        Bundle.model_validate(orjson.loads(answer.body))
        shown = [each["resource"] for each in answer.json()["entry"]]
        assert [each["subtype"][-1]["code"] for each in shown] == ["read-own-traces", "read"]
        told.append([each | {"id": "", "recorded": ""} for each in shown])
    assert told[0] == told[1]
    assert "outcome" not in told[0][1]
    entries = (await patient.journal()).json()["entries"]
    assert [each.get("action") for each in entries].count("read-own-traces") == 2
    assert "a relu ses propres demandes" in next(
        each["phrase"] for each in entries if each.get("action") == "read-own-traces"
    )
