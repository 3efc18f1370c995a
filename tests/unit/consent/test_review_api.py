"""Reviews for data protection officers: theirs alone, each look an entry, one answer that the person reads."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import orjson
import pytest
from fastapi import FastAPI

from chassis.sealing import Unsealable
from chassis.tokens import EVERY_RECORD
from chassis.web import create_app
from services.consent.api.reviews import review_router
from services.consent.domain.entry import EMERGENCIES, Entry, Kind, Outcome, Reviewing
from services.consent.domain.flow import Action, Actor, Care, Reason
from services.consent.domain.record import Record
from services.consent.domain.review import DPO, closing_cause, review_of
from services.consent.french import phrases
from services.consent.inscribing import Inscribe
from services.consent.ledger import Ledger
from services.consent.ports import Fate, OutcomeUnknown, RecordUnknown
from services.consent.use_cases.answer_review import AnswerReview
from services.consent.use_cases.read_reviews import ReadReviews
from tests.unit.chassis.asgi import Answer, ask
from tests.unit.consent.memory import MemoryJournal, MemoryReviews, MemorySnapshots, Unchanging
from tests.unit.consent.people import (
    CAMILLE,
    INSURER,
    MOREAU,
    NOW,
    OTHER_RECORD,
    PETIT,
    RECORD,
    RULES,
    entry,
    flow,
    opening,
)
from tests.unit.consent.tokens import access_token, now_ms, verifier

OFFICER = replace(MOREAU, id="899700000008", name="Claude Garde", profession=DPO)
OTHERS_OFFICER = replace(PETIT, id="899700000009", name="Sacha Veille", profession=DPO)
ANSWER = {"answer": "La patiente était inconsciente et son traitement inconnu.", "justified": True}
SECRET = "Patient inconscient, suspicion de surdosage"


class Office:
    """Officers' routes on ports in memory."""

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self.journal, self.reviews, self.ahead = journal or MemoryJournal(), MemoryReviews(), 0
        for record in (RECORD, OTHER_RECORD):
            self.journal.entries[record] = [opening(record)]
        room: Any = SimpleNamespace(verifier=verifier(), in_force=Unchanging(RULES))
        inscribe = Inscribe(Ledger(self.journal, MemorySnapshots()), self.journal, Unchanging(RULES), now_ms)
        room.read_reviews = ReadReviews(self.reviews, self.journal, inscribe, lambda: now_ms() + self.ahead)
        room.answer_review = AnswerReview(self.reviews, self.journal, inscribe)
        self.app: FastAPI = create_app("consent", [review_router(room)], {})

    def access(self, actor: Actor = MOREAU, *, record: str = RECORD, at: int = NOW, **said: Any) -> str:
        """Have an emergency open a record, and its review stand; return the flow."""
        last = self.journal.entries[record][-1]
        told: dict[str, Any] = {"purpose": "BTG", "reason": Reason("URG", SECRET)} | said
        asked = flow(actor, told.pop("action", Action.READ), "a" * 26, record=record, **told)
        outcome = Outcome("allowed", "rule", count=1, refused=(("hidden-by-patient", 7),))
        new = entry(Record(record, last.version, last.n), asked, outcome, at)
        self.journal.entries[record].append(new)
        review = review_of(new, at)
        assert review is not None
        self.reviews.open(review)
        return asked.id

    async def call(self, method: str, path: str, body: Any = None, *, by: Actor = OFFICER, record: str = "") -> Answer:
        """Call with the token of an officer, or of whoever else; of every record, where there is such a token."""
        record = record or (EVERY_RECORD if by.kind == "professional" else RECORD)
        headers = {"authorization": f"Bearer {access_token(by, record=record)}", "content-type": "application/json"}
        return await ask(self.app, method, f"/consent/reviews{path}", orjson.dumps(body) if body else b"", headers)

    async def listed(self, query: str = "", **more: Any) -> Any:
        """Return what an officer is shown."""
        answer = await self.call("GET", query, **more)
        assert answer.status == 200, answer
        return orjson.loads(answer.body)

    async def flows(self, query: str = "", **more: Any) -> list[str]:
        """Return the flows that an officer is shown."""
        return [each["flow"] for each in (await self.listed(query, **more))["reviews"]]

    async def answer(self, access: str, **more: Any) -> tuple[int, str | None]:
        """Answer; return the status, and the problem's code."""
        said = await self.call("POST", f"/{access}/answer", ANSWER, **more)
        return said.status, orjson.loads(said.body).get("code")

    def kinds(self, record: str = RECORD) -> list[str]:
        """Return the kinds of a record's entries."""
        return [each.kind for each in self.journal.entries[record]]

    def last(self, record: str = RECORD) -> Entry:
        """Return the newest entry of a record."""
        return self.journal.entries[record][-1]


