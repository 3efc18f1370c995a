"""From the topics to the use cases, and from the use cases to consent."""

from chassis.asking import Asker, ConsentUnreachable
from chassis.consuming import Consuming, DependencyUnreachable
from contracts.consent import AccessAnnounced, Action, DocumentRevealed, FlowQuestion
from contracts.documents import Deposited
from contracts.registry import Envelope, topic_of
from services.notifications.domain import Kind, NotDecided
from services.notifications.use_cases.notify import Notify
from services.notifications.use_cases.tell import Tell

_TOLD: dict[str, Kind] = {"emergency": Kind.EMERGENCY_ACCESS, "declared-care": Kind.DECLARED_CARE}


class AskedConsent:
    """Consent as it is asked for a service's own flow: no caller's token, the event as its cause."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def allows(self, record: str, document: str, event_id: str, correlation_id: str) -> bool:
        """Ask for a `notify` flow."""
        question = FlowQuestion(action=Action.NOTIFY, documents=(document,), cause=event_id)
        try:
            answer = await self._asker.ask(record, question, correlation_id=correlation_id)
        except ConsentUnreachable:
            raise DependencyUnreachable from None
        if answer.outcome == "stale":
            raise NotDecided
        return answer.outcome == "allowed"


def subscribe(consuming: Consuming, notify: Notify) -> None:
    """Take in what may be told if consent allows it."""

    async def arrived(envelope: Envelope, fact: Deposited | DocumentRevealed) -> None:
        await notify(
            record=fact.record,
            document=fact.document,
            event_id=envelope.id,
            correlation_id=envelope.correlation_id,
        )

    consuming.on(topic_of(Deposited), (Deposited, arrived))
    consuming.on(topic_of(DocumentRevealed), (DocumentRevealed, arrived))


def subscribe_at_once(consuming: Consuming, tell: Tell) -> None:
    """Take in what is told whoever allows it, in a consumer of its own: it must not wait behind what asks."""

    async def announced(envelope: Envelope, fact: AccessAnnounced) -> None:
        await tell(record=fact.record, event_id=envelope.id, kind=_TOLD[fact.kind])

    consuming.on(topic_of(AccessAnnounced), (AccessAnnounced, announced))
