"""A record's state as plain values and back: what a snapshot of the journal holds."""

from dataclasses import fields
from typing import Any

from services.consent.domain.care import Relation
from services.consent.domain.directive import Directive
from services.consent.domain.document import Document
from services.consent.domain.record import Record
from services.consent.domain.representation import Representation, Request

# Grows with every change of what a fold means or holds: a snapshot of another form is not read.
FORM = 5


def dump(record: Record) -> dict[str, Any]:
    """Return a state as JSON values."""
    return {
        "form": FORM,
        "version": record.version,
        "n": record.n,
        "last_change": record.last_change,
        "directives": [_plain(each) for each in record.directives.values()],
        "documents": [_plain(each) for each in record.documents.values()],
        "gone": [_plain(each) for each in record.gone.values()],
        "deposits": [[*name, document] for name, document in record.deposits.items()],
        "care": [_plain(each) for each in record.care.values()],
        "spent": sorted(record.spent),
        "words": {name: list(said) for name, said in record.words.items()},
        "asked_anew": record.asked_anew,
        "requests": {heir: _plain(each) for heir, each in record.requests.items()},
        "represented": record.represented.private if record.represented else None,
    }


def load(record: str, held: dict[str, Any]) -> Record | None:
    """Return the state; None for one of another form."""
    if held["form"] != FORM:
        return None
    directives = [Directive(**each | {"members": tuple(each["members"])}) for each in held["directives"]]
    documents = [Document(**each | {"visibility": tuple(each["visibility"])}) for each in held["documents"]]
    gone = [Document(**each | {"visibility": tuple(each["visibility"])}) for each in held["gone"]]
    care = [Relation(**each) for each in held["care"]]
    return Record(
        id=record,
        version=held["version"],
        n=held["n"],
        last_change=held["last_change"],
        directives={each.id: each for each in directives},
        documents={each.id: each for each in documents},
        gone={each.id: each for each in gone},
        deposits={(organisation, name): document for organisation, name, document in held["deposits"]},
        care={each.id: each for each in care},
        spent=set(held["spent"]),
        words={name: tuple(said) for name, said in held["words"].items()},
        asked_anew=held["asked_anew"],
        requests={heir: Request(**each) for heir, each in held["requests"].items()},
        represented=Representation.read(held["represented"]) if held["represented"] else None,
    )


def _plain(value: Any) -> dict[str, Any]:
    held = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: list(each) if isinstance(each, tuple) else each for name, each in held.items()}
