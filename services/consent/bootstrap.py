"""Consent, put together: the only file that knows the domain and its adapters."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chassis import faults
from chassis.announcements import Announcements
from chassis.consuming import Consuming
from chassis.dead_letters import DeadLetters
from chassis.hearing import Hearer
from chassis.mongo import Mongo, Session
from chassis.outbox import Outbox
from chassis.relay import Relay
from chassis.tokens import TokenVerifier
from chassis.trust import AnnouncedKeys, InstanceIdentity, Trust
from contracts.consent import DepositUnconfirmed
from services.consent.consumers import subscribe
from services.consent.domain.rules import Rules
from services.consent.flows import Judge
from services.consent.keys import FileRoot, MongoRecordKeys
from services.consent.ledger import Ledger
from services.consent.own_flows import OwnFlows
from services.consent.ports import Unconfirmed
from services.consent.settings import ConsentSettings
from services.consent.store import MongoDocumentKeys, MongoJournal
from services.consent.use_cases.abandon_deposit import AbandonDeposit
from services.consent.use_cases.change_directives import ChangeDirectives
from services.consent.use_cases.confirm_deposit import ConfirmDeposit
from services.consent.use_cases.decide import Decide
from services.consent.use_cases.open_record import OpenRecord
from services.consent.use_cases.question_deposits import QuestionDeposits
from services.consent.use_cases.read_directives import ReadDirectives
from services.consent.use_cases.read_journal import ReadJournal


@dataclass(frozen=True, slots=True)
class Room:
    """What consent's roles run on."""

    settings: ConsentSettings
    mongo: Mongo
    rules: Rules
    verifier: TokenVerifier
    tokens: Announcements
    change_directives: ChangeDirectives
    read_directives: ReadDirectives
    read_journal: ReadJournal
    questioning: QuestionDeposits
    hearer: Hearer
    consuming: Consuming
    letters: DeadLetters
    relay: Relay
    announced: AnnouncedKeys


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def bootstrap(settings: ConsentSettings) -> AsyncIterator[Room]:
    """Connect, prepare the collections, and give the room; close on leaving."""
    mongo = Mongo(settings.mongo)
    try:
        yield await _room(settings, mongo)
    finally:
        await mongo.close()


async def _room(settings: ConsentSettings, mongo: Mongo) -> Room:
    trust = Trust(settings.trust.root)
    announced = AnnouncedKeys.load(settings.keys.sealing)
    rules, verifier = Rules(), TokenVerifier()
    record_keys = MongoRecordKeys(mongo, FileRoot(settings.keys.root_key))
    journal, document_keys = MongoJournal(mongo, record_keys), MongoDocumentKeys(mongo, record_keys)
    outbox, letters = Outbox(mongo, "consent"), DeadLetters(mongo, "carnet.consent")
    relay = Relay(mongo, settings.kafka, settings.instance)
    for each in (record_keys, journal, document_keys, outbox, letters, relay):
        await each.prepare()

    async def question(each: Unconfirmed) -> None:
        async def work(session: Session) -> None:
            fact = DepositUnconfirmed(record=each.record, document=each.document, version=each.version)
            await document_keys.asked(each, session)
            faults.point("consent.question.noted")
            await outbox.add(fact, session, correlation_id=each.document)
            faults.point("consent.question.asked")

        await mongo.transact(work)

    ledger = Ledger(journal)
    decide = Decide(ledger, journal, document_keys, rules, now_ms)
    flows = OwnFlows(decide)
    consuming = Consuming("consent", settings.kafka, letters, settings.instance)
    subscribe(
        consuming,
        OpenRecord(journal, record_keys, rules, now_ms),
        ConfirmDeposit(document_keys),
        AbandonDeposit(ledger, journal, document_keys, rules, now_ms),
    )
    return Room(
        settings=settings,
        mongo=mongo,
        rules=rules,
        verifier=verifier,
        tokens=Announcements(settings.kafka, trust, "tokens", lambda said: verifier.use({"keys": list(said.keys)})),
        change_directives=ChangeDirectives(flows, ledger, now_ms),
        read_directives=ReadDirectives(flows, ledger, now_ms),
        read_journal=ReadJournal(flows, journal),
        questioning=QuestionDeposits(
            ledger, document_keys, question, now_ms, int(settings.keys.unconfirmed_seconds * 1000)
        ),
        hearer=Hearer(
            settings.kafka,
            InstanceIdentity.load(settings.trust.instance),
            trust,
            [X25519PrivateKey.from_private_bytes(private) for _, private in announced.private],
            Judge(decide, verifier, rules),
        ),
        consuming=consuming,
        letters=letters,
        relay=relay,
        announced=announced,
    )
