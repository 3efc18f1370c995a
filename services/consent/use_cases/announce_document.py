"""Announce a document (R.1111-53): a professional has told the patient of a result, who sees it from then on."""

from services.consent.domain.flow import Action
from services.consent.own_flows import Asking, OwnFlows, Refused


class AnnounceDocument:
    """Opens a document's stream; whether the announcement counted, the professional does not learn from the answer."""

    def __init__(self, flows: OwnFlows) -> None:
        self._flows = flows

    async def __call__(self, asking: Asking, document: str) -> None:
        """Announce; raise Refused for whoever cares for nobody, and where a public red line is the reason."""
        try:
            await self._flows(asking, Action.ANNOUNCE, documents=(document,))
        except Refused as refused:
            if not refused.silent:
                raise
