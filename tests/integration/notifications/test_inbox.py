"""What the patient's inbox says, whom it says it to, and what it never says."""

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from contracts.consent import Action, FlowAnswer
from tests.integration.deciding import ALLOWED, DOCUMENT, Decider, new_record
from tests.integration.notifications.conftest import REFUSED, Post
from tests.integration.observing import eventually


@pytest.fixture(autouse=True)
def allowed(consent: Decider) -> Iterator[None]:
    """Begin and end each test with a consent that answers and allows."""
    consent.answer, consent.stopped = ALLOWED, False
    yield
    consent.answer, consent.stopped = ALLOWED, False


async def test_an_allowed_deposit_is_told_without_saying_what(service: Post, consent: Decider) -> None:
    """One item, in French, with its time; neither the document's id nor its content stands in the database."""
    record = new_record()
    event_id = await service.deposited(record)
    (item,) = await service.received(record, 1)
    assert item == {
        "id": 1,
        "kind": "new-document",
        "sentence": "Un nouvel élément est arrivé dans votre dossier.",
        "at": item["at"],
        "read": False,
    }
    asked = [each for each in consent.heard if each.record == record]
    assert {(each.question.action, each.question.documents, each.question.cause) for each in asked} == {
        (Action.NOTIFY, (DOCUMENT,), event_id)
    }
    assert all(each.question.token is None for each in asked)
    names = await service.mongo._database.list_collection_names()
    everything = repr([[row async for row in service.mongo[name].find({})] for name in names])
    assert record in everything
    assert DOCUMENT not in everything


async def test_a_revealed_result_is_told_like_a_deposit(service: Post, consent: Decider) -> None:
    """Consent is asked about the document, the event is the cause; refused leaves nothing, again is told once."""
    record = new_record()
    consent.answer = REFUSED
    refused = await service.revealed(record)
    await eventually(lambda: _asked(consent, refused))
    consent.answer = ALLOWED
    event_id = await service.revealed(record)
    (item,) = await service.received(record, 1)
    assert (item["kind"], item["sentence"]) == ("new-document", "Un nouvel élément est arrivé dans votre dossier.")
    await service.revealed(record, event_id)
    after = await service.deposited(record)
    await service.received(record, 2)
    asked = [each.question for each in consent.heard if each.record == record]
    assert {each.cause for each in asked} == {refused, event_id, after}
    assert {(each.action, each.documents, each.token) for each in asked} == {(Action.NOTIFY, (DOCUMENT,), None)}
    assert await service.mongo["items"].count_documents({"record": record}) == 2


async def _asked(consent: Decider, cause: str) -> bool:
    return any(each.question.cause == cause for each in consent.heard)


async def test_a_refused_deposit_leaves_nothing(service: Post, consent: Decider) -> None:
    """No item, no letter: whoever opposed notifications is not told."""
    record, other = new_record(), new_record()
    consent.answer = REFUSED
    await service.deposited(record)

    async def asked() -> bool:
        return any(each.record == record for each in consent.heard)

    await eventually(asked)
    await asyncio.sleep(0.3)
    consent.answer = ALLOWED
    await service.deposited(other)
    await service.received(other, 1)
    assert (await service.inbox(record))["items"] == []
    assert await service.mongo["dead_letters"].count_documents({}) == 0
    assert await service.mongo["items"].count_documents({"record": record}) == 0


async def test_a_redelivered_event_is_told_and_asked_once(service: Post, consent: Decider) -> None:
    """The same event again gives no second item, and no second decision in the patient's journal."""
    record = new_record()
    event_id = await service.deposited(record)
    await service.received(record, 1)
    flows = {each.flow for each in consent.heard if each.record == record}
    await service.deposited(record, event_id)
    after = await service.deposited(record)
    assert len(await service.received(record, 2)) == 2
    causes = [each.question.cause for each in consent.heard if each.record == record and each.flow not in flows]
    assert set(causes) == {after}


