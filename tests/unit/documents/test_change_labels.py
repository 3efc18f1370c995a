"""Labels are changed by consent's decision and nothing else; documents stores nothing of it."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from chassis.sealing import b64, encrypt, new_key
from chassis.web import create_app
from contracts.consent import Action, FlowAnswer, FlowQuestion, Grant
from services.documents.__main__ import SERVICE
from services.documents.domain import Kept, sealed_for
from services.documents.fhir.systems import TRE_A07
from services.documents.use_cases.change_labels import ChangeLabels
from tests.synthetic import label_patch
from tests.unit.chassis.asgi import Answer, ask

RECORD, DOCUMENT = "carnetexamplerecordaaaa234", "carnetexampledocumentaa567"
NAME, KEY = f"{RECORD}-{DOCUMENT}", new_key()
_METADATA = b'{"resourceType":"DocumentReference","content":[{"attachment":{"contentType":"text/plain"}}]}'
_KEPT = Kept(RECORD, DOCUMENT, 1, datetime(2026, 6, 12, tzinfo=UTC), 1, "x",
             encrypt(KEY, _METADATA, sealed_for("metadata", RECORD, DOCUMENT, 1)))  # fmt: skip
GRANT = Grant(document=DOCUMENT, version=1, visibility=("MASQUE_PS",), metadata_key=b64(KEY))
MASK = label_patch(adds=["MASQUE_PS"])


class _Consent:
    def __init__(self, answer: FlowAnswer) -> None:
        self.answer = answer
        self.asked: list[FlowQuestion] = []

    async def ask(self, record: str, question: FlowQuestion, *, correlation_id: str | None = None) -> FlowAnswer:  # noqa: ARG002 - the port's
        self.asked.append(question)
        return self.answer


class _Shelf:
    """Reads are all that it allows."""

    def __init__(self, *kept: Kept) -> None:
        self._kept = {each.document: each for each in kept}

    async def find(self, record: str, versions: Any) -> dict[str, Kept]:  # noqa: ARG002 - the port's
        return self._kept


class House:
    """Documents' application over an answer of consent's."""

    def __init__(self, answer: FlowAnswer, *kept: Kept) -> None:
        self.consent = _Consent(answer)
        room: Any = SimpleNamespace(
            settings=SimpleNamespace(public_base="http://carnet.example"),
            verifier=SimpleNamespace(verify=lambda _: SimpleNamespace(record=RECORD)),
            change_labels=ChangeLabels(self.consent, _Shelf(*kept)),  # type: ignore[arg-type]
        )
        self.app: FastAPI = create_app(SERVICE.name, SERVICE.routers(room), {}, SERVICE.dialects)

    async def patch(self, body: bytes = MASK, name: str = NAME, kind: str = "application/fhir+json") -> Answer:
        """Send a patch."""
        headers = {"authorization": "Bearer a.token", "content-type": kind}
        return await ask(self.app, "PATCH", f"/fhir/DocumentReference/{name}", headers=headers, body=body)


async def test_the_answer_is_the_document_under_its_labels_of_now() -> None:
    """Consent is asked for what the patch wants, once, and says what the labels are."""
    house = House(FlowAnswer(outcome="allowed", grants=(GRANT,)), _KEPT)
    answer = await house.patch(kind="application/fhir+json; charset=utf-8")
    assert (answer.status, answer.headers["etag"], answer.headers["cache-control"]) == (200, 'W/"1"', "no-store")
    resource = json.loads(answer.body)
    assert resource["id"] == NAME
    assert resource["securityLabel"] == [{"coding": [{"system": TRE_A07, "code": "MASQUE_PS"}]}]
    (question,) = house.consent.asked
    assert (question.action, question.documents, question.token) == (Action.AMEND, (DOCUMENT,), "a.token")
    assert question.amendment is not None
    assert (question.amendment.adds, question.amendment.removes) == (("MASQUE_PS",), ())


async def test_a_refusal_looks_like_nothing() -> None:
    """Refused, of another record, without a key, not stored yet, or no document's name: the same 404."""
    refused = House(FlowAnswer(outcome="refused"), _KEPT)
    answers = [
        await refused.patch(),
        await refused.patch(name=f"{'c' * 26}-{DOCUMENT}"),
        await House(FlowAnswer(outcome="allowed"), _KEPT).patch(),
        await House(FlowAnswer(outcome="allowed", grants=(GRANT,))).patch(),
    ]
    assert {(each.status, each.body, tuple(sorted(each.headers.items()))) for each in answers} == {
        (404, answers[0].body, tuple(sorted(answers[0].headers.items())))
    }
    assert (await refused.patch(name="nothing")).status == 404


@pytest.mark.parametrize(("answer", "status"), [
    (FlowAnswer(outcome="red-line", rule="red-line-insurance", law="L.1111-18", sentence="Jamais."), 403),
    (FlowAnswer(outcome="refused", rule="choices-not-labels", law="R.1111-49", sentence="Par vos choix."), 403),
    (FlowAnswer(outcome="stale"), 503),
], ids=lambda each: str(each)[:30])  # fmt: skip
async def test_who_may_know_why_is_told(answer: FlowAnswer, status: int) -> None:
    """A red line, or the patient's own rule, with its sentence."""
    told = await House(answer, _KEPT).patch()
    assert told.status == status
    assert answer.sentence is None or answer.sentence in json.loads(told.body)["issue"][0]["diagnostics"]


@pytest.mark.parametrize("kind", ["application/json-patch+json", "application/json", ""])
async def test_another_kind_of_patch_is_refused_unread(kind: str) -> None:
    """Only FHIRPath Patch is taken; consent is not asked."""
    house = House(FlowAnswer(outcome="allowed", grants=(GRANT,)), _KEPT)
    answer = await house.patch(kind=kind)
    assert (answer.status, json.loads(answer.body)["issue"][0]["details"]["coding"][0]["code"]) == (415, "patch-type")
    assert house.consent.asked == []


async def test_a_patch_of_anything_else_is_refused_before_it_is_a_flow() -> None:
    """Withdrawing is not offered yet: a 422 that says where, and nothing was asked."""
    house = House(FlowAnswer(outcome="allowed", grants=(GRANT,)), _KEPT)
    parts = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": "DocumentReference.status"}]
    body = json.dumps({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}).encode()
    answer = await house.patch(body)
    (issue,) = json.loads(answer.body)["issue"]
    assert (answer.status, issue["expression"]) == (422, ["Parameters.parameter[0].part.where(name='path').value"])
    assert house.consent.asked == []
