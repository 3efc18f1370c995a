"""The treating doctor is told of an emergency: he alone, once it is announced, and the person reads that he was."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from chassis.sealing import Unsealable
from chassis.tokens import EVERY_RECORD
from chassis.web import create_app
from contracts.identity import EMERGENCY_REASONS
from services.consent.api.emergencies import emergencies_router
from services.consent.domain.entry import MAIN, Entry, Outcome
from services.consent.domain.flow import Action, Actor, Change, Reason
from services.consent.domain.record import Record
from services.consent.french.phrases import entry_view
from services.consent.inscribing import Inscribe
from services.consent.ledger import Ledger
from services.consent.ports import Fate, OutcomeUnknown, RecordUnknown
from services.consent.use_cases import read_emergencies
from services.consent.use_cases.announce import Announce
from services.consent.use_cases.read_emergencies import ReadEmergencies
from tests.unit.chassis.asgi import Answer, ask
from tests.unit.consent.memory import (
    MemoryDoctorNotices,
    MemoryJournal,
    MemoryNotices,
    MemoryReviews,
    MemorySnapshots,
    Unchanging,
)
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    DAY,
    INSURER,
    MOREAU,
    NOW,
    OTHER_RECORD,
    PETIT,
    RECORD,
    RULES,
    entry,
    flow,
    opening,
)
from tests.unit.consent.tokens import access_token, verifier

MOREAU_TREATS = Change("treating-doctor", f"person:{MOREAU.id}")
SECRET = "Patient inconscient, suspicion de surdosage"
EMPTY: dict[str, Any] = {"emergencies": [], "next": None}
HOUR = 3_600_000


class Surgery:
    """Two records, whoever announces their emergencies, and the doctors' route, on ports in memory."""

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self.journal, self.doctors, self.now = journal or MemoryJournal(), MemoryDoctorNotices(), NOW
        for record in (RECORD, OTHER_RECORD):
            self.journal.entries[record] = [opening(record)]
        self.notices = MemoryNotices(self.journal, MemoryReviews(), self.doctors)
        ledger = self.ledger()
        self.announce = Announce(self.notices, self.journal, ledger, lambda: self.now)
        inscribe = Inscribe(ledger, self.journal, Unchanging(RULES), lambda: self.now)
        room: Any = SimpleNamespace(verifier=verifier())
        room.read_emergencies = ReadEmergencies(self.doctors, self.journal, ledger, inscribe, lambda: self.now)
        self.app = create_app("consent", [emergencies_router(room)], {})

    def ledger(self) -> Ledger:
        """Return a process's memory of records."""
        return Ledger(self.journal, MemorySnapshots())

    def write(self, actor: Actor, action: Action, *, record: str = RECORD, **said: Any) -> Entry:
        """Write what an actor was allowed."""
        last = self.journal.entries[record][-1]
        asked = flow(actor, action, record=record, **said)
        outcome = Outcome("allowed", "rule", count=7, refused=(("hidden-by-patient", 3),))
        new = entry(Record(record, last.version, last.n), asked, outcome, self.now)
        self.journal.entries[record].append(new)
        return new

    def say(self, change: Change, record: str = RECORD) -> str:
        """Have the person begin or end a directive; return its id."""
        return self.write(CAMILLE, Action.CHANGE_DIRECTIVES, record=record, change=change).cause

    async def emergency(self, actor: Actor = PETIT, **said: Any) -> str:
        """Have an emergency open a record, and announce it; return the flow."""
        told: dict[str, Any] = {"purpose": "BTG", "reason": Reason("unconscious", SECRET)} | said
        access = self.write(actor, told.pop("action", Action.READ), **told)
        for each in await self.notices.due(10):
            await self.announce(each)
        return access.cause

    async def call(self, query: str = "", *, by: Actor = MOREAU, record: str = "") -> Answer:
        """Ask with the token of somebody; of every record, where there is such a token."""
        record = record or (EVERY_RECORD if by.kind == "professional" else RECORD)
        headers = {"authorization": f"Bearer {access_token(by, record=record)}"}
        return await ask(self.app, "GET", f"/consent/emergencies{query}", b"", headers)

    async def listed(self, query: str = "", **more: Any) -> Any:
        """Return what somebody is shown."""
        answer = await self.call(query, **more)
        assert answer.status == 200, answer
        return orjson.loads(answer.body)

    def kinds(self, record: str = RECORD) -> list[str]:
        """Return the kinds of a record's entries but for its first and its flows'."""
        return [each.kind for each in self.journal.entries[record] if each.kind not in {"opened", "decision"}]