async def test_an_unreachable_consent_delays_the_item(service: Post, consent: Decider) -> None:
    """The event waits, is asked again under a fresh flow id, and is told once consent is back; it is no dead letter."""
    record = new_record()
    consent.stopped = True
    event_id = await service.deposited(record)
    await asyncio.sleep(3)
    assert (await service.inbox(record))["items"] == []
    consent.stopped = False
    await service.received(record, 1, 40)
    asked = [each for each in consent.heard if each.record == record]
    assert {each.question.cause for each in asked} == {event_id}
    assert await service.mongo["dead_letters"].count_documents({}) == 0


async def test_no_verdict_is_a_dead_letter_that_a_replay_heals(service: Post, consent: Decider) -> None:
    """`stale` is neither yes nor no: the event is set aside, others pass, and the command line brings it home."""
    record, other = new_record(), new_record()
    consent.answer = FlowAnswer(outcome="stale")
    await service.deposited(record)

    async def aside() -> bool:
        return bool(await service.mongo["dead_letters"].find_one({"error": "NotDecided"}))

    await eventually(aside, 30)
    consent.answer = ALLOWED
    await service.deposited(other)
    await service.received(other, 1)
    assert (await service.inbox(record))["items"] == []
    code, listed = await service.cli("dead-letters", "list")
    assert (code, "NotDecided" in listed) == (0, True)
    code, replayed = await service.cli("dead-letters", "replay")
    assert (code, replayed.split()[-1]) == (0, "healed")
    assert len(await service.received(record, 1)) == 1


async def test_pages_go_from_the_newest_to_the_oldest(service: Post) -> None:
    """Each page names the next one; together they hold every item once."""
    record = new_record()
    for _ in range(5):
        await service.deposited(record)
    await service.received(record, 5)
    seen, query = [], "?limit=2"
    while True:
        page = await service.inbox(record, query)
        seen.append([each["id"] for each in page["items"]])
        if "next" not in page:
            break
        query = f"?limit=2&before={page['next']}"
    assert seen == [[5, 4], [3, 2], [1]]


async def test_reading_marks_one_item_and_only_ones_own(service: Post) -> None:
    """Marking twice changes nothing; another record's patient finds no such item."""
    record, other = new_record(), new_record()
    await service.deposited(record)
    await service.deposited(record)
    await service.received(record, 2)
    for headers, item, status in (
        (service.token(other), 1, 404),
        (service.token(record), 99, 404),
        (service.token(record), 1, 204),
        (service.token(record), 1, 204),
    ):
        async with service.http.post(service.url(f"/notifications/inbox/{item}/read"), headers=headers) as answer:
            assert answer.status == status
            if status == 404:
                assert (await answer.json())["code"] == "no-such-item"
    assert [(each["id"], each["read"]) for each in (await service.inbox(record))["items"]] == [(2, False), (1, True)]
    assert (await service.inbox(other))["items"] == []


@pytest.mark.parametrize("path", ["/notifications/inbox", "/notifications/stream"])
async def test_only_the_patient_and_who_represents_her_may_look(service: Post, path: str) -> None:
    """The token of a professional, an application or an heir: 403; none, expired or broken: 401; each a problem."""
    record = new_record()
    for headers, status, code in (
        (service.token(record, actor="professional"), 403, "patients-only"),
        (service.token(record, actor="application"), 403, "patients-only"),
        (service.token(record, actor="representative", role="heir"), 403, "patients-only"),
        ({}, 401, "token-missing"),
        (service.token(record, seconds=-1), 401, "token-expired"),
        ({"Authorization": "Bearer a.b.c"}, 401, "token-foreign"),
    ):
        async with service.http.get(service.url(path), headers=headers) as answer:
            assert answer.status == status
            assert answer.content_type == "application/problem+json"
            assert orjson.loads(await answer.read())["code"] == code


@pytest.mark.parametrize("query", ["?before=x", "?before=0", "?limit=0", "?limit=1000", "?before=99999999999999999999"])
async def test_a_malformed_question_is_a_problem(service: Post, query: str) -> None:
    """It is answered 422 with the place of the fault, and never reaches the database."""
    headers = service.token(new_record())
    async with service.http.get(service.url(f"/notifications/inbox{query}"), headers=headers) as answer:
        assert (answer.status, answer.content_type) == (422, "application/problem+json")
