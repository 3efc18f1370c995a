"""Sign a demo patient in: no password, no proof, so the local stack only."""

from chassis.tokens import AccessToken
from services.identity.domain import PATIENT_PURPOSE, BadIdentifier, Ins, Refused, require_person
from services.identity.ports import Clock, People
from services.identity.tokens import access_token


class SignPatientIn:
    """Gives whoever asks a token of the patient, for the patient's own record, through the demo's frontend."""

    def __init__(self, people: People, frontend: str, clock: Clock) -> None:
        self._people, self._frontend, self._clock = people, frontend, clock

    async def __call__(self, patient: str) -> AccessToken:
        """Return the token's claims; `patient` is `<system>|<INS>`. Raise Refused."""
        application = await self._people.application(self._frontend)
        if application is None or not application.signs_patients_in:
            raise Refused("frontend-unknown", "The demo's patient frontend is not registered, or signs nobody in.")
        try:
            ins = Ins.parse(patient)
        except BadIdentifier as error:
            raise Refused("patient-malformed", f"The patient: {error}.") from None
        person, now = require_person(await self._people.person(ins)), self._clock()
        return access_token(application, PATIENT_PURPOSE, person, int(now), now, patient=True)
