"""What links an application, a professional, an organisation, a purpose and a patient; or the name of what does not."""

from services.identity.domain.people import Application, Kind, Person, Professional
from services.identity.domain.representation import Representation

# Purposes of use: HL7 v3 PurposeOfUse, and the local codes EMPLOYMENT and COMMERCE, which it lacks. What the red lines
# refuse has a code too: whoever asks for it is to be refused by a public rule, and told which.
BREAK_GLASS, REGULATION = "BTG", "ETREAT"  # any care professional (R.1111-48); the SAMU's doctor (L.1111-17)
# What an establishment's software says by itself: who is admitted there, and who leaves. No professional's purpose.
ADMINISTRATION = "PATADMIN"
EMERGENCY_PURPOSES = frozenset({BREAK_GLASS, REGULATION})
PURPOSES: dict[Kind, frozenset[str]] = {
    "care-software": frozenset({"TREAT", ADMINISTRATION}) | EMERGENCY_PURPOSES,
    "patient-frontend": frozenset({"PATRQT"}),
    "insurer": frozenset({"COVERAGE"}),
    "employer": frozenset({"EMPLOYMENT"}),
    "advertiser": frozenset({"HMARKT"}),
    "commercial": frozenset({"COMMERCE"}),
    "public-service": frozenset({"PUBHLTH"}),
}
TREATMENT = "TREAT"
PROFESSIONAL_PURPOSES = frozenset({TREATMENT}) | EMERGENCY_PURPOSES
PATIENT_PURPOSE = "PATRQT"
# Who acts through these is a professional or a patient, never the application alone, but for an establishment's stays.
_ACTED_THROUGH = frozenset({"care-software", "patient-frontend"})


class Refused(Exception):
    """No token: `slug` is stable, the sentence tells the way out and quotes nobody."""

    def __init__(self, slug: str, sentence: str) -> None:
        super().__init__(slug)
        self.slug, self.sentence = slug, sentence


def require_links(
    application: Application, professional: Professional | None, organisation: str, purpose: str
) -> Professional:
    """Return the professional, who in this organisation may ask for this through this application; raise Refused."""
    if organisation not in application.organisations:
        raise Refused("application-not-of-organisation", "The application does not act for this organisation.")
    if professional is None:
        raise Refused("professional-unknown", "No professional is registered under this national identifier.")
    if organisation not in professional.organisations:
        raise Refused("professional-not-in-organisation", "The professional does not work in this organisation.")
    if purpose not in application.purposes & PROFESSIONAL_PURPOSES:
        raise Refused("purpose-not-allowed", "The application and the professional may not ask for this purpose.")
    if purpose == REGULATION and not professional.samu:
        raise Refused("not-a-regulating-doctor", "ETREAT is for the SAMU's regulating doctors; others have BTG.")
    return professional


def require_open(purpose: str, *, secret: bool) -> None:
    """Raise Refused unless a token of every record may be had for this: it is for nobody's care in particular."""
    if purpose != TREATMENT or secret:
        raise Refused("purpose-not-allowed", "A token of every record is for TREAT, and never in secret.")


def require_alone(application: Application, purpose: str) -> None:
    """Raise Refused unless the application may ask for this with nobody behind it."""
    of_stays = application.kind == "care-software" and purpose == ADMINISTRATION
    if application.kind in _ACTED_THROUGH and not of_stays:
        raise Refused("nobody-behind", "This kind of application acts for a professional or a patient, never alone.")
    if purpose not in application.purposes:
        raise Refused("purpose-not-allowed", "The application may not ask for this purpose.")


def structure(application: Application, named: str | None) -> str | None:
    """Return the structure that an application alone acts for: the one it names, or its only one; raise Refused.

    A patient's directive may name it. Care software acts for one, any other may act for none.
    """
    if named is not None and named not in application.organisations:
        raise Refused("application-not-of-organisation", "The application does not act for this organisation.")
    if named is None and len(application.organisations) == 1:
        return next(iter(application.organisations))
    if named is None and application.kind == "care-software":
        raise Refused("organisation-missing", "Name the organisation that the application acts for: 'organisation'.")
    return named


def require_person(person: Person | None) -> Person:
    """Return the person; raise Refused for nobody, and alike for one whose identity is not qualified."""
    if person is None or person.carried is None:
        raise Refused("patient-unknown", "No qualified identity is registered under this INS.")
    return person


def require_living(person: Person) -> Person:
    """Return the person; raise Refused for the dead: whoever signs in as one is somebody else."""
    if person.deceased:
        raise Refused("person-deceased", "This person has died: nobody signs in for them.")
    return person


def require_representation(holder: Person, represented: Person | None, now: float) -> Representation:
    """Return what makes one person act for another now; raise Refused, alike where nobody has this INS.

    The holder is alive (`require_living`).
    """
    if represented is not None and represented.carried is not None:
        for each in represented.authority(dead=(), now=now).holders:
            if each.holder == holder.record:
                return each
    raise Refused("not-a-representative", "No representation by this person stands now for the person of this INS.")
