"""The words of the table of cases: each French phrase of `consent.csv`, said once, and what it builds.

Everything here is data, so that the same line can be told to the rules (`scene.py`) and to the real stack through its
front door (`tests/journeys/test_cases.py`). Nobody is real; Camille is the patient.
"""

from dataclasses import replace
from typing import Final

from services.consent.domain.flow import Action, Actor
from tests.cases.meaning import (
    IT,
    REPORT,
    Amends,
    Declares,
    Discharges,
    Ends,
    Gives,
    Paper,
    Papers,
    Passes,
    Pleads,
    Purpose,
    Represented,
    Says,
    Step,
    Want,
)
from tests.unit.consent.people import (
    CAMILLE,
    COLLEAGUE,
    DAY,
    INSURER,
    MOREAU,
    NOTICES,
    ORGANISATION,
    PARENT,
    PERSON,
    PETIT,
)

HOUR: Final = DAY // 24
MINUTE_S: Final = 60
THEN: Final = ", puis "  # joins the steps of a situation
# Two codes that Camille never made; only digests stand in a journal.
INVENTED_CODE: Final = "QQQ-QQQ-QQQ"

PRESCRIPTION, DELIVERY = "57833-6", "15508-5"
RESIDENCE, NOT_FOR_DENTISTS, UNKNOWN_TYPE = "ATTEST-RESID", "80788-3", "none"
STAY = "sejour-de-mai"


_MASKED, _UNANNOUNCED, _NOT_FOR_PARENTS = "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"
_DENTIST = replace(PETIT, id="899700000005", name="Dr Dentiste", profession="40")
_NURSE = replace(PETIT, id="899700000006", name="Infirmier Exemple", profession="60")
_PODIATRIST = replace(PETIT, id="899700000007", name="Podologue Exemple", profession="80")
_STRANGER = replace(PETIT, id="899700000008", name="Professionnel Inconnu", profession="none")
_OFFICER = replace(PETIT, id="899700000010", name="Délégué Exemple", profession="dpo")
_NO_PROFESSION = replace(PETIT, id="899700000009", name="Sans Profession", profession=None)


def _at(who: Actor, kind: str) -> Actor:
    """Return the same person at software of another kind."""
    return replace(who, application=f"logiciel-{kind}", application_name=f"Logiciel {kind}", application_kind=kind)


def _alone(structure: Actor, name: str, kind: str = "care-software") -> Actor:
    """Return the software of somebody's structure with nobody behind it."""
    software = _at(INSURER, kind)
    place = structure.organisation, structure.organisation_name
    return replace(software, id=name, name="Logiciel seul", organisation=place[0], organisation_name=place[1])


_MOREAU_ALONE, _PETIT_ALONE = _alone(MOREAU, "logiciel-seul"), _alone(PETIT, "autre-logiciel-seul")


