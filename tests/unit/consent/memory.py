"""Consent's ports in memory. The conformance suite of tests/integration/consent runs on these and on MongoDB."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from chassis.sealing import canonical, digest, new_key
from chassis.tokens import EVERY_RECORD
from services.consent.domain.document import Document, month_after
from services.consent.domain.entry import MAIN, Entry, Reviewing
from services.consent.domain.flow import UNANNOUNCED, Flow
from services.consent.domain.record import Record
from services.consent.domain.repeating import alike
from services.consent.domain.review import Review
from services.consent.domain.rules import Rules
from services.consent.domain.snapshot import dump, load
from services.consent.domain.treating_doctor import DoctorNotice
from services.consent.ports import Counted, Due, Fate, Held, Kept, KeyMissing, Unconfirmed, UnknownRules, Window

_CHANGING = {"deposit", "directive", "other", "emergency"}
_Name = tuple[str, str, int]


class MemoryJournal:
    """Entries in lists; every call lets other tasks run first, as a database would."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self.policies: str | None = None

    async def append(self, entries: Sequence[Entry]) -> list[Fate]:
        """Take in what neither the rules demanded, version, cause nor place in the stream forbids."""
        await asyncio.sleep(0)
        return [self._append(each) for each in entries]

    def _append(self, new: Entry) -> Fate:
        if self.policies not in {None, new.policies}:
            return Fate.OUTDATED
        standing = self.entries.setdefault(new.record, [])
        for each in standing:
            if each.version == new.version or each.cause == new.cause or (each.stream, each.n) == (new.stream, new.n):
                return Fate.TAKEN
        standing.append(new)
        standing.sort(key=lambda each: each.version)
        return Fate.STANDS

    async def demand(self, policies: str) -> None:
        """Take in entries of these rules only."""
        await asyncio.sleep(0)
        self.policies = policies

    async def demanded(self) -> str | None:
        """Return what is taken in."""
        await asyncio.sleep(0)
        return self.policies

    async def append_together(self, entries: Sequence[Entry]) -> Fate:
        """Take in all of a verdict, or none."""
        await asyncio.sleep(0)
        standing = {each: list(held) for each, held in self.entries.items()}
        for each in entries:
            if (fate := self._append(each)) is not Fate.STANDS:
                self.entries = standing
                return fate
        return Fate.STANDS

    async def last(self, record: str, stream: str) -> int:
        """Return a stream's newest number."""
        await asyncio.sleep(0)
        return max((each.n for each in self.entries.get(record, []) if each.stream == stream), default=0)

    async def seen(self, record: str, streams: Collection[str], before: int | None, limit: int) -> list[Entry]:
        """Return entries of some streams, the newest first."""
        await asyncio.sleep(0)
        standing = self.entries.get(record, [])
        main = [each for each in standing if each.stream == MAIN and (before is None or each.n < before)][::-1][:limit]
        edge = next((each.version for each in standing if each.stream == MAIN and each.n == before), None)
        low = main[-1].version if len(main) == limit else 0
        others = [
            each
            for each in standing
            if each.stream in streams and each.stream != MAIN and each.version > low
            and (edge is None or each.version < edge)
        ]  # fmt: skip
        return sorted([*main, *others], key=lambda each: each.version, reverse=True)

    async def head(self, record: str) -> tuple[int, int] | None:
        """Return the newest version, and the newest number of the main stream."""
        await asyncio.sleep(0)
        standing = self.entries.get(record)
        if not standing:
            return None
        return standing[-1].version, max((each.n for each in standing if each.stream == MAIN), default=0)

    async def changing(self, record: str, after: int, to: int) -> list[Entry]:
        """Return what may change a state between two versions."""
        await asyncio.sleep(0)
        return [each for each in self.entries[record] if after < each.version <= to and each.leaf_class in _CHANGING]

    async def by_cause(self, record: str, cause: str) -> Entry | None:
        """Return the entry of a cause."""
        await asyncio.sleep(0)
        return next((each for each in self.entries.get(record, []) if each.cause == cause), None)

    async def caused(self, record: str, causes: Collection[str]) -> set[str]:
        """Return which causes have an entry."""
        await asyncio.sleep(0)
        return {each.cause for each in self.entries.get(record, []) if each.cause in causes}

    async def page(  # noqa: PLR0917 - the port's
        self, record: str, before: int | None, limit: int, since: int | None = None, until: int | None = None,
        streams: Collection[str] | None = None,
    ) -> list[Entry]:  # fmt: skip
        """Return entries, the newest first."""
        await asyncio.sleep(0)
        found = [
            each
            for each in self.entries.get(record, [])
            if (before is None or each.version < before)
            and (since is None or since <= each.at)
            and (until is None or each.at < until)
            and (streams is None or each.stream in streams)
        ]
        return found[::-1][:limit]

    async def emergencies(self, record: str, to: int) -> list[Entry]:
        """Return what an emergency opened, up to a version."""
        await asyncio.sleep(0)
        found = [each for each in self.entries[record] if each.version <= to and each.stream == MAIN]
        return [each for each in found if each.leaf_class == "emergency"]


