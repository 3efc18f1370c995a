"""Whom a record obeys: written once a state, never an older one over a newer one, whatever the order of the events."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from chassis.consuming import DependencyUnreachable, Handler
from contracts.identity import Holder as Said
from contracts.identity import RecordOpened, RepresentationChanged
from contracts.registry import Envelope
from services.consent import consumers, inscribing
from services.consent.domain.entry import Entry
from services.consent.domain.record import Record
from services.consent.domain.representation import Holder, Representation
from services.consent.french.phrases import entry_view
from services.consent.inscribing import Inscribe
from services.consent.ledger import Ledger
from services.consent.ports import Fate, RecordUnknown
from services.consent.use_cases.abandon_deposit import AbandonDeposit
from services.consent.use_cases.confirm_deposit import ConfirmDeposit
from services.consent.use_cases.note_beat import NoteBeat
from services.consent.use_cases.open_record import OpenRecord
from services.consent.use_cases.represent_record import RepresentRecord
from tests.unit.consent.memory import MemoryBeats, MemoryJournal, MemoryKeys, MemorySnapshots, Unchanging
from tests.unit.consent.people import NOW, OTHER_RECORD, RECORD, RULES, folded, opening

PARENT = Holder(OTHER_RECORD, "parent", ("govern", "read"))
CHILD = Representation(1, minor=True, deceased=False, holders=(PARENT,))
OF_AGE = Representation(2, minor=False, deceased=False)


def clock() -> int:
    """Return the time of these tests."""
    return NOW


@dataclass
class Room:
    """A journal in memory, and so many processes over it."""

    journal: MemoryJournal

    def process(self) -> RepresentRecord:
        """Return the use case of a process of its own."""
        ledger = Ledger(self.journal, MemorySnapshots())
        return RepresentRecord(Inscribe(ledger, self.journal, Unchanging(RULES), clock))

    @property
    def said(self) -> list[Representation | None]:
        """Return the states in the journal, the oldest first."""
        return [each.representation for each in self.journal.entries[RECORD] if each.kind == "represented"]

    @property
    def record(self) -> Record:
        """Return the state that the journal tells."""
        return folded(self.journal.entries[RECORD])


@pytest.fixture
def room() -> Room:
    """Open one record."""
    journal = MemoryJournal()
    journal.entries[RECORD] = [opening()]
    return Room(journal)


async def test_a_record_obeys_whom_identity_names(room: Room) -> None:
    """The entry stands in the main stream under the event's id, says nothing in clear, and changes verdicts."""
    untold = room.record
    assert untold.represented is None
    await room.process()(RECORD, CHILD, "event-1")
    newest = room.journal.entries[RECORD][-1]
    assert (newest.kind, newest.leaf_class, newest.stream, newest.n) == ("represented", "other", "main", 2)
    assert (newest.cause, newest.at, newest.policies) == ("event-1", NOW, RULES.digest)
    assert OTHER_RECORD not in str(newest.clear)
    assert Entry.read(newest.clear, newest.private) == newest
    assert (room.record.represented, room.record.last_change) == (CHILD, newest.version)


async def test_an_event_that_comes_again_writes_nothing(room: Room) -> None:
    """The same event twice, to one process or to several at once, is one entry."""
    process = room.process()
    await process(RECORD, CHILD, "event-1")
    await process(RECORD, CHILD, "event-1")
    await asyncio.gather(*(room.process()(RECORD, CHILD, "event-1") for _ in range(8)))
    assert room.said == [CHILD]


async def test_an_older_state_never_overwrites_a_newer_one(room: Room) -> None:
    """What arrives late is passed over, also as another event and from another process."""
    await room.process()(RECORD, OF_AGE, "event-2")
    await room.process()(RECORD, CHILD, "event-1")
    await room.process()(RECORD, replace(CHILD, version=2), "event-3")
    assert room.said == [OF_AGE]


async def test_many_states_at_once_leave_the_newest(room: Room) -> None:
    """Whatever the order in which processes write, versions in the journal only grow, up to the last."""
    states = [replace(CHILD, version=version) for version in range(1, 9)]
    await asyncio.gather(*(room.process()(RECORD, each, f"event-{each.version}") for each in reversed(states)))
    versions = [each.version for each in room.said if each]
    assert versions == sorted(set(versions))
    assert room.record.represented == states[-1]


async def test_a_record_that_is_not_open_is_not_written_to(room: Room) -> None:
    """There is no key to write with."""
    with pytest.raises(RecordUnknown):
        await room.process()(OTHER_RECORD, CHILD, "event-1")
    assert OTHER_RECORD not in room.journal.entries


class _RecordKeys:
    """Record keys that count."""

    def __init__(self) -> None:
        self.created: set[str] = set()

    async def create(self, record: str) -> bool:
        """Create a key."""
        known = record in self.created
        self.created.add(record)
        return not known

    async def key(self, record: str) -> bytes:
        """Return a key."""
        raise NotImplementedError(record)


