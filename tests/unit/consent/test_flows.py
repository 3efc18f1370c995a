"""What a proved question becomes, and what each asker may read of the decision: a professional's refusals are alike."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from chassis.hearing import Heard, Judged
from chassis.sealing import digest
from chassis.tokens import Representative, signing_jwk
from chassis.trust import Certificate
from contracts.consent import MAX_RESOURCES, Action, DepositAttributes, FlowAnswer, FlowQuestion, LabelAmendment
from services.consent.domain.flow import Action as OwnAction
from services.consent.domain.flow import Actor, Change
from services.consent.flows import Judge
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows, Refused
from services.consent.use_cases.change_directives import ChangeDirectives
from services.consent.use_cases.decide import Decide
from tests.unit.consent.memory import MemoryJournal, MemoryKeys, MemoryProjection, MemorySnapshots, Unchanging
from tests.unit.consent.people import (
    ABSENT,
    CAMILLE,
    INSURER,
    MOREAU,
    NOTICES,
    OTHER_RECORD,
    PARENT,
    PERSON,
    PETIT,
    RECORD,
    RULES,
    opening,
    paper,
)
from tests.unit.consent.tokens import access_token, now_ms, verifier

MASK = LabelAmendment(adds=("MASQUE_PS",))
FOREIGN = signing_jwk("identity-1", bytes(range(1, 33)))


def certificate(role: str = "documents") -> Certificate:
    """Return a proved instance's certificate."""
    return Certificate(
        f"{role}-1", role, frozenset(Action), frozenset({3}), Ed25519PrivateKey.generate().public_key(),
        X25519PrivateKey.generate().public_key(), time.time() + 60,
    )  # fmt: skip


def heard(question: FlowQuestion, *, role: str = "documents", record: str = RECORD, **said: Any) -> Heard:
    """Return a question as the hearer hands it over."""
    held: dict[str, Any] = {
        "flow": uuid4().hex, "record": record, "reply_partition": 3,
        "digest": digest(question.model_dump_json().encode()),
        "deadline_ms": now_ms() + 1_500, "question": question, "certificate": certificate(role),
        "correlation_id": "c", "traceparent": None,
    }  # fmt: skip
    return Heard(**held | said)


@dataclass
class Room:
    """Consent on ports in memory, with one record open."""

    judge: Judge
    change: ChangeDirectives
    journal: MemoryJournal
    keys: MemoryKeys
    own: OwnFlows
    projection: MemoryProjection

    async def answer(self, actor: Actor, action: Action, *documents: str, **more: Any) -> FlowAnswer:
        """Return what an actor is answered."""
        judged = await self.ask(actor, action, *documents, **more)
        assert judged is not None
        return judged.answer

    async def ask(self, actor: Actor, action: Action, *documents: str, **more: Any) -> Judged | None:
        """Ask under the actor's own token, or as a service in its own name."""
        token = None if actor.kind == "service" else access_token(actor)
        question = FlowQuestion(action=action, token=token, documents=documents, **more)
        return await self.judge(heard(question, role=actor.id if actor.kind == "service" else "documents"))

    async def deposit(
        self, actor: Actor = PETIT, name: str = "report", content: str = "content", **more: Any
    ) -> FlowAnswer:
        """Deposit."""
        held = paper(name, content=content, **more)
        deposit = DepositAttributes.model_validate({n: getattr(held, n) for n in held.__slots__})
        return await self.answer(actor, Action.DEPOSIT, deposit=deposit)

    async def say(self, change: Change) -> str:
        """Have Camille change a directive."""
        return (await self.change(Asking(RECORD, CAMILLE, "PATRQT"), change)).flow.id


@pytest.fixture
def room() -> Room:
    """Open one record."""
    journal, keys = MemoryJournal(), MemoryKeys()
    journal.entries[RECORD] = [opening()]
    ledger = Ledger(journal, MemorySnapshots())
    in_force = Unchanging(RULES)
    decide = Decide(ledger, journal, keys, in_force, now_ms)
    projection = MemoryProjection()
    judge, flows = Judge(decide, verifier(), in_force, projection), OwnFlows(decide, projection)
    return Room(judge, ChangeDirectives(flows, ledger, in_force, now_ms), journal, keys, flows, projection)


