"""Care declared and codes made through consent's own interface: the attacks of one who would let himself in."""

from typing import Any

import pytest

from services.consent.domain.flow import Actor
from tests.unit.consent.people import MOREAU
from tests.unit.consent.test_api import BLOCK, Interface, code


@pytest.fixture
def consent() -> Interface:
    """Open one record's interface."""
    return Interface()


async def _code(consent: Interface, **said: Any) -> str:
    return str((await consent.told("POST", "/codes", {"count": 1, "days": 1} | said))["codes"][0])


async def _presented(consent: Interface, code_: str, actor: Actor = MOREAU) -> tuple[int, Any]:
    answer = await consent.call("POST", "/care", {"evidence": "code", "code": code_}, actor=actor)
    return answer.status, code(answer)[1] if answer.status == 422 else None


async def test_a_code_that_was_shown_is_used_whoever_showed_it(consent: Interface) -> None:
    """Shown a second time a code is wrong: to one who is blocked as to the other: neither learns which he is."""
    seen = []
    for blocked in (False, True):
        if blocked:
            await consent.told("POST", "/directives", BLOCK)
        hers = await _code(consent)
        seen.append([await _presented(consent, hers) for _ in range(3)])
    assert seen[0] == seen[1] == [(202, None), (422, "code-wrong"), (422, "code-wrong")]
