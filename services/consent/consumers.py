"""Facts that consent takes in: records that open, whom they obey, deposits that stand or never will."""

from collections.abc import Awaitable

from prometheus_client import Gauge

from chassis import logs
from chassis.consuming import HERE, Consuming, DependencyUnreachable
from contracts.documents import DepositAbandoned, Deposited
from contracts.identity import BeatSent, RecordOpened, RepresentationChanged
from contracts.registry import Envelope, topic_of
from services.consent.domain.representation import HEIR, Holder, Representation
from services.consent.ports import RulesUnsettled
from services.consent.use_cases.abandon_deposit import AbandonDeposit
from services.consent.use_cases.confirm_deposit import ConfirmDeposit
from services.consent.use_cases.decide import Contended
from services.consent.use_cases.note_beat import NoteBeat
from services.consent.use_cases.open_record import OpenRecord
from services.consent.use_cases.represent_record import RepresentRecord

IDENTITY_BEAT = Gauge("carnet_consent_identity_beat_seconds", "Until when identity was heard.", ["partition"])
_log = logs.get("consumers")


def subscribe(
    consuming: Consuming, opening: OpenRecord, representing: RepresentRecord, confirming: ConfirmDeposit,
    abandoning: AbandonDeposit, *, noting: NoteBeat,
) -> None:  # fmt: skip
    """Bind each fact to its use case."""

    async def on_opened(envelope: Envelope, fact: RecordOpened) -> None:
        await _settled(opening(fact.record, envelope.id))

    async def on_represented(envelope: Envelope, fact: RepresentationChanged) -> None:
        # A record's first two facts are made at once, and either may come first.
        await _settled(opening(fact.record, f"opened-by-{envelope.id}"))
        acting = [Holder(each.holder, each.role, each.scopes) for each in fact.holders]
        heirs = [Holder(each, HEIR, ("read",)) for each in fact.heirs]
        said = Representation(fact.version, fact.minor, fact.deceased, (*acting, *heirs))
        await _settled(representing(fact.record, said, envelope.id))

    async def on_beat(envelope: Envelope, fact: BeatSent) -> None:
        here, as_of = HERE.get(), fact.as_of
        # In another place it stands behind none of the events that it speaks of.
        in_place = here.partition == fact.partition
        said = int(envelope.time.timestamp() * 1000) if as_of is None else as_of
        heard = await noting(fact.partition, said, here.offset) if in_place else None
        if heard is None:
            _log.warning("a beat that proves nothing", partition=here.partition, offset=here.offset)
        else:
            IDENTITY_BEAT.labels(str(fact.partition)).set(heard / 1000)

    async def on_deposited(_: Envelope, fact: Deposited) -> None:
        await confirming(fact.record, fact.document, fact.version, fact.digest)

    async def on_abandoned(envelope: Envelope, fact: DepositAbandoned) -> None:
        await _settled(abandoning(fact.record, fact.document, fact.version, envelope.id))

    consuming.on(
        topic_of(RecordOpened),
        (RecordOpened, on_opened),
        (RepresentationChanged, on_represented),
        (BeatSent, on_beat),
    )
    consuming.on(topic_of(Deposited), (Deposited, on_deposited), (DepositAbandoned, on_abandoned))


async def _settled(work: Awaitable[None]) -> None:
    """Await a use case that writes an entry; it waits for rules and for its turn, which are not the event's fault."""
    try:
        await work
    except (RulesUnsettled, Contended) as error:
        raise DependencyUnreachable from error
