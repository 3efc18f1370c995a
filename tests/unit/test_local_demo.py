"""The demo's people: identity takes them as they are, and each role of a story about care has somebody."""

from typing import Final

import orjson

from deploy.local.demo import PEOPLE
from services.consent.domain.review import DPO
from services.identity.domain.links import ADMINISTRATION, require_alone, structure
from services.identity.registry_file import parse

_TOLD: Final = orjson.loads(PEOPLE.read_bytes())
_KEY: Final = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
_ASKED: Final = parse(orjson.dumps(_TOLD | {"applications": [each | {"jwk": _KEY} for each in _TOLD["applications"]]}))


def test_identity_takes_the_demo_s_people() -> None:
    """No fault in them: numbers, purposes of each kind, professions."""
    assert _ASKED.faults == ()


def test_everybody_works_where_there_is_software() -> None:
    """Whoever is a professional of the demo has care software of his structure to ask with."""
    software = {finess for each in _ASKED.applications.values() if each.kind == "care-software"
                for finess in each.organisations}  # fmt: skip
    assert {finess for each in _ASKED.professionals.values() for finess in each.organisations} <= software


def test_an_establishment_reports_stays_and_no_practice_does() -> None:
    """One application alone may, for its one structure, where a doctor and a data protection officer work."""
    reporting = [each for each in _ASKED.applications.values() if ADMINISTRATION in each.purposes]
    (hospital,) = reporting
    require_alone(hospital, ADMINISTRATION)
    finess = structure(hospital, None)
    there = {each.profession for each in _ASKED.professionals.values() if finess in each.organisations}
    assert there == {"10", DPO}


def test_software_alone_asks_for_what_it_may_by_default() -> None:
    """`make token AS=<application>` asks for its first purpose: one that it may ask for with nobody behind it."""
    for told in _TOLD["applications"]:
        (application,) = (each for each in _ASKED.applications.values() if each.client_id == told["client_id"])
        if ADMINISTRATION in application.purposes or application.kind not in {"care-software", "patient-frontend"}:
            require_alone(application, told["purposes"][0])
