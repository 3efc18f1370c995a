"""The demo's people, as `make token` has them: in an emergency, and for those whom they represent."""

import asyncio
import time
from typing import Any

import aiohttp
import orjson
import pytest

from chassis.sealing import unb64
from chassis.tokens import AccessToken
from deploy.local import demo
from deploy.local.caller import Caller
from deploy.local.processes import DidNotStart
from deploy.local.stack import Stack

REASON = {"code": "unconscious", "text": "Trouvée sans connaissance à l'arrêt du bus."}


@pytest.fixture
async def people(stack: Stack) -> dict[str, Any]:
    """Read what `make up` leaves in demo.json."""
    told: dict[str, Any] = orjson.loads((stack.data / "demo.json").read_bytes())
    return told


def read(token: str) -> AccessToken:
    """Return what a token says."""
    return AccessToken.model_validate(orjson.loads(unb64(token.split(".")[1])))


async def test_every_professional_has_a_token(stack: Stack, people: dict[str, Any]) -> None:
    """Doctors, a nurse, a pharmacist, a data protection officer, each through the software of where they work."""
    tokens = [read(await demo.token(stack, who, "camille")) for who in people["professionals"]]
    assert {each.profession for each in tokens} == {"10", "60", "21", "dpo"}
    assert {each.purpose for each in tokens} == {"TREAT"}
    assert not any(name.startswith(" ") for name in (each.name for each in tokens))


async def test_an_emergency_has_its_reason(stack: Stack) -> None:
    """Dr Petit breaks the glass with a reason, and without one is told what lacks; the SAMU's doctor has ETREAT."""
    broken = read(await demo.token(stack, "petit", "camille", purpose="BTG", emergency=REASON))
    assert broken.emergency is not None
    assert (broken.purpose, broken.emergency.model_dump()) == ("BTG", REASON)
    assert read(await demo.token(stack, "samu", "camille", purpose="ETREAT", emergency=REASON)).purpose == "ETREAT"
    for who, purpose, emergency, slug in (
        ("petit", "BTG", None, "emergency-missing"),
        ("petit", "", REASON, "emergency-unexpected"),
        ("petit", "ETREAT", REASON, "purpose-not-allowed"),
        ("samu", "BTG", REASON, "purpose-not-allowed"),
        ("camille", "BTG", REASON, "for professionals"),
    ):
        with pytest.raises(DidNotStart, match=slug):
            await demo.token(stack, who, "camille", purpose=purpose, emergency=emergency)


@pytest.mark.parametrize(
    ("who", "whom", "role"),
    [
        ("camille", "noa", "parent"),
        ("malik", "noa", "parent"),
        ("dominique", "josephine", "guardian"),
        ("sacha", "andre", "caregiver"),
    ],
)
async def test_a_representative_has_a_token_for_the_represented(
    stack: Stack, people: dict[str, Any], who: str, whom: str, role: str
) -> None:
    """It names the record of the one, and the other by name, record and role; nobody else has one."""
    said = read(await demo.token(stack, who, whom))
    assert said.representative is not None
    assert (said.actor, said.record) == ("representative", people["patients"][whom]["record"])
    assert (said.representative.holder, said.representative.role) == (people["patients"][who]["record"], role)
    with pytest.raises(DidNotStart, match="not-a-representative"):
        await demo.token(stack, whom, who)


async def test_the_represented_record_knows_it(
    stack: Stack, people: dict[str, Any], session: aiohttp.ClientSession
) -> None:
    """What identity said of a child stands in the child's journal; in that of an adult who governs alone nothing."""
    noa = Caller(session, people["base"], await demo.token(stack, "noa", "noa"), "")
    end = time.monotonic() + 15
    while "represented" not in (kinds := [each["kind"] for each in (await noa.journal()).json()["entries"]]):
        assert time.monotonic() < end, kinds
        await asyncio.sleep(0.1)
    malik = Caller(session, people["base"], await demo.token(stack, "malik", "malik"), "")
    assert "represented" not in [each["kind"] for each in (await malik.journal()).json()["entries"]]
