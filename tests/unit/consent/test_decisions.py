"""Operators learn of each decision by codes and numbers, and of nobody whom it is about."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY

from chassis import logs
from services.consent.decisions import DECISIONS, tell
from services.consent.domain.flow import Action, Care, Change, Reason
from services.consent.use_cases.decide import Decided
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    DAY,
    INSURER,
    MOREAU,
    NOTICES,
    NOW,
    OTHER_RECORD,
    PARENT,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    Book,
    flow,
    paper,
)
from tests.unit.consent.viewing import Viewing

CANARY = "Qwxzkvjbqhfg"


class Lines(io.BytesIO):
    """Standard output, as bytes."""

    def said(self) -> list[dict[str, Any]]:
        """Return the decisions as they were written."""
        lines = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in lines if line["event"] == "decided"]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Set logging up as the service does, onto a buffer; put back what stood."""
    found, root = Lines(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.TextIOWrapper(found, write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    structlog.reset_defaults()
    logs.setup("consent", "consent-1", "INFO")
    monkeypatch.setattr("services.consent.decisions._log", logs.get("decisions"))
    yield found
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)
    out.detach()


def decided(book: Book, asked: Any) -> Decided:
    """Return the decision of a flow."""
    book.ask(asked)
    return Decided(asked, book.entries[-1])


def test_a_line_says_what_was_decided_by_which_rule_and_how_fast(lines: Lines) -> None:
    """Action, outcome, rule, purpose, kinds, rules' digest, counts and milliseconds stand in one line."""
    book = Book()
    document = book.deposit(paper())
    asked = flow(MOREAU, Action.READ, document, ABSENT)
    tell(decided(book, asked), 0.0)
    (line,) = lines.said()
    assert line.pop("ms") > 0
    assert {name: line[name] for name in line.keys() - {"timestamp"}} == {
        "event": "decided", "level": "info", "module": "decisions", "service": "consent", "instance": "consent-1",
        "flow": asked.id, "action": "read", "outcome": "allowed", "rule": "own-deposit", "purpose": "TREAT",
        "actor": "professional", "application": "care-software", "policies": RULES.digest[:12], "count": 1,
        "refused": 1,
    }  # fmt: skip


def test_nobody_can_be_singled_out_by_a_line(lines: Lines) -> None:
    """No record, document, person, organisation, software, name or reason: not one of them is in the line."""
    book = Book()
    actor = replace(
        MOREAU, id=f"id-{CANARY}", name=f"name-{CANARY}", application=f"app-{CANARY}", organisation=f"o-{CANARY}",
        application_name=CANARY, organisation_name=CANARY, profession=CANARY, application_kind=f"kind-{CANARY}",
    )  # fmt: skip
    named = flow(actor, Action.READ, f"document-{CANARY}", purpose=f"P-{CANARY}", reason=Reason(CANARY, CANARY))
    tell(decided(book, named), 0.0)
    tell(decided(book, flow(CAMILLE, Action.READ_JOURNAL)), 0.0)
    said = lines.getvalue().decode()
    assert len(lines.said()) == 2
    assert [each for each in (CANARY, RECORD, CAMILLE.id, "Camille") if each in said] == []
    assert (lines.said()[0]["application"], lines.said()[0]["purpose"]) == ("other", "other")


_SAID = {
    "event", "level", "module", "service", "instance", "timestamp", "flow", "action", "outcome", "rule", "purpose",
    "actor", "application", "policies", "count", "refused", "ms",
}  # fmt: skip


def test_whoever_asks_for_whatever_the_line_holds_no_more(lines: Lines) -> None:
    """Every action of every kind of actor: the same fields, and no id, name, digest or code of what it was about."""
    book = Book()
    secret = book.deposit(paper("secret", visibility=("INVISIBLE_PATIENT",)))
    document = book.deposit(paper("known"))
    book.say("authorise", PERSON)
    team = Change("authorise", "team", members=(PERSON, f"person:{PETIT.id}"))
    about: dict[Action, dict[str, Any]] = {
        Action.DEPOSIT: {"deposit": replace(paper("new"), episode="episode-of-hers")},
        Action.CHANGE_DIRECTIVES: {"change": team},
        Action.DECLARE_CARE: {"care": Care("code", NOW + DAY, "digest-of-a-code")},
        Action.PREVENT: {"topic": "breast-cancer"},
    }
    people, told = (CAMILLE, PARENT, MOREAU, PETIT, NOTICES, INSURER), []
    for actor in people:
        for action in Action:
            named = () if action in about else (document, secret)
            told.append(flow(actor, action, *named, **about.get(action, {})))
            tell(decided(book, told[-1]), 0.0)
    assert len(lines.said()) == len(told)
    assert {frozenset(line) for line in lines.said()} == {frozenset(_SAID)}
    said = lines.getvalue().decode()
    for each in told:  # the flow's own id is drawn, and leads to nobody without the journal
        said = said.replace(each.id, "")
    known = {RECORD, OTHER_RECORD, document, secret, "episode-of-hers", "digest-of-a-code", "breast-cancer", "11502-2",
             "INVISIBLE_PATIENT", *book.record.documents, *book.record.directives}  # fmt: skip
    for actor in people:
        known |= {actor.id, actor.name, actor.application_name, actor.organisation or "", actor.organisation_name or ""}
    assert {each for each in known if each and each in said} == set()


def test_decisions_are_counted_by_rule() -> None:
    """Each adds one to its action, outcome, rule and purpose; what identity never says is no label."""
    book = Book()
    labels = {"action": "list", "outcome": "red-line", "rule": "red-line-insurance", "purpose": "COVERAGE"}
    before = REGISTRY.get_sample_value("carnet_decisions_total", labels) or 0
    tell(decided(book, flow(INSURER, Action.LIST)), 0.0)
    tell(decided(book, flow(INSURER, Action.LIST)), 0.0)
    assert REGISTRY.get_sample_value("carnet_decisions_total", labels) == before + 2
    tell(decided(book, flow(INSURER, Action.LIST, purpose=CANARY)), 0.0)
    values = {value for family in DECISIONS.collect() for each in family.samples for value in each.labels.values()}
    assert CANARY not in values


def test_a_record_that_is_not_known_is_counted(lines: Lines) -> None:
    """There is no entry then, and no rule."""
    tell(Decided(flow(MOREAU, Action.LIST), None), 0.0)
    (line,) = lines.said()
    assert (line["outcome"], line["rule"], line["policies"], line["count"]) == ("stale", "", "", 0)


async def test_consent_s_own_interface_is_told_too(lines: Lines) -> None:
    """What the patient reads and what a professional is refused there are decisions as any other."""
    consent = Viewing()
    await consent.call("GET", "/journal")
    await consent.call("GET", "/journal", actor=MOREAU)
    assert [(line["action"], line["outcome"], line["rule"]) for line in lines.said()] == [
        ("read-journal", "allowed", "patient-own-record"), ("read-journal", "refused", "no-legal-basis"),
    ]  # fmt: skip
