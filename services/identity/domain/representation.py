"""Who acts for whom, and until when: a parent until 18, anybody until a said end; for the dead their heirs, who ask."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

Role = Literal["parent", "guardian", "family-authorisation", "caregiver", "heir"]
Scope = Literal["read", "govern", "deposit", "journal"]

MAJORITY = 18  # article 414 of the code civil
NEVER = 253_402_300_800.0  # Unix time of the year 10000
_PARIS = ZoneInfo("Europe/Paris")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a role may be given, how many may have it for one person, and whether they sign an attestation.

    `of_the_dead`: it stands once the person is dead, and only then; any other role only before.
    """

    scopes: frozenset[Scope]
    most: int | None = None
    attested: bool = False
    of_the_dead: bool = False


_ALL: Final[frozenset[Scope]] = frozenset(get_args(Scope))
TERMS: Final[dict[Role, Terms]] = {
    "parent": Terms(_ALL, most=2),  # both holders of parental authority (article 372 of the code civil)
    "guardian": Terms(_ALL),  # tutelle
    "family-authorisation": Terms(_ALL),  # habilitation familiale
    # As the national app has them: three, with an attestation, who do not manage the sharing.
    "caregiver": Terms(_ALL - {"govern"}, most=3, attested=True),
    # Heir, spouse, cohabitant or civil partner (L.1110-4 V of the code de la santé publique), who attest to be so.
    "heir": Terms(frozenset({"read"}), attested=True, of_the_dead=True),
}


@dataclass(frozen=True, slots=True)
class Representation:
    """One person acts for another: by the registrar's references in a file, by record ids in the register.

    `until` is the first day without it, as days begin in Paris.
    """

    represented: str
    holder: str
    role: Role
    scopes: frozenset[Scope]
    until: date | None = None
    attested: bool = False

    @property
    def of_the_dead(self) -> bool:
        """Say whether it is an heir's: beside it the same person may act for the other while they live."""
        return TERMS[self.role].of_the_dead

    def over(self, now: float) -> bool:
        """Say whether its said end is past."""
        return self.until is not None and begins(self.until) <= now

    def end(self, born: date) -> float:
        """Return when it ends by itself, for a person of this birth date: a parent's authority does so at 18."""
        said = begins(self.until) if self.until else NEVER
        return min(said, majority(born)) if self.role == "parent" else said


@dataclass(frozen=True, slots=True)
class Authority:
    """Whom a record obeys at a time, and `due`: when the clock alone will change that."""

    minor: bool
    deceased: bool
    holders: tuple[Representation, ...]
    due: float


def begins(day: date) -> float:
    """Return the Unix time at which a day begins in Paris."""
    return datetime.combine(day, time.min, _PARIS).timestamp()


def majority(born: date) -> float:
    """Return when a person comes of age; who was born on a 29 February does so on 1 March."""
    year = born.year + MAJORITY
    return begins(date(year, 3, 1) if (born.month, born.day) == (2, 29) else born.replace(year=year))


def authority(
    born: date, deceased: bool, representations: Iterable[Representation], dead: Collection[str], now: float
) -> Authority:
    """Return whom a record obeys now; `dead` are those of the holders who died."""
    adult_at = majority(born)
    ends = {
        each: each.end(born) for each in representations if each.of_the_dead is deceased and each.holder not in dead
    }
    holders = sorted((each for each, end in ends.items() if now < end), key=lambda each: each.holder)
    return Authority(
        minor=now < adult_at,
        deceased=deceased,
        holders=tuple(holders),
        due=min((each for each in (adult_at, *ends.values()) if now < each), default=NEVER),
    )


def crowded(representations: Iterable[Representation], now: float) -> set[Role]:
    """Return the roles that more have for one person than may; who has them no more is not counted."""
    held = Counter(each.role for each in representations if not each.over(now))
    return {role for role, count in held.items() if count > (TERMS[role].most or count)}