@pytest.fixture
def office() -> Office:
    """Open two records."""
    return Office()


async def test_an_officer_reads_who_when_and_why(office: Office) -> None:
    """In French, with the reason that was given, and the day by which an answer is owed."""
    access = office.access()
    (seen,) = (await office.listed())["reviews"]
    assert (seen["flow"], seen["record"], seen["purpose"], seen["action"]) == (access, RECORD, "BTG", "read")
    assert seen["who"]["name"] == "Dr Moreau"
    assert seen["reason"] == {"code": "URG", "text": SECRET}
    assert (seen["at"][:10], seen["due_at"][:10]) == ("2026-05-28", "2026-06-27")
    assert seen["phrase"].startswith("Le 28 mai 2026 à ")
    assert "Dr Moreau (Cabinet Moreau, logiciel Logiciel Moreau) a lu un document, en urgence" in seen["phrase"]
    assert seen["phrase"].endswith(f"Motif (URG) : « {SECRET} ».")


WORD: dict[str, Any] = {
    "action": Action.DECLARE_CARE, "purpose": "TREAT", "reason": None, "care": Care("declared", NOW + 3_600_000)
}  # fmt: skip


async def test_an_officer_reviews_an_oral_agreement_that_was_declared(office: Office) -> None:
    """Who says that the person agreed, and until when; the person reads that it was looked at, and the answer."""
    declared = office.access(**WORD)
    (seen,) = (await office.listed())["reviews"]
    assert (seen["flow"], seen["action"], seen["purpose"], seen["reason"]) == (declared, "declare-care", "TREAT", None)
    assert "a déclaré avoir l'accord oral de la personne, jusqu'au 28 mai 2026" in seen["phrase"]
    assert "« »" not in seen["phrase"]
    assert "motif" not in seen["phrase"].lower()
    about = "la déclaration de soins du 28 mai 2026"
    assert f"a examiné {about}" in phrases.entry_view(office.last(), RULES)["phrase"]
    assert await office.answer(declared) == (201, None)
    assert f"a répondu sur {about}" in phrases.entry_view(office.last(), RULES)["phrase"]
    assert "justifiée" in phrases.entry_view(office.last(), RULES)["phrase"]
    assert await office.answer(declared) == (409, "already-answered")


async def test_nobody_reviews_his_own_word(office: Office) -> None:
    """An officer who declared it himself leaves it to another."""
    declared = office.access(OFFICER, **WORD)
    assert await office.answer(declared) == (403, "own-access")


async def test_an_officer_learns_nothing_of_the_record(office: Office) -> None:
    """No document, no count, no rule: a restriction of the patient's is not for anybody's eyes (EHDS, art. 8)."""
    office.access()
    said = (await office.call("GET", "")).body.decode()
    assert not any(word in said for word in ("a" * 26, "hidden-by-patient", "count", "rule", "refused"))


async def test_each_look_is_an_entry_before_it_is_shown(office: Office) -> None:
    """The person reads who looked, at which access, once a day; and the class is like any request's."""
    access = office.access()
    for _ in range(2):
        await office.listed()
    assert office.kinds() == ["opened", "decision", "looked-at-review"]
    office.ahead += 86_400_000
    await office.listed()
    assert office.kinds() == ["opened", "decision", "looked-at-review", "looked-at-review"]
    looked = office.last()
    assert (looked.leaf_class, looked.announces) == ("request", None)
    view = phrases.entry_view(looked, RULES)
    assert (view["flow"], view["who"]["name"]) == (access, "Claude Garde")
    assert (
        "Claude Garde, pour la protection des données de Cabinet Moreau, a examiné l'accès en urgence du 28 mai"
        in (view["phrase"])
    )


async def test_what_could_not_be_written_is_not_shown() -> None:
    """When the database does not say whether the look stands, nothing is shown and nothing answered."""

    class Mute(MemoryJournal):
        async def append(self, entries: Any) -> list[Fate]:  # noqa: ARG002 - the port's
            raise OutcomeUnknown

    office = Office(Mute())
    access = office.access()
    answer = await office.call("GET", "")
    assert (answer.status, SECRET in answer.body.decode()) == (503, False)
    assert await office.answer(access) == (503, "consent-unreachable")
    assert office.reviews.answers == {}


