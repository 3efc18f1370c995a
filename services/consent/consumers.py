"""Facts that consent takes in: records that open, deposits that stand or never will."""

from time import time

from prometheus_client import Gauge

from chassis.consuming import Consuming
from contracts.documents import DepositAbandoned, Deposited
from contracts.identity import BeatSent, RecordOpened
from contracts.registry import Envelope, topic_of
from services.consent.use_cases.abandon_deposit import AbandonDeposit
from services.consent.use_cases.confirm_deposit import ConfirmDeposit
from services.consent.use_cases.open_record import OpenRecord

IDENTITY_BEAT = Gauge("carnet_consent_identity_beat_seconds", "Unix time of the last beat taken in.", ["partition"])


def subscribe(
    consuming: Consuming, opening: OpenRecord, confirming: ConfirmDeposit, abandoning: AbandonDeposit
) -> None:
    """Bind each fact to its use case."""

    async def on_opened(envelope: Envelope, fact: RecordOpened) -> None:
        await opening(fact.record, envelope.id)

    async def on_beat(_: Envelope, fact: BeatSent) -> None:
        IDENTITY_BEAT.labels(str(fact.partition)).set(time())

    async def on_deposited(_: Envelope, fact: Deposited) -> None:
        await confirming(fact.record, fact.document, fact.version, fact.digest)

    async def on_abandoned(envelope: Envelope, fact: DepositAbandoned) -> None:
        await abandoning(fact.record, fact.document, fact.version, envelope.id)

    consuming.on(topic_of(RecordOpened), (RecordOpened, on_opened), (BeatSent, on_beat))
    consuming.on(topic_of(Deposited), (Deposited, on_deposited), (DepositAbandoned, on_abandoned))
