"""A token of every record opens reviews and emergencies, and nothing else of consent."""

import pytest

from tests.unit.consent.people import MOREAU
from tests.unit.consent.viewing import Viewing

# What somebody is shown of every record, and what needs no token.
_OF_EVERY_RECORD = ("/consent/reviews", "/consent/emergencies")
_OF_NOBODY = ("/consent/rules", "/consent/fhir/metadata")
_ROUTES = [
    (method.upper(), path)
    for path, methods in Viewing().app.openapi()["paths"].items()
    if path.startswith("/consent/") and not path.startswith((*_OF_EVERY_RECORD, *_OF_NOBODY))
    for method in methods
]


@pytest.mark.parametrize(("method", "path"), _ROUTES)
async def test_it_opens_nothing_of_a_record(method: str, path: str) -> None:
    """Every route that is about a record says that it needs a token of that record; nothing is written."""
    consent = Viewing()
    journals = {record: len(entries) for record, entries in consent.journal.entries.items()}
    answer = await consent.call(method, path.removeprefix("/consent"), {}, actor=MOREAU, record="public")
    assert answer.status == 401
    assert b"token-of-every-record" in answer.body
    assert {record: len(entries) for record, entries in consent.journal.entries.items()} == journals


def test_there_are_routes_to_try() -> None:
    """The list above is read from the application itself."""
    assert {"/consent/journal", "/consent/directives", "/consent/heirs/requests", "/consent/fhir/AuditEvent"} <= {
        path for _, path in _ROUTES
    }