PEOPLE: Final[dict[str, Actor]] = {
    "Camille": CAMILLE,
    "Camille, sur l'application d'un assureur": _at(CAMILLE, "insurer"),
    "Camille, sur l'application d'un employeur": _at(CAMILLE, "employer"),
    "Camille, sur l'application d'un annonceur": _at(CAMILLE, "advertiser"),
    "Camille, sur l'application d'un commerce": _at(CAMILLE, "commercial"),
    "Alex": PARENT,
    "Alex, sur l'application d'un assureur": _at(PARENT, "insurer"),
    "le Dr Moreau": MOREAU,
    "le Dr Moreau, sur un logiciel grand public": _at(MOREAU, "patient-frontend"),
    "le Dr Moreau, sur un logiciel inconnu": _at(MOREAU, "toaster"),
    "le Dr Moreau, sur le logiciel d'un assureur": _at(MOREAU, "insurer"),
    "le Dr Moreau, sur le logiciel d'un employeur": _at(MOREAU, "employer"),
    "le Dr Moreau, sur le logiciel d'un annonceur": _at(MOREAU, "advertiser"),
    "le Dr Moreau, sur le logiciel d'un commerce": _at(MOREAU, "commercial"),
    "le Dr Moreau, dans une autre structure": replace(
        MOREAU, organisation=PETIT.organisation, organisation_name=PETIT.organisation_name
    ),
    "une consœur du cabinet Moreau": COLLEAGUE,
    "le Dr Petit": PETIT,
    "un dentiste": _DENTIST,
    "un infirmier": _NURSE,
    "un podologue": _PODIATRIST,
    "un professionnel de profession inconnue": _STRANGER,
    "un professionnel sans profession": _NO_PROFESSION,
    "un délégué à la protection des données": _OFFICER,
    "un assureur": INSURER,
    "un employeur": replace(_at(INSURER, "employer"), id="employeur", name="Employeur"),
    "un annonceur": replace(_at(INSURER, "advertiser"), id="annonceur", name="Annonceur"),
    "un commerce": replace(_at(INSURER, "commercial"), id="commerce", name="Commerce"),
    "une application de bien-être": replace(_at(INSURER, "patient-frontend"), id="bien-etre", name="Bien-être"),
    "le logiciel du cabinet Moreau, sans personne": _MOREAU_ALONE,
    "le logiciel du cabinet Petit, sans personne": _PETIT_ALONE,
    "un logiciel de soins d'aucune structure, sans personne": replace(
        _MOREAU_ALONE, id="sans-structure", organisation=None, organisation_name=None
    ),
    "une application grand public du cabinet Moreau, sans personne": _alone(MOREAU, "grand-public", "patient-frontend"),
    "le service des avis": NOTICES,
    "le service des documents": replace(NOTICES, id="documents", name="Prévention de Carnet"),
    "un service inconnu": replace(NOTICES, id="statistics", name="Statistiques"),
}

_ALL_LABELS: Final = (_UNANNOUNCED, _NOT_FOR_PARENTS, _MASKED)
_ORAL, _VISIT, _ADMITTED, _CODED = 24 * HOUR, 7 * DAY, 90 * DAY, 180 * DAY
_CARE = Action.DECLARE_CARE

