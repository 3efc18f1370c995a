"""What consent needs of the world, as promises."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal, Protocol

from services.consent.domain.bundle import Bundle
from services.consent.domain.document import Document
from services.consent.domain.entry import Announced, Entry, Reviewing
from services.consent.domain.flow import Flow
from services.consent.domain.record import Record
from services.consent.domain.review import Review
from services.consent.domain.rules import Rules
from services.consent.domain.treating_doctor import DoctorNotice

Clock = Callable[[], int]
"""Unix time in milliseconds."""

CLOCKS_APART_MS = 2_000
"""How far two processes' clocks may be apart: a question lives two seconds, so nothing is judged beyond this either."""


class RecordUnknown(LookupError):
    """No record key: the record was never opened here, or its key was destroyed."""


class KeyMissing(LookupError):
    """Documents has stored what consent has no key for: an operator must know."""


class OutcomeUnknown(Exception):
    """The database did not say whether it took the entries: they are read again by cause, and nobody is answered."""


class RulesUnsettled(Exception):
    """The rules in force cannot be loaded here, and nothing is judged until they can.

    Their texts are not what they were, or this process cannot put its questions to them.
    """


class UnknownRules(LookupError):
    """No bundle of this digest is kept."""


class Fate(Enum):
    """What became of an entry that was to be inserted."""

    STANDS = auto()  # durably
    TAKEN = auto()  # its version, its cause or its place in the stream stood already
    OUTDATED = auto()  # the journal takes entries of other rules: these are in force no more

    def __bool__(self) -> bool:
        return self is Fate.STANDS


class Journal(Protocol):
    """The entries of every record, and the lock that they are."""

    async def append(self, entries: Sequence[Entry]) -> list[Fate]:
        """Insert entries, at most one a record, and tell the fate of each.

        Raises OutcomeUnknown when the database did not say.
        """

    async def append_together(self, entries: Sequence[Entry]) -> Fate:
        """Insert entries of one record, all durably or none, and tell their fate.

        Raises OutcomeUnknown when the database did not say.
        """

    async def last(self, record: str, stream: str) -> int:
        """Return the number of a stream's newest entry; 0 while it has none."""

    async def seen(self, record: str, streams: Collection[str], before: int | None, limit: int) -> list[Entry]:
        """Return entries of these streams, the newest first.

        `limit` of the main one, from below a number of it, and those of the others that stand between them.
        """

    async def head(self, record: str) -> tuple[int, int] | None:
        """Return (version, n of the main stream) of the newest entry; None while there is none."""

    async def changing(self, record: str, after: int, to: int) -> list[Entry]:
        """Return in order the entries between two versions whose class may change a state (requests do not)."""

    async def by_cause(self, record: str, cause: str) -> Entry | None:
        """Return the entry that a flow or an event caused."""

    async def caused(self, record: str, causes: Collection[str]) -> set[str]:
        """Return which of these causes have an entry."""

    async def page(  # noqa: PLR0917 - what narrows a search
        self, record: str, before: int | None, limit: int, since: int | None = None, until: int | None = None,
        streams: Collection[str] | None = None,
    ) -> list[Entry]:  # fmt: skip
        """Return entries, the newest first, from below a version; of a period (ms): from `since` to before `until`.

        Of `streams` where they are named: no other entry is read at all.
        """

    async def emergencies(self, record: str, to: int) -> list[Entry]:
        """Return in order, up to a version, the main stream's entries by which an emergency opened a record."""

    async def demand(self, policies: str) -> None:
        """Take in only entries of the rules of this digest: from its return on no other is inserted, by any process.

        Nor is a refusal counted in the place of one (`Windows`).
        """

    async def demanded(self) -> str | None:
        """Return the digest of the rules whose entries are taken in; None while none was demanded."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which refusals like the first one are counted. `until` is its end, `last` the newest's time (ms).

    `first` is the clear part of the first one's entry; `times` is how many were counted, `flows` the latest of them.
    """

    name: str
    first: dict[str, Any]
    until: int
    times: int = 0
    last: int = 0
    flows: tuple[str, ...] = ()

    @property
    def record(self) -> str:
        """The record that it is about."""
        return str(self.first["record"])


