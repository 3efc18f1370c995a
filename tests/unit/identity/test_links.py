"""Who may ask for what through which application."""

from dataclasses import replace
from datetime import date
from typing import Any, get_args

import pytest

from services.identity.domain.identifiers import Ins
from services.identity.domain.links import (
    PURPOSES,
    Refused,
    require_alone,
    require_links,
    require_open,
    require_person,
    structure,
)
from services.identity.domain.people import Application, Kind, Person, Professional, Status, Traits

SOFTWARE = Application("logiciel", "Logiciel", "care-software", "", frozenset({"489999011"}), frozenset({"TREAT"}))
DOCTOR = Professional("01234567897", "Dr Nom", "10", frozenset({"489999011", "489999029"}))
PERSON = Person(
    "p1",
    "qualified",
    Traits("NOM", ("ANNE-LISE",), "ANNE-LISE", "F", date(1979, 3, 28), "51215"),
    Ins("urn:oid:1.2.250.1.213.1.4.10", "279035121518989"),
)


def refusal(*asked: Any) -> str:
    """Return the slug with which the links are refused."""
    with pytest.raises(Refused) as refused:
        require_links(*asked)
    return refused.value.slug


async def test_a_professional_asks_through_their_organisations_software() -> None:
    """Application, organisation, professional and purpose that hang together are let through."""
    require_links(SOFTWARE, DOCTOR, "489999011", "TREAT")


async def test_each_missing_link_is_named() -> None:
    """An application elsewhere, nobody, a professional elsewhere, another purpose: each has its slug."""
    elsewhere = replace(DOCTOR, organisations=frozenset({"489999029"}))
    assert refusal(SOFTWARE, DOCTOR, "489999029", "TREAT") == "application-not-of-organisation"
    assert refusal(SOFTWARE, None, "489999011", "TREAT") == "professional-unknown"
    assert refusal(SOFTWARE, elsewhere, "489999011", "TREAT") == "professional-not-in-organisation"
    for purpose in ("ETREAT", "BTG", "COVERAGE", "PATRQT", "PATADMIN", "treat", ""):
        assert refusal(SOFTWARE, DOCTOR, "489999011", purpose) == "purpose-not-allowed"


@pytest.mark.parametrize("kind", sorted(set(get_args(Kind)) - {"care-software"}))
async def test_a_professional_asks_through_care_software_only(kind: Kind) -> None:
    """A doctor who works for an insurer gets no token through the insurer's software, for any purpose that it has."""
    other = replace(SOFTWARE, kind=kind, purposes=PURPOSES[kind])
    for purpose in PURPOSES[kind] | {"TREAT"}:
        assert refusal(other, DOCTOR, "489999011", purpose) == "purpose-not-allowed"


@pytest.mark.parametrize("kind", get_args(Kind))
async def test_an_application_alone_has_its_kinds_purposes(kind: Kind) -> None:
    """An insurer asks for COVERAGE and nothing else; software that people act through asks alone for no care."""
    application = replace(SOFTWARE, kind=kind, purposes=PURPOSES[kind])
    behind = kind in {"care-software", "patient-frontend"}
    for purpose in {each for purposes in PURPOSES.values() for each in purposes}:
        if purpose in PURPOSES[kind] and (not behind or purpose == "PATADMIN"):
            require_alone(application, purpose)
            continue
        with pytest.raises(Refused) as refused:
            require_alone(application, purpose)
        assert refused.value.slug == ("nobody-behind" if behind else "purpose-not-allowed")


async def test_a_token_of_every_record_is_for_the_open_alone() -> None:
    """Of every record there is neither a secret consultation nor an emergency."""
    require_open("TREAT", secret=False)
    for purpose, secret in (("TREAT", True), ("BTG", False), ("ETREAT", False)):
        with pytest.raises(Refused) as refused:
            require_open(purpose, secret=secret)
        assert refused.value.slug == "purpose-not-allowed"


async def test_only_registered_software_administers_stays() -> None:
    """A practice's software, which was not registered for it, says nothing without its professional."""
    with pytest.raises(Refused) as refused:
        require_alone(SOFTWARE, "PATADMIN")
    assert refused.value.slug == "purpose-not-allowed"
    hospital = replace(SOFTWARE, purposes=PURPOSES["care-software"])
    require_alone(hospital, "PATADMIN")
    assert refusal(hospital, DOCTOR, "489999011", "PATADMIN") == "purpose-not-allowed"


async def test_an_application_alone_acts_for_one_of_its_structures() -> None:
    """The one it names, where it has several; the only one, unnamed; another's, never; and care software for one."""
    one, two = SOFTWARE, replace(SOFTWARE, organisations=frozenset({"489999011", "489999029"}))
    assert [structure(one, None), structure(one, "489999011"), structure(two, "489999029")] == [
        "489999011", "489999011", "489999029"
    ]  # fmt: skip
    for application, named, slug in (
        (one, "489999029", "application-not-of-organisation"),
        (two, "489999037", "application-not-of-organisation"),
        (two, None, "organisation-missing"),
        (replace(SOFTWARE, organisations=frozenset()), None, "organisation-missing"),
    ):
        with pytest.raises(Refused) as refused:
            structure(application, named)
        assert refused.value.slug == slug
    assert structure(replace(two, kind="insurer"), None) is None


@pytest.mark.parametrize("status", sorted(set(get_args(Status)) - {"qualified"}))
async def test_only_a_qualified_identity_is_named(status: Status) -> None:
    """An INS of any other status is answered as an unknown one."""
    assert require_person(PERSON) is PERSON
    for nobody in (None, replace(PERSON, status=status)):
        with pytest.raises(Refused) as refused:
            require_person(nobody)
        assert refused.value.slug == "patient-unknown"


async def test_a_name_is_printed_as_people_write_it() -> None:
    """First birth name in title case, then the birth name."""
    assert PERSON.name == "Anne-Lise NOM"
