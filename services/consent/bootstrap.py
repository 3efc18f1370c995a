"""Consent, put together: the only file that knows the domain and its adapters."""

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chassis import faults, logs
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
from services.consent.acquaintances import Acquaintances
from services.consent.bundles import MongoBundles
from services.consent.consumers import subscribe
from services.consent.doctor_notices import MongoDoctorNotices
from services.consent.domain.bundle import Bundle
from services.consent.domain.rules import POLICIES
from services.consent.flows import Judge
from services.consent.in_force import Activations, Archive, RulesInForce
from services.consent.inscribing import Inscribe
from services.consent.keys import FileRoot, MongoRecordKeys
from services.consent.ledger import Ledger
from services.consent.notices import MongoNotices, MongoReviews, announcing
from services.consent.own_flows import OwnFlows
from services.consent.ports import Clock, Unconfirmed
from services.consent.projection import IdentityProjection, MongoBeats
from services.consent.repeats import Repeats
from services.consent.settings import ConsentSettings
from services.consent.store import MongoDocumentKeys, MongoJournal, MongoSnapshots
from services.consent.use_cases.abandon_deposit import AbandonDeposit
from services.consent.use_cases.activate_rules import ActivateRules
from services.consent.use_cases.announce import Announce
from services.consent.use_cases.announce_document import AnnounceDocument
from services.consent.use_cases.answer_review import AnswerReview
from services.consent.use_cases.ask_as_heir import AskAsHeir
from services.consent.use_cases.change_directives import ChangeDirectives
from services.consent.use_cases.close_windows import CloseWindows
from services.consent.use_cases.compare_rules import CompareRules
from services.consent.use_cases.confirm_deposit import ConfirmDeposit
from services.consent.use_cases.decide import Decide
from services.consent.use_cases.declare_care import DeclareCare
from services.consent.use_cases.end_stay import EndStay
from services.consent.use_cases.make_codes import MakeCodes
from services.consent.use_cases.note_beat import NoteBeat
from services.consent.use_cases.open_record import OpenRecord
from services.consent.use_cases.preview_change import PreviewChange
from services.consent.use_cases.question_deposits import QuestionDeposits
from services.consent.use_cases.read_directives import ReadDirectives
from services.consent.use_cases.read_emergencies import ReadEmergencies
from services.consent.use_cases.read_journal import ReadJournal
from services.consent.use_cases.read_reviews import ReadReviews
from services.consent.use_cases.read_rules import ReadRules
from services.consent.use_cases.read_traces import ReadTraces
from services.consent.use_cases.represent_record import RepresentRecord
from services.consent.use_cases.reveal_documents import RevealDocuments
from services.consent.use_cases.see_as import SeeAs
from services.consent.windows import MongoWindows

_log = logs.get("rules")


@dataclass(frozen=True, slots=True)
class Room:
    """What consent's roles run on."""

    settings: ConsentSettings
    clock: Clock
    mongo: Mongo
    in_force: RulesInForce
    archive: Archive
    verifier: TokenVerifier
    tokens: Announcements
    change_directives: ChangeDirectives
    make_codes: MakeCodes
    declare_care: DeclareCare
    end_stay: EndStay
    ask_as_heir: AskAsHeir
    announce_document: AnnounceDocument
    reveal_documents: RevealDocuments
    read_directives: ReadDirectives
    read_journal: ReadJournal
    read_reviews: ReadReviews
    answer_review: AnswerReview
    read_emergencies: ReadEmergencies
    announcing: Callable[[], Coroutine[Any, Any, None]]
    read_traces: ReadTraces
    preview_change: PreviewChange
    see_as: SeeAs
    read_rules: ReadRules
    compare_rules: CompareRules
    questioning: QuestionDeposits
    close_windows: CloseWindows
    hearer: Hearer
    consuming: Consuming
    letters: DeadLetters
    relay: Relay
    projection: IdentityProjection
    announced: AnnouncedKeys