class MemoryBundles:
    """Bundles in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, Kept] = {}

    async def keep(self, kept: Kept) -> None:
        """Keep one."""
        await asyncio.sleep(0)
        self.rows[kept.bundle.digest] = kept

    async def kept(self, digest: str) -> Kept:
        """Return one."""
        await asyncio.sleep(0)
        if digest not in self.rows:
            raise UnknownRules(digest)
        return self.rows[digest]


class MemoryRecordKeys:
    """Which records have a key."""

    def __init__(self) -> None:
        self.known: dict[str, bytes] = {}

    async def key(self, record: str) -> bytes:
        """Return a key."""
        return self.known[record]

    async def create(self, record: str) -> bool:
        """Create a key."""
        new = record not in self.known
        self.known.setdefault(record, new_key())
        return new


class Unchanging:
    """Rules that are in force for good."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    async def renew(self, than: Rules) -> None:
        """Nothing is newer."""

    def judged_by(self, digest: str) -> Rules:  # noqa: ARG002 - the port's
        """Return the only rules."""
        return self.rules


class MemoryKeys:
    """Document keys in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[_Name, tuple[bytes, Any]] = {}
        self.visible_at: dict[tuple[str, str], int] = {}

    async def hold(self, documents: Sequence[tuple[str, Document]]) -> Sequence[Held]:
        """Create keys."""
        await asyncio.sleep(0)
        held = [Held(each, new_key(), "pending") for _, each in documents]
        for (record, each), new in zip(documents, held, strict=True):
            self.rows[record, each.id, each.version] = (new.key, "pending")
            if UNANNOUNCED in each.visibility:
                self.visible_at[record, each.id] = month_after(each.deposited_at)
        return held

    async def release(self, wanted: Sequence[tuple[str, Sequence[Document]]]) -> Sequence[tuple[Held, ...]]:
        """Return the keys that stand."""
        await asyncio.sleep(0)
        return [
            tuple(
                Held(each, *self.rows[name]) for each in asked if (name := (record, each.id, each.version)) in self.rows
            )
            for record, asked in wanted
        ]

    async def confirm(self, record: str, document: str, version: int, digest: str) -> None:  # noqa: ARG002 - the port's
        """Make a row live."""
        if (row := self.rows.get((record, document, version))) is None:
            raise KeyMissing
        self.rows[record, document, version] = (row[0], "live")

    async def destroy(self, record: str, document: str, version: int) -> bool:
        """Destroy a pending key."""
        name = (record, document, version)
        return name in self.rows and self.rows[name][1] == "pending" and bool(self.rows.pop(name))

    async def pending_since(self, before_ms: int, limit: int) -> list[Unconfirmed]:  # noqa: ARG002 - rows have no age
        """Return what is pending."""
        return [Unconfirmed(*name) for name, (_, state) in self.rows.items() if state == "pending"][:limit]

    async def unannounced_since(self, now: int, limit: int) -> list[tuple[str, str]]:
        """Return what became visible by itself."""
        await asyncio.sleep(0)
        return [name for name, at in self.visible_at.items() if at <= now][:limit]

    async def told(self, record: str, document: str) -> None:
        """Forget when it becomes visible."""
        self.visible_at.pop((record, document), None)


class MemorySnapshots:
    """States in a dictionary, through their own form."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}

    async def load(self, record: str) -> Record | None:
        """Return a state."""
        await asyncio.sleep(0)
        return load(record, self.held[record]) if record in self.held else None

    async def save(self, state: Record) -> None:
        """Keep a state as it is now."""
        self.held[state.id] = dump(state)
        await asyncio.sleep(0)

    async def drop(self, record: str) -> None:
        """Forget a state."""
        self.held.pop(record, None)


