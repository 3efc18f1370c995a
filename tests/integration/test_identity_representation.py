"""Who acts for whom, on real engines: registered, announced once, and over by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import pytest

from chassis.mongo import Mongo
from chassis.outbox import COLLECTION as OUTBOX
from chassis.outbox import Outbox
from chassis.relay import Relay
from chassis.roles import background
from contracts.identity import RecordOpened, RepresentationChanged
from contracts.registry import decode, topic_of
from services.identity.beats import Beats
from services.identity.domain.representation import begins
from services.identity.ports import Crowded
from services.identity.store import MongoPeople
from services.identity.use_cases.age import Age
from services.identity.use_cases.register_people import RegistrationRefused
from tests.integration.conftest import Engines
from tests.integration.observing import Tap
from tests.integration.registering import (
    ADULTS,
    BORN,
    CAMILLE,
    EVERYTHING,
    MALIK,
    NOA,
    OF_AGE,
    Register,
    caregiver,
    ins,
    parent,
    person,
)


@pytest.fixture
async def register(mongo: Mongo) -> Register:
    """Open a register, where the adults stand."""
    made = Register(mongo)
    await made.prepare()
    await made.put(persons=ADULTS)
    return made


async def test_a_child_has_a_minors_record_and_two_parents(register: Register) -> None:
    """The whole state is said at each change, with versions of its own; of an adult who governs alone nothing is."""
    await register.put(persons=[NOA])
    assert await register.last() == (1, True, False, {})
    done = await register.put(representations=[parent("camille"), parent("malik", scopes=["read"])])
    assert done == {"new": 2}
    assert await register.last() == (2, True, False, {"camille": "parent", "malik": "parent"})
    newest = (await register.said())[-1]
    assert {tuple(each["scopes"]) for each in newest["holders"]} == {tuple(EVERYTHING), ("read",)}
    assert [len(await register.said(each["reference"])) for each in ADULTS] == [0, 0, 0]


async def test_no_date_and_no_name_leaves_identity(register: Register) -> None:
    """An event says that somebody is a minor and who may act, not when they were born nor when anything ends."""
    await register.put(persons=[NOA], representations=[parent("camille", until="2029-09-17")])
    newest = (await register.said())[-1]
    assert set(newest) == {"record", "version", "minor", "deceased", "holders", "heirs", "critical"}
    assert [set(each) for each in newest["holders"]] == [{"holder", "role", "scopes"}]
    rows = str(await register.mongo[OUTBOX].find({}).to_list(None))
    # Whole, and in capitals: a random id may hold any four lower-case letters or digits.
    for secret in ("2014-03-09", "2029-09-17", "NOA", "CAMILLE", "NOM", ins(1), ins(2)):
        assert secret not in rows


async def test_the_same_file_again_says_nothing(register: Register) -> None:
    """Also when four register it at once: one representation, one event, and nothing else written."""
    file = {"persons": [NOA], "representations": [parent("camille")]}
    await asyncio.gather(*(register.put(**file) for _ in range(4)))
    assert await register.last() == (2, True, False, {"camille": "parent"})
    rows = await register.mongo["persons"].find({}).sort("_id", 1).to_list(None)
    assert await register.put(**file) == {"unchanged": 1}
    assert await register.mongo["persons"].find({}).sort("_id", 1).to_list(None) == rows
    assert len(await register.said()) == 2


async def test_a_representation_is_changed_and_ended(register: Register) -> None:
    """Other scopes are said; an end of today is at once; another's stays as it is."""
    await register.put(persons=[NOA], representations=[parent("camille"), parent("malik")])
    assert await register.put(representations=[parent("camille", scopes=["read"])]) == {"changed": 1}
    newest = (await register.said())[-1]
    held = {each["holder"]: each["scopes"] for each in newest["holders"]}
    assert held == {register.records["camille"]: ["read"], register.records["malik"]: EVERYTHING}
    await register.put(representations=[parent("malik", until="2026-06-01")])
    assert await register.last() == (4, True, False, {"camille": "parent"})


async def test_authority_ends_at_eighteen_and_that_is_said_once(register: Register) -> None:
    """By itself, at the first second of the birthday in Paris, however many processes look and however often."""
    await register.put(persons=[NOA], representations=[parent("camille"), parent("malik")])
    register.now = OF_AGE - 1
    assert await register.age() == 0
    register.now = OF_AGE
    others = [Age(MongoPeople(register.mongo, Outbox(register.mongo, "identity")), lambda: OF_AGE) for _ in range(5)]
    await asyncio.gather(*(each() for each in [register.age, *others]))
    assert await register.last() == (3, False, False, {})
    for _ in range(3):
        assert await register.age() == 0
    assert len(await register.said()) == 3


