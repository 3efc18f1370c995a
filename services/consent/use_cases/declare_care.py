"""Declare a care relation (R.1111-46): somebody says what it rests on, and the patient learns it at once.

A professional says it of himself, an establishment's software of a stay there.
"""

from services.consent.domain.care import OWN_WORDS
from services.consent.domain.flow import Action, Care
from services.consent.domain.judging import MOST_CARE_MS
from services.consent.ledger import Ledger
from services.consent.own_flows import Asking, OwnFlows, Refused
from services.consent.ports import Clock, RecordUnknown


class WrongCode(ValueError):
    """The code is none of the patient's, is over, or was used."""


class OwnWordTooOften(Exception):
    """His own word has stood for the patient's as often as it may: he needs a code of hers."""


class WrongTime(ValueError):
    """The relation would be over before it begins, or last longer than its evidence may."""


class DeclareCare:
    """Journals a declaration; whether it was believed, who declares does not learn (EHDS, article 8)."""

    def __init__(self, flows: OwnFlows, ledger: Ledger, clock: Clock) -> None:
        self._flows, self._ledger, self._clock = flows, ledger, clock

    async def __call__(self, asking: Asking, care: Care) -> str:
        """Declare, and return the flow: of a stay, the name under which its end is reported.

        Raise WrongTime, WrongCode or OwnWordTooOften, and Refused for whoever cares for nobody or meets a red line.
        """
        now = self._clock()
        if not now < care.until <= now + MOST_CARE_MS[care.evidence]:
            raise WrongTime
        state = await self._ledger.folded(asking.record)
        if state is None:
            raise RecordUnknown
        # By the code alone: a blocked professional's right code must not look wrong, nor his wrong one right.
        wrong = care.evidence == "code" and not state.code_holds(care.code, now)
        # By what he said himself, believed or not: that tells him nothing either.
        too_often = care.evidence in OWN_WORDS and state.word_taken_too_often(asking.actor, now)
        try:
            flow = (await self._flows(asking, Action.DECLARE_CARE, care=care)).flow.id
        except Refused as refused:
            if not refused.silent:
                raise
            flow = refused.decided.flow.id
        if wrong:
            raise WrongCode
        if too_often:
            raise OwnWordTooOften
        return flow