async def _absent(room: Room) -> str:
    await room.deposit()
    await room.say(Change("authorise", PERSON))
    return ABSENT


async def _hidden(room: Room) -> str:
    document = (await room.deposit()).grants[0].document
    await room.say(Change("authorise", PERSON))
    await room.say(Change("hide", document))
    return document


async def _masked(room: Room) -> str:
    await room.say(Change("authorise", PERSON))
    return (await room.deposit(visibility=("MASQUE_PS",))).grants[0].document


async def _blocked(room: Room) -> str:
    document = (await room.deposit(MOREAU)).grants[0].document
    await room.say(Change("block", PERSON))
    return document


async def _not_authorised(room: Room) -> str:
    return (await room.deposit()).grants[0].document


async def _expired(room: Room) -> str:
    await room.say(Change("authorise", PERSON, now_ms() + 20))
    await asyncio.sleep(0.03)
    return (await room.deposit()).grants[0].document


async def _opposed(room: Room) -> str:
    document = (await room.deposit(MOREAU)).grants[0].document
    await room.say(Change("oppose"))
    return document


async def test_a_list_of_the_whole_record_covers_more_than_a_flow_may_name(room: Room) -> None:
    """A hundred and one documents: named they are no question, listed they all come."""
    for number in range(MAX_RESOURCES + 1):
        await room.deposit(name=f"paper {number}")
    listed = await room.answer(CAMILLE, Action.LIST)
    assert len(listed.grants) == MAX_RESOURCES + 1
    with pytest.raises(ValidationError):
        await room.answer(CAMILLE, Action.LIST, *(each.document for each in listed.grants))


@pytest.mark.parametrize("action", [Action.READ, Action.LIST])
@pytest.mark.parametrize(
    "situation",
    [_absent, _hidden, _masked, _blocked, _not_authorised, _expired, _opposed],
    ids=lambda each: each.__name__,
)
async def test_a_professional_cannot_tell_refusals_apart(
    room: Room, situation: Callable[[Room], Awaitable[str]], action: Action
) -> None:
    """Hidden, masked, blocked, opposed, expired, never authorised and absent: the same bytes, with no reason."""
    document = await situation(room)
    answer = await room.answer(MOREAU, action, document)
    assert answer.model_dump_json(exclude_none=True) == FlowAnswer(outcome="refused").model_dump_json(exclude_none=True)


@pytest.mark.parametrize(
    "situation",
    [_absent, _hidden, _masked, _blocked, _not_authorised, _expired, _opposed],
    ids=lambda each: each.__name__,
)
async def test_a_refused_change_of_labels_says_nothing_either(
    room: Room, situation: Callable[[Room], Awaitable[str]]
) -> None:
    """Whatever is there, and even to its depositor where she blocked him: the same bytes."""
    document = await situation(room)
    answer = await room.answer(MOREAU, Action.AMEND, document, amendment=MASK)
    assert answer.model_dump_json(exclude_none=True) == FlowAnswer(outcome="refused").model_dump_json(exclude_none=True)


async def test_a_changed_label_comes_with_the_key_of_the_metadata(room: Room) -> None:
    """The depositor gets the document's labels of now and no key of its content; whoever lists it since, the same."""
    document = (await room.deposit(MOREAU)).grants[0].document
    (grant,) = (await room.answer(MOREAU, Action.AMEND, document, amendment=MASK)).grants
    assert (grant.document, grant.visibility, grant.content_key) == (document, ("MASQUE_PS",), None)
    (listed,) = (await room.answer(MOREAU, Action.LIST)).grants
    assert (listed.visibility, listed.metadata_key) == (("MASQUE_PS",), grant.metadata_key)


