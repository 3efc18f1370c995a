"""A deposit's key: one for one document however often it is retried, and destroyed only for what was never stored."""

import asyncio
from uuid import uuid4

from services.consent.domain.flow import Action
from services.consent.ports import Unconfirmed
from services.consent.use_cases.confirm_deposit import ConfirmDeposit
from services.consent.use_cases.question_deposits import QuestionDeposits
from tests.integration.consent.conftest import Start
from tests.integration.consent.processes import Laggard, Process, asked, now_ms
from tests.integration.consent.test_deciders import replayed
from tests.unit.consent.people import CAMILLE, COLLEAGUE, MOREAU, PETIT, RECORD, paper

DAY = 86_400_000


async def _deposited(consent: Process, name: str = "report") -> str:
    decided = await consent.ask(MOREAU, Action.DEPOSIT, deposit=paper(name))
    assert decided is not None
    return decided.documents[0].id


async def _rows(consent: Process) -> int:
    return int(await consent.mongo["document_keys"].count_documents({}))


async def test_retries_at_once_have_one_document_and_one_key(start: Start) -> None:
    """The same content under one identifier, by two colleagues over three processes: one id, one key that opens."""
    processes = [await start(Laggard) for _ in range(3)]
    flows = [asked(MOREAU if at % 2 else COLLEAGUE, Action.DEPOSIT, deposit=paper()) for at in range(9)]
    decided = await asyncio.gather(*(processes[at % 3].decide(each) for at, each in enumerate(flows)))
    held = [each.released[0] for each in decided if each is not None]
    assert len(held) == 9
    assert len({(each.document.id, each.key) for each in held}) == 1
    replayed(await processes[0].entries())
    again = await processes[1].ask(CAMILLE, Action.READ, held[0].document.id)
    assert again is not None
    assert again.released[0].key == held[0].key


async def test_another_content_at_once_is_a_conflict(start: Start) -> None:
    """Of two contents under one identifier at the same moment, one stands and the other is told."""
    processes = [await start(Laggard) for _ in range(2)]
    flows = [asked(MOREAU, Action.DEPOSIT, deposit=paper(content=f"content {at % 2}")) for at in range(6)]
    decided = await asyncio.gather(*(processes[at % 2].decide(each) for at, each in enumerate(flows)))
    verdicts = sorted(each.outcome.verdict for each in decided if each is not None and each.outcome is not None)
    assert verdicts == ["allowed"] * 3 + ["conflict"] * 3
    assert all(not each.released for each in decided if each and each.outcome and each.outcome.verdict == "conflict")


async def test_two_organisations_may_use_one_identifier(consent: Process) -> None:
    """Identifiers belong to whoever gives them."""
    mine = await consent.ask(MOREAU, Action.DEPOSIT, deposit=paper())
    others = await consent.ask(PETIT, Action.DEPOSIT, deposit=paper(content="other"))
    assert mine is not None
    assert others is not None
    assert mine.documents[0].id != others.documents[0].id


async def test_an_abandoned_deposit_is_over(consent: Process) -> None:
    """Its entry first, then its key is gone; the event again changes nothing; a new deposit has a new document."""
    document, event = await _deposited(consent), uuid4().hex
    for _ in range(2):
        await consent.abandon(RECORD, document, 1, event)
    entries = await consent.entries()
    assert [each.kind for each in entries] == ["opened", "decision", "abandoned"]
    assert await _rows(consent) == 0
    refused = await consent.ask(CAMILLE, Action.READ, document)
    assert refused is not None
    assert refused.outcome is not None
    assert refused.outcome.rule == "no-such-document"
    assert await _deposited(consent) != document
    replayed(await consent.entries())


async def test_abandoning_never_destroys_a_live_key(consent: Process) -> None:
    """What documents said it stored is kept, whatever is said later: no entry, and the key opens still."""
    document = await _deposited(consent)
    await ConfirmDeposit(consent.keys)(RECORD, document, 1, "d" * 43)
    await consent.abandon(RECORD, document, 1, uuid4().hex)
    assert len(await consent.entries()) == 2
    read = await consent.ask(CAMILLE, Action.READ, document)
    assert read is not None
    assert [each.state for each in read.released] == ["live"]


async def test_abandoning_and_confirming_at_once_lose_no_live_key(start: Start) -> None:
    """Whichever comes first, a row that became live is never deleted."""
    one, two = await start(Laggard), await start()
    for number in range(10):
        document = await _deposited(one, f"paper {number}")
        await asyncio.gather(
            one.abandon(RECORD, document, 1, uuid4().hex), two.keys.confirm(RECORD, document, 1, "d" * 43)
        )
        row = await one.mongo["document_keys"].find_one({"document": document})
        assert row is None or row["state"] == "live"
    replayed(await one.entries())


async def test_deciders_and_an_abandoned_deposit_agree(start: Start) -> None:
    """While a deposit is given up, reads and retries of it are judged before or after its entry, never in between."""
    processes = [await start(Laggard) for _ in range(3)]
    document = await _deposited(processes[0])
    reads = [asked(CAMILLE, Action.READ, document) for _ in range(12)]
    retries = [asked(MOREAU, Action.DEPOSIT, deposit=paper()) for _ in range(3)]
    work = [processes[at % 3].decide(each) for at, each in enumerate([*reads, *retries])]
    await asyncio.gather(processes[1].abandon(RECORD, document, 1, uuid4().hex), *work)
    record = replayed(await processes[0].entries())
    for each in processes:
        assert await each.ledger.folded(RECORD) == record
    assert document not in record.documents
    assert await processes[0].mongo["document_keys"].count_documents({"document": document}) == 0


async def test_a_row_without_an_entry_is_swept_and_one_with_an_entry_is_asked_about(consent: Process) -> None:
    """A day later: keys that no entry names go, deposits that nobody confirmed are asked about, once a day."""
    document = await _deposited(consent)
    kept = await _deposited(consent, "confirmed")
    await consent.keys.confirm(RECORD, kept, 1, "d" * 43)
    standing = (await consent.ledger.folded(RECORD)).documents[document]  # type: ignore[union-attr]
    orphan = type(standing)(**{name: getattr(standing, name) for name in standing.__slots__} | {"id": "o" * 26})
    await consent.keys.hold([(RECORD, orphan)])
    asked_about: list[Unconfirmed] = []

    async def question(each: Unconfirmed) -> None:
        asked_about.append(each)
        await consent.mongo.transact(lambda session: consent.keys.asked(each, session))

    early = QuestionDeposits(consent.ledger, consent.keys, question, now_ms)
    assert await early() == 0
    assert await _rows(consent) == 3
    due = QuestionDeposits(consent.ledger, consent.keys, question, lambda: now_ms() + DAY + 1)
    assert await due() == 2
    assert asked_about == [Unconfirmed(RECORD, document, 1)]
    assert await consent.mongo["document_keys"].count_documents({"document": orphan.id}) == 0
    assert await due() == 0
    assert await _rows(consent) == 2