class _Bound:
    """Stands where Consuming does: keeps what is bound to which fact."""

    def __init__(self) -> None:
        self.handlers: dict[type, Handler] = {}

    def on(self, _: str, *facts: tuple[type, Handler]) -> None:
        """Bind."""
        self.handlers |= dict(facts)


@pytest.mark.parametrize("first", ["opened", "represented"])
async def test_the_opening_and_the_representation_come_in_any_order(first: str) -> None:
    """A child's record is opened and represented at once: two entries, and the same state, either way."""
    journal, bound = MemoryJournal(), _Bound()
    ledger = Ledger(journal, MemorySnapshots())
    consumers.subscribe(
        bound,  # type: ignore[arg-type]
        OpenRecord(journal, _RecordKeys(), Unchanging(RULES), clock),
        RepresentRecord(Inscribe(ledger, journal, Unchanging(RULES), clock)),
        ConfirmDeposit(MemoryKeys()),
        AbandonDeposit(ledger, journal, MemoryKeys(), Unchanging(RULES), clock),
        noting=NoteBeat(MemoryBeats(), clock),
    )
    holders = (Said(holder=OTHER_RECORD, role="parent", scopes=("govern", "read")),)
    opened = RecordOpened(record=RECORD, version=1, identity_status="qualified")
    represented = RepresentationChanged(record=RECORD, version=1, minor=True, deceased=False, holders=holders)
    facts = [opened, represented] if first == "opened" else [represented, opened]
    for fact in facts * 2:
        envelope = Envelope(source="carnet/identity", type=fact.TYPE, subject=RECORD, correlation_id="c", id=fact.TYPE)
        await bound.handlers[type(fact)](envelope, fact)
    assert [each.kind for each in journal.entries[RECORD]] == ["opened", "represented"]
    assert folded(journal.entries[RECORD]).represented == CHILD


async def test_heirs_are_journalled_as_holders_who_may_ask_to_read(room: Room) -> None:
    """Identity names them apart from who acts for the living; the record obeys them in a role of their own."""
    bound, ledger, in_force = _Bound(), Ledger(room.journal, MemorySnapshots()), Unchanging(RULES)
    consumers.subscribe(
        bound,  # type: ignore[arg-type]
        OpenRecord(room.journal, _RecordKeys(), in_force, clock),
        RepresentRecord(Inscribe(ledger, room.journal, in_force, clock)),
        ConfirmDeposit(MemoryKeys()),
        AbandonDeposit(ledger, room.journal, MemoryKeys(), in_force, clock),
        noting=NoteBeat(MemoryBeats(), clock),
    )
    fact = RepresentationChanged(
        record=RECORD, version=1, minor=False, deceased=True, holders=(), heirs=(OTHER_RECORD,)
    )  # fmt: skip
    envelope = Envelope(source="carnet/identity", type=fact.TYPE, subject=RECORD, correlation_id="c")
    await bound.handlers[RepresentationChanged](envelope, fact)
    assert room.record.held_by(OTHER_RECORD) == Holder(OTHER_RECORD, "heir", ("read",))


async def test_an_event_that_never_came_to_its_turn_waits(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may write without rest into the same record: that makes no dead letter of whom the record obeys."""
    bound, ledger, in_force = _Bound(), Ledger(room.journal, MemorySnapshots()), Unchanging(RULES)
    consumers.subscribe(
        bound,  # type: ignore[arg-type]
        OpenRecord(room.journal, _RecordKeys(), in_force, clock),
        RepresentRecord(Inscribe(ledger, room.journal, in_force, clock)),
        ConfirmDeposit(MemoryKeys()),
        AbandonDeposit(ledger, room.journal, MemoryKeys(), in_force, clock),
        noting=NoteBeat(MemoryBeats(), clock),
    )

    async def taken(entries: list[Entry]) -> list[Fate]:
        return [Fate.TAKEN for _ in entries]

    monkeypatch.setattr(room.journal, "append", taken)
    monkeypatch.setattr(inscribing, "_TURN_SECONDS", 0)
    fact = RepresentationChanged(record=RECORD, version=1, minor=False, deceased=False, holders=())
    envelope = Envelope(source="carnet/identity", type=fact.TYPE, subject=RECORD, correlation_id="c")
    with pytest.raises(DependencyUnreachable):
        await bound.handlers[RepresentationChanged](envelope, fact)


async def test_the_patient_reads_that_it_changed(room: Room) -> None:
    """In French, and not as anything else."""
    await room.process()(RECORD, CHILD, "event-1")
    view = entry_view(room.journal.entries[RECORD][-1], RULES)
    assert view["kind"] == "represented"
    assert view["phrase"].startswith("Carnet a appris qui peut agir pour vous, le ")
