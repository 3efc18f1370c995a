"""A professional cannot tell hidden, blocked, not authorised and absent apart (EHDS, art. 8)."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from deploy.local.caller import Answer, Caller
from deploy.local.stack import Stack
from deploy.local.synthetic import LOINC
from services.documents.fhir.systems import CONFIDENTIALITY, TRE_A07
from tests.journeys.records import PATIENT, Opened, doctor, open_record

PETIT = "10000000017"
MASKED = ((CONFIDENTIALITY, "N"), (TRE_A07, "MASQUE_PS"))

# What may differ from one answer to the next whatever the reason.
_OF_THE_MOMENT = {"date"}


def seen(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Return all that a caller can see of an answer."""
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in _OF_THE_MOMENT}
    return answer.status, headers, answer.body


async def _deposited(record: Opened, **variations: Any) -> str:
    answer = await record.caller(doctor()).deposit(record.request(**variations))
    assert answer.status == 201, answer.body
    return str(answer.json()["id"])


async def _directive(record: Opened, **directive: str) -> None:
    answer = await record.caller(PATIENT).begin(**directive)
    assert answer.status == 201, answer.body


async def not_authorised(record: Opened) -> str:
    """Nobody said anything about Dr Petit."""
    return await _deposited(record)


async def blocked(record: Opened) -> str:
    """Authorised once, then blocked."""
    await _directive(record, kind="authorise", professional=PETIT)
    await _directive(record, kind="block", professional=PETIT)
    return await _deposited(record)


async def organisation_blocked(record: Opened) -> str:
    """Authorised in person; the organisation is blocked."""
    await _directive(record, kind="authorise", professional=PETIT)
    await _directive(record, kind="block", organisation="920000017")
    return await _deposited(record)


async def hidden(record: Opened) -> str:
    """Authorised; the one document is hidden by the patient."""
    await _directive(record, kind="authorise", professional=PETIT)
    document = await _deposited(record)
    await _directive(record, kind="hide", document=document)
    return document


async def masked(record: Opened) -> str:
    """Authorised; the one document was deposited with the label that masks it from professionals."""
    await _directive(record, kind="authorise", professional=PETIT)
    return await _deposited(record, labels=MASKED, type_system=LOINC)


async def opposed(record: Opened) -> str:
    """Authorised; then the patient opposed the whole record."""
    await _directive(record, kind="authorise", professional=PETIT)
    document = await _deposited(record)
    await _directive(record, kind="oppose")
    return document


async def absent(record: Opened) -> str:
    """Authorised; the record is empty."""
    await _directive(record, kind="authorise", professional=PETIT)
    return f"{record.record}-{'b' * 26}"


async def elsewhere(record: Opened) -> str:
    """Authorised in this record; the document is in another."""
    await _directive(record, kind="authorise", professional=PETIT)
    return f"{'c' * 26}-{'b' * 26}"


Case = Callable[[Opened], Awaitable[str]]
CASES: tuple[Case, ...] = (not_authorised, blocked, organisation_blocked, hidden, masked, opposed, elsewhere)
QUESTIONS: dict[str, Callable[[Caller, str], Awaitable[Answer]]] = {
    "search": lambda petit, _: petit.search(),
    "search by form": lambda petit, _: petit.ask(
        "POST", "/fhir/DocumentReference/_search", data={"patient.identifier": petit.patient, "status": "current"}
    ),
    "read": lambda petit, document: petit.read(document),
    "read as Binary": lambda petit, document: petit.ask(
        "GET", f"/fhir/Binary/{document}", headers={"Accept": "application/fhir+json"}
    ),
    "read the reference": lambda petit, document: petit.ask("GET", f"/fhir/DocumentReference/{document}"),
}


async def _asked(record: Opened, case: Case) -> dict[str, tuple[int, dict[str, str], bytes]]:
    document = await case(record)
    petit = record.caller(doctor(PETIT, "920000017"))
    return {name: seen(await question(petit, document)) for name, question in QUESTIONS.items()}


@pytest.fixture(scope="session")
async def nothing(stack: Stack, session: aiohttp.ClientSession) -> dict[str, tuple[int, dict[str, str], bytes]]:
    """Ask every question about a document that is not there."""
    return await _asked(await open_record(stack, session), absent)


async def test_nothing_looks_like_nothing(nothing: dict[str, tuple[int, dict[str, str], bytes]]) -> None:
    """What is absent is an empty searchset, and a 404."""
    assert {name: status for name, (status, _, _) in nothing.items()} == {
        "search": 200, "search by form": 200, "read": 404, "read as Binary": 404, "read the reference": 404,
    }  # fmt: skip
    assert b'"total":0' in nothing["search"][2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_what_may_not_be_seen_looks_absent(
    record: Opened, nothing: dict[str, tuple[int, dict[str, str], bytes]], case: Case
) -> None:
    """Status, headers and body are those of a document that is not there, whatever the reason."""
    assert await _asked(record, case) == nothing


async def test_the_same_document_is_seen_by_whom_nothing_hinders(record: Opened) -> None:
    """The positive control: authorised, not blocked, not hidden: the very questions above give the document."""
    document = await _deposited(record)
    await _directive(record, kind="authorise", professional=PETIT)
    petit = record.caller(doctor(PETIT, "920000017"))
    assert {name: (await question(petit, document)).status for name, question in QUESTIONS.items()} == dict.fromkeys(
        QUESTIONS, 200
    )
    assert (await petit.search()).ids == [document]


async def test_the_patient_is_told_why(record: Opened) -> None:
    """The same refusal stands in the patient's journal with its rule and a French sentence."""
    document = await hidden(record)
    assert (await record.caller(doctor(PETIT, "920000017")).read(document)).status == 404
    entries = (await record.caller(PATIENT).journal()).json()["entries"]
    (entry,) = (each for each in entries if each.get("action") == "read")
    assert (entry["outcome"], entry["rule"]["id"]) == ("refused", "hidden-by-patient")
    assert entry["rule"]["sentence"] in entry["phrase"]
