"""Ask as an heir (L.1110-4 V): say why; once it is allowed, the heir lists and reads for thirty days."""

from services.consent.domain.flow import Action, Motive
from services.consent.domain.representation import HEIR_MS
from services.consent.own_flows import Asking, OwnFlows
from services.consent.use_cases.decide import Decided


class AskAsHeir:
    """Journals a request; the entry that allows it is what opens the record to this heir, and to nobody else."""

    def __init__(self, flows: OwnFlows) -> None:
        self._flows = flows

    async def __call__(self, asking: Asking, motive: Motive) -> tuple[Decided, int]:
        """Return the decision, and until when it lets the heir read (ms); raise Refused."""
        decided = await self._flows(asking, Action.ASK_AS_HEIR, motive=motive)
        if decided.entry is None:
            raise ValueError("allowed without an entry")
        return decided, decided.entry.at + HEIR_MS
