"""Registering people, and what identity then says on its topics, on real engines."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from chassis.mongo import Mongo
from chassis.outbox import COLLECTION as OUTBOX
from chassis.outbox import Outbox
from chassis.relay import Relay
from chassis.repeating import repeat
from chassis.roles import background
from chassis.settings import MongoSettings
from chassis.trust import Authority, Trust
from contracts.identity import BeatSent, RecordOpened, TokenKeysAnnounced
from contracts.registry import catalogue, decode, topic_of
from services.identity.__main__ import app
from services.identity.beats import Beats
from services.identity.ports import Clock
from services.identity.registry_file import parse
from services.identity.settings import IdentitySettings
from services.identity.store import MongoPeople
from services.identity.use_cases.register_people import RegisterPeople, RegistrationRefused
from tests.integration.conftest import Engines
from tests.integration.observing import Tap

ROOT = Path(__file__).parents[2]
TEST = "urn:oid:1.2.250.1.213.1.4.10"
INS, OTHER_INS = "279035121518989", "285054809599187"
FINESS = "489999011"
KEY = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}
RECORDS = topic_of(RecordOpened)


def person(reference: str = "anne", ins: str | None = INS, **changed: Any) -> dict[str, Any]:
    """Return a person to register."""
    traits = {
        "birth_name": "NOM", "first_names": ["ANNE"], "sex": "F", "birth_date": "1979-03-28", "birth_place": "51215",
    }  # fmt: skip
    entry = {"reference": reference, "status": "qualified", "traits": traits}
    return entry | ({"system": TEST, "ins": ins} if ins else {}) | changed


async def prepared(mongo: Mongo) -> MongoPeople:
    """Return the people of a database, whose collections stand."""
    outbox = Outbox(mongo, "identity")
    people = MongoPeople(mongo, outbox)
    await outbox.prepare()
    await people.prepare()
    return people


async def registered(
    mongo: Mongo, *, test_identities: bool = True, clock: Clock = time.time, **parts: Any
) -> dict[str, str]:
    """Register what a file says; return each reference's record."""
    register = RegisterPeople(await prepared(mongo), clock, test_identities=test_identities)
    return (await register(parse(json.dumps(parts).encode()))).records


async def refused(mongo: Mongo, **parts: Any) -> dict[str, str]:
    """Register what must be refused; return the faults by path."""
    with pytest.raises(RegistrationRefused) as error:
        await registered(mongo, **parts)
    return {fault.path: fault.reason for fault in error.value.faults}


async def unsent(mongo: Mongo) -> list[dict[str, Any]]:
    """Return the values of the facts that wait in the outbox, in the order in which they came."""
    rows = await mongo[OUTBOX].find({}).sort("created_at", 1).to_list(None)
    return [json.loads(row["value"]) for row in rows]


async def test_a_new_person_opens_a_record(mongo: Mongo) -> None:
    """It has a random id, and its opening waits in the outbox, without the INS."""
    records = await registered(mongo, persons=[person()])
    assert len(records["anne"]) == 26
    assert await unsent(mongo) == [
        {"record": records["anne"], "version": 1, "identity_status": "qualified", "critical": []}
    ]
    assert INS not in str(await mongo[OUTBOX].find({}).to_list(None))


async def test_the_same_file_again_changes_nothing(mongo: Mongo) -> None:
    """The record stays, and nothing is said twice, even when both run at once."""
    first = await asyncio.gather(*(registered(mongo, persons=[person()]) for _ in range(4)))
    assert all(each == first[0] for each in first)
    assert await registered(mongo, persons=[person()]) == first[0]
    assert len(await unsent(mongo)) == 1


async def test_a_changed_status_is_said_with_a_higher_version(mongo: Mongo) -> None:
    """Traits change in silence; each status has a version of its own; the INS stays when it is not said again."""
    await registered(mongo, persons=[person(ins=None, status="provisional")])
    await registered(mongo, persons=[person()])
    traits = person()["traits"] | {"birth_name": "AUTRE"}
    await registered(mongo, persons=[person(traits=traits)])
    await registered(mongo, persons=[person(ins=None, status="validated")])
    said = [(each["version"], each["identity_status"]) for each in await unsent(mongo)]
    assert said == [(1, "provisional"), (2, "qualified"), (3, "validated")]
    row = await mongo["persons"].find_one({"reference": "anne"})
    assert (row["ins"], row["version"]) == (INS, 3)


async def test_a_matricule_never_changes_hands(mongo: Mongo) -> None:
    """Neither another INS for the same reference, nor the same INS for another one, nor twice in a file."""
    await registered(mongo, persons=[person()])
    other = await refused(mongo, persons=[person(ins=OTHER_INS)])
    assert other == {"persons[0].ins": "this reference stands under another INS"}
    taken = await refused(mongo, persons=[person("basile", OTHER_INS), person("chloe")])
    assert taken == {"persons[1].ins": "this INS stands under another reference"}
    twice = await refused(mongo, persons=[person("basile", OTHER_INS), person("chloe", OTHER_INS)])
    assert set(twice) == {"persons[0].ins", "persons[1].ins"}
    assert len(await unsent(mongo)) == 1


