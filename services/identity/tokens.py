"""From who asks to the claims of an access token (chassis.tokens says how they travel)."""

from typing import Literal
from uuid import uuid4

from chassis import tokens
from chassis.tokens import LIFETIME_SECONDS, AccessToken, patient_digest
from services.identity.domain import Application, Organisation, Person, Professional, require_person


def access_token(
    application: Application, purpose: str, person: Person, auth_time: int, now: float, *,
    patient: bool = False, professional: Professional | None = None, organisation: Organisation | None = None,
) -> AccessToken:  # fmt: skip
    """Return claims about one record, for one actor: the patient, the professional, else the application alone."""
    ins = require_person(person).ins
    assert ins is not None  # noqa: S101 - a qualified identity holds one
    actor: Literal["patient", "professional", "application"] = "application"
    sub, name = application.client_id, application.name
    if patient:
        actor, sub, name = "patient", person.record, person.name
    elif professional is not None:
        actor, sub, name = "professional", professional.national_id, professional.name
    return AccessToken(
        sub=sub,
        actor=actor,
        name=name,
        profession=professional.profession if professional else None,
        organisation=tokens.Organisation(id=organisation.finess, name=organisation.name) if organisation else None,
        application=tokens.Application(id=application.client_id, name=application.name, kind=application.kind),
        purpose=purpose,
        record=person.record,
        patient=patient_digest(ins.system, ins.value, person.record),
        auth_time=auth_time,
        iat=int(now),
        exp=int(now) + LIFETIME_SECONDS,
        jti=uuid4().hex,
    )
