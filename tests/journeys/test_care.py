"""Care that others declare, before the real front door: a stay to its end, and a word that is reviewed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp
import orjson

from deploy.local import demo
from deploy.local.caller import Answer, Caller
from deploy.local.stack import Stack

_SETTLED_SECONDS = 10.0
ANSWER = {"answer": "Le médecin dit avoir reçu la personne le jour même.", "justified": True}


async def _as(stack: Stack, session: aiohttp.ClientSession, who: str) -> Caller:
    """Return the software of a demo person or application, with a token for Camille's record."""
    told = orjson.loads((stack.data / "demo.json").read_bytes())
    camille = told["patients"]["camille"]
    token = await demo.token(stack, who, "camille")
    return Caller(session, told["base"], token, f"{camille['system']}|{camille['ins']}")


async def _until(ask: Callable[[], Awaitable[Answer]], holds: Callable[[Answer], bool]) -> Answer:
    end = time.monotonic() + _SETTLED_SECONDS
    while not holds(answer := await ask()):
        assert time.monotonic() < end, answer.body
        await asyncio.sleep(0.05)
    return answer


def _newest(inbox: Answer) -> int:
    items = inbox.json()["items"]
    return int(items[0]["id"]) if items else 0


async def test_a_stay_opens_is_told_and_closes(stack: Stack, session: aiohttp.ClientSession) -> None:
    """The hospital's software reports it and reads nothing: its doctor lists, she is told; its end closes."""
    hospital, lambert, petit, camille = [
        await _as(stack, session, each) for each in ("logiciel-hopital", "lambert", "petit", "camille")
    ]
    last = _newest(await camille.inbox())
    reported = await hospital.ask("POST", "/consent/care", json={"evidence": "admission"})
    assert reported.status == 202, reported.body
    stay = reported.json()["id"]
    (seen,) = [each for each in (await camille.directives()).json()["care"] if each["id"] == stay]
    assert seen["phrase"].startswith("Hôpital Exemple peut lire votre dossier")
    inbox = await _until(camille.inbox, lambda answer: _newest(answer) > last)
    assert inbox.json()["items"][0]["kind"] == "declared-care"
    await lambert.search()
    entries = (await camille.journal(_count=3)).json()["entries"]
    listed = next(each for each in entries if each.get("action") == "list")
    assert (listed["outcome"], listed["rule"]["id"]) == ("allowed", "admission")
    for answer in (await hospital.journal(), await hospital.directives()):
        assert (answer.status, answer.code) == (403, "not-for-you")
    assert (await hospital.search()).status in {200, 403}
    assert (await petit.ask("DELETE", f"/consent/care/{stay}")).status == 202
    assert stay in {each["id"] for each in (await camille.directives()).json()["care"]}
    assert (await hospital.ask("DELETE", f"/consent/care/{stay}")).status == 202
    assert stay not in {each["id"] for each in (await camille.directives()).json()["care"]}
    assert (await lambert.search()).ids == []


async def test_a_word_is_ended_by_her_and_reviewed(stack: Stack, session: aiohttp.ClientSession) -> None:
    """Dr Lambert declares her oral consent; she ends it; the hospital's officer answers, and she reads it."""
    lambert, camille = [await _as(stack, session, each) for each in ("lambert", "camille")]
    # An officer has no patient: the token names every record, and opens none.
    garde = replace(camille, token=await demo.token(stack, "garde", "public"))
    assert ((await garde.search()).status, (await garde.journal()).status) == (401, 401)
    declared = await lambert.ask("POST", "/consent/care", json={"evidence": "declared"})
    assert declared.status == 202, declared.body
    held = [each for each in (await camille.directives()).json()["care"] if each["who"] == "Dr Morgan Lambert"]
    flow = held[-1]["id"]
    assert (await camille.end(flow)).status == 200
    assert (await lambert.search()).ids == []

    def is_owed(answer: Answer) -> bool:
        return answer.status == 200 and flow in {each["flow"] for each in answer.json()["reviews"]}

    await _until(lambda: garde.ask("GET", "/consent/reviews"), is_owed)
    answer = await garde.ask("POST", f"/consent/reviews/{flow}/answer", json=ANSWER)
    assert answer.status == 201, answer.body
    phrases = [each["phrase"] for each in (await camille.journal(_count=5)).json()["entries"]]
    assert any("Claude Garde, pour la protection des données de Hôpital Exemple, a répondu" in each for each in phrases)
