"""Consent's ports in memory. The conformance suite of tests/integration/consent runs on these and on MongoDB."""

import asyncio
from collections.abc import Sequence
from typing import Any

from chassis.sealing import new_key
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.record import Document
from services.consent.ports import Held, KeyMissing, Unconfirmed

_CHANGING = {"deposit", "directive", "other", "emergency"}
_Name = tuple[str, str, int]


class MemoryJournal:
    """Entries in lists; every call lets other tasks run first, as a database would."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Entry]] = {}

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Take in what neither version, cause nor place in the stream forbids."""
        await asyncio.sleep(0)
        return [self._append(each) for each in entries]

    def _append(self, new: Entry) -> bool:
        standing = self.entries.setdefault(new.record, [])
        for each in standing:
            if each.version == new.version or each.cause == new.cause or (each.stream, each.n) == (new.stream, new.n):
                return False
        standing.append(new)
        standing.sort(key=lambda each: each.version)
        return True

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

    async def page(self, record: str, before: int | None, limit: int) -> list[Entry]:
        """Return entries, the newest first."""
        await asyncio.sleep(0)
        found = [each for each in self.entries.get(record, []) if before is None or each.version < before]
        return found[::-1][:limit]


class MemoryKeys:
    """Document keys in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[_Name, tuple[bytes, Any]] = {}

    async def hold(self, documents: Sequence[tuple[str, Document]]) -> Sequence[Held]:
        """Create keys."""
        await asyncio.sleep(0)
        held = [Held(each, new_key(), "pending") for _, each in documents]
        for (record, each), new in zip(documents, held, strict=True):
            self.rows[record, each.id, each.version] = (new.key, "pending")
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
