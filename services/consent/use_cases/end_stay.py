"""End a stay: an establishment's software reports that the person left, and what her stay opened is closed."""

from services.consent.domain.flow import Action, Change
from services.consent.own_flows import Asking, OwnFlows, Refused


class EndStay:
    """Journals the end of a stay; whether there was one, and whether it counted, nobody learns from the answer."""

    def __init__(self, flows: OwnFlows) -> None:
        self._flows = flows

    async def __call__(self, asking: Asking, stay: str) -> None:
        """Report; `stay` is the flow that reported it. Raise Refused for whoever cares for nobody, and at red lines."""
        try:
            await self._flows(asking, Action.END_CARE, Change("end", ends=stay))
        except Refused as refused:
            if not refused.silent:
                raise
