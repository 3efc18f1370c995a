"""Grant a token to a professional's software (JWT-bearer grant, RFC 7523 section 2.1)."""

from typing import Any

from chassis.tokens import EVERY_RECORD, AccessToken
from contracts.identity import EMERGENCY_REASONS
from services.identity import assertions
from services.identity.domain.emergency import EmergencyRules, require_reason, too_many
from services.identity.domain.identifiers import BadIdentifier, Ins
from services.identity.domain.links import Refused, require_links, require_open, require_person
from services.identity.domain.people import Application
from services.identity.ports import Clock, EmergencyCounts, People, UsedAssertions
from services.identity.tokens import access_token


class GrantProfessional:
    """Checks what links application, organisation, professional, purpose and patient, then names one record.

    Or every one: `record`: "public" in the place of `patient`, for what is about them all (reviews, emergencies).
    """

    def __init__(
        self, people: People, used: UsedAssertions, counts: EmergencyCounts, *,
        rules: EmergencyRules, audience: str, clock: Clock,
    ) -> None:  # fmt: skip
        self._people, self._used, self._counts, self._rules = people, used, counts, rules
        self._audience, self._clock = audience, clock

    async def __call__(self, application: Application, assertion: str) -> AccessToken:
        """Return the token's claims; raise Refused.

        The assertion: {iss: client id, sub: the professional's national identifier, aud, exp, jti, organisation:
        FINESS, patient: `<system>|<INS>` or record: "public", purpose: TREAT by default, auth_time: when the
        professional signed in, emergency: {code, text} exactly with BTG and ETREAT, secret: true for a minor who wants
        her parents not to learn of it (L.1111-5), with TREAT only}.
        """
        now = self._clock()
        claims = assertions.read(assertion, application, self._audience, now)
        finess, purpose = assertions.text(claims, "organisation"), assertions.text(claims, "purpose", "TREAT")
        auth_time = claims.get("auth_time")
        if not isinstance(auth_time, int) or not 0 < auth_time <= now:
            raise Refused("assertion-claims", "The assertion's 'auth_time' says when the professional signed in.")
        secret = claims.get("secret", False)
        if not isinstance(secret, bool) or (secret and purpose != "TREAT"):
            raise Refused("assertion-claims", "The assertion's 'secret' is true or false, and true with TREAT only.")
        ins = _named(claims)
        if not await self._used.first_use(application.client_id, "grant", claims["jti"], claims["exp"]):
            raise Refused("assertion-replayed", "This assertion was used before: sign a new one, with another jti.")
        professional = await self._people.professional(claims["sub"])
        professional = require_links(application, professional, finess, purpose)
        if ins is None:
            require_open(purpose, secret=secret)
        reason = require_reason(purpose, claims.get("emergency"), EMERGENCY_REASONS)
        self._rules.require_recent(purpose, auth_time, now)
        organisation = await self._people.organisation(finess)
        # Last, so that only who may ask learns whether an INS is registered.
        person = require_person(await self._people.person(ins)) if ins else None
        if reason is not None:
            # Counted before it is issued, and only what is issued then.
            limits = self._rules.limits(purpose, professional.national_id, application.client_id)
            if (full := await self._counts.count(limits, now)) is not None:
                raise too_many(full, now)
        return access_token(
            application, purpose, person, auth_time, now,
            professional=professional, organisation=organisation, reason=reason, secret=secret,
        )  # fmt: skip


def _named(claims: dict[str, Any]) -> Ins | None:
    """Return whom an assertion names; None for every record. Raise Refused."""
    if "record" in claims:
        if claims["record"] != EVERY_RECORD or "patient" in claims:
            raise Refused("assertion-claims", "An assertion names a 'patient', or has 'record': 'public'; not both.")
        return None
    try:
        return Ins.parse(assertions.text(claims, "patient"))
    except BadIdentifier as error:
        raise Refused("patient-malformed", f"The assertion's patient: {error}.") from None
