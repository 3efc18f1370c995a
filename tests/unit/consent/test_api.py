"""Consent's own interface: each call is a flow of the journal, and what cannot be done is said precisely."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from chassis.limits import Limits
from chassis.settings import LimitSettings
from chassis.web import create_app
from services.consent.api.directives import router
from services.consent.bootstrap import Room
from services.consent.domain.flow import Action, Actor
from services.consent.in_force import Archive
from services.consent.ledger import Ledger
from services.consent.own_flows import OwnFlows
from services.consent.repeats import Repeats
from services.consent.use_cases.announce_document import AnnounceDocument
from services.consent.use_cases.change_directives import MOST_DIRECTIVES, ChangeDirectives
from services.consent.use_cases.decide import Decide
from services.consent.use_cases.declare_care import DeclareCare
from services.consent.use_cases.end_stay import EndStay
from services.consent.use_cases.make_codes import MakeCodes
from services.consent.use_cases.read_directives import ReadDirectives
from services.consent.use_cases.read_journal import ReadJournal
from tests.unit.chassis.asgi import Answer, ask
from tests.unit.consent.memory import (
    MemoryBundles,
    MemoryJournal,
    MemoryKeys,
    MemoryProjection,
    MemorySnapshots,
    MemoryWindows,
    Unchanging,
)
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    INSURER,
    MOREAU,
    OTHER_RECORD,
    RECORD,
    RULES,
    flow,
    opening,
    paper,
)
from tests.unit.consent.tokens import access_token, now_ms, verifier

# A window that no test sees the end of, whenever it runs.
_FOR_EVER_MS = 10**13
BLOCK = {"kind": "block", "professional": "99700000001"}


class Interface:
    """Consent's routes on ports in memory, and a clock that the test moves."""

    def __init__(self, *, counting: bool = False) -> None:
        self.journal, self.ahead = MemoryJournal(), 0
        self.journal.entries[RECORD] = [opening()]
        ledger = Ledger(self.journal, MemorySnapshots())
        in_force = Unchanging(RULES)
        repeats = Repeats(MemoryWindows(self.journal), _FOR_EVER_MS) if counting else None
        self.decide = Decide(ledger, self.journal, MemoryKeys(), in_force, self._clock, repeats=repeats)
        flows = OwnFlows(self.decide, MemoryProjection())
        changing = ChangeDirectives(flows, ledger, in_force, self._clock)
        room: Any = SimpleNamespace(
            clock=self._clock,
            change_directives=changing,
            make_codes=MakeCodes(changing),
            declare_care=DeclareCare(flows, ledger, self._clock),
            end_stay=EndStay(flows),
            announce_document=AnnounceDocument(flows),
            read_directives=ReadDirectives(flows, ledger, self._clock),
            read_journal=ReadJournal(flows, ledger, self.journal, self._clock),
            verifier=verifier(),
            in_force=in_force,
            archive=Archive(MemoryBundles()),
        )
        self.app: FastAPI = create_app("consent", [router(_typed(room))], {})

    def _clock(self) -> int:
        return now_ms() + self.ahead

    async def call(
        self, method: str, path: str, body: Any = None, *, actor: Actor = CAMILLE, record: str = RECORD, **said: Any
    ) -> Answer:
        """Call as an actor."""
        headers = {"authorization": f"Bearer {access_token(actor, record=record, **said)}",
                   "content-type": "application/json"}  # fmt: skip
        return await ask(self.app, method, f"/consent{path}", orjson.dumps(body) if body else b"", headers)

    async def told(self, *args: Any, **more: Any) -> dict[str, Any]:
        """Return what a call that succeeds says."""
        answer = await self.call(*args, **more)
        assert answer.status in {200, 201}, answer
        return dict(orjson.loads(answer.body))

    async def phrases(self) -> list[str]:
        """Return the journal's sentences, the newest first."""
        return [each["phrase"] for each in (await self.told("GET", "/journal"))["entries"]]


def _typed(room: Any) -> Room:
    return room  # type: ignore[no-any-return]