async def test_the_patient_and_a_red_line_are_told_why_no_label_is_theirs(room: Room) -> None:
    """Camille reads that her choices are the way, an insurer its line."""
    document = (await room.deposit(MOREAU)).grants[0].document
    told = {each.kind: await room.answer(each, Action.AMEND, document, amendment=MASK) for each in (CAMILLE, INSURER)}
    assert {kind: (answer.outcome, answer.rule) for kind, answer in told.items()} == {
        "patient": ("refused", "choices-not-labels"), "application": ("red-line", "red-line-insurance"),
    }  # fmt: skip
    assert told["patient"].sentence == RULES["choices-not-labels"].sentence


@pytest.mark.parametrize("said", [
    {"documents": ("d" * 26,)}, {"documents": ("d" * 26,), "amendment": LabelAmendment()}, {"amendment": MASK},
    {"documents": ("d" * 26, "e" * 26), "amendment": MASK},
    {"documents": ("d" * 26,), "amendment": LabelAmendment(adds=("MASQUE_PS",), removes=("MASQUE_PS",))},
], ids=str)  # fmt: skip
async def test_a_wish_that_is_none_is_dropped(room: Room, said: dict[str, Any]) -> None:
    """One document, and labels of which none is wanted both on and off."""
    more = {name: held for name, held in said.items() if name != "documents"}
    assert await room.ask(MOREAU, Action.AMEND, *said.get("documents", ()), **more) is None


@pytest.mark.parametrize("situation", [_blocked, _not_authorised, _expired, _opposed], ids=lambda each: each.__name__)
async def test_a_whole_list_is_refused_alike(room: Room, situation: Callable[[Room], Awaitable[str]]) -> None:
    """A search without ids says as little."""
    await situation(room)
    answer = await room.answer(PETIT if situation is _opposed else MOREAU, Action.LIST)
    assert answer == FlowAnswer(outcome="refused")


async def test_the_patient_is_told_rule_law_and_sentence(room: Room) -> None:
    """Camille learns exactly which rule refused her; of what is not there, there is nothing to learn."""
    document, rule = await _not_authorised(room), RULES["no-legal-basis"]
    judged = await room.judge(heard(FlowQuestion(
        action=Action.READ, token=access_token(CAMILLE, purpose="TREAT"), documents=(document,)
    )))  # fmt: skip
    assert judged is not None
    assert judged.answer == FlowAnswer(outcome="refused", rule=rule.id, law=rule.law, sentence=rule.sentence)
    assert await room.answer(CAMILLE, Action.READ, ABSENT) == FlowAnswer(outcome="refused")


async def test_a_red_line_tells_its_rule_to_anyone(room: Room) -> None:
    """The insurer's application is told the public rule, whatever it asked for, in the same words."""
    document = await _not_authorised(room)
    rule = RULES["red-line-insurance"]
    for documents in ([document], [ABSENT]):
        answer = await room.answer(INSURER, Action.READ, *documents)
        assert answer == FlowAnswer(outcome="red-line", rule=rule.id, law=rule.law, sentence=rule.sentence)


async def test_keys_go_with_what_they_are_for(room: Room) -> None:
    """A list releases metadata keys only, a read the content's too; the sub-keys differ."""
    document = (await room.deposit()).grants[0].document
    (listed,) = (await room.answer(CAMILLE, Action.LIST)).grants
    (read,) = (await room.answer(CAMILLE, Action.READ, document)).grants
    assert listed.content_key is None
    assert read.content_key is not None
    assert read.metadata_key == listed.metadata_key != read.content_key


async def test_a_live_deposit_gives_its_content_key_to_no_retry(room: Room) -> None:
    """While pending a retry may store; once the ciphertext stands the key to write it is not given again."""
    (first,) = (await room.deposit(MOREAU)).grants
    retried = await room.deposit(MOREAU)
    assert retried.grants == (first,)
    assert not retried.already_stored
    await room.keys.confirm(RECORD, first.document, 1, "d" * 43)
    again = await room.deposit(MOREAU)
    assert (again.already_stored, again.grants[0].content_key) == (True, None)
    assert (await room.deposit(MOREAU, content="other")).model_dump(exclude_defaults=True) == {"outcome": "conflict"}


async def test_a_notice_releases_no_key(room: Room) -> None:
    """The service that tells that there is news gets a yes, and nothing to read with."""
    document = (await room.deposit()).grants[0].document
    answer = await room.answer(NOTICES, Action.NOTIFY, document)
    assert answer == FlowAnswer(outcome="allowed")


