"""Documents, put together: the only file that knows the domain and its adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.announcements import Announcements
from chassis.asking import Asker
from chassis.consuming import Consuming
from chassis.dead_letters import DeadLetters
from chassis.mongo import Mongo
from chassis.outbox import Outbox
from chassis.relay import Relay
from chassis.tokens import TokenVerifier
from chassis.trust import InstanceIdentity, Trust
from services.documents.consumers import subscribe
from services.documents.ports import Blobs
from services.documents.settings import DocumentsSettings
from services.documents.store import MongoBlobs, MongoShelf
from services.documents.use_cases.change_labels import ChangeLabels
from services.documents.use_cases.deposit import Deposit
from services.documents.use_cases.list_documents import ListDocuments
from services.documents.use_cases.read_document import ReadDocument


@dataclass(frozen=True, slots=True)
class Room:
    """What documents' roles run on."""

    settings: DocumentsSettings
    mongo: Mongo
    asker: Asker
    verifier: TokenVerifier
    announcements: tuple[Announcements, ...]
    deposit: Deposit
    list_documents: ListDocuments
    read_document: ReadDocument
    change_labels: ChangeLabels
    blobs: Blobs
    consuming: Consuming
    letters: DeadLetters
    relay: Relay


@asynccontextmanager
async def bootstrap(settings: DocumentsSettings) -> AsyncIterator[Room]:
    """Connect, prepare the collections, and give the room; close on leaving."""
    mongo = Mongo(settings.mongo)
    try:
        yield await _room(settings, mongo)
    finally:
        await mongo.close()


async def _room(settings: DocumentsSettings, mongo: Mongo) -> Room:
    trust, verifier = Trust(settings.trust.root), TokenVerifier()
    asker = Asker(settings.kafka, "documents", InstanceIdentity.load(settings.trust.instance), trust)
    outbox, letters, blobs = Outbox(mongo, "documents"), DeadLetters(mongo, "carnet.documents"), MongoBlobs(mongo)
    shelf, relay = MongoShelf(mongo, blobs, outbox), Relay(mongo, settings.kafka, settings.instance)
    for each in (outbox, letters, blobs, shelf, relay):
        await each.prepare()
    consuming = Consuming("documents", settings.kafka, letters, settings.instance)
    subscribe(consuming, shelf)
    return Room(
        settings=settings,
        mongo=mongo,
        asker=asker,
        verifier=verifier,
        announcements=(
            Announcements(settings.kafka, trust, "tokens", lambda said: verifier.use({"keys": list(said.keys)})),
            Announcements(settings.kafka, trust, "sealing", asker.use),
        ),
        deposit=Deposit(asker, blobs, shelf),
        list_documents=ListDocuments(asker, shelf),
        read_document=ReadDocument(asker, blobs, shelf),
        change_labels=ChangeLabels(asker, shelf),
        blobs=blobs,
        consuming=consuming,
        letters=letters,
        relay=relay,
    )