class MemoryReviews:
    """Reviews in a dictionary, with the answers beside them."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Review] = {}
        self.answers: dict[tuple[str, str], Reviewing] = {}

    def open(self, review: Review) -> None:
        """Open a review; one that stands stays."""
        self.rows.setdefault((review.record, review.flow), review)

    async def owed(self, organisation: str, record: str, after: tuple[int, str] | None, limit: int) -> list[Review]:
        """Return open reviews, the oldest first."""
        await asyncio.sleep(0)
        mine = [each for each in self._of(organisation, record) if each.state == "open"]
        found = sorted(mine, key=lambda each: (each.opened_at, each.flow))
        return [each for each in found if after is None or (each.opened_at, each.flow) > after][:limit]

    async def find(self, organisation: str, record: str, flow: str) -> Review | None:
        """Return a review, an open one first."""
        await asyncio.sleep(0)
        found = [each for each in self._of(organisation, record) if each.flow == flow]
        return max(found, key=lambda each: each.state, default=None)

    async def close(self, review: Review, said: Reviewing) -> None:
        """Close a review; a closed one stays."""
        name = (review.record, review.flow)
        if self.rows[name].state == "open":
            self.rows[name], self.answers[name] = replace(review, state="closed"), said

    def _of(self, organisation: str, record: str) -> list[Review]:
        return [
            each
            for each in self.rows.values()
            if each.organisation == organisation and record in {EVERY_RECORD, each.record}
        ]


class MemoryDoctorNotices:
    """What treating doctors are to be told, in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], DoctorNotice] = {}

    def add(self, notice: DoctorNotice) -> None:
        """Add a row; one that stands stays."""
        self.rows.setdefault((notice.record, notice.flow), notice)

    async def of(self, doctor: str, record: str, before: tuple[int, str] | None, limit: int) -> list[DoctorNotice]:
        """Return what a doctor is to be told, the newest first."""
        await asyncio.sleep(0)
        his = [
            each for each in self.rows.values() if each.doctor == doctor and record in {EVERY_RECORD, each.record}
        ]  # fmt: skip
        found = sorted(his, key=lambda each: (each.at, each.flow), reverse=True)
        return [each for each in found if before is None or (each.at, each.flow) < before][:limit]


class MemoryNotices:
    """What is due, by the journal in memory, and what was told."""

    def __init__(
        self, journal: MemoryJournal, reviews: MemoryReviews, doctors: "MemoryDoctorNotices | None" = None
    ) -> None:
        self._journal, self._reviews, self._doctors = journal, reviews, doctors or MemoryDoctorNotices()
        self._settled: set[tuple[str, str]] = set()
        self.told: list[Due] = []
        self.revealed: list[tuple[str, str]] = []

    async def due(self, limit: int) -> list[Due]:
        """Return what must be told and was not."""
        await asyncio.sleep(0)
        found = [
            Due(each.record, each.cause, each.version, each.announces, each.at)
            for entries in self._journal.entries.values()
            for each in entries
            if each.announces and (each.record, each.cause) not in self._settled
        ]
        return sorted(found, key=lambda each: each.at)[:limit]

    async def tell(self, each: Due, review: Review | None = None, doctor: DoctorNotice | None = None) -> bool:
        """Tell what is due."""
        await asyncio.sleep(0)
        if (each.record, each.flow) in self._settled:
            return False
        self._settled.add((each.record, each.flow))
        self.told.append(each)
        if review is not None:
            self._reviews.open(review)
        if doctor is not None:
            self._doctors.add(doctor)
        return True

    async def reveal(self, each: Due, documents: Sequence[str]) -> bool:
        """Tell of what is hers now."""
        await asyncio.sleep(0)
        if (each.record, each.flow) in self._settled:
            return False
        self._settled.add((each.record, each.flow))
        self.revealed += [(each.record, document) for document in documents]
        return True

    async def pass_over(self, each: Due) -> None:
        """Settle without telling."""
        self._settled.add((each.record, each.flow))


