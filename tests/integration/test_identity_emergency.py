"""Emergency tokens on a real database: who gets one, with which reason, and how many, by however many processes."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chassis.mongo import Mongo
from chassis.settings import MongoSettings
from chassis.tokens import Emergency
from chassis.trust import Authority
from contracts.identity import EMERGENCY_REASONS
from services.identity.domain.emergency import Limit
from services.identity.used import MongoEmergencyCounts
from tests.integration.conftest import Engines
from tests.integration.test_identity import (
    ANNE,
    CABINET,
    CENTRE,
    COLLEAGUE,
    DOCTOR,
    PEOPLE,
    TEST,
    Served,
    jwk,
    refused,
    serving,
    settings,
)
from tests.integration.test_identity import professional as registered

REGULATOR = "801000000339"
REASON = {"code": "unconscious", "text": "Trouvée sans connaissance à son domicile."}
WITH_EMERGENCIES = PEOPLE | {
    "professionals": [
        registered("01000000115", CABINET),
        registered("01000000222", CABINET),
        registered("01000000339", CENTRE, samu=True),
    ],
    "applications": [
        *PEOPLE["applications"],
        {
            "client_id": "urgences", "name": "Urgences", "kind": "care-software", "jwk": jwk("urgences"),
            "organisations": [CABINET, CENTRE], "purposes": ["TREAT", "BTG", "ETREAT"],
        },
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def keys(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make identity's token keys."""
    file = tmp_path_factory.mktemp("keys") / "token-keys.json"
    authority.token_keys(out=file)
    return file


@pytest.fixture
async def served(engines: Engines, keys: Path, mongo_settings: MongoSettings) -> AsyncIterator[Served]:
    """Serve one identity with a fresh database."""
    async with serving(settings(mongo_settings, engines.kafka, keys), WITH_EMERGENCIES) as given:
        yield given


async def broken(served: Served, **changed: Any) -> tuple[int, dict[str, Any]]:
    """Ask for a token that breaks the glass, with these claims of the assertion changed."""
    return await served.professional("urgences", **{"purpose": "BTG", "emergency": REASON} | changed)


async def regulated(served: Served, **changed: Any) -> tuple[int, dict[str, Any]]:
    """Ask for a regulating doctor's token, hours after the shift began."""
    shift = {"sub": REGULATOR, "organisation": CENTRE, "auth_time": int(time.time()) - 30_000}
    return await broken(served, **{"purpose": "ETREAT"} | shift | changed)


async def counted(mongo: Mongo) -> dict[str, int]:
    """Return how many tokens stand under each limit."""
    rows = await mongo[MongoEmergencyCounts.COLLECTION].find({}).to_list(None)
    return {row["_id"]: len(row["times"]) for row in rows}


async def test_a_doctor_breaks_the_glass(served: Served) -> None:
    """The token has the purpose and the reason, in the doctor's own words."""
    token = served.read(await broken(served))
    assert (token.actor, token.sub, token.purpose) == ("professional", DOCTOR, "BTG")
    assert token.emergency == Emergency(**REASON)
    ordinary = served.read(await served.professional("urgences"))
    assert (ordinary.purpose, ordinary.emergency) == ("TREAT", None)


async def test_the_samus_doctor_asks_at_every_call(served: Served) -> None:
    """ETREAT is for who is registered so, in a session of any age; a doctor of an emergency ward has BTG."""
    token = served.read(await regulated(served, emergency=REASON | {"code": "samu-call"}))
    assert (token.sub, token.purpose) == (REGULATOR, "ETREAT")
    said = await broken(served, purpose="ETREAT")
    assert refused(said) == (400, "invalid_grant", "not-a-regulating-doctor")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"emergency": None}, ("invalid_grant", "emergency-missing")),
        ({"without": "emergency"}, ("invalid_grant", "emergency-missing")),
        ({"emergency": REASON | {"code": "curious"}}, ("invalid_grant", "emergency-malformed")),
        ({"emergency": REASON | {"text": "urgent"}}, ("invalid_grant", "emergency-malformed")),
        ({"emergency": REASON | {"text": "a" * 501}}, ("invalid_grant", "emergency-malformed")),
        ({"emergency": REASON | {"text": f"C'est {ANNE.partition('|')[2]}"}}, ("invalid_grant", "emergency-malformed")),
        ({"purpose": "TREAT"}, ("invalid_grant", "emergency-unexpected")),
        ({"auth_time": int(time.time()) - 700}, ("invalid_grant", "sign-in-too-old")),
        ({"patient": f"{TEST}|285054809599187"}, ("invalid_grant", "patient-unknown")),
        ({"sub": REGULATOR}, ("invalid_grant", "professional-not-in-organisation")),
        ({"exp": int(time.time()) - 1}, ("invalid_grant", "assertion-expired")),
    ],
)
async def test_an_emergency_that_lacks_something_is_refused_and_not_counted(
    served: Served, mongo: Mongo, changed: dict[str, Any], expected: tuple[str, str]
) -> None:
    """No reason, a wrong one, one too many, an old sign-in, nobody: each has its name, and none uses the count up."""
    assert refused(await broken(served, **changed)) == (400, *expected)
    assert await counted(mongo) == {}


async def test_software_without_the_purpose_breaks_no_glass(served: Served) -> None:
    """What an application was not registered for, it cannot declare."""
    for purpose in ("BTG", "ETREAT"):
        said = await served.professional("logiciel", purpose=purpose, emergency=REASON)
        assert refused(said) == (400, "unauthorized_client", "purpose-not-allowed")


