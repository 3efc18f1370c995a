"""Sign a demo patient in: no password, no proof, so the local stack only."""

from chassis.tokens import AccessToken
from services.identity.domain.identifiers import BadIdentifier, Ins
from services.identity.domain.links import (
    PATIENT_PURPOSE,
    Refused,
    require_living,
    require_person,
    require_representation,
)
from services.identity.domain.people import Person
from services.identity.ports import Clock, People
from services.identity.tokens import access_token


class SignPatientIn:
    """Gives whoever asks a token of the patient, for their own record or that of somebody whom they represent now."""

    def __init__(self, people: People, frontend: str, clock: Clock) -> None:
        self._people, self._frontend, self._clock = people, frontend, clock

    async def __call__(self, patient: str, acting_for: str | None = None) -> AccessToken:
        """Return the token's claims; `patient` and `acting_for` are `<system>|<INS>`. Raise Refused."""
        application = await self._people.application(self._frontend)
        if application is None or not application.signs_patients_in:
            raise Refused("frontend-unknown", "The demo's patient frontend is not registered, or signs nobody in.")
        person, now = require_living(require_person(await self._person(patient))), self._clock()
        if acting_for is None:
            return access_token(application, PATIENT_PURPOSE, person, int(now), now, patient=True)
        represented = await self._person(acting_for)
        representation = require_representation(person, represented, now)
        return access_token(
            application, PATIENT_PURPOSE, require_person(represented), int(now), now,
            representative=(person, representation.role),
        )  # fmt: skip

    async def _person(self, patient: str) -> Person | None:
        try:
            ins = Ins.parse(patient)
        except BadIdentifier as error:
            raise Refused("patient-malformed", f"The patient: {error}.") from None
        return await self._people.person(ins)