@pytest.fixture
def consent() -> Interface:
    """Open one record's interface."""
    return Interface()


def code(answer: Answer) -> tuple[int, str]:
    """Return a problem's status and code."""
    return answer.status, orjson.loads(answer.body)["code"]


async def test_a_directive_begins_holds_and_ends(consent: Interface) -> None:
    """What is begun is listed until it is ended, and each step is an entry."""
    begun = await consent.told("POST", "/directives", BLOCK)
    (listed,) = (await consent.told("GET", "/directives"))["directives"]
    assert (listed["id"], listed["kind"], listed["subject"]) == (begun["id"], "block", "person:899700000001")
    await consent.told("DELETE", f"/directives/{begun['id']}")
    assert (await consent.told("GET", "/directives"))["directives"] == []
    assert len(consent.journal.entries[RECORD]) == 5


async def test_the_journal_s_reading_is_in_the_journal(consent: Interface) -> None:
    """The newest entry that is read is the reading itself."""
    assert "avez lu le journal" in (await consent.phrases())[0]


async def test_the_journal_is_read_page_by_page(consent: Interface) -> None:
    """Pages follow each other without gap or repetition down to the opening."""
    for _ in range(4):
        await consent.told("GET", "/directives")
    seen: list[int] = []
    path = "/journal?_count=2"
    while path:
        page = await consent.told("GET", path)
        seen += [each["n"] for each in page["entries"]]
        path = (page["next"] or "").removeprefix("/consent")
    assert seen == sorted(set(seen), reverse=True)
    assert seen[-1] == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "/journal", None), ("GET", "/directives", None), ("POST", "/directives", BLOCK),
     ("DELETE", "/directives/x", None)],
)  # fmt: skip
async def test_nobody_else_governs(consent: Interface, method: str, path: str, body: Any) -> None:
    """A professional is refused with one problem, whatever the record holds, and the patient reads that he asked."""
    answer = await consent.call(method, path, body, actor=MOREAU)
    assert code(answer) == (403, "not-for-you")
    await consent.told("POST", "/directives", BLOCK)
    assert (await consent.call(method, path, body, actor=MOREAU)).body == answer.body
    assert "Dr Moreau" in (await consent.phrases())[1]


async def test_an_insurer_meets_the_red_line_here_too(consent: Interface) -> None:
    """Even with the patient at its keyboard, an insurer's application reads no journal."""
    for actor in (INSURER, Actor("patient", RECORD, "Camille", "assureur", "Assureur", "insurer")):
        answer = await consent.call("GET", "/journal", actor=actor)
        assert code(answer) == (403, "red-line")
        assert orjson.loads(answer.body)["rule"] == "red-line-insurance"


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/directives", {"kind": "hide", "document": ABSENT}, (404, "no-such-document")),
        ("/directives", {"kind": "block"}, (422, "invalid-request")),
        ("/directives", {"kind": "block", "professional": "99700000001", "document": ABSENT}, (422, "invalid-request")),
        ("/directives", {"kind": "oppose", "professional": "99700000001"}, (422, "invalid-request")),
        ("/directives", {"kind": "end"}, (422, "invalid-request")),
        ("/directives", BLOCK | {"until": "2030-01-01T00:00:00"}, (422, "invalid-request")),
        ("/directives", BLOCK | {"until": "2020-01-01T00:00:00Z"}, (422, "already-over")),
        ("/directives", BLOCK | {"until": "9999-12-31T23:59:59Z"}, (422, "invalid-request")),
        ("/directives", BLOCK | {"until": "0001-01-01T00:00:00+14:00"}, (422, "already-over")),
    ],
)  # fmt: skip
async def test_what_cannot_be_said_is_refused_precisely(
    consent: Interface, path: str, body: Any, expected: tuple[int, str]
) -> None:
    """A directive that would change nothing, or that the journal could not say, is a problem and no entry."""
    assert code(await consent.call("POST", path, body)) == expected
    assert len(consent.journal.entries[RECORD]) == 1
    assert len(await consent.phrases()) == 2