async def test_each_end_is_said_when_it_comes(register: Register) -> None:
    """A caregiver's, then the next one's; a guardian without an end acts on."""
    ends = ["2026-07-01", "2027-07-01"]
    await register.put(
        representations=[
            caregiver("camille", until=ends[0]),
            caregiver("sacha", until=ends[1]),
        ]
    )
    await register.put(persons=[NOA], representations=[parent("noa", "malik", role="guardian")])
    register.now = begins(date(2026, 7, 1))
    assert await register.age() == 1
    assert await register.last("malik") == (3, False, False, {"sacha": "caregiver", "noa": "guardian"})
    register.now = begins(date(2027, 7, 1))
    assert await register.age() == 1
    assert await register.last("malik") == (4, False, False, {"noa": "guardian"})


class _Broken(Outbox):
    """An outbox that fails after its row was written: the process dies before the commit."""

    async def add(self, *arguments: Any, **more: Any) -> str:
        await super().add(*arguments, **more)
        raise ConnectionResetError


async def test_an_end_that_a_crash_interrupted_is_said_by_the_next(register: Register) -> None:
    """Nothing half-said stays, and what is due is found again by its state."""
    await register.put(persons=[NOA], representations=[parent("camille")])
    register.now = OF_AGE + 86_400
    dying = Age(MongoPeople(register.mongo, _Broken(register.mongo, "identity")), lambda: register.now)
    with pytest.raises(ConnectionResetError):
        await dying()
    assert len(await register.said()) == 2
    assert await register.age() == 1
    assert await register.last() == (3, False, False, {})


async def test_rows_of_an_earlier_release_are_brought_up_to_date(register: Register) -> None:
    """A child that was registered before anybody was told of minors is told of now; an adult just gets a date."""
    await register.put(persons=[NOA])
    await register.mongo["persons"].update_many({}, {"$unset": {"due": 1, "represented": 1, "representations": 1}})
    await register.mongo[OUTBOX].delete_many({})
    assert await register.age() == 4
    assert await register.age() == 0
    assert await register.last() == (1, True, False, {})
    assert await register.mongo[OUTBOX].count_documents({}) == 1


async def test_a_death_ends_what_the_person_was_and_held(register: Register) -> None:
    """A dead parent acts no more, in the same transaction; a dead child is represented by nobody; errors are undone."""
    await register.put(persons=[NOA], representations=[parent("camille"), parent("malik")])
    await register.put(persons=[CAMILLE | {"deceased": "2026-05-20"}])
    assert await register.last() == (3, True, False, {"malik": "parent"})
    assert await register.last("camille") == (1, False, True, {})
    # What is not said again stands, a death too; `false` takes it back.
    await register.put(persons=[CAMILLE])
    assert await register.last("camille") == (1, False, True, {})
    await register.put(persons=[CAMILLE | {"deceased": False}])
    assert await register.last() == (4, True, False, {"camille": "parent", "malik": "parent"})
    assert await register.last("camille") == (2, False, False, {})
    await register.put(persons=[NOA | {"deceased": True}])
    assert await register.last() == (5, True, True, {})
    assert await register.faults(persons=[MALIK | {"deceased": "2026-06-02"}]) == {
        "persons[0].deceased": "a death in the future"
    }


async def test_a_death_gives_the_heirs_and_an_error_takes_them_back(register: Register) -> None:
    """While the person lives an heir is nobody; of the dead they are named apart from who acts for the living."""
    heir = parent("malik", "camille", role="heir", scopes=["read"], attestation=True)
    assert await register.put(representations=[heir]) == {"new": 1}
    assert await register.said("camille") == []
    await register.put(persons=[CAMILLE | {"deceased": "2026-05-20"}])
    assert await register.last("camille") == (1, False, True, {})
    assert (await register.said("camille"))[-1]["heirs"] == [register.records["malik"]]
    await register.put(representations=[heir | {"until": "2026-06-01"}])
    assert (await register.said("camille"))[-1]["heirs"] == []
    await register.put(representations=[heir], persons=[CAMILLE | {"deceased": False}])
    assert (await register.said("camille"))[-1] | {"version": 0} == {
        "critical": [], "record": register.records["camille"], "version": 0, "minor": False, "deceased": False,
        "holders": [], "heirs": [],
    }  # fmt: skip


async def test_who_acts_for_the_living_may_be_an_heir_too(register: Register) -> None:
    """A caregiver who is registered as an heir stays a caregiver; each of the two is changed by itself."""
    heir = parent("malik", "camille", role="heir", scopes=["read"], attestation=True)
    assert await register.put(representations=[caregiver("malik", "camille"), heir]) == {"new": 2}
    assert await register.last("camille") == (1, False, False, {"malik": "caregiver"})
    assert await register.put(representations=[heir]) == {"unchanged": 1}
    await register.put(persons=[CAMILLE | {"deceased": True}])
    assert [(each["holders"], each["heirs"]) for each in (await register.said("camille"))[1:]] == [
        ([], [register.records["malik"]])
    ]
    assert await register.faults(representations=[heir, heir]) == {
        f"representations[{at}]": "this pair of persons stands twice in the file" for at in (0, 1)
    }