WANTS: Final[dict[str, Want]] = {
    "lire": Want(Action.READ),
    "voir la liste": Want(Action.LIST),
    "déposer": Want(Action.DEPOSIT),
    "copier le dossier": Want(Action.EXPORT),
    "préparer des conseils": Want(Action.PREVENT),
    "envoyer un avis": Want(Action.NOTIFY),
    "annoncer": Want(Action.ANNOUNCE),
    "lire le journal": Want(Action.READ_JOURNAL),
    "relire les choix": Want(Action.READ_DIRECTIVES),
    "changer les choix": Want(Action.CHANGE_DIRECTIVES),
    "masquer ce document par son étiquette": Want(Action.AMEND, adds=(_MASKED,)),
    "démasquer ce document par son étiquette": Want(Action.AMEND, removes=(_MASKED,)),
    "retirer toute étiquette": Want(Action.AMEND, removes=_ALL_LABELS),
    "ne laisser que l'étiquette « masqué »": Want(Action.AMEND, adds=(_MASKED,), removes=_ALL_LABELS[:2]),
    "annoncer en retirant l'étiquette": Want(Action.AMEND, removes=(_UNANNOUNCED,)),
    "annoncer par l'étiquette et masquer": Want(Action.AMEND, adds=(_MASKED,), removes=(_UNANNOUNCED,)),
    "mettre l'étiquette « pas encore annoncé »": Want(Action.AMEND, adds=(_UNANNOUNCED,)),
    "mettre l'étiquette « caché aux représentants »": Want(Action.AMEND, adds=(_NOT_FOR_PARENTS,)),
    "retirer l'étiquette « caché aux représentants »": Want(Action.AMEND, removes=(_NOT_FOR_PARENTS,)),
    "relire ses propres accès": Want(Action.READ_OWN_TRACES),
    "montrer ce document à ses représentants": Want(Action.CHANGE_DIRECTIVES, shows=True),
    "s'opposer aux demandes des ayants droit": Want(Action.CHANGE_DIRECTIVES, heirs="oppose"),
    "lever l'opposition aux ayants droit": Want(Action.CHANGE_DIRECTIVES, heirs="let"),
    "demander à lire, pour les causes du décès": Want(Action.ASK_AS_HEIR, motive="cause-of-death"),
    "demander à lire, pour la mémoire de la personne": Want(Action.ASK_AS_HEIR, motive="memory"),
    "demander à lire, pour faire valoir des droits": Want(Action.ASK_AS_HEIR, motive="rights"),
    "demander à lire, par curiosité": Want(Action.ASK_AS_HEIR, motive="curiosity"),
    "demander à lire, sans motif": Want(Action.ASK_AS_HEIR),
    "demander à lire, pour les causes du décès, sans un mot de plus": Want(
        Action.ASK_AS_HEIR, motive="cause-of-death", words=False
    ),
    "déclarer son accord oral pour 24 heures": Want(_CARE, "declared", _ORAL),
    "déclarer son accord oral pour une heure": Want(_CARE, "declared", HOUR),
    "déclarer son accord oral pour 25 heures": Want(_CARE, "declared", _ORAL + HOUR),
    "déclarer son accord oral jusqu'à hier": Want(_CARE, "declared", -DAY),
    "déclarer un rendez-vous pour 7 jours": Want(_CARE, "appointment", _VISIT),
    "déclarer un rendez-vous pour 8 jours": Want(_CARE, "appointment", _VISIT + DAY),
    "déclarer une hospitalisation pour 90 jours": Want(_CARE, "admission", _ADMITTED),
    "déclarer une hospitalisation pour 91 jours": Want(_CARE, "admission", _ADMITTED + DAY),
    "signaler la fin du séjour": Want(Action.END_CARE),
    "présenter son code pour 180 jours": Want(_CARE, "code", _CODED, "hers"),
    "présenter son code pour 181 jours": Want(_CARE, "code", _CODED + DAY, "hers"),
    "présenter son code pour une heure": Want(_CARE, "code", HOUR, "hers"),
    "présenter un code inventé": Want(_CARE, "code", _CODED, "invented"),
    "présenter le code d'un autre dossier": Want(_CARE, "code", _CODED, "of-another-record"),
}

_OF_PETIT, _OF_MOREAU, _OF_COLLEAGUE = Paper(PETIT), Paper(MOREAU), Paper(COLLEAGUE)