async def test_the_latest_time_can_be_said(consent: Interface) -> None:
    """Whatever is accepted can be read in the journal."""
    await consent.told("POST", "/directives", BLOCK | {"until": "2199-12-31T23:59:59Z"})
    assert "jusqu'au 1er janvier 2200 à 00:59:59" in (await consent.phrases())[1]


async def test_what_is_over_leaves_room_for_a_block(consent: Interface) -> None:
    """However many consultations were authorised in their time, the patient can block today."""
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for number in range(MOST_DIRECTIVES):
        body = {"kind": "authorise", "professional": f"997{number:08}", "until": until}
        await consent.told("POST", "/directives", body)
    assert code(await consent.call("POST", "/directives", BLOCK)) == (409, "too-many-directives")
    consent.ahead = 7_200_000
    assert (await consent.told("GET", "/directives"))["directives"] == []
    await consent.told("POST", "/directives", BLOCK)


async def test_a_record_that_is_not_open_is_not_ready(consent: Interface) -> None:
    """A token may come before its record: try again."""
    actor = Actor("patient", OTHER_RECORD, "Dominique", "portail", "Portail", "patient-frontend")
    for method, path, body in (("GET", "/journal", None), ("POST", "/directives", BLOCK)):
        answer = await consent.call(method, path, body, actor=actor, record=OTHER_RECORD)
        assert code(answer) == (503, "record-not-ready")


async def test_a_hidden_document_is_named_as_fhir_names_it(consent: Interface) -> None:
    """The id of a DocumentReference (`record-document`) hides the document."""
    decided = await consent.decide.one(flow(MOREAU, Action.DEPOSIT, deposit=paper()))
    assert decided.outcome is not None
    document = "a" * 26
    answer = await consent.call("POST", "/directives", {"kind": "hide", "document": f"{RECORD}-{document}"})
    assert code(answer) == (404, "no-such-document")
    await consent.told("POST", "/directives", {"kind": "hide", "document": f"{RECORD}-{decided.outcome.document}"})


async def test_without_a_token_nothing_is_asked(consent: Interface) -> None:
    """No token, a foreign or an expired one: 401, and no entry."""
    assert (await ask(consent.app, "GET", "/consent/journal")).status == 401
    assert (await consent.call("GET", "/journal", seconds=-1)).status == 401
    assert len(consent.journal.entries[RECORD]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/care", {"evidence": "declared"}),
        ("POST", "/announcements", {"document": ABSENT}),
        ("POST", "/directives", BLOCK),
        ("GET", "/journal", None),
    ],
)
async def test_who_asks_too_often_is_told_so_before_an_entry(
    consent: Interface, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """429 with Retry-After on any route, alike whether there is such a record, and nothing is written."""
    consent.app.state.limits = Limits(LimitSettings(application_per_minute=1), lambda: 0.0)
    assert (await consent.call(method, path, body, actor=MOREAU)).status != 429
    before = len(consent.journal.entries[RECORD])
    refused = [await consent.call(method, path, body, actor=MOREAU, record=each) for each in (RECORD, OTHER_RECORD)]
    assert [code(each) for each in refused] == [(429, "too-many-requests")] * 2
    assert refused[0].body == refused[1].body
    assert refused[0].headers["retry-after"] == "60"
    assert len(consent.journal.entries[RECORD]) == before
    assert OTHER_RECORD not in consent.journal.entries


async def test_a_structure_is_blocked_by_either_of_its_numbers(consent: Interface) -> None:
    """FHIR names structures by '1' + FINESS: said so, the block means the same structure; another length is refused."""
    for number in ("750000001", "1750000001"):
        await consent.told("POST", "/directives", {"kind": "block", "organisation": number})
    held = (await consent.told("GET", "/directives"))["directives"]
    assert [each["subject"] for each in held] == ["organisation:750000001"] * 2
    wrong = await consent.call("POST", "/directives", {"kind": "block", "organisation": "2750000001"})
    assert wrong.status == 422
