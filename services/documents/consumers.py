"""Facts that documents takes in: deposits that consent approved and heard nothing of."""

from chassis.consuming import Consuming
from contracts.consent import DepositUnconfirmed
from contracts.registry import Envelope, topic_of
from services.documents.ports import Shelf


def subscribe(consuming: Consuming, shelf: Shelf) -> None:
    """Bind the fact to the shelf: telling again what stands is idempotent, and so is giving up what does not."""

    async def on_unconfirmed(envelope: Envelope, fact: DepositUnconfirmed) -> None:
        await shelf.settle(fact.record, fact.document, fact.version, envelope.id)

    consuming.on(topic_of(DepositUnconfirmed), (DepositUnconfirmed, on_unconfirmed))