DOCUMENTS: Final[dict[str, Papers]] = {
    "—": Papers((_OF_PETIT,)),
    "le compte rendu du Dr Petit": Papers((_OF_PETIT,), "one"),
    "le compte rendu du Dr Moreau": Papers((_OF_MOREAU,), "one"),
    "le compte rendu d'une consœur": Papers((_OF_COLLEAGUE,), "one"),
    "l'ordonnance du Dr Petit": Papers((Paper(PETIT, PRESCRIPTION),), "one"),
    "le compte rendu du séjour, du Dr Petit": Papers((Paper(PETIT, episode=STAY),), "one"),
    "le compte rendu du séjour, du Dr Moreau": Papers((Paper(MOREAU, episode=STAY),), "one"),
    "un document masqué du Dr Petit": Papers((Paper(PETIT, label=_MASKED),), "one"),
    "un document masqué du Dr Moreau": Papers((Paper(MOREAU, label=_MASKED),), "one"),
    "un résultat non annoncé du Dr Petit": Papers((Paper(PETIT, label=_UNANNOUNCED),), "one"),
    "un résultat non annoncé du Dr Moreau": Papers((Paper(MOREAU, label=_UNANNOUNCED),), "one"),
    "un document caché aux représentants légaux": Papers((Paper(PETIT, label=_NOT_FOR_PARENTS),), "one"),
    "un document caché aux représentants légaux, du Dr Moreau": Papers((Paper(MOREAU, label=_NOT_FOR_PARENTS),), "one"),
    "tous : un document caché aux représentants légaux et un visible": Papers(
        (Paper(PETIT, label=_NOT_FOR_PARENTS), _OF_PETIT)
    ),
    "tous : un document caché aux représentants légaux": Papers((Paper(PETIT, label=_NOT_FOR_PARENTS),)),
    "une attestation de résidence": Papers((Paper(PETIT, RESIDENCE),), "one"),
    "une attestation de résidence, du Dr Moreau": Papers((Paper(MOREAU, RESIDENCE),), "one"),
    "un document fermé aux dentistes": Papers((Paper(PETIT, NOT_FOR_DENTISTS),), "one"),
    "un document fermé aux dentistes, du dentiste": Papers((Paper(_DENTIST, NOT_FOR_DENTISTS),), "one"),
    "un compte rendu d'accouchement": Papers((Paper(PETIT, DELIVERY),), "one"),
    "un document d'un type inconnu": Papers((Paper(PETIT, UNKNOWN_TYPE),), "one"),
    "un document qui n'existe pas": Papers((_OF_PETIT,), "absent"),
    "tous : celui du Dr Petit": Papers((_OF_PETIT,)),
    "tous : celui du Dr Moreau": Papers((_OF_MOREAU,)),
    "tous : un du Dr Petit, un du Dr Moreau": Papers((_OF_PETIT, _OF_MOREAU)),
    "tous : celui du séjour et une ordonnance": Papers((Paper(PETIT, episode=STAY), Paper(PETIT, PRESCRIPTION))),
    "tous : un document masqué": Papers((Paper(PETIT, label=_MASKED),)),
    "tous : un document masqué et un visible": Papers((Paper(PETIT, label=_MASKED), _OF_PETIT)),
    "tous : un résultat non annoncé": Papers((Paper(PETIT, label=_UNANNOUNCED),)),
    "tous : un résultat non annoncé et un visible": Papers((Paper(PETIT, label=_UNANNOUNCED), _OF_PETIT)),
    "tous : une attestation de résidence": Papers((Paper(PETIT, RESIDENCE),)),
    "tous : rien": Papers(),
    "un nouveau compte rendu": Papers((_OF_PETIT,), deposit="new"),
    "un nouveau document caché aux représentants légaux": Papers((_OF_PETIT,), deposit="new", label=_NOT_FOR_PARENTS),
    "le même compte rendu, à nouveau": Papers((_OF_MOREAU,), deposit="same"),
    "un autre contenu sous le même numéro": Papers((_OF_MOREAU,), deposit="other"),
}

_MINUTES_AGO, _THIS_MORNING = 9 * MINUTE_S, 5 * 3600

PURPOSES: Final[dict[str, Purpose]] = {
    "à sa demande": Purpose("PATRQT"),
    "à sa demande, sans nouvelles du registre": Purpose("PATRQT", stale=True),
    "pour soigner": Purpose("TREAT"),
    "pour soigner, en secret de ses représentants": Purpose("TREAT", secret=True),
    "en urgence": Purpose("BTG", reasoned=True, signed_in=0),
    "en urgence, identifié il y a 9 minutes": Purpose("BTG", reasoned=True, signed_in=_MINUTES_AGO),
    "en urgence, identifié il y a 10 minutes": Purpose("BTG", reasoned=True, signed_in=10 * MINUTE_S),
    "en urgence, identifié il y a 10 minutes et une seconde": Purpose(
        "BTG", reasoned=True, signed_in=10 * MINUTE_S + 1
    ),
    "en urgence, identifié il y a 11 minutes": Purpose("BTG", reasoned=True, signed_in=11 * MINUTE_S),
    "en urgence, identifié ce matin": Purpose("BTG", reasoned=True, signed_in=_THIS_MORNING),
    "en urgence, identifié on ne sait quand": Purpose("BTG", reasoned=True),
    "en urgence, sans dire pourquoi": Purpose("BTG", signed_in=0),
    "en urgence, sans dire pourquoi, identifié ce matin": Purpose("BTG", signed_in=_THIS_MORNING),
    "pour un appel au SAMU": Purpose("ETREAT", reasoned=True, signed_in=0),
    "pour un appel au SAMU, identifié ce matin": Purpose("ETREAT", reasoned=True, signed_in=_THIS_MORNING),
    "pour un appel au SAMU, sans dire pourquoi": Purpose("ETREAT", signed_in=0),
    "pour gérer un séjour": Purpose("PATADMIN"),
    "pour la prévenir": Purpose("NOTIFY"),
    "pour la prévention": Purpose("PREVENT"),
    "pour la prévention de la grippe": Purpose("PREVENT", "influenza"),
    "pour la prévention du cancer du sein": Purpose("PREVENT", "breast-cancer"),
    "pour une assurance": Purpose("COVERAGE"),
    "pour un remboursement": Purpose("HPAYMT"),
    "pour un dossier de sinistre": Purpose("CLMATTCH"),
    "pour un emploi": Purpose("EMPLOYMENT"),
    "pour de la publicité": Purpose("HMARKT"),
    "pour un usage commercial": Purpose("COMMERCE"),
    "pour la recherche": Purpose("HRESCH"),
    "pour une raison inconnue": Purpose("XYZ"),
    "sans dire pourquoi": Purpose(""),
}

