"""What the use cases rely on."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol

from services.identity.domain.emergency import Full, Limit
from services.identity.domain.identifiers import Ins
from services.identity.domain.people import Application, Organisation, Person, Professional
from services.identity.domain.representation import Representation

Clock = Callable[[], float]  # Unix time, seconds
Change = Literal["new", "changed", "unchanged"]


class People(Protocol):
    """Who is registered, as it stands now."""

    async def application(self, client_id: str) -> Application | None:
        """Return an application."""

    async def professional(self, national_id: str) -> Professional | None:
        """Return a professional by the national identifier ('8' and the RPPS)."""

    async def organisation(self, finess: str) -> Organisation | None:
        """Return an organisation."""

    async def person(self, ins: Ins) -> Person | None:
        """Return whom this INS belongs to, whatever the identity's status."""


class Register(Protocol):
    """Where registrations go. Each `put` is atomic, and putting the same again changes nothing."""

    async def organisations(self, among: Iterable[str]) -> set[str]:
        """Return those of these FINESS numbers that are registered."""

    async def persons(self, references: Iterable[str], inses: Iterable[Ins]) -> list[Person]:
        """Return the persons under any of these references or INS."""

    async def put(self, entry: Organisation | Professional | Application) -> Change:
        """Write an entry whole."""

    async def put_person(self, person: Person, now: float, correlation_id: str) -> tuple[str, Change]:
        """Write a person; return the record.

        A new person or status, and whom a record obeys (theirs, or one of those whom they represent), is announced in
        the same transaction when it changed.
        """

    async def representations(self, references: Iterable[str]) -> list[Representation]:
        """Return who represents the persons under these references, by reference too, whatever stands now."""

    async def put_representations(
        self, represented: str, new: Sequence[Representation], now: float, correlation_id: str
    ) -> list[Change]:
        """Write who acts for the person of a reference, all or none, beside what stands; announce it if it changed.

        Raises Crowded when more would act for them in one role than may.
        """


class Crowded(Exception):
    """More would act for one person in a role than may; nothing was written."""


class Ages(Protocol):
    """Whose record time alone changes."""

    async def due(self, now: float, most: int) -> list[str]:
        """Return records about which time has made untrue what was announced last, or may have: all but `age` has."""

    async def age(self, record: str, now: float, correlation_id: str) -> None:
        """Announce whom a record obeys now, if that was not said yet; it is due no more, until its next date."""


class UsedAssertions(Protocol):
    """Assertions are good once."""

    async def first_use(self, client_id: str, use: str, jti: str, exp: float) -> bool:
        """Return True once for each (client, use, jti), durably, until well after `exp`."""


class EmergencyCounts(Protocol):
    """How many emergency tokens there were lately."""

    async def count(self, limits: Sequence[Limit], now: float) -> Full | None:
        """Count one token under each limit and return None; or count nothing and return a limit that is full.

        Atomic whatever the number of processes, and durable when it returns: a token that is issued after it was
        counted, even if by a process that dies between, may be one too many in the count and is never one too few.
        """
