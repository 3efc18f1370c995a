"""A representative's token, on real engines: given to who represents now, for that record, and to nobody else."""

import time
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chassis.mongo import Mongo
from chassis.settings import MongoSettings
from chassis.tokens import Representative, patient_digest
from chassis.trust import Authority
from tests.integration.conftest import Engines
from tests.integration.registering import CAMILLE, MALIK, SACHA, Register, caregiver, ins, parent, person
from tests.integration.test_identity import PEOPLE, TEST, Served, refused, serving, settings


@pytest.fixture(scope="module")
def keys(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make identity's token keys."""
    file = tmp_path_factory.mktemp("keys") / "token-keys.json"
    authority.token_keys(out=file)
    return file


@pytest.fixture
async def served(engines: Engines, keys: Path, mongo_settings: MongoSettings) -> AsyncIterator[Served]:
    """Serve identity with a child, parents, a caregiver whose time is over, and somebody who died."""
    family = PEOPLE | {
        "persons": [
            person("noa", 1, birth_date=date.today().replace(day=1).isoformat()),  # noqa: DTZ011 - any child will do
            CAMILLE, MALIK, SACHA,
            person("dead", 5, deceased=True),
        ],
        "representations": [
            parent("camille"), parent("malik", until="2025-01-01"), parent("dead", "sacha", role="guardian"),
            caregiver("sacha"), parent("camille", "sacha"),
            parent("camille", "dead", role="heir", scopes=["read"], attestation=True),
            parent("malik", "sacha", role="heir", scopes=["read"], attestation=True),
        ],
    }  # fmt: skip
    async with serving(settings(mongo_settings, engines.kafka, keys), family) as given:
        yield given


async def signed_in(served: Served, order: int, acting_for: int | None = None) -> tuple[int, dict[str, Any]]:
    """Sign a person in at the demo, for themselves or for another."""
    body = {"patient": f"{TEST}|{ins(order)}"} | ({"acting_for": f"{TEST}|{ins(acting_for)}"} if acting_for else {})
    return await served.post("/identity/demo/sign-in", json=body)


async def test_a_parent_acts_for_the_child(served: Served) -> None:
    """The token names the child's record, and the parent by name and by the parent's own record."""
    token = served.read(await signed_in(served, 2, acting_for=1))
    noa, camille = served.records["noa"], served.records["camille"]
    assert (token.actor, token.record, token.purpose, token.name) == ("representative", noa, "PATRQT", "Camille NOM")
    assert (token.sub, token.representative) == (camille, Representative(holder=camille, role="parent"))
    assert token.patient == patient_digest(TEST, ins(1), noa)
    assert served.read(await signed_in(served, 3 + 1, acting_for=3)).representative == Representative(
        holder=served.records["sacha"], role="caregiver"
    )
    assert served.read(await signed_in(served, 2, acting_for=5)).representative == Representative(
        holder=camille, role="heir"
    )
    own = served.read(await signed_in(served, 2))
    assert (own.actor, own.record, own.representative) == ("patient", camille, None)


@pytest.mark.parametrize(
    ("who", "acting_for", "slug"),
    [
        (3, 1, "not-a-representative"),  # until last year
        (4, 1, "not-a-representative"),  # never was
        (1, 2, "not-a-representative"),  # the child for the parent
        (2, 2, "not-a-representative"),  # oneself
        (2, 4, "not-a-representative"),  # a parent of an adult
        (3, 4, "not-a-representative"),  # an heir of the living
        (2, 99, "not-a-representative"),  # of whom nobody knows
        (5, 4, "person-deceased"),
        (5, None, "person-deceased"),
        (99, 1, "patient-unknown"),
    ],
)
async def test_who_does_not_represent_now_acts_for_nobody(
    served: Served, who: int, acting_for: int | None, slug: str
) -> None:
    """Whether the representation ended, never stood, or concerns nobody, the answer is the same."""
    assert refused(await signed_in(served, who, acting_for)) == (400, "invalid_grant", slug)


async def test_a_representation_that_is_ended_grants_nothing_more(served: Served, mongo: Mongo) -> None:
    """The very next sign-in is refused, whatever was announced."""
    served.read(await signed_in(served, 2, acting_for=1))
    made = Register(mongo)
    made.now = time.time()
    await made.put(representations=[parent("camille", until="2026-01-01")])
    assert refused(await signed_in(served, 2, acting_for=1))[2] == "not-a-representative"


async def test_a_malformed_acting_for_is_said(served: Served) -> None:
    """A wrong number is no sign-in for oneself."""
    for wrong in ("", f"{TEST}|{uuid4().hex}"):
        body = {"patient": f"{TEST}|{ins(2)}", "acting_for": wrong}
        assert refused(await served.post("/identity/demo/sign-in", json=body))[2] == "patient-malformed"