async def test_an_unknown_record_is_stale(room: Room) -> None:
    """A record that consent never opened is neither allowed nor refused, and nothing is written."""
    question = FlowQuestion(action=Action.LIST, token=access_token(CAMILLE, record=OTHER_RECORD))
    judged = await room.judge(heard(question, record=OTHER_RECORD))
    assert judged is not None
    assert judged.answer == FlowAnswer(outcome="stale")
    assert OTHER_RECORD not in room.journal.entries


_PAPER = DepositAttributes(master_identifier="m", content_digest="d" * 43, type_code="t", type_system="s")
READ = FlowQuestion(action=Action.READ, documents=(ABSENT,))


@pytest.mark.parametrize(
    ("question", "role"),
    [
        (READ.model_copy(update={"token": access_token(CAMILLE, record=OTHER_RECORD)}), "documents"),
        (READ.model_copy(update={"token": access_token(CAMILLE, seconds=-1)}), "documents"),
        (READ.model_copy(update={"token": access_token(CAMILLE, key=FOREIGN)}), "documents"),
        (READ.model_copy(update={"token": "no.token.atall"}), "documents"),
        (READ.model_copy(update={"token": ""}), "documents"),
        (READ, "documents"),
        (READ, "notifications"),
        (FlowQuestion(action=Action.NOTIFY), "documents"),
        (FlowQuestion(action=Action.NOTIFY), "identity"),
        (FlowQuestion(action=Action.DEPOSIT, token=access_token(MOREAU)), "documents"),
        (
            FlowQuestion(
                action=Action.READ, token=access_token(MOREAU), documents=(ABSENT,),
                deposit=_PAPER,
            ),
            "documents",
        ),
        (FlowQuestion(action=Action.READ_JOURNAL, token=access_token(CAMILLE)), "documents"),
        (FlowQuestion(action=Action.READ_DIRECTIVES, token=access_token(CAMILLE)), "documents"),
        (FlowQuestion(action=Action.CHANGE_DIRECTIVES, token=access_token(CAMILLE)), "documents"),
        (FlowQuestion(action=Action.READ, token=access_token(CAMILLE)), "documents"),
        (FlowQuestion(action=Action.NOTIFY), "notifications"),
    ],
    ids=[
        "token of another record", "token expired", "token by a foreign key", "no token", "empty token",
        "token missing", "a service beyond its flows", "a service in another's name", "a role without flows",
        "a deposit of nothing", "a read with a deposit", "the journal by a flow", "directives by a flow",
        "a change by a flow", "a read of nothing", "a notice of nothing",
    ],
)  # fmt: skip
async def test_a_question_that_proves_nothing_is_dropped(room: Room, question: FlowQuestion, role: str) -> None:
    """Nobody is answered and nothing is written: the journal holds flows of proved askers only."""
    assert await room.judge(heard(question, role=role)) is None
    assert len(room.journal.entries[RECORD]) == 1


async def test_a_late_question_is_dropped(room: Room) -> None:
    """A question past its deadline is neither judged nor written."""
    question = FlowQuestion(action=Action.LIST, token=access_token(CAMILLE))
    assert await room.judge(heard(question, deadline_ms=now_ms())) is None
    assert len(room.journal.entries[RECORD]) == 1


async def test_the_entry_says_who_asked_as_the_token_has_it(room: Room) -> None:
    """Names, structure, software and purpose come from the verified token; the service says which event it is for."""
    await room.deposit(MOREAU)
    await room.ask(NOTICES, Action.NOTIFY, ABSENT, cause="event-1")
    deposited, notified = [each.flow for each in room.journal.entries[RECORD][1:]]
    assert deposited is not None
    assert notified is not None
    assert (deposited.actor, deposited.purpose) == (MOREAU, "TREAT")
    assert (notified.actor, notified.purpose, notified.because) == (NOTICES, "NOTIFY", "event-1")