@dataclass(frozen=True, slots=True)
class Desk:
    """What an operator of the public rules works with."""

    activate: ActivateRules
    read: ReadRules
    compare: CompareRules
    archive: Archive


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
    verifier, record_keys = TokenVerifier(), MongoRecordKeys(mongo, FileRoot(settings.keys.root_key))
    journal, document_keys = MongoJournal(mongo, record_keys), MongoDocumentKeys(mongo, record_keys)
    snapshots, bundles = MongoSnapshots(mongo, record_keys), MongoBundles(mongo, record_keys)
    outbox, letters = Outbox(mongo, "consent"), DeadLetters(mongo, "carnet.consent")
    relay, reviews = Relay(mongo, settings.kafka, settings.instance), MongoReviews(mongo, record_keys)
    doctors, beats = MongoDoctorNotices(mongo, record_keys), MongoBeats(mongo)
    windows = MongoWindows(mongo, record_keys)
    projection = IdentityProjection(
        beats, letters.aside, int(settings.projection.stale_seconds * 1000), clock=now_ms, monotonic=time.monotonic
    )
    for each in (
        record_keys, journal, windows, snapshots, document_keys, reviews, doctors, beats, bundles, outbox, letters,
        relay,
    ):  # fmt: skip
        await each.prepare()
    activations, archive = Activations(journal, bundles), Archive(bundles)
    in_force = RulesInForce(activations, archive)
    activate = ActivateRules(journal, bundles, record_keys, settings.rules.cosigning, now_ms)
    await begin_rules(in_force, activations, activate, Bundle.read(POLICIES))

    async def question(each: Unconfirmed) -> None:
        async def work(session: Session) -> None:
            fact = DepositUnconfirmed(record=each.record, document=each.document, version=each.version)
            await document_keys.asked(each, session)
            faults.point("consent.question.noted")
            await outbox.add(fact, session, correlation_id=each.document)
            faults.point("consent.question.asked")

        await mongo.transact(work)

    ledger = Ledger(journal, snapshots)
    repeats = Repeats(windows, settings.repeats.seconds * 1000)
    decide = Decide(ledger, journal, document_keys, in_force, now_ms, repeats=repeats)
    flows, inscribe = OwnFlows(decide, projection), Inscribe(ledger, journal, in_force, now_ms)
    change_directives = ChangeDirectives(flows, ledger, in_force, now_ms)
    notices = MongoNotices(mongo, outbox, reviews, doctors)
    announce, acquaintances = Announce(notices, journal, ledger, now_ms), Acquaintances(journal)
    consuming = Consuming("consent", settings.kafka, letters, settings.instance)
    subscribe(
        consuming,
        OpenRecord(journal, record_keys, in_force, now_ms),
        RepresentRecord(inscribe),
        ConfirmDeposit(document_keys),
        AbandonDeposit(ledger, journal, document_keys, in_force, now_ms),
        noting=NoteBeat(beats, now_ms),
    )
    return Room(
        settings=settings,
        clock=now_ms,
        mongo=mongo,
        in_force=in_force,
        archive=archive,
        verifier=verifier,
        tokens=Announcements(settings.kafka, trust, "tokens", lambda said: verifier.use({"keys": list(said.keys)})),
        change_directives=change_directives,
        make_codes=MakeCodes(change_directives),
        declare_care=DeclareCare(flows, ledger, now_ms),
        end_stay=EndStay(flows),
        ask_as_heir=AskAsHeir(flows),
        announce_document=AnnounceDocument(flows),
        reveal_documents=RevealDocuments(ledger, inscribe, document_keys, now_ms),
        read_directives=ReadDirectives(flows, ledger, now_ms),
        read_journal=ReadJournal(flows, ledger, journal, now_ms),
        read_traces=ReadTraces(flows, ledger, journal, now_ms, settings.repeats.seconds * 1000),
        read_reviews=ReadReviews(reviews, journal, inscribe, now_ms),
        answer_review=AnswerReview(reviews, journal, inscribe),
        read_emergencies=ReadEmergencies(doctors, journal, ledger, inscribe, now_ms),
        announcing=lambda: announcing(mongo, notices, announce, now_ms),
        preview_change=PreviewChange(
            flows, ledger, change_directives, acquaintances=acquaintances, in_force=in_force, clock=now_ms
        ),
        see_as=SeeAs(flows, ledger, acquaintances, in_force, now_ms),
        read_rules=ReadRules(activations, bundles),
        compare_rules=CompareRules(activations, bundles),
        questioning=QuestionDeposits(
            ledger, document_keys, question, now_ms, int(settings.keys.unconfirmed_seconds * 1000)
        ),
        close_windows=CloseWindows(windows, journal, inscribe, now_ms),
        hearer=Hearer(
            settings.kafka,
            InstanceIdentity.load(settings.trust.instance),
            trust,
            [X25519PrivateKey.from_private_bytes(private) for _, private in announced.private],
            Judge(decide, verifier, in_force, projection),
        ),
        consuming=consuming,
        letters=letters,
        relay=relay,
        projection=projection,
        announced=announced,
    )


@asynccontextmanager
async def desk(settings: ConsentSettings) -> AsyncIterator[Desk]:
    """Give what an operator works with on the public rules, and nothing else of consent; nothing is activated by it."""
    mongo = Mongo(settings.mongo)
    try:
        record_keys = MongoRecordKeys(mongo, FileRoot(settings.keys.root_key))
        journal, bundles = MongoJournal(mongo, record_keys), MongoBundles(mongo, record_keys)
        for each in (record_keys, journal, bundles):
            await each.prepare()
        activations = Activations(journal, bundles)
        yield Desk(
            activate=ActivateRules(journal, bundles, record_keys, settings.rules.cosigning, now_ms),
            read=ReadRules(activations, bundles),
            compare=CompareRules(activations, bundles),
            archive=Archive(bundles),
        )
    finally:
        await mongo.close()


async def begin_rules(in_force: RulesInForce, activations: Activations, activate: ActivateRules, own: Bundle) -> None:
    """Load the rules in force; where there never were any, activate `own`, signatures needed."""
    if await activations.settled() is None:
        await activate(own)
    await in_force.load()
    if in_force.rules.digest != own.digest:
        # An upgrade brings rules along and puts none in force: `rules activate` does.
        _log.warning("the package has other rules than those in force", version=own.digest)
