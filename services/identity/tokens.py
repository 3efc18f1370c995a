"""From who asks to the claims of an access token (chassis.tokens says how they travel)."""

from typing import Literal
from uuid import uuid4

from chassis import tokens
from chassis.tokens import EVERY_RECORD, LIFETIME_SECONDS, AccessToken, patient_digest
from services.identity.domain.emergency import Reason
from services.identity.domain.links import require_person
from services.identity.domain.people import Application, Organisation, Person, Professional
from services.identity.domain.representation import Role


def access_token(
    application: Application, purpose: str, person: Person | None, auth_time: int, now: float, *,
    patient: bool = False, professional: Professional | None = None, organisation: Organisation | None = None,
    reason: Reason | None = None, representative: tuple[Person, Role] | None = None, secret: bool = False,
) -> AccessToken:  # fmt: skip
    """Return claims about one record, for one actor: whoever is named (`patient`: the person), else the application.

    Without a person they are about every record, and a professional's.
    """
    record, ins = (person.record, require_person(person).ins) if person else (EVERY_RECORD, None)
    actor: Literal["patient", "representative", "professional", "application"] = "application"
    sub, name = application.client_id, application.name
    if patient and person:
        actor, sub, name = "patient", person.record, person.name
    elif representative is not None:
        actor, sub, name = "representative", representative[0].record, representative[0].name
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
        record=record,
        patient=patient_digest(ins.system, ins.value, record) if ins else "",
        auth_time=auth_time,
        iat=int(now),
        exp=int(now) + LIFETIME_SECONDS,
        jti=uuid4().hex,
        emergency=tokens.Emergency(code=reason.code, text=reason.text) if reason else None,
        representative=tokens.Representative(holder=representative[0].record, role=representative[1])
        if representative
        else None,
        secret=secret,
    )