class Counted(Enum):
    """What became of a refusal that was to be counted."""

    COUNTED = auto()  # durably, and once: this one, or the same request before
    OVER = auto()  # the window takes no more: an entry must tell it
    OTHER = auto()  # another request was counted under this flow's id
    OUTDATED = auto()  # it was judged by rules that are in force no more


class Windows(Protocol):
    """Windows of refusals that repeat, at most one a record, a refusal and a time: how many came after the first."""

    async def open(self, first: Entry, until: int) -> None:
        """Open a window behind an entry that stands; one that was opened by another stays as it is."""

    async def look(self, entry: Entry, until: int) -> Window | None:
        """Return the window until this time of refusals like this entry, as of this call."""

    async def count(self, window: Window, flow: Flow, at: int) -> Counted:
        """Count a refusal, durably, unless the window is over at its time (ms); the same request counts once.

        Raises OutcomeUnknown when the database did not say: nobody may be answered then.
        """

    async def over(self, before: int, after: str, limit: int) -> list[Window]:
        """Return windows that were over before a time, by name, from behind a name."""

    async def end(self, window: Window) -> Window:
        """Have a window count no more, for good; return it as it is from then on."""

    async def drop(self, window: Window) -> None:
        """Forget a window."""


@dataclass(frozen=True, slots=True)
class Due:
    """An entry that must be told and was not yet, as its row says it in clear; `flow` is its cause."""

    record: str
    flow: str
    version: int
    kind: Announced
    at: int


class Notices(Protocol):
    """What must be told: at once and to whoever it concerns, or as an ordinary notice that consent may refuse.

    An entry is due from its own insert to the end of its announcement: no crash between the two can silence it.
    """

    async def due(self, limit: int) -> list[Due]:
        """Return entries that are due, the oldest first."""

    async def tell(self, each: Due, review: Review | None = None, doctor: DoctorNotice | None = None) -> bool:
        """Announce an entry, open its review, keep what the treating doctor is to be told, have it due no longer.

        All or nothing; False when it was not due.
        """

    async def reveal(self, each: Due, documents: Sequence[str]) -> bool:
        """Tell of documents that an entry opened to the person, and have it due no longer; False when it was not due.

        All or nothing; a document that is told of again is the same event to its readers.
        """

    async def pass_over(self, each: Due) -> None:
        """Have an entry due no longer: it was told with an earlier one, or there is nothing to tell."""


class Reviews(Protocol):
    """What data protection officers owe. Rows name a flow, a record and an organisation; nobody, and no reason."""

    async def owed(self, organisation: str, record: str, after: tuple[int, str] | None, limit: int) -> list[Review]:
        """Return open reviews of an organisation, the oldest first, from behind (opened at, flow).

        `record` is the one that the asker may know of, or `EVERY_RECORD`.
        """

    async def find(self, organisation: str, record: str, flow: str) -> Review | None:
        """Return a review of an organisation, an open one first; `record` as above."""

    async def close(self, review: Review, said: Reviewing) -> None:
        """Keep the answer under the record's key and close the review; a closed one stays as it is."""


class DoctorNotices(Protocol):
    """What treating doctors are to be told, for 90 days. Rows name a record, a flow and a time; nobody."""

    async def of(self, doctor: str, record: str, before: tuple[int, str] | None, limit: int) -> list[DoctorNotice]:
        """Return what a doctor is to be told, the newest access first, from behind (at, flow).

        `record` is the one that the asker may know of, or `EVERY_RECORD`.
        """


class Snapshots(Protocol):
    """States of records with long journals, so that a process that begins need not fold them from the first entry."""

    async def load(self, record: str) -> Record | None:
        """Return the newest that can be read; None for none, for another form, for one that does not open."""

    async def save(self, state: Record) -> None:
        """Keep a state as it is at the call, unless a newer one stands; whether it was kept is not told."""

    async def drop(self, record: str) -> None:
        """Forget a record's."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A bundle as it is kept: the keys that co-signed it, and the entry that is to activate it."""

    bundle: Bundle
    signers: tuple[str, ...]
    activation: Entry