@pytest.fixture
def surgery() -> Surgery:
    """Have Dr Moreau treat the first of two persons."""
    opened = Surgery()
    opened.say(MOREAU_TREATS)
    return opened


async def test_the_treating_doctor_reads_who_when_and_why(surgery: Surgery) -> None:
    """Record, time, name, profession, structure and the coded reason in French."""
    await surgery.emergency()
    (seen,) = (await surgery.listed())["emergencies"]
    assert (seen["record"], seen["at"][:10], seen["purpose"]) == (RECORD, "2026-05-28", "BTG")
    assert seen["who"] == {"name": "Dr Petit", "profession": "10", "organisation": "Cabinet Petit"}
    assert seen["reason"] == {"code": "unconscious", "label": EMERGENCY_REASONS["unconscious"]}
    assert seen["phrase"].startswith("Le 28 mai 2026 à ")
    assert seen["phrase"].endswith(
        "Dr Petit (Cabinet Petit) a ouvert ce dossier en urgence, sans accord préalable. "
        "Motif : « La personne est inconsciente »."
    )


async def test_he_learns_nothing_of_the_record(surgery: Surgery) -> None:
    """Neither the other's own words nor a count, a document or a rule; and nothing of them stands in the row."""
    await surgery.emergency(action=Action.LIST)
    said = (await surgery.call()).body.decode()
    assert not any(word in said for word in (SECRET, "count", "rule", "refused", "hidden", "list"))
    (row,) = surgery.doctors.rows.values()
    assert {name: getattr(row, name) for name in row.__slots__} == {
        "record": RECORD, "flow": row.flow, "doctor": MOREAU.id, "at": NOW,
    }  # fmt: skip


async def test_the_person_reads_once_that_he_was_told(surgery: Surgery) -> None:
    """Nothing before he looks; one entry for each access however often he looks, a request like another's."""
    first = await surgery.emergency()
    assert surgery.kinds() == []
    for _ in range(2):
        await surgery.listed()
    (told,) = (each for each in surgery.journal.entries[RECORD] if each.kind == "told-doctor")
    assert (told.leaf_class, told.announces, told.stream, told.cause) == ("request", None, MAIN, f"doctor-told-{first}")
    view = entry_view(told, RULES)
    assert (view["flow"], view["who"]["id"]) == (first, MOREAU.id)
    assert (
        "le médecin traitant, Dr Moreau (Cabinet Moreau, logiciel Logiciel Moreau), a été averti de l'accès"
        in (view["phrase"])
    )
    assert "l'accès en urgence du 28 mai 2026 à" in view["phrase"]
    surgery.now += 2 * HOUR
    await surgery.emergency()
    await surgery.listed()
    assert surgery.kinds() == ["told-doctor", "told-doctor"]


@pytest.mark.parametrize(
    "by",
    [
        PETIT, COLLEAGUE, CAMILLE, INSURER, replace(MOREAU, application_kind="insurer"),
        replace(MOREAU, application_kind="patient-frontend"), replace(MOREAU, kind="application"),
        replace(CAMILLE, id=MOREAU.id),
    ],
)  # fmt: skip
async def test_nobody_else_is_told(surgery: Surgery, by: Actor) -> None:
    """The same empty list as where nothing ever happened, and no entry."""
    before = await surgery.call(by=by)
    await surgery.emergency()
    after = await surgery.call(by=by)
    assert (after.status, after.body) == (before.status, before.body)
    assert orjson.loads(after.body) == EMPTY
    assert surgery.kinds() == []
    assert (await ask(surgery.app, "GET", "/consent/emergencies")).status == 401


async def test_he_is_not_told_of_what_he_did_himself(surgery: Surgery) -> None:
    """His own emergency makes no row; that of a colleague of his does."""
    await surgery.emergency(MOREAU)
    assert surgery.doctors.rows == {}
    await surgery.emergency(COLLEAGUE)
    assert len((await surgery.listed())["emergencies"]) == 1