@pytest.mark.parametrize(
    "by",
    [MOREAU, CAMILLE, INSURER, replace(OFFICER, application_kind="insurer"), replace(OFFICER, organisation=None)],
)
async def test_whoever_else_asks_learns_nothing(office: Office, by: Actor) -> None:
    """The same 403 whether there is something or not, and no entry: nobody's record was touched."""
    answers = [await office.call("GET", "", by=by), await office.call("POST", f"/{'0' * 32}/answer", ANSWER, by=by)]
    access = office.access()
    answers += [await office.call("GET", "", by=by), await office.call("POST", f"/{access}/answer", ANSWER, by=by)]
    assert {each.status for each in answers} == {403}
    assert len({each.body for each in answers}) == 1
    assert office.kinds() == ["opened", "decision"]
    assert (await ask(office.app, "GET", "/consent/reviews")).status == 401


async def test_another_organisation_s_officer_sees_nothing(office: Office) -> None:
    """His list is empty; answering is as if there were no such review, and leaves no entry."""
    access = office.access()
    assert await office.flows(by=OTHERS_OFFICER) == []
    absent = await office.call("POST", f"/{'0' * 32}/answer", ANSWER, by=OTHERS_OFFICER)
    foreign = await office.call("POST", f"/{access}/answer", ANSWER, by=OTHERS_OFFICER)
    assert (foreign.status, foreign.body) == (absent.status, absent.body) == (404, absent.body)
    assert office.kinds() == ["opened", "decision"]


async def test_a_token_of_one_record_shows_its_reviews_only(office: Office) -> None:
    """A token names one record; that of an officer may name them all (`public`)."""
    mine, other = office.access(at=NOW), office.access(record=OTHER_RECORD, at=NOW + 1)
    assert await office.flows() == [mine, other]
    assert await office.flows(record=OTHER_RECORD) == [other]
    assert await office.answer(mine, record=OTHER_RECORD) == (404, "no-such-review")
    assert await office.answer(other, record=OTHER_RECORD) == (201, None)


async def test_the_person_reads_the_answer(office: Office) -> None:
    """One sentence: who answers, about which access, justified or not, and the text itself."""
    access = office.access()
    assert await office.answer(access) == (201, None)
    written = office.last()
    assert (written.kind, written.leaf_class, written.cause) == ("reviewed", "other", f"reviewed-{access}")
    view = phrases.entry_view(written, RULES)
    assert (view["flow"], view["justified"], view["answer"]) == (access, True, ANSWER["answer"])
    assert (
        "Claude Garde, pour la protection des données de Cabinet Moreau, a répondu sur l'accès en urgence du"
        in (view["phrase"])
    )
    assert view["phrase"].endswith(f" : il était justifié. Réponse : « {ANSWER['answer']} »")
    refuted = phrases.entry_view(replace(written, reviewing=Reviewing(access, NOW, OFFICER, "Non.", False)), RULES)
    assert "il n'était pas justifié. Réponse : « Non. »" in refuted["phrase"]
    assert await office.flows() == []