class Bundles(Protocol):
    """The texts of every bundle that was ever to be activated, by digest."""

    async def keep(self, kept: Kept) -> None:
        """Keep a bundle, durably; what was kept of the same digest is replaced."""

    async def kept(self, digest: str) -> Kept:
        """Return a bundle; raise UnknownRules.

        Raises RulesUnsettled when what is kept has this digest no more, or its activation is not consent's.
        """


class InForce(Protocol):
    """The rules in force, as this process knows them."""

    @property
    def rules(self) -> Rules:
        """What to judge by now. Take them once for a verdict: its entry names their digest."""

    async def renew(self, than: Rules) -> None:
        """Know what is in force, where it is not what was taken: to be called when an entry of those is outdated.

        Raises RulesUnsettled.
        """

    def judged_by(self, digest: str) -> Rules:
        """Return the rules of a digest under which this process judged; those in force where it knows none."""


class RootKey(Protocol):
    """Wraps record keys. A file in the local stack; PKCS#11 or a vault elsewhere: hence asynchronous."""

    name: str

    async def wrap(self, record: str, key: bytes) -> bytes:
        """Return the record key, wrapped for this record alone."""

    async def unwrap(self, record: str, wrapped: bytes) -> bytes:
        """Return the record key; raise Unsealable when it was wrapped for another record or by another root."""


class RecordKeys(Protocol):
    """One key a record; nothing of the record can be read without it."""

    async def key(self, record: str) -> bytes:
        """Return a record's key; raise RecordUnknown."""

    async def create(self, record: str) -> bool:
        """Create a record's key, durably; False when it stands already."""


@dataclass(frozen=True, slots=True)
class Held:
    """A document version's key, and whether documents has said that its ciphertext stands."""

    document: Document
    key: bytes
    state: Literal["pending", "live"]


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A deposit that was approved and of which nothing was heard since."""

    record: str
    document: str
    version: int


class DocumentKeys(Protocol):
    """A row per document version: its wrapped key and its state."""

    async def hold(self, documents: Sequence[tuple[str, Document]]) -> Sequence[Held]:
        """Create and return a fresh key for each new (record, document), `pending`, durable before its entry stands."""

    async def release(self, wanted: Sequence[tuple[str, Sequence[Document]]]) -> Sequence[tuple[Held, ...]]:
        """Return for each (record, documents) the keys that stand; a destroyed one is left out."""

    async def confirm(self, record: str, document: str, version: int, digest: str) -> None:
        """Make a row live: its ciphertext, of this digest, is durable; raise KeyMissing when there is no such row."""

    async def destroy(self, record: str, document: str, version: int) -> bool:
        """Destroy the key of a version that is pending; a live one stays, and the answer is False."""

    async def pending_since(self, before_ms: int, limit: int) -> list[Unconfirmed]:
        """Return rows that are pending since before a time and that were not asked about for a day."""

    async def unannounced_since(self, now: int, limit: int) -> list[tuple[str, str]]:
        """Return (record, document) of what was deposited unannounced a month ago (R.1111-53) and is not told yet."""

    async def told(self, record: str, document: str) -> None:
        """Note that the journal tells of a document now."""


class Beats(Protocol):
    """How far identity was heard, on each partition of its records' topic."""

    async def note(self, partition: int, at: int, offset: int) -> None:
        """Keep, durably, that all until `at` (ms) was taken in; an older one never overwrites a newer, by whomever."""

    async def heard(self) -> Mapping[int, int]:
        """Return until when each partition was heard; one of which nothing was ever noted is absent."""


class Projection(Protocol):
    """What consent knows of who represents whom, as fresh as this process last saw it."""

    def stale(self, record: str) -> bool:
        """Say whether whom a record obeys may have changed without consent knowing it; in doubt, it may.

        False promises that all of it that identity acknowledged more than the allowed time ago stands in the journal.
        """
