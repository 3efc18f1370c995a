"""Tell a person what nobody may silence (docs/adr/0009-what-cannot-be-silenced.md)."""

from dataclasses import dataclass

from chassis import faults
from services.notifications.domain import Kind
from services.notifications.ports import Items


@dataclass(frozen=True)
class Tell:
    """One item for each event. Nobody is asked: the entry that the event tells of is the decision."""

    items: Items

    async def __call__(self, *, record: str, event_id: str, kind: Kind) -> bool:
        """Return whether the inbox holds a new item: False for an event that it knows."""
        new = await self.items.put(record, event_id, kind)
        faults.point("notifications.tell.put")
        return new
