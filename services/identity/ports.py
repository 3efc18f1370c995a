"""What the use cases rely on."""

from collections.abc import Callable, Iterable
from typing import Literal, Protocol

from services.identity.domain import Application, Ins, Organisation, Person, Professional

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

    async def put_person(self, person: Person, correlation_id: str) -> tuple[str, Change]:
        """Write a person; return the record. A new person or status is announced in the same transaction."""


class UsedAssertions(Protocol):
    """Assertions are good once."""

    async def first_use(self, client_id: str, use: str, jti: str, exp: float) -> bool:
        """Return True once for each (client, use, jti), durably, until well after `exp`."""
