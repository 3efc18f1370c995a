"""Reviews through a real process: from the emergency to the answer that the person reads, whoever dies on the way."""

import asyncio
import signal
from dataclasses import replace
from typing import Any

import pytest

from chassis.tokens import EVERY_RECORD
from services.consent.domain.flow import Change
from services.consent.domain.review import DPO
from tests.integration.consent.announcers import Site, nothing_due
from tests.integration.consent.processes import fresh_record
from tests.integration.observing import eventually
from tests.unit.consent.people import CAMILLE, MOREAU, PETIT

OFFICER = replace(MOREAU, id="899700000008", name="Claude Garde", profession=DPO)
OTHERS_OFFICER = replace(PETIT, id="899700000009", name="Sacha Veille", profession=DPO)
ANSWER = {"answer": "La patiente était inconsciente et son traitement inconnu.", "justified": True}


async def _accessed(site: Site) -> tuple[str, str]:
    """Have an emergency open a new record; return record and flow."""
    record = fresh_record()
    await site.announcer.consent.open(record, f"opened-{record}")
    return record, await site.announcer.emergency(record=record)


async def _owed(site: Site, officer: Any = OFFICER) -> list[str]:
    status, body = await site.ask(officer, "GET", "/consent/reviews")
    assert status == 200, body
    return [each["flow"] for each in body["reviews"]]


async def _journal(site: Site, record: str) -> list[dict[str, Any]]:
    """Return the journal as its patient reads it."""
    status, body = await site.ask(replace(CAMILLE, id=record), "GET", "/consent/journal", record=record)
    assert status == 200, body
    return list(body["entries"])


async def test_from_the_emergency_to_the_answer_that_the_person_reads(site: Site) -> None:
    """The officer of that organisation sees it and answers once; another sees nothing; the person reads all of it."""
    record, access = await _accessed(site)
    async with site.serving():
        await eventually(lambda: nothing_due(site.announcer))
        assert await _owed(site, OTHERS_OFFICER) == []
        path = f"/consent/reviews/{access}/answer"
        assert (await site.ask(OTHERS_OFFICER, "POST", path, ANSWER))[0] == 404
        for stranger, of in ((MOREAU, EVERY_RECORD), (replace(CAMILLE, id=record), record)):
            assert (await site.ask(stranger, "GET", "/consent/reviews", record=of))[0] == 403
            assert (await site.ask(stranger, "POST", path, ANSWER, record=of))[0] == 403
        assert await _owed(site) == [access]
        answers = await asyncio.gather(*(site.ask(OFFICER, "POST", path, ANSWER) for _ in range(4)))
        assert sorted(status for status, _ in answers) == [201, 409, 409, 409]
        assert await _owed(site) == []
        entries = await _journal(site, record)
    assert [each["kind"] for each in entries[1:]] == ["reviewed", "looked-at-review", "decision", "opened"]
    assert (entries[1]["flow"], entries[1]["answer"], entries[1]["justified"]) == (access, ANSWER["answer"], True)
    assert "Claude Garde, pour la protection des données de Cabinet Moreau, a répondu" in entries[1]["phrase"]
    assert "a examiné l'accès en urgence" in entries[2]["phrase"]


@pytest.mark.parametrize("point", ["consent.review.written", "consent.review.closed"])
async def test_a_kill_while_an_officer_answers_leaves_one_answer(site: Site, point: str) -> None:
    """SIGKILL after the entry or after the row: the answer stands once, is owed no more, and again is a 409."""
    record, access = await _accessed(site)
    path = f"/consent/reviews/{access}/answer"
    async with site.serving(f"{point}:1") as process:
        await eventually(lambda: nothing_due(site.announcer))
        assert (await site.ask(OFFICER, "POST", path, ANSWER))[0] == 0
        assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
    async with site.serving():
        assert (await _journal(site, record))[1]["answer"] == ANSWER["answer"]
        assert await _owed(site) == []
        status, problem = await site.ask(OFFICER, "POST", path, ANSWER)
        assert (status, problem["code"]) == (409, "already-answered")
        assert [each["kind"] for each in await _journal(site, record)].count("reviewed") == 1


async def test_a_kill_while_an_officer_looks_hides_no_look(site: Site) -> None:
    """SIGKILL after the look's entry and before the answer: the person reads that he looked, and it is still owed."""
    record, access = await _accessed(site)
    async with site.serving("consent.review.looked:1") as process:
        await eventually(lambda: nothing_due(site.announcer))
        assert (await site.ask(OFFICER, "GET", "/consent/reviews"))[0] == 0
        assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
    async with site.serving():
        assert [each["kind"] for each in await _journal(site, record)].count("looked-at-review") == 1
        assert await _owed(site) == [access]


async def test_a_kill_while_the_treating_doctor_is_told_leaves_one_entry(site: Site) -> None:
    """SIGKILL between the entry and the answer: the person reads that he was told, once, and he is told after all."""
    record = fresh_record()
    await site.announcer.consent.open(record, f"opened-{record}")
    await site.announcer.consent.say(Change("treating-doctor", f"person:{PETIT.id}"), record)
    await site.announcer.emergency(record=record)
    async with site.serving("consent.emergencies.told:1") as process:
        await eventually(lambda: nothing_due(site.announcer))
        assert (await site.ask(PETIT, "GET", "/consent/emergencies"))[0] == 0
        assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
    async with site.serving():
        for _ in range(2):
            status, body = await site.ask(PETIT, "GET", "/consent/emergencies")
            assert (status, [each["record"] for each in body["emergencies"]]) == (200, [record])
        assert (await site.ask(MOREAU, "GET", "/consent/emergencies"))[1] == {"emergencies": [], "next": None}
        assert [each["kind"] for each in await _journal(site, record)].count("told-doctor") == 1