async def test_looks_of_the_same_hour_are_told_once(surgery: Surgery) -> None:
    """What the person is told with another, he is told with it too."""
    for _ in range(3):
        await surgery.emergency()
        surgery.now += 60_000
    assert len((await surgery.listed())["emergencies"]) == 1


async def test_care_that_was_declared_is_not_his_to_know(surgery: Surgery) -> None:
    """Only emergencies are told him: who else cares for her is hers."""
    surgery.write(PETIT, Action.DECLARE_CARE)
    for each in await surgery.notices.due(10):
        await surgery.announce(each)
    assert len(surgery.notices.told) == 1
    assert surgery.doctors.rows == {}


@pytest.mark.parametrize(
    "then",
    [
        (Change("end"),),
        (Change("block", f"person:{MOREAU.id}"),),
        (Change("block", f"organisation:{MOREAU.organisation}"),),
        (Change("treating-doctor", f"person:{COLLEAGUE.id}"),),
        (Change("block", f"person:{MOREAU.id}"), Change("end")),
        (Change("block", f"organisation:{MOREAU.organisation}"), Change("end")),
        (Change("block", f"organisation:{MOREAU.organisation}"), MOREAU_TREATS),
    ],
    ids=[
        "ended",
        "blocked",
        "structure blocked",
        "another",
        "block lifted",
        "structure's block lifted",
        "declared again, structure still blocked",
    ],
)
async def test_who_treats_her_no_more_is_shown_nothing(then: tuple[Change, ...]) -> None:
    """Judged again at reading: an empty list, without a hint that something stands; and nobody else inherits it."""
    surgery = Surgery()
    said = surgery.say(MOREAU_TREATS)
    await surgery.emergency()
    for each in then:
        said = surgery.say(replace(each, ends=said) if each.kind == "end" else each)
    assert await surgery.listed("?_count=1") == EMPTY
    assert await surgery.listed(by=COLLEAGUE) == EMPTY
    assert surgery.kinds() == []


@pytest.mark.parametrize(
    "first",
    [
        (),
        (Change("block", f"person:{MOREAU.id}"), MOREAU_TREATS),
        (MOREAU_TREATS, Change("block", f"person:{MOREAU.id}")),
        (replace(MOREAU_TREATS, until=NOW),),
        (MOREAU_TREATS, Change("treating-doctor", f"person:{PETIT.id}")),
        (Change("authorise", f"person:{MOREAU.id}"),),
    ],
    ids=["nobody", "blocked before", "blocked since", "over", "another", "only authorised"],
)
async def test_who_does_not_treat_her_then_is_never_told(first: tuple[Change, ...]) -> None:
    """Judged at the announcement: declared afterwards, he reads nothing of what was before him."""
    surgery = Surgery()
    for each in first:
        surgery.say(each)
    await surgery.emergency()
    assert surgery.doctors.rows == {}
    surgery.say(MOREAU_TREATS)
    assert await surgery.listed() == EMPTY


async def test_a_token_of_one_record_shows_that_record_s_only(surgery: Surgery) -> None:
    """A token names one record; that of a doctor's software may name them all (`public`)."""
    surgery.say(MOREAU_TREATS, OTHER_RECORD)
    await surgery.emergency()
    surgery.now += 1
    await surgery.emergency(record=OTHER_RECORD)
    assert [each["record"] for each in (await surgery.listed())["emergencies"]] == [OTHER_RECORD, RECORD]
    assert [each["record"] for each in (await surgery.listed(record=RECORD))["emergencies"]] == [RECORD]


