"""Authenticate an application by what it signed (private_key_jwt, RFC 7523 section 2.2)."""

from services.identity import assertions
from services.identity.domain.links import Refused
from services.identity.domain.people import Application
from services.identity.ports import Clock, People, UsedAssertions


class AuthenticateClient:
    """Knows an application by its registered key; each assertion is good once."""

    def __init__(self, people: People, used: UsedAssertions, audience: str, clock: Clock) -> None:
        self._people, self._used, self._audience, self._clock = people, used, audience, clock

    async def __call__(self, assertion: str) -> Application:
        """Return the application; raise Refused."""
        client_id = assertions.claimed_issuer(assertion)
        application = await self._people.application(client_id)
        if application is None:
            raise Refused("client-unknown", "No application is registered under this client id.")
        claims = assertions.read(assertion, application, self._audience, self._clock())
        if claims["sub"] != client_id:
            raise Refused("assertion-claims", "A client's assertion has the client id as its issuer and its subject.")
        if not await self._used.first_use(client_id, "client", claims["jti"], claims["exp"]):
            raise Refused("assertion-replayed", "This assertion was used before: sign a new one, with another jti.")
        return application