_TEAM = (f"person:{MOREAU.id}", f"person:{_NURSE.id}")
_PREVENTED = "topic:breast-cancer"

SITUATIONS: Final[dict[str, Step | None]] = {
    "rien de particulier": None,
    # Whom she lets in.
    "elle autorise le Dr Moreau": Says("authorise", PERSON),
    "elle autorise le Dr Moreau pour un jour": Says("authorise", PERSON, DAY),
    "elle autorise le cabinet Moreau": Says("authorise", ORGANISATION),
    "elle autorise le cabinet Moreau pour un jour": Says("authorise", ORGANISATION, DAY),
    "elle autorise les médecins": Says("authorise", "profession:10"),
    "elle autorise les médecins pour un jour": Says("authorise", "profession:10", DAY),
    "elle autorise les infirmiers": Says("authorise", "profession:60"),
    "elle autorise les dentistes": Says("authorise", "profession:40"),
    "elle autorise les podologues": Says("authorise", "profession:80"),
    "elle autorise le professionnel de profession inconnue": Says("authorise", f"person:{_STRANGER.id}"),
    "elle autorise le professionnel sans profession": Says("authorise", f"person:{_NO_PROFESSION.id}"),
    "elle autorise une équipe : le Dr Moreau et un infirmier": Says("authorise", "team", members=_TEAM),
    "elle autorise cette équipe pour un jour": Says("authorise", "team", DAY, _TEAM),
    "elle met fin à l'autorisation": Ends("authorise"),
    "elle déclare le Dr Moreau médecin traitant": Says("treating-doctor", PERSON),
    "elle déclare le Dr Moreau médecin traitant pour un jour": Says("treating-doctor", PERSON, DAY),
    "elle n'a plus de médecin traitant": Ends("treating-doctor"),
    "elle déclare le Dr Petit médecin traitant": Says("treating-doctor", f"person:{PETIT.id}"),
    "elle fait un code pour un jour": Gives(DAY),
    "elle reprend son code": Ends("code"),
    # What professionals say of the care.
    "elle autorise le délégué à la protection des données": Says("authorise", f"person:{_OFFICER.id}"),
    "le Dr Moreau déclare trois fois son accord oral": Declares(MOREAU, "declared", _ORAL, times=3),
    "le Dr Moreau déclare trois fois un rendez-vous": Declares(MOREAU, "appointment", _VISIT, times=3),
    "le Dr Moreau déclare deux fois son accord oral": Declares(MOREAU, "declared", _ORAL, times=2),
    "le Dr Moreau tente trois fois de déclarer son accord oral": Declares(MOREAU, "declared", _ORAL, False, 3),
    "le Dr Moreau présente le code": Declares(MOREAU, "code", _CODED),
    "le Dr Moreau présente le code pour une heure": Declares(MOREAU, "code", HOUR),
    "le Dr Petit présente le code": Declares(PETIT, "code", _CODED),
    "le cabinet Moreau signale une hospitalisation": Declares(_MOREAU_ALONE, "admission", _ADMITTED),
    "le cabinet Moreau tente de signaler une hospitalisation": Declares(_MOREAU_ALONE, "admission", _ADMITTED, False),
    "le cabinet Moreau signale la fin du séjour": Discharges(_MOREAU_ALONE),
    "le cabinet Petit tente de signaler la fin du séjour": Discharges(_PETIT_ALONE, counts=False),
    "le Dr Moreau déclare un rendez-vous": Declares(MOREAU, "appointment", _VISIT),
    "une consœur déclare un rendez-vous": Declares(COLLEAGUE, "appointment", _VISIT),
    "le Dr Moreau déclare son accord oral": Declares(MOREAU, "declared", _ORAL),
    "le Dr Moreau déclare son accord oral pour une heure": Declares(MOREAU, "declared", HOUR),
    "une consœur déclare son accord oral": Declares(COLLEAGUE, "declared", _ORAL),
    "le Dr Moreau tente de déclarer son accord oral": Declares(MOREAU, "declared", _ORAL, counts=False),
    "le Dr Moreau tente de déclarer un rendez-vous": Declares(MOREAU, "appointment", _VISIT, counts=False),
    "le Dr Moreau tente de déclarer une hospitalisation": Declares(MOREAU, "admission", _ADMITTED, counts=False),
    "le Dr Moreau tente de présenter le code": Declares(MOREAU, "code", _CODED, counts=False),
    "le Dr Moreau tente de déclarer son accord oral pour une semaine": Declares(
        MOREAU, "declared", 7 * DAY, counts=False
    ),
    # What its author makes of a document's labels.
    "le Dr Petit masque ce document par son étiquette": Amends(PETIT, adds=(_MASKED,)),
    "le Dr Petit démasque ce document par son étiquette": Amends(PETIT, removes=(_MASKED,)),
    "le Dr Petit annonce en retirant l'étiquette": Amends(PETIT, removes=(_UNANNOUNCED,)),
    # Whom and what she keeps out.
    "elle bloque le Dr Moreau": Says("block", PERSON),
    "elle bloque le Dr Moreau pour un jour": Says("block", PERSON, DAY),
    "elle bloque le cabinet Moreau": Says("block", ORGANISATION),
    "elle bloque le Dr Petit": Says("block", f"person:{PETIT.id}"),
    "elle lève le blocage": Ends("block"),
    "elle ferme son dossier": Says("close"),
    "elle ferme son dossier pour un jour": Says("close", lasts=DAY),
    "elle rouvre son dossier": Ends("close"),
    "elle veut qu'on lui demande": Says("ask-me"),
    "elle veut qu'on lui demande pour un jour": Says("ask-me", lasts=DAY),
    "elle n'exige plus qu'on lui demande": Ends("ask-me"),
    "elle masque ce document": Says("hide", IT),
    "elle masque ce document pour un jour": Says("hide", IT, DAY),
    "elle masque les comptes rendus de biologie": Says("hide", f"type:{REPORT}"),
    "elle masque les comptes rendus de biologie pour un jour": Says("hide", f"type:{REPORT}", DAY),
    "elle masque le séjour": Says("hide", f"episode:{STAY}"),
    "elle masque le séjour pour un jour": Says("hide", f"episode:{STAY}", DAY),
    "elle démasque": Ends("hide"),
    "elle s'oppose à son dossier": Says("oppose"),
    "elle s'oppose à son dossier pour un jour": Says("oppose", lasts=DAY),
    "elle lève son opposition": Ends("oppose"),
    "elle refuse les copies": Says("oppose-export"),
    "elle refuse les copies pour un jour": Says("oppose-export", lasts=DAY),
    "elle accepte à nouveau les copies": Ends("oppose-export"),
    "elle refuse la prévention": Says("oppose-prevention"),
    "elle refuse la prévention pour un jour": Says("oppose-prevention", lasts=DAY),
    "elle refuse la prévention du cancer du sein": Says("oppose-prevention", _PREVENTED),
    "elle refuse la prévention du cancer du sein pour un jour": Says("oppose-prevention", _PREVENTED, DAY),
    "elle accepte à nouveau la prévention": Ends("oppose-prevention"),
    # Who acts for her, as identity says it.
    "elle est mineure": Represented(minor=True),
    "elle est mineure et Alex est son parent": Represented("parent", minor=True),
    "elle est mineure et Alex est son parent, pour lire seulement": Represented("parent", ("read",), minor=True),
    "elle est majeure et Alex figure encore comme son parent": Represented("parent"),
    "Alex est son tuteur": Represented("guardian"),
    "Alex est son tuteur, pour décider seulement": Represented("guardian", ("govern",)),
    "Alex est habilité par le juge dans la famille": Represented("family-authorisation"),
    "Alex est habilité par le juge, pour le journal seulement": Represented("family-authorisation", ("journal",)),
    "Alex est son aidant": Represented("caregiver"),
    "Alex est son aidant, pour le journal seulement": Represented("caregiver", ("journal",)),
    "Alex ne la représente plus": Represented(),
    "elle meurt": Represented(deceased=True),
    "elle meurt et Alex figure encore comme son tuteur": Represented("guardian", deceased=True),
    "elle meurt et Alex est son ayant droit": Represented("heir", ("read",), deceased=True),
    "elle meurt et Alex est son ayant droit, pour le journal seulement": Represented(
        "heir", ("journal",), deceased=True
    ),
    "elle meurt mineure et Alex est son ayant droit": Represented("heir", ("read",), minor=True, deceased=True),
    "elle vit et Alex figure déjà comme son ayant droit": Represented("heir", ("read",)),
    "Alex demande à lire pour les causes du décès": Pleads("cause-of-death"),
    "Alex demande à lire pour faire valoir ses droits": Pleads("rights"),
    "elle s'oppose à ce que ses ayants droit lisent": Says("oppose-heirs"),
    "elle s'oppose pour un jour à ce que ses ayants droit lisent": Says("oppose-heirs", lasts=DAY),
    "elle ne s'oppose plus à ce que ses ayants droit lisent": Ends("oppose-heirs"),
    "elle montre ce document à ses représentants": Says("show-to-representatives", IT),
    # Emergencies.
    "elle refuse d'avance l'urgence": Says("close-emergency", "others"),
    "elle refuse d'avance l'urgence pour un jour": Says("close-emergency", "others", DAY),
    "elle refuse d'avance le SAMU": Says("close-emergency", "samu"),
    "elle refuse d'avance le SAMU pour un jour": Says("close-emergency", "samu", DAY),
    "elle lève ce refus": Ends("close-emergency"),
    "elle ouvre aux urgences ce qui est masqué": Says("open-hidden"),
    "elle ouvre aux urgences ce qui est masqué pour un jour": Says("open-hidden", lasts=DAY),
    # Presets.
    "elle choisit le réglage légal": Says("preset", "legal"),
    "elle choisit le réglage prudent": Says("preset", "careful"),
    "elle choisit le réglage fermé": Says("preset", "closed"),
    # Time.
    "une heure passe": Passes(HOUR),
    "23 heures passent": Passes(23 * HOUR),
    "un jour passe": Passes(DAY),
    "6 jours passent": Passes(6 * DAY),
    "7 jours passent": Passes(7 * DAY),
    "29 jours passent": Passes(29 * DAY),
    "30 jours passent": Passes(30 * DAY),
    "31 jours passent": Passes(31 * DAY),
    "89 jours passent": Passes(89 * DAY),
    "90 jours passent": Passes(90 * DAY),
    "179 jours passent": Passes(179 * DAY),
    "180 jours passent": Passes(180 * DAY),
}

VERDICTS: Final[dict[str, str]] = {
    "autorisé": "allowed",
    "refusé": "refused",
    "ligne rouge": "red-line",
    "conflit": "conflict",
}