async def test_the_twenty_first_of_a_day_is_refused(served: Served, mongo: Mongo) -> None:
    """Of one doctor; the refusal tells the way out, and care goes on; a colleague and the SAMU are not concerned."""
    for _ in range(20):
        served.read(await broken(served))
    for _ in range(2):
        status, body = await broken(served)
        assert refused((status, body)) == (400, "invalid_grant", "emergency-limit")
        assert "23 h 59 min" in body["error_description"] or "24 h 00 min" in body["error_description"]
        assert "SAMU (15)" in body["error_description"]
    # What was refused is counted under neither limit.
    assert await counted(mongo) == {f"BTG:professional:{DOCTOR}": 20, "BTG:application:urgences": 20}
    served.read(await served.professional("urgences"))
    served.read(await broken(served, sub=COLLEAGUE))
    served.read(await regulated(served))


async def test_a_replayed_emergency_is_not_counted(served: Served, mongo: Mongo) -> None:
    """Of eight requests with the same assertion one is granted, and one counted."""
    same = served.grant("urgences", purpose="BTG", emergency=REASON)
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    said = await asyncio.gather(*(served.ask("urgences", grant_type=grant, assertion=same) for _ in range(8)))
    assert sorted(status for status, _ in said) == [200] + [400] * 7
    assert set((await counted(mongo)).values()) == {1}


async def test_two_processes_grant_no_more_than_one_would(
    engines: Engines, keys: Path, mongo_settings: MongoSettings, mongo: Mongo
) -> None:
    """Of forty requests at once to two processes twenty are granted, and the others are told the limit."""
    told = settings(mongo_settings, engines.kafka, keys)
    async with serving(told, WITH_EMERGENCIES) as one, serving(told, WITH_EMERGENCIES) as two:
        said = await asyncio.gather(*(broken(each) for each in [one, two] * 20))
    assert sorted(status for status, _ in said) == [200] * 20 + [400] * 20
    assert {refused(each)[2] for each in said if each[0] != 200} == {"emergency-limit"}
    assert await counted(mongo) == {f"BTG:professional:{DOCTOR}": 20, "BTG:application:urgences": 20}


async def test_an_application_has_a_limit_of_its_own(
    engines: Engines, keys: Path, mongo_settings: MongoSettings, mongo: Mongo
) -> None:
    """Software that declares emergencies for one doctor after the other is stopped, and no doctor pays for it."""
    told = settings(mongo_settings, engines.kafka, keys, btg_an_hour=3)
    async with serving(told, WITH_EMERGENCIES) as served:
        asked = [broken(served, sub=who) for who in (DOCTOR, COLLEAGUE) * 3]
        said = await asyncio.gather(*asked)
        granted = [served.read(each).sub for each in said if each[0] == 200]
        assert len(granted) == 3
        over = {refused(each) for each in said if each[0] != 200}
        assert over == {(400, "unauthorized_client", "emergency-limit-of-application")}
        served.read(await regulated(served))
    found = await counted(mongo)
    assert found["BTG:application:urgences"] == 3
    for who in (DOCTOR, COLLEAGUE):
        assert found.get(f"BTG:professional:{who}", 0) == granted.count(who)


async def test_a_days_count_slides(database: Mongo) -> None:
    """The twenty-first may be had a day after the first, not at midnight; the count outlives the process."""
    day = Limit(f"BTG:professional:{uuid4().hex}", "professional", 20, 86_400)
    now = time.time()
    for at in range(20):
        assert await (await prepared(database)).count([day], now + 3_600 * at) is None
    counts = await prepared(database)
    for late in (20 * 3_600, 86_399):
        full = await counts.count([day], now + late)
        assert full is not None
        assert (full.limit, full.free_at) == (day, now + 86_400)
    assert await counts.count([day], now + 86_400) is None
    assert await counts.count([day], now + 86_401) is not None
    assert await counts.count([day], now + 86_400 + 3_600) is None


async def test_a_full_limit_leaves_the_other_as_it_was(database: Mongo) -> None:
    """Both are counted or none, whichever of them is full, also when many come at once."""
    counts, now = await prepared(database), time.time()
    wide, narrow = (Limit(uuid4().hex, whose, most, 60) for whose, most in (("professional", 50), ("application", 7)))
    found = await asyncio.gather(*(counts.count([wide, narrow], now) for _ in range(20)))
    assert sum(each is None for each in found) == 7
    assert await counted(database) == {wide.name: 7, narrow.name: 7}


async def prepared(mongo: Mongo) -> MongoEmergencyCounts:
    """Return the counts as a process that has just begun has them."""
    counts = MongoEmergencyCounts(mongo)
    await counts.prepare()
    return counts


async def test_counts_are_forgotten_when_they_bound_nothing(database: Mongo) -> None:
    """A row goes by itself after its span: who broke the glass when is in the journal, not here."""
    counts, now = await prepared(database), time.time()
    await counts.count([Limit("old", "professional", 1, 60), Limit("new", "application", 1, 86_400)], now)
    rows = {row["_id"]: row["until"].timestamp() for row in await database["emergencies"].find({}).to_list(None)}
    assert rows["old"] >= now + 60
    assert rows["new"] >= now + 86_400
    index = (await database["emergencies"].index_information())["until_1"]
    assert index["expireAfterSeconds"] == 0


async def test_the_reasons_are_public(served: Served) -> None:
    """Software shows the list as the patient will read it."""
    async with served.http.get(f"{served.url}/identity/emergency-reasons") as response:
        said = await response.json()
    assert {each["code"]: each["label"] for each in said["reasons"]} == EMERGENCY_REASONS
