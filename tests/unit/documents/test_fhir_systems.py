"""Code systems and identifiers under one name each."""

import pytest

from services.documents.fhir import systems
from services.documents.fhir.systems import Identifier


@pytest.mark.parametrize(
    ("system", "value", "canonical"),
    [
        ("urn:ietf:rfc:3986", "urn:oid:1.2.3", "urn:oid:1.2.3"),
        ("", "urn:oid:1.2.3", "urn:oid:1.2.3"),
        ("urn:ietf:rfc:3986", "urn:oid:1.2.3^a", "urn:oid:1.2.3^a"),
        ("urn:oid:1.2.3", "a", "urn:oid:1.2.3^a"),
        (
            "urn:ietf:rfc:3986",
            "URN:UUID:90E1C8EC-F951-4B26-A305-A34848818DD6",
            "urn:uuid:90e1c8ec-f951-4b26-a305-a34848818dd6",
        ),
        ("https://software.example/ids", "7", "https://software.example/ids|7"),
        ("", "7", "7"),
    ],
)
def test_every_spelling_of_an_identifier_is_one(system: str, value: str, canonical: str) -> None:
    """A masterIdentifier has one canonical form, so that a retry by another library is still a retry."""
    assert systems.master_identifier(system, value) == canonical


def test_a_cda_id_has_the_form_of_its_master_identifier() -> None:
    """Root, root and extension, and UUID of a CDA id compare equal to the FHIR spelling of the same."""
    assert systems.unique_id("1.2.3") == systems.master_identifier("", "urn:oid:1.2.3")
    assert systems.unique_id("1.2.3", "a") == systems.master_identifier("urn:oid:1.2.3", "a")
    uuid = "90E1C8EC-F951-4B26-A305-A34848818DD6"
    assert systems.unique_id(uuid) == systems.master_identifier("", f"urn:uuid:{uuid.lower()}")


def test_code_systems_have_one_name() -> None:
    """LOINC, TRE_A05 and the labels are recognised by URL, by OID, and in the guides' two spellings."""
    assert systems.canonical_system("urn:oid:2.16.840.1.113883.6.1") == systems.LOINC
    assert systems.oid_system("1.2.250.1.213.1.1.4.12") == systems.TRE_A05
    misspelt = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatusVisibiliteDocument/FHIR/TRE-A07-StatusVisibiliteDocument"
    assert systems.canonical_system(misspelt) == systems.TRE_A07
    assert systems.canonical_system("https://other.example") == "https://other.example"


def test_rpps_and_ins_keys() -> None:
    """Check digits are those of the national rules, Corsica included."""
    assert systems.rpps_holds("01234567897")
    assert not systems.rpps_holds("01234534765")
    assert not systems.rpps_holds("1234567897")
    for matricule in ("284058832102532", "284052A32102552", "284052B32102579", "284202B32102528", "279035121518989"):
        assert systems.ins_holds(matricule), matricule
    for matricule in ("255081416802500", "279035121518988", "28405883210253", "٢79035121518989"):
        assert not systems.ins_holds(matricule), matricule


def test_a_rpps_has_one_form() -> None:
    """The FHIR system of the RPPS and the national identifier name the same person."""
    person = systems.canonical_person(Identifier("https://rpps.esante.gouv.fr", "01234567897"))
    assert (person.system, person.value) == ("urn:oid:1.2.250.1.71.4.2.1", "801234567897")
    assert "801234567897" not in repr(person)
