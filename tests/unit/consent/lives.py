"""Records that lived at random: deposits, choices, declared care, time; and a change that could come next."""

from typing import Any
from uuid import uuid4

from hypothesis import strategies as st

from services.consent.domain.entry import MAIN
from services.consent.domain.flow import Action, Amendment, Care, Change, Evidence
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    COLLEAGUE,
    DAY,
    MOREAU,
    NOTICES,
    ORGANISATION,
    PARENT,
    PERSON,
    PETIT,
    Book,
    flow,
    paper,
    stay,
)

CODES = ("11502-2", "11488-4")
LABELS: tuple[tuple[str, ...], ...] = ((), (), ("MASQUE_PS",), ("INVISIBLE_PATIENT",))
TEAM = (f"person:{PETIT.id}", "person:899700000009")
_DOCTORS = st.sampled_from([MOREAU, COLLEAGUE, PETIT])
_WHOM = st.sampled_from([PERSON, ORGANISATION, f"person:{PETIT.id}", "person:899700000009", "organisation:750000009"])
_EVIDENCE: tuple[Evidence, ...] = ("admission", "appointment", "declared")
_UNTIL = st.one_of(st.none(), st.integers(1, 40))

# (kind, subject or the number of a document, days that it lasts)
CHANGES = st.one_of(
    st.tuples(st.sampled_from(["authorise", "treating-doctor", "block"]), _WHOM, _UNTIL),
    st.tuples(st.just("authorise"), st.sampled_from(["profession:10", "profession:60", "team"]), _UNTIL),
    st.tuples(st.just("hide"), st.integers(0, 7), _UNTIL),
    st.tuples(st.just("hide"), st.sampled_from([f"type:{code}" for code in CODES]), _UNTIL),
    st.tuples(
        st.sampled_from(["close", "ask-me", "open-hidden", "oppose", "oppose-export", "oppose-heirs"]),
        st.none(),
        _UNTIL,
    ),
    st.tuples(st.just("oppose-prevention"), st.sampled_from([None, "topic:vaccins"]), _UNTIL),
    st.tuples(st.just("close-emergency"), st.sampled_from(["samu", "others"]), _UNTIL),
    st.tuples(st.just("preset"), st.sampled_from(["legal", "careful", "closed"]), st.none()),
    st.tuples(st.just("end"), st.integers(0, 9), st.none()),
)
_DEPOSITS = st.tuples(
    st.just("deposit"), st.sampled_from([MOREAU, PETIT]), st.sampled_from(CODES), st.sampled_from(LABELS)
)
# Some documents first: most choices mean nothing to an empty record, and documents that are alike must be parted.
STEPS = st.builds(
    list.__add__,
    st.lists(_DEPOSITS, min_size=2, max_size=6),
    st.lists(
        st.one_of(
            _DEPOSITS,
            st.tuples(st.just("care"), _DOCTORS, st.sampled_from(_EVIDENCE)),
            st.tuples(st.just("pass"), st.integers(1, 20)),
            CHANGES,
        ),
        max_size=8,
    ),
)


def lived(steps: list[tuple[Any, ...]]) -> Book:
    """Write a journal by steps drawn at random."""
    book = Book()
    for name, *rest in steps:
        if name == "deposit":
            actor, code, labels = rest
            book.ask(flow(actor, Action.DEPOSIT, deposit=paper(uuid4().hex, code=code, visibility=labels)))
        elif name == "care":
            who, evidence = rest
            said = flow(who, Action.DECLARE_CARE, care=Care(evidence, book.now + DAY))
            book.ask(stay(book.now + DAY, who) if evidence == "admission" else said)
        elif name == "pass":
            book.now += rest[0] * DAY
        else:
            book.ask(flow(CAMILLE, Action.CHANGE_DIRECTIVES, change=change(book, (name, *rest))))
    return book


def change(book: Book, drawn: tuple[Any, ...]) -> Change:
    """Return a drawn change as it can be said of this record now."""
    kind, subject, days = drawn
    if kind == "end":
        made = list(book.record.directives)
        return Change("end", ends=made[subject % len(made)] if made else "none")
    if isinstance(subject, int):
        papers = list(book.record.documents)
        subject = papers[subject % len(papers)] if papers else ABSENT
    return Change(kind, subject, book.now + days * DAY if days else None, members=TEAM if subject == "team" else ())


def openly(book: Book, step: str, number: int) -> None:
    """Have one thing happen that has nothing to do with a secret; `number` tells a life's steps apart."""
    known = [each.id for each in book.record.documents.values() if each.stream == MAIN][:1] or ["z" * 26]
    match step:
        case "deposit":
            book.deposit(paper(f"open {number}"), by=COLLEAGUE)
        case "hers":
            book.ask(flow(CAMILLE, Action.LIST))
        case "theirs":
            for action in (Action.LIST, Action.EXPORT):
                book.ask(flow(PARENT, action))
        case "his" | "strangers":
            book.ask(flow(MOREAU if step == "his" else PETIT, Action.LIST))
        case "directive":
            book.say("hide", "type:11502-2")
        case "journal":
            book.ask(flow(PARENT, Action.READ_JOURNAL))
        case "amend":
            masked = Amendment(("MASQUE_PS",)) if number % 2 else Amendment((), ("MASQUE_PS", "INVISIBLE_PATIENT"))
            book.ask(flow(COLLEAGUE, Action.AMEND, *known, amendment=masked))
        case "hour":
            book.now += DAY // 24
        case _:
            book.ask(flow(MOREAU if step == "read" else NOTICES, Action(step), *known))