async def test_one_fault_refuses_the_whole_file(mongo: Mongo) -> None:
    """A wrong key among good entries: nothing is written, and faults of every kind are told together."""
    doctor = {
        "rpps": "01000000115", "given_name": "A", "family_name": "B", "profession": "10",
        "organisations": ["750712184"],
    }  # fmt: skip
    software = {"client_id": "logiciel", "name": "L", "kind": "care-software", "jwk": KEY, "organisations": [FINESS]}
    found = await refused(
        mongo,
        organisations=[{"finess": FINESS, "name": "Cabinet"}],
        professionals=[doctor],
        applications=[software, software],
        persons=[person(), person("basile", "255081416802500")],
    )
    assert set(found) == {
        "professionals[0].organisations", "applications[0].client_id", "applications[1].client_id", "persons[1]",
    }  # fmt: skip
    for name in ("organisations", "professionals", "applications", "persons", OUTBOX):
        assert await mongo[name].count_documents({}) == 0


async def test_an_entry_is_replaced_whole(mongo: Mongo) -> None:
    """An application that lost an organisation no longer acts for it; the organisation may stand already."""
    software = {"client_id": "logiciel", "name": "L", "kind": "care-software", "jwk": KEY, "organisations": [FINESS]}
    await registered(mongo, organisations=[{"finess": FINESS, "name": "Cabinet"}], applications=[software])
    await registered(mongo, applications=[software])
    await registered(mongo, applications=[software | {"organisations": []}])
    assert (await mongo["applications"].find_one({"_id": "logiciel"}))["organisations"] == []


async def test_production_knows_no_test_identity(mongo: Mongo) -> None:
    """The test and demonstration systems are refused there."""
    with pytest.raises(RegistrationRefused) as error:
        await registered(mongo, test_identities=False, persons=[person()])
    assert [fault.path for fault in error.value.faults] == ["persons[0].system"]


async def test_production_knows_no_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not start with the demo's sign-in."""
    safe = {"CARNET_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "CARNET_MONGO": "mongodb://carnet:secret@db/"}
    for name, value in safe.items():
        monkeypatch.setenv(name, value)
    IdentitySettings(environment="production")
    monkeypatch.setenv("CARNET_IDENTITY_DEMO", "true")
    with pytest.raises(ValidationError, match="CARNET_IDENTITY_DEMO"):
        IdentitySettings(environment="production")


@pytest.fixture
async def beats(mongo: Mongo) -> Beats:
    """Return the beats of a fresh database."""
    made = Beats(mongo, await prepared(mongo), time.time)
    await made.prepare()
    return made


async def test_no_beat_overtakes_what_stood_in_the_outbox(mongo: Mongo, beats: Beats) -> None:
    """A round waits for the rows that it found, and for no row that came after: it speaks as of its beginning."""
    await registered(mongo, persons=[person()])
    first = await mongo[OUTBOX].find_one({})
    began = time.time() * 1000
    round_ = asyncio.create_task(beats())
    await asyncio.sleep(0.3)
    assert not round_.done()
    await registered(mongo, persons=[person("basile", OTHER_INS)])
    await mongo[OUTBOX].delete_one({"_id": first["_id"]})
    said = await asyncio.wait_for(round_, 2)
    (as_of,) = {fact.as_of for fact, _ in said if isinstance(fact, BeatSent)}
    assert as_of is not None
    assert began - 1 <= as_of < began + 250
    assert said == [(BeatSent(partition=each, as_of=as_of), each) for each in range(catalogue()[RECORDS].partitions)]
    assert await mongo[OUTBOX].count_documents({}) == 1


async def test_a_beat_follows_the_records_in_its_partition(
    mongo: Mongo, beats: Beats, engines: Engines, tap: Callable[[str], Awaitable[Tap]]
) -> None:
    """Nothing beats before the relay has published what stood; then every partition does, after its records."""
    listening = await tap(RECORDS)
    records = await registered(mongo, persons=[person(), person("basile", OTHER_INS)])
    relay = Relay(mongo, engines.kafka, "identity-1")
    await relay.prepare()
    async with background(repeat(engines.kafka, "identity", beats)):
        assert await listening.take(1, 1) == []
        async with background(relay.run()):
            taken = await listening.take(len(records) + catalogue()[RECORDS].partitions, 30)
    seen = [(each.partition, each.offset, decode(each.headers, each.value)[1]) for each in taken]
    opened = {partition: offset for partition, offset, fact in seen if isinstance(fact, RecordOpened)}
    beaten = {partition: (offset, fact.partition) for partition, offset, fact in seen if isinstance(fact, BeatSent)}
    assert {fact.record for _, _, fact in seen if isinstance(fact, RecordOpened)} == set(records.values())
    assert sorted(beaten) == list(range(catalogue()[RECORDS].partitions))
    assert all(partition == said for partition, (_, said) in beaten.items())
    assert all(opened.get(partition, -1) < offset for partition, (offset, _) in beaten.items())


async def run(*arguments: str, **environment: str) -> Result:
    """Run identity's command line as an operator does."""
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)