async def test_answering_twice_answers_once(office: Office) -> None:
    """The second time is a 409, one after the other or at once, and the first answer stands."""
    access, raced = office.access(), office.access(at=NOW + 1)
    assert [await office.answer(access) for _ in range(2)] == [(201, None), (409, "already-answered")]
    answers = await asyncio.gather(*(office.answer(raced) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409, 409]
    assert office.kinds().count("reviewed") == 2


async def test_an_answer_whose_row_was_left_open_stands(office: Office) -> None:
    """Whoever answered died after the entry: the review is owed no more, and cannot be answered again."""
    access, other = office.access(), office.access(at=NOW + 1)
    for each in (access, other):
        await office.answer(each)
        name = (RECORD, each)
        office.reviews.rows[name] = replace(office.reviews.rows[name], state="open")
        del office.reviews.answers[name]
    assert await office.answer(other) == (409, "already-answered")
    assert [office.reviews.rows[RECORD, each].state for each in (access, other)] == ["open", "closed"]
    assert await office.flows() == []
    assert {each.state for each in office.reviews.rows.values()} == {"closed"}
    assert {each.answer for each in office.reviews.answers.values()} == {ANSWER["answer"]}
    assert office.kinds().count("reviewed") == 2


@pytest.mark.parametrize("error", [Unsealable(), RecordUnknown()])
async def test_what_cannot_be_read_hides_no_other_review(error: Exception) -> None:
    """One record's row was altered, or its key destroyed: the officer still sees the rest of what is owed."""

    class Broken(MemoryJournal):
        async def by_cause(self, record: str, cause: str) -> Entry | None:
            if record == OTHER_RECORD:
                raise error
            return await super().by_cause(record, cause)

    office = Office(Broken())
    office.access(record=OTHER_RECORD)
    access = office.access(at=NOW + 1)
    assert await office.flows() == [access]


async def test_nobody_reviews_what_he_did_himself(office: Office) -> None:
    """An officer who is a doctor too leaves his own access to another officer."""
    access = office.access(replace(MOREAU, id=OFFICER.id))
    assert await office.answer(access) == (403, "own-access")
    assert await office.answer(access, by=replace(OFFICER, id="899700000007")) == (201, None)


async def test_reviews_are_read_page_by_page(office: Office) -> None:
    """The oldest first, none twice, none left out, also where several were opened at once."""
    accesses = [office.access(at=NOW + number // 2) for number in range(5)]
    seen, query = list[str](), "?_count=2"
    while query:
        page = await office.listed(query)
        seen += [each["flow"] for each in page["reviews"]]
        query = (page["next"] or "").removeprefix("/consent/reviews")
    assert seen == sorted(accesses, key=lambda each: (office.reviews.rows[RECORD, each].opened_at, each))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"answer": "trop court", "justified": True},
        {"answer": " " * 30, "justified": True},
        {"answer": "x" * 4_001, "justified": True},
        {"answer": "x" * 20},
        {"answer": "x" * 20, "justified": "true"},
        {"answer": "x" * 20, "justified": 1},
        {"answer": "x" * 20, "justified": True, "more": 1},
    ],
)
async def test_a_malformed_answer_is_refused(office: Office, body: Any) -> None:
    """422 with the place of the fault, and nothing is written."""
    access = office.access()
    answer = await office.call("POST", f"/{access}/answer", body or {"x": 1})
    assert (answer.status, orjson.loads(answer.body)["code"]) == (422, "invalid-request")
    assert office.kinds() == ["opened", "decision"]


@pytest.mark.parametrize("text", ["x" * 20, "y" * 4_000, "Ligne une.\nLigne deux, « entre guillemets » {have}"])
async def test_the_longest_and_the_oddest_answers_are_read_as_written(office: Office, text: str) -> None:
    """What is accepted comes back whole, braces and lines included."""
    access = office.access()
    answer = await office.call("POST", f"/{access}/answer", ANSWER | {"answer": text})
    assert orjson.loads(answer.body)["answer"] == text
    assert text in phrases.entry_view(office.last(), RULES)["phrase"]


async def test_half_a_character_is_refused(office: Office) -> None:
    """What no journal could hold (a lone surrogate) is malformed, not a failure."""
    access = office.access()
    headers = {
        "authorization": f"Bearer {access_token(OFFICER, record=EVERY_RECORD)}",
        "content-type": "application/json",
    }
    body = b'{"answer": "' + rb"\ud800" * 20 + b'", "justified": true}'
    answer = await ask(office.app, "POST", f"/consent/reviews/{access}/answer", body, headers)
    assert (answer.status, office.kinds()) == (422, ["opened", "decision"])


@pytest.mark.parametrize("path", ["/../answer", "/x/answer", f"/{'A' * 32}/answer"])
async def test_a_flow_is_named_as_it_is(office: Office, path: str) -> None:
    """Anything else than a flow's id is no review."""
    assert (await office.call("POST", path, ANSWER)).status in {404, 422}


@pytest.mark.parametrize("query", ["?after=x", "?after=1.x", "?_count=0", "?_count=51"])
async def test_a_malformed_page_is_refused(office: Office, query: str) -> None:
    """422, and nothing is looked at."""
    office.access()
    assert (await office.call("GET", query)).status == 422
    assert office.kinds() == ["opened", "decision"]


@pytest.mark.parametrize("purpose", sorted(EMERGENCIES))
@pytest.mark.parametrize("action", [Action.LIST, Action.READ])
async def test_every_emergency_has_a_sentence(office: Office, action: Action, purpose: str) -> None:
    """Whatever opened the record, the officer reads a whole sentence, with or without a reason."""
    office.access(action=action, purpose=purpose, reason=None)
    (seen,) = (await office.listed())["reviews"]
    assert seen["reason"] is None
    assert seen["phrase"].endswith(". Aucun motif n'a été donné.")
    assert purpose not in seen["phrase"]


def test_every_kind_of_entry_has_a_sentence() -> None:
    """A kind that this test does not know has none yet."""
    assert set(get_args(Kind)) == {"opened", "represented", "decision", "abandoned", "revealed", "activated",
                                    "looked-at-review",
                                    "reviewed", "told-doctor", "repeated"}  # fmt: skip
    assert get_type_hints(Entry)["kind"] == Kind
    assert closing_cause("f") == "reviewed-f"