class MemoryWindows:
    """Windows in a dictionary, named by what their refusals have in common; they count by the rules of a journal."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self.rows: dict[str, Window] = {}
        self.ended: set[str] = set()
        self._digests: dict[str, dict[str, str]] = {}

    async def open(self, first: Entry, until: int) -> None:
        """Open one."""
        await asyncio.sleep(0)
        name = self._name(first, until)
        if name not in self.rows:
            self.rows[name], self._digests[name] = Window(name, first.clear, until, 0, first.at), {}

    async def look(self, entry: Entry, until: int) -> Window | None:
        """Return one."""
        await asyncio.sleep(0)
        return self.rows.get(self._name(entry, until))

    async def count(self, window: Window, flow: Flow, at: int) -> Counted:
        """Count once."""
        await asyncio.sleep(0)
        now, counted = self.rows.get(window.name), self._digests.get(window.name, {})
        if now is None or now.first["cause"] != window.first["cause"]:
            return Counted.OVER
        if flow.id in counted:
            return Counted.COUNTED if counted[flow.id] == flow.digest else Counted.OTHER
        if window.name in self.ended or now.until <= at:
            return Counted.OVER
        if self._journal.policies not in {None, now.first["policies"]}:
            return Counted.OUTDATED
        counted[flow.id] = flow.digest
        self.rows[window.name] = replace(
            now, times=now.times + 1, last=max(now.last, at), flows=(*now.flows, flow.id)
        )  # fmt: skip
        return Counted.COUNTED

    async def over(self, before: int, after: str, limit: int) -> list[Window]:
        """Return what is over."""
        await asyncio.sleep(0)
        found = [each for name, each in sorted(self.rows.items()) if each.until < before and name > after]
        return found[:limit]

    async def end(self, window: Window) -> Window:
        """End one."""
        await asyncio.sleep(0)
        self.ended.add(window.name)
        return self.rows.get(window.name, window)

    async def drop(self, window: Window) -> None:
        """Forget one."""
        await asyncio.sleep(0)
        if window.name in self.rows and self.rows[window.name].first["cause"] == window.first["cause"]:
            del self.rows[window.name]
            self.ended.discard(window.name)

    @staticmethod
    def _name(entry: Entry, until: int) -> str:
        return f"{entry.record}:{digest(canonical(alike(entry) | {'until': until}))}"


class MemoryBeats:
    """How far identity was heard, in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[int, int]] = {}

    async def note(self, partition: int, at: int, offset: int) -> None:
        """Keep the newest."""
        await asyncio.sleep(0)
        if partition not in self.rows or self.rows[partition][0] < at:
            self.rows[partition] = (at, offset)

    async def heard(self) -> dict[int, int]:
        """Return until when each partition was heard."""
        await asyncio.sleep(0)
        return {partition: at for partition, (at, _) in self.rows.items()}


class MemoryProjection:
    """The records of which nothing was heard: none, unless a test names them."""

    def __init__(self, *unheard: str) -> None:
        self.unheard = set(unheard)

    def stale(self, record: str) -> bool:
        """Say whether it is one of them."""
        return record in self.unheard
