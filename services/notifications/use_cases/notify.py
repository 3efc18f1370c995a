"""Tell a person that something new arrived, if consent allows this very telling."""

from dataclasses import dataclass

from chassis import faults
from services.notifications.domain import Kind
from services.notifications.ports import Consent, Items


@dataclass(frozen=True)
class Notify:
    """One item for each event that consent allows; nothing at all for one that it refuses."""

    consent: Consent
    items: Items

    async def __call__(self, *, record: str, document: str, event_id: str, correlation_id: str) -> bool:
        """Return whether the inbox holds the item; raise what `Consent.allows` raises."""
        if await self.items.holds(record, event_id):
            return True  # a redelivery: asking again would put a second decision in the person's journal
        if not await self.consent.allows(record, document, event_id, correlation_id):
            return False
        faults.point("notifications.notify.allowed")
        await self.items.put(record, event_id, Kind.NEW_DOCUMENT)
        faults.point("notifications.notify.put")
        return True