async def test_a_death_and_a_registration_at_once_see_each_other(register: Register) -> None:
    """Whichever comes first, no dead parent is left among the holders."""
    for number in range(10):
        child = person(f"child-{number}", 100 + number, birth_date=BORN.isoformat())
        dying = person(f"parent-{number}", 200 + number)
        await register.put(persons=[child, dying])
        await asyncio.gather(
            register.put(representations=[parent(f"parent-{number}", f"child-{number}")]),
            register.put(persons=[dying | {"deceased": True}]),
        )
        assert (await register.last(f"child-{number}"))[3] == {}


async def test_a_corrected_birth_date_changes_the_authority(register: Register) -> None:
    """An adult who is a child after all has a record that obeys the parents."""
    await register.put(representations=[parent("camille", "sacha")])
    assert await register.said("sacha") == []
    await register.put(persons=[person("sacha", 4, birth_date="2015-01-01")])
    assert await register.last("sacha") == (1, True, False, {"camille": "parent"})


async def test_three_caregivers_and_no_more(register: Register) -> None:
    """A fourth is refused with its path, whether the others stand in the file, in the register, or in both."""
    more = [person(f"care-{each}", 10 + each) for each in range(4)]
    await register.put(persons=more, representations=[caregiver("care-0"), caregiver("care-1")])
    reason = "at most 3 may act for one person as caregiver: others end by 'until'"
    found = await register.faults(representations=[caregiver("care-2"), caregiver("care-3")])
    assert found == {"representations[0]": reason, "representations[1]": reason}
    assert await register.last("malik") == (1, False, False, {"care-0": "caregiver", "care-1": "caregiver"})
    await register.put(representations=[caregiver("care-2")])
    assert await register.faults(representations=[caregiver("care-3")]) == {"representations[0]": reason}
    # One for the other, in one file and one event.
    await register.put(representations=[caregiver("care-3"), caregiver("care-0", until="2026-06-01")])
    assert set((await register.last("malik"))[3]) == {"care-1", "care-2", "care-3"}


async def test_three_caregivers_and_no_more_at_once(register: Register) -> None:
    """Of four who are registered at the same time, three are: the others are told to try again, and then why."""
    more = [person(f"care-{each}", 10 + each) for each in range(4)]
    await register.put(persons=more)
    said = await asyncio.gather(
        *(register.put(representations=[caregiver(f"care-{each}")]) for each in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, Crowded | RegistrationRefused) for each in said) == 1
    assert len((await register.last("malik"))[3]) == 3


async def test_a_file_with_unknown_people_is_refused_whole(register: Register) -> None:
    """Every reference that nobody has, and a pair that stands twice, has its path; nothing is written."""
    found = await register.faults(
        persons=[NOA],
        representations=[parent("camille"), parent("nobody"), parent("malik", "nobody"), parent("camille")],
    )
    assert found == {
        "representations[0]": "this pair of persons stands twice in the file",
        "representations[1].holder": "no person is registered under this reference",
        "representations[2].represented": "no person is registered under this reference",
        "representations[3]": "this pair of persons stands twice in the file",
    }
    assert await register.mongo["persons"].count_documents({}) == len(ADULTS)


async def test_no_beat_while_an_end_is_not_said(register: Register) -> None:
    """An authority that is over and not said yet stops the beats: who relies on it hears nothing, and refuses."""
    await register.put(persons=[NOA], representations=[parent("camille")])
    await register.mongo[OUTBOX].delete_many({})
    beats = Beats(register.mongo, register.people, lambda: register.now)
    await beats.prepare()
    assert await asyncio.wait_for(beats(), 2)
    register.now = OF_AGE
    round_ = asyncio.create_task(beats())
    await asyncio.sleep(0.3)
    assert not round_.done()
    await register.age()
    await asyncio.sleep(0.3)
    assert not round_.done()  # said, and not sent yet
    await register.mongo[OUTBOX].delete_many({})
    assert await asyncio.wait_for(round_, 2)


async def test_it_travels_under_the_represented_record(
    register: Register, engines: Engines, tap: Callable[[str], Awaitable[Tap]]
) -> None:
    """On the records' topic, in the partition of the record's opening, so that its reader sees both in one place."""
    listening = await tap(topic_of(RepresentationChanged))
    relay = Relay(register.mongo, engines.kafka, "identity-1")
    await relay.prepare()
    await register.put(persons=[NOA], representations=[parent("camille")])
    async with background(relay.run()):
        taken = await listening.take(6, 30)
    noa = register.records["noa"]
    told = [(each.partition, decode(each.headers, each.value)[1]) for each in taken if each.key == noa.encode()]
    assert len({partition for partition, _ in told}) == 1
    assert {type(fact) for _, fact in told} == {RecordOpened, RepresentationChanged}
    assert {fact.version for _, fact in told if isinstance(fact, RepresentationChanged)} == {1, 2}