async def test_the_receipt_names_the_entry(room: Room) -> None:
    """What consent promises about its journal is the digest of the entry's clear part, and its time."""
    judged = await room.ask(CAMILLE, Action.LIST)
    assert judged is not None
    newest = room.journal.entries[RECORD][-1]
    assert judged.receipt["at"] == newest.at
    assert len(judged.receipt["entry"]) == 43


async def test_a_professional_application_is_not_its_user(room: Room) -> None:
    """Without a person behind it, an application is answered as neutrally as a professional."""
    answer = await room.answer(replace(INSURER, application_kind="care-software"), Action.READ, ABSENT)
    assert answer.outcome == "red-line"  # its purpose is COVERAGE still
    document = await _not_authorised(room)
    token = access_token(replace(INSURER, application_kind="care-software"), purpose="TREAT")
    for name in (document, ABSENT):
        judged = await room.judge(heard(FlowQuestion(action=Action.READ, token=token, documents=(name,))))
        assert judged is not None
        assert judged.answer == FlowAnswer(outcome="refused")


async def test_a_token_of_every_record_asks_for_no_documents(room: Room) -> None:
    """It names nobody's record, so no question can bring it: neither of a record nor of `public`."""
    token = access_token(MOREAU, record="public")
    for record in (RECORD, "public"):
        assert await room.judge(heard(FlowQuestion(action=Action.LIST, token=token), record=record)) is None
    assert len(room.journal.entries[RECORD]) == 1


async def test_a_representative_is_journalled_as_one(room: Room) -> None:
    """The entry names the holder, not the patient whose record it is; who is none is told so."""
    await room.deposit()
    token = access_token(
        replace(CAMILLE, kind="representative"), sub="elsewhere", purpose="PATRQT",
        representative=Representative(holder=OTHER_RECORD, role="parent"),
    )  # fmt: skip
    judged = await room.judge(heard(FlowQuestion(action=Action.LIST, token=token)))
    assert judged is not None
    assert (judged.answer.outcome, judged.answer.rule) == ("refused", "not-a-representative")
    newest = room.journal.entries[RECORD][-1]
    assert newest.flow is not None
    assert (newest.flow.actor.kind, newest.flow.actor.id) == ("representative", OTHER_RECORD)
    assert newest.outcome is not None
    assert (newest.outcome.rule, newest.outcome.errors) == ("not-a-representative", False)


async def test_who_acts_for_somebody_is_refused_when_too_little_was_heard(room: Room) -> None:
    """By the protocol and by consent's own interface alike: the entry says that it was stale, and the rule."""
    document = (await room.deposit()).grants[0].document
    token = access_token(PARENT, purpose="PATRQT", representative=Representative(holder=PARENT.id, role="parent"))
    question = FlowQuestion(action=Action.LIST, token=token, documents=(document,))
    asking = Asking(RECORD, PARENT, "PATRQT")
    for unheard, rule in ((True, "projection-stale"), (False, "not-a-representative")):
        room.projection.unheard = {RECORD} if unheard else {OTHER_RECORD}
        assert await room.judge(heard(question)) is not None
        with pytest.raises(Refused):
            await room.own(asking, OwnAction.READ_DIRECTIVES)
        for entry in room.journal.entries[RECORD][-2:]:
            assert entry.flow is not None
            assert entry.outcome is not None
            assert entry.flow.stale is unheard
            assert rule in {entry.outcome.rule, *(name for name, _ in entry.outcome.refused)}


async def test_nobody_else_s_flow_hangs_on_who_represents_whom(room: Room) -> None:
    """The person, professionals and services are judged as ever while identity is unheard."""
    room.projection.unheard = {RECORD}
    for actor in (CAMILLE, MOREAU, NOTICES, INSURER):
        action = Action.NOTIFY if actor is NOTICES else Action.LIST
        assert await room.ask(actor, action, ABSENT) is not None
    await room.own(Asking(RECORD, CAMILLE, "PATRQT"), OwnAction.READ_DIRECTIVES)
    asked = [entry.flow for entry in room.journal.entries[RECORD] if entry.flow]
    assert len(asked) == 5
    assert not any(flow.stale for flow in asked)
