"""A document version as the rules know it: its labels at a time, and to whom it is not even there."""

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.consent.domain.entry import MAIN
from services.consent.domain.flow import (
    MASKED,
    NOT_FOR_REPRESENTATIVES,
    UNANNOUNCED,
    ActorKind,
    Amendment,
    Deposit,
)  # fmt: skip

# R.1111-53: a result that was not announced becomes visible to the patient by itself.
_PARIS = ZoneInfo("Europe/Paris")


@lru_cache(10_000)
def month_after(at: int) -> int:
    """Return the same moment of the next month (Unix ms), in Paris; the last day's where that month has no such day."""
    then = datetime.fromtimestamp(at // 1000, _PARIS)
    year, month = (then.year + then.month // 12, then.month % 12 + 1)
    later = then.replace(year=year, month=month, day=min(then.day, monthrange(year, month)[1]), fold=0)
    return int(later.timestamp()) * 1000 + at % 1000


@dataclass(frozen=True, slots=True)
class Document:
    """What the rules know of a document version, from the entry of its deposit."""

    id: str
    version: int
    type_code: str
    class_code: str
    visibility: tuple[str, ...]
    depositor: str
    organisation: str
    deposited_at: int
    entry: int
    content_digest: str
    episode: str | None = None
    stream: str = MAIN  # of the entries about it that somebody may not read before it is announced, or shown
    announced: bool = False
    shown: bool = False  # to those who represent the patient, for good

    def visibility_at(self, now: int) -> tuple[str, ...]:
        """Return the labels as they stand at a time (ms)."""
        over = {NOT_FOR_REPRESENTATIVES} if self.shown else set()
        if self.announced or (UNANNOUNCED in self.visibility and now >= month_after(self.deposited_at)):
            over.add(UNANNOUNCED)
        return tuple(label for label in self.visibility if label not in over)

    def unannounced(self, now: int) -> bool:
        """Say whether the patient may not know of it yet (R.1111-53)."""
        return UNANNOUNCED in self.visibility_at(now)

    @property
    def secret(self) -> bool:
        """Say whether those who represent the patient may not know of it (L.1111-5)."""
        return NOT_FOR_REPRESENTATIVES in self.visibility and not self.shown

    def reserved(self, now: int) -> bool:
        """Say whether somebody whom the record obeys may not know of it yet: its entries have their own stream."""
        return self.secret or self.unannounced(now)

    def absent_to(self, kind: ActorKind, now: int) -> bool:
        """Say whether it is not even there, to a kind of actor."""
        if kind == "representative":
            return self.reserved(now)
        return kind == "patient" and self.unannounced(now)

    def amended(self, amendment: Amendment) -> "Document":
        """Return it with other labels: masked or not, or announced by its label.

        No more: from whom it is kept otherwise says its deposit, and the entries since stand in streams after that.
        """
        labels = {MASKED} if MASKED in amendment.adds else set()
        kept = set(self.visibility) - ({MASKED} & set(amendment.removes))
        announced = self.announced or UNANNOUNCED in amendment.removes
        return replace(self, visibility=tuple(sorted(kept | labels)), announced=announced)


def traits(document: Document | Deposit) -> set[str]:
    """Return the names under which a directive may mean a document by its kind or its episode."""
    named = {f"type:{document.type_code}"}
    return named | {f"episode:{document.episode}"} if document.episode else named
