"""Grant a token to an application with nobody behind it (client credentials, RFC 6749 section 4.4)."""

from chassis.tokens import AccessToken
from services.identity.domain.identifiers import BadIdentifier, Ins
from services.identity.domain.links import Refused, require_alone, require_person, structure
from services.identity.domain.people import Application
from services.identity.ports import Clock, People
from services.identity.tokens import access_token


class GrantApplication:
    """Names one record for an insurer, an establishment, ...; whether it may do anything with it, consent decides."""

    def __init__(self, people: People, clock: Clock) -> None:
        self._people, self._clock = people, clock

    async def __call__(
        self, application: Application, patient: str, purpose: str, named: str | None = None
    ) -> AccessToken:
        """Return the token's claims; `patient` is `<system>|<INS>`, `named` the organisation. Raise Refused."""
        require_alone(application, purpose)
        finess = structure(application, named)
        try:
            ins = Ins.parse(patient)
        except BadIdentifier as error:
            raise Refused("patient-malformed", f"The parameter 'patient': {error}.") from None
        person, now = require_person(await self._people.person(ins)), self._clock()
        organisation = await self._people.organisation(finess) if finess else None
        return access_token(application, purpose, person, int(now), now, organisation=organisation)
