"""Emergencies: the reason that the token must bring, a sign-in of just now, and how many there may be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil

from services.identity.domain.identifiers import quotes_matricule
from services.identity.domain.links import BREAK_GLASS, EMERGENCY_PURPOSES, Refused

FEWEST, MOST = 10, 500  # characters of a reason's text
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


@dataclass(frozen=True, slots=True, repr=False)
class Reason:
    """Why: a code of the closed list, and the professional's own words, which the patient will read."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many within any span of so many seconds, counted under a name."""

    name: str
    whose: str
    most: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Full:
    """A limit that is reached, and the Unix time from which there may be one more."""

    limit: Limit
    free_at: float


@dataclass(frozen=True, slots=True)
class Quota:
    """How many tokens of a purpose: of one professional in 24 hours, of one application in an hour."""

    a_day: int
    an_hour: int


@dataclass(frozen=True, slots=True)
class EmergencyRules:
    """How old a sign-in may be that breaks the glass, and how many tokens there may be, by purpose."""

    sign_in_seconds: int
    quotas: Mapping[str, Quota]

    def require_recent(self, purpose: str, auth_time: int, now: float) -> None:
        """Raise Refused unless whoever breaks the glass signed in just now: an open session proves nobody."""
        if purpose == BREAK_GLASS and now - auth_time > self.sign_in_seconds:
            raise Refused(
                "sign-in-too-old", f"Sign in again: BTG needs a sign-in of the last {self.sign_in_seconds} s."
            )

    def limits(self, purpose: str, professional: str, application: str) -> tuple[Limit, Limit]:
        """Return what a token of this purpose counts under, for a professional through an application."""
        quota = self.quotas[purpose]
        return (
            Limit(f"{purpose}:professional:{professional}", "professional", quota.a_day, _DAY),
            Limit(f"{purpose}:application:{application}", "application", quota.an_hour, _HOUR),
        )


def require_reason(purpose: str, claim: object, codes: Collection[str]) -> Reason | None:
    """Return the reason of an emergency, its white space made single; None for another purpose. Raise Refused."""
    if purpose not in EMERGENCY_PURPOSES:
        if claim is not None:
            raise Refused("emergency-unexpected", "A reason of emergency goes with the purposes BTG and ETREAT alone.")
        return None
    match claim:
        case None:
            raise Refused("emergency-missing", "An emergency has its reason: 'emergency': {'code', 'text'}.")
        case {"code": str(code), "text": str(text), **more} if not more:
            said = " ".join(text.split())
        case _:
            raise Refused("emergency-malformed", "'emergency' is an object of 'code' and 'text', both strings.")
    if code not in codes:
        raise Refused("emergency-malformed", f"The code of an emergency is one of {', '.join(codes)}.")
    if not FEWEST <= len(said) <= MOST:
        raise Refused("emergency-malformed", f"The text of an emergency has {FEWEST} to {MOST} characters.")
    if not said.isprintable() or quotes_matricule(said):
        raise Refused("emergency-malformed", "The text of an emergency is plain text without anybody's INS.")
    return Reason(code, said)


def too_many(full: Full, now: float) -> Refused:
    """Return the refusal of one emergency more: when there may be one, and what is open until then."""
    whose, minutes = full.limit.whose, max(1, ceil((full.free_at - now) / _MINUTE))
    span = "24 hours" if full.limit.seconds == _DAY else "an hour"
    return Refused(
        "emergency-limit" if whose == "professional" else "emergency-limit-of-application",
        f"This {whose} had {full.limit.most} emergency tokens in {span}, the most there may be; there may be one more "
        f"in {minutes // 60} h {minutes % 60:02} min. Until then ask for the patient's authorisation and use TREAT, or "
        "call the SAMU (15), whose regulating doctor has an access of their own.",
    )
