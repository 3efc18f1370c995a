"""Declare a care relation (R.1111-46): a professional says what it rests on, and the patient learns it at once."""

from services.consent.domain.flow import Action, Care
from services.consent.domain.judging import MOST_CARE_MS
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows, Refused
from services.consent.ports import Clock, RecordUnknown


class WrongCode(ValueError):
    """The code is none of the patient's, is over, or was used."""


class WrongTime(ValueError):
    """The relation would be over before it begins, or last longer than its evidence may."""


class DeclareCare:
    """Journals a declaration; whether it was believed, the professional does not learn (EHDS, article 8)."""

    def __init__(self, flows: OwnFlows, ledger: Ledger, clock: Clock) -> None:
        self._flows, self._ledger, self._clock = flows, ledger, clock

    async def __call__(self, asking: Asking, care: Care) -> None:
        """Declare; raise WrongTime or WrongCode, and Refused for whoever is no professional or meets a red line."""
        now = self._clock()
        if not now < care.until <= now + MOST_CARE_MS[care.evidence]:
            raise WrongTime
        state = await self._ledger.folded(asking.record)
        if state is None:
            raise RecordUnknown
        # By the code alone: a blocked professional's right code must not look wrong, nor his wrong one right.
        wrong = care.evidence == "code" and not state.code_holds(care.code, now)
        try:
            await self._flows(asking, Action.DECLARE_CARE, care=care)
        except Refused as refused:
            red_line = refused.decided.outcome is not None and refused.decided.outcome.verdict == "red-line"
            if red_line or asking.actor.kind != "professional":
                raise
        if wrong:
            raise WrongCode