async def test_the_command_registers_or_says_every_fault(mongo_settings: MongoSettings, tmp_path: Path) -> None:
    """Exit code 0 and the records on standard output; 1 and the faults by path; 2 when it cannot be done at all."""
    environment = {
        "CARNET_ENVIRONMENT": "local", "CARNET_MONGO": mongo_settings.uri,
        "CARNET_MONGO_DATABASE": mongo_settings.database,
    }  # fmt: skip
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    await asyncio.to_thread(good.write_text, json.dumps({"persons": [person()]}))
    await asyncio.to_thread(bad.write_text, json.dumps({"persons": [person("b", "255081416802500"), {}]}))
    done = await run("register", str(good), "--records", **environment)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split()[0] == "anne"
    again = await run("register", str(good), "--records", **environment)
    assert (again.stdout, again.exit_code) == (done.stdout, 0)
    assert "1 unchanged" in again.stderr
    said = await run("register", str(bad), **environment)
    assert said.exit_code == 1
    assert "persons[0]: " in said.stderr
    assert "persons[1].reference: " in said.stderr
    assert "255081416802500" not in said.stderr
    assert (await run("register", str(tmp_path / "none.json"), **environment)).exit_code == 2
    unsafe = await run("register", str(good), **{**environment, "CARNET_ENVIRONMENT": "production"})
    assert unsafe.exit_code == 2
    assert "production refuses" in unsafe.stderr


async def test_the_root_is_made_once_and_certifies(tmp_path: Path) -> None:
    """A mistyped folder makes no second root; what the commands write is believed under the printed root."""
    folder, out = str(tmp_path / "root"), tmp_path / "identity-1.json"
    lost = await run("trust", "role", "identity", "--folder", folder)
    assert lost.exit_code == 2
    assert "no root" in lost.stderr
    root = (await run("trust", "root", "--folder", folder)).stdout.strip()
    assert root == Authority(Path(folder)).root_public
    made = await run(
        "trust", "instance", "documents", "documents-1", "--folder", folder, "--out", str(out),
        "--action", "deposit", "--action", "read", "--reply-partition", "3",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    held = json.loads(await asyncio.to_thread(out.read_text))
    certificate = Trust(root).certificate(held["role_certificate"], held["certificate"], "documents")
    assert (certificate.instance, certificate.actions) == ("documents-1", frozenset({"deposit", "read"}))
    keys = tmp_path / "keys.json"
    for _ in range(2):
        assert (await run("trust", "token-keys", "--folder", folder, "--out", str(keys), "--rotate")).exit_code == 0
    announced = json.loads(await asyncio.to_thread(keys.read_text))
    statement = Trust(root).statement(announced["role_certificate"], announced["statement"], "identity", "tokens")
    assert (statement.version, len(statement.keys)) == (2, 2)


async def test_a_process_announces_its_keys(
    engines: Engines, mongo_settings: MongoSettings, authority: Authority, tmp_path: Path,
    tap: Callable[[str], Awaitable[Tap]],
) -> None:  # fmt: skip
    """`run all` puts the signed statement on the topic of keys, again and again, and ends in order at SIGTERM."""
    listening, keys = await tap(topic_of(TokenKeysAnnounced)), tmp_path / "token-keys.json"
    authority.token_keys(out=keys)
    environment = {
        "CARNET_ENVIRONMENT": "local", "CARNET_INSTANCE": "identity-1", "CARNET_MONGO": mongo_settings.uri,
        "CARNET_MONGO_DATABASE": mongo_settings.database, "CARNET_KAFKA": engines.kafka.bootstrap,
        "CARNET_HTTP_PORT": "0", "CARNET_IDENTITY_TOKEN_KEYS": str(keys), "PATH": os.environ["PATH"],
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.identity", "run", "all",
        cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        taken = await listening.take(2, 20)
    finally:
        process.terminate()
        said, _ = await asyncio.wait_for(process.communicate(), 15)
    assert len(taken) == 2, said.decode()
    facts = [decode(each.headers, each.value)[1] for each in taken]
    assert all(isinstance(each, TokenKeysAnnounced) for each in facts)
    held = json.loads(await asyncio.to_thread(keys.read_text))
    assert {each.statement for each in facts if isinstance(each, TokenKeysAnnounced)} == {held["statement"]}
    assert process.returncode == 0, said.decode()