async def test_pages_hold_each_once_and_never_count_what_is_hidden(
    surgery: Surgery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest first; where the rest is of a patient whom he treats no more, there is no next page."""
    monkeypatch.setattr(read_emergencies, "_BATCH", 2)
    surgery.say(MOREAU_TREATS, OTHER_RECORD)
    for number in range(5):
        surgery.now += 2 * HOUR
        await surgery.emergency(record=OTHER_RECORD if number < 2 else RECORD)
    seen, query = list[str](), "?_count=2"
    while query:
        page = await surgery.listed(query)
        seen += [each["at"] for each in page["emergencies"]]
        query = (page["next"] or "").removeprefix("/consent/emergencies")
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)
    surgery.say(Change("treating-doctor", f"person:{PETIT.id}"), OTHER_RECORD)
    page = await surgery.listed("?_count=3")
    assert ([each["record"] for each in page["emergencies"]], page["next"]) == ([RECORD] * 3, None)


async def test_only_what_is_shown_is_written(surgery: Surgery) -> None:
    """A page of one is one entry, though a second access was looked at to know whether there is a next page."""
    for _ in range(2):
        await surgery.emergency()
        surgery.now += 2 * HOUR
    assert (await surgery.listed("?_count=1"))["next"] is not None
    assert surgery.kinds() == ["told-doctor"]


async def test_what_could_not_be_written_is_not_shown(surgery: Surgery) -> None:
    """When the database does not say whether the entry stands, he is shown nothing."""

    class Mute(MemoryJournal):
        async def append(self, entries: Any) -> list[Fate]:  # noqa: ARG002 - the port's
            raise OutcomeUnknown

    surgery = Surgery(Mute())
    surgery.say(MOREAU_TREATS)
    await surgery.emergency()
    answer = await surgery.call()
    assert (answer.status, b"Petit" in answer.body) == (503, False)


@pytest.mark.parametrize("error", [Unsealable(), RecordUnknown()])
async def test_what_cannot_be_read_hides_no_other(error: Exception) -> None:
    """One record's row was altered, or its key destroyed: he still sees the others', and the person was told."""

    class Broken(MemoryJournal):
        broken = False

        async def by_cause(self, record: str, cause: str) -> Entry | None:
            if self.broken and record == OTHER_RECORD:
                raise error
            return await super().by_cause(record, cause)

    journal = Broken()
    surgery = Surgery(journal)
    for record in (RECORD, OTHER_RECORD):
        surgery.say(MOREAU_TREATS, record)
        await surgery.emergency(record=record)
    journal.broken = True
    assert [each["record"] for each in (await surgery.listed())["emergencies"]] == [RECORD]


async def test_a_record_that_cannot_be_folded_silences_nobody_but_the_doctor(
    surgery: Surgery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows who treats her: the person is told all the same, and the review is opened."""

    async def fails(record: str) -> None:  # noqa: ARG001 - the ledger's
        raise Unsealable

    monkeypatch.setattr(surgery.announce._ledger, "folded", fails)
    access = await surgery.emergency()
    assert [each.flow for each in surgery.notices.told] == [access]
    assert surgery.doctors.rows == {}


@pytest.mark.parametrize("purpose", ["BTG", "ETREAT"])
@pytest.mark.parametrize(
    "reason", [None, Reason("unheard-of", "x"), *(Reason(each, "x") for each in EMERGENCY_REASONS)]
)
async def test_every_emergency_has_a_sentence(surgery: Surgery, purpose: str, reason: Reason | None) -> None:
    """Whatever the code, a whole sentence; one that nobody knows any more stands as it is."""
    await surgery.emergency(purpose=purpose, reason=reason)
    (seen,) = (await surgery.listed())["emergencies"]
    told = EMERGENCY_REASONS.get(reason.code, reason.code) if reason else None
    assert seen["phrase"].endswith(f". Motif : « {told} »." if told else ". Aucun motif n'a été donné.")
    assert purpose not in seen["phrase"]


async def test_a_year_later_the_directive_may_be_over(surgery: Surgery) -> None:
    """A treating doctor until a day is shown nothing from that day on."""
    surgery.say(replace(MOREAU_TREATS, until=NOW + DAY))
    await surgery.emergency()
    assert len((await surgery.listed())["emergencies"]) == 1
    surgery.now += DAY
    assert await surgery.listed() == EMPTY


@pytest.mark.parametrize("query", ["?before=x", "?before=1.x", "?_count=0", "?_count=51"])
async def test_a_malformed_page_is_refused(surgery: Surgery, query: str) -> None:
    """422, and nothing is written."""
    await surgery.emergency()
    assert (await surgery.call(query)).status == 422
    assert surgery.kinds() == []
