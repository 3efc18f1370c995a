"""Labels after the deposit, through the front door: a document's author changes them, and nobody else does."""

from typing import Any

from chassis.tokens import Application, Organisation
from contracts.identity import Holder
from deploy.local.caller import Answer
from deploy.local.synthetic import label_patch
from services.documents.fhir.systems import CONFIDENTIALITY, TRE_A07
from tests.integration.observing import eventually
from tests.journeys.records import PATIENT, Opened, acting, doctor, represent

AUTHOR = doctor()
COLLEAGUE = doctor("10000000017", "920000017")
INSURER = {
    "actor": "application", "sub": "assureur", "name": "Assureur", "purpose": "COVERAGE",
    "application": Application(id="assureur", name="Assureur", kind="insurer"),
}  # fmt: skip
MASK, UNMASK = label_patch(only="MASQUE_PS"), label_patch(removes=["MASQUE_PS"])
PARENT = "p" * 26


def labels(answer: Answer) -> list[str]:
    """Return the labels of an answered DocumentReference."""
    assert answer.status == 200, answer.body
    return [one["code"] for each in answer.json()["securityLabel"] for one in each["coding"]]


def seen(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Return all that a caller can see of an answer, but for its time."""
    return answer.status, {k.lower(): v for k, v in answer.headers.items() if k.lower() != "date"}, answer.body


async def _deposited(record: Opened, *more: str) -> str:
    stated = ((CONFIDENTIALITY, "N"), *((TRE_A07, each) for each in more))
    answer = await record.caller(AUTHOR).deposit(record.request(labels=stated))
    assert answer.status == 201, answer.body
    return str(answer.json()["id"])


async def _changes(record: Opened) -> list[dict[str, Any]]:
    """Return what she reads of changed labels, the oldest first."""
    entries = (await record.caller(PATIENT).journal(_count=200)).json()["entries"][::-1]
    return [each for each in entries if each.get("action") == "amend"]


async def test_an_author_masks_his_document_and_unmasks_it(record: Opened) -> None:
    """A colleague loses it and finds it again at once; everybody who sees it sees its label; she reads who it was."""
    author, colleague, patient = (record.caller(each) for each in (AUTHOR, COLLEAGUE, PATIENT))
    await patient.begin(kind="authorise", professional="10000000017")
    document = await _deposited(record)
    path = f"/fhir/DocumentReference/{document}"
    assert (await colleague.search()).ids == [document]

    assert labels(await author.amend(document, MASK)) == ["N", "MASQUE_PS"]
    assert (await colleague.search()).ids == []
    assert (await colleague.read(document)).status == 404
    for each in (author, patient):
        assert labels(await each.ask("GET", path)) == ["N", "MASQUE_PS"]
        assert (await each.read(document)).status == 200
    assert (await author.search(**{"security-label": f"{TRE_A07}|MASQUE_PS"})).ids == [document]

    assert labels(await author.amend(document, UNMASK)) == ["N"]
    assert (await colleague.search()).ids == [document]
    assert labels(await colleague.ask("GET", path)) == ["N"]

    masked, unmasked = await _changes(record)
    assert {(each["who"]["name"], each["outcome"]) for each in (masked, unmasked)} == {("Dr Synthétique", "allowed")}
    assert "a remplacé les étiquettes d'un document par « masqué aux professionnels »" in masked["phrase"]
    assert "a retiré d'un document l'étiquette « masqué aux professionnels »" in unmasked["phrase"]
    assert masked["documents"] == [document.rpartition("-")[2]]


async def test_nobody_else_changes_a_label(record: Opened) -> None:
    """Who reads it, a stranger, its blocked author, a parent, the patient, an insurer: refused, told, and it stays."""
    await represent(record, Holder(holder=PARENT, role="parent", scopes=("read", "govern")), minor=True)
    patient = record.caller(PATIENT)
    await patient.begin(kind="authorise", professional="10000000017")
    document = await _deposited(record, "MASQUE_PS")
    path = f"/fhir/DocumentReference/{document}"
    await patient.begin(kind="block", professional=AUTHOR["sub"])
    stranger = doctor("10000000025", "920000025") | {
        "organisation": Organisation(id="920000025", name="Cabinet inconnu")
    }
    claims = [COLLEAGUE, stranger, AUTHOR, acting(PARENT), PATIENT, INSURER]
    for patch in (UNMASK, label_patch(only="N"), label_patch(adds=["INVISIBLE_PATIENT"])):
        answers = [await record.caller(each).amend(document, patch) for each in claims]
        assert [each.status for each in answers] == [404, 404, 404, 403, 403, 403]
        assert [each.code for each in answers[3:]] == ["beyond-delegation", "choices-not-labels", "red-line-insurance"]
        # To professionals, as where there is nothing.
        nothing = await record.caller(COLLEAGUE).amend(f"{record.record}-{'a' * 26}", patch)
        assert {str(seen(each)) for each in answers[:3]} == {str(seen(nothing))}
    assert labels(await patient.ask("GET", path)) == ["N", "MASQUE_PS"]
    assert (await record.caller(COLLEAGUE).search()).ids == []
    told = [each for each in await _changes(record) if each["documents"] == [document.rpartition("-")[2]]]
    assert [each["outcome"] for each in told] == ["refused", "refused", "refused", "refused", "refused", "red-line"] * 3
    assert [each["rule"]["id"] for each in told[:6]] == [
        "not-the-depositor", "not-the-depositor", "blocked", "beyond-delegation", "choices-not-labels",
        "red-line-insurance",
    ]  # fmt: skip
    assert all("a voulu" in each["phrase"] or "avez voulu" in each["phrase"] for each in told)


async def test_what_a_label_may_not_become_is_refused_even_to_the_author(record: Opened) -> None:
    """Known to her, it is not hidden from her; not from her parents later than at its deposit; nor shown to them."""
    author, patient = record.caller(AUTHOR), record.caller(PATIENT)
    plain, secret = await _deposited(record), await _deposited(record, "INVISIBLE_REPRESENTANTS_LEGAUX")
    for document, patch in (
        (plain, label_patch(adds=["INVISIBLE_PATIENT"])),
        (plain, label_patch(only="INVISIBLE_REPRESENTANTS_LEGAUX")),
        (secret, label_patch(only="N")),
    ):
        assert (await author.amend(document, patch)).status == 404
    assert labels(await patient.ask("GET", f"/fhir/DocumentReference/{plain}")) == ["N"]
    kept = labels(await patient.ask("GET", f"/fhir/DocumentReference/{secret}"))
    assert kept == ["N", "INVISIBLE_REPRESENTANTS_LEGAUX"]
    assert [each["rule"]["id"] for each in await _changes(record)] == [
        "never-hidden-again", "secret-from-the-deposit-on", "only-hers-to-reveal",
    ]  # fmt: skip


async def test_a_result_is_announced_by_its_label(record: Opened) -> None:
    """TD3.3b: without INVISIBLE_PATIENT it is hers at once, she is told, and reads what was done about it before."""
    author, patient = record.caller(AUTHOR), record.caller(PATIENT)
    document = await _deposited(record, "INVISIBLE_PATIENT")
    absent = f"{record.record}-{'a' * 26}"
    assert seen(await patient.amend(document, UNMASK)) == seen(await patient.amend(absent, UNMASK))
    assert (await author.amend(document, label_patch(adds=["MASQUE_PS"]))).status == 404
    assert (await patient.search()).ids == []

    assert labels(await author.amend(document, label_patch(only="N"))) == ["N"]
    assert (await patient.search()).ids == [document]
    assert (await patient.read(document)).status == 200

    async def told() -> bool:
        return [each["kind"] for each in (await patient.inbox()).json()["items"]] == ["new-document"]

    await eventually(told, 10)
    changes = [(each["stream"] == "main", each["rule"]["id"]) for each in await _changes(record)]
    assert changes == [
        (True, "no-such-document"), (True, "no-such-document"), (False, "labels-exclusive"), (True, "depositor-amends"),
    ]  # fmt: skip
