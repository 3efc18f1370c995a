"""Registration files: every fault is found at once, with its path and without its value."""

import json
from datetime import date
from typing import Any

import pytest

from services.identity.registry_file import parse

KEY = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}
PERSON: dict[str, Any] = {
    "reference": "p1",
    "status": "qualified",
    "system": "urn:oid:1.2.250.1.213.1.4.10",
    "ins": "279035121518989",
    "traits": {
        "birth_name": "NOM",
        "first_names": ["ANNE", "LISE"],
        "sex": "F",
        "birth_date": "1979-03-28",
        "birth_place": "51215",
    },
}
PROFESSIONAL = {
    "rpps": "01234567897", "title": "Dr", "given_name": "Anne", "family_name": "Nom", "profession": "10",
    "organisations": ["489999011"],
}  # fmt: skip
APPLICATION: dict[str, Any] = {"client_id": "assureur", "name": "A", "kind": "insurer", "jwk": KEY}


def faults(**parts: Any) -> dict[str, str]:
    """Return the faults of a file, by path."""
    return {fault.path: fault.reason for fault in parse(json.dumps(parts).encode()).faults}


async def test_a_whole_file_becomes_the_domains_values() -> None:
    """Names, identifiers and sets come out as the domain has them."""
    asked = parse(
        json.dumps(
            {
                "organisations": [{"finess": "489999011", "name": "Cabinet"}],
                "professionals": [PROFESSIONAL],
                "applications": [APPLICATION | {"purposes": ["COVERAGE"]}],
                "persons": [PERSON],
            }
        ).encode()
    )
    assert asked.faults == ()
    assert asked.organisations["organisations[0]"].finess == "489999011"
    assert asked.professionals["professionals[0]"].name == "Dr Anne Nom"
    assert asked.professionals["professionals[0]"].national_id == "801234567897"
    assert asked.applications["applications[0]"].purposes == {"COVERAGE"}
    assert asked.persons["persons[0]"].traits.first_birth_name == "ANNE"


OFFICER = {
    "internal_id": "489999011/DPO-1", "given_name": "Claude", "family_name": "Garde", "profession": "dpo",
    "organisations": ["489999011"],
}  # fmt: skip


async def test_a_data_protection_officer_has_an_identifier_of_the_organisation() -> None:
    """It is "3", the organisation's FINESS number, and what they call their officer; unless there is an RPPS number."""
    asked = parse(json.dumps({"professionals": [OFFICER, PROFESSIONAL]}).encode())
    assert asked.faults == ()
    assert [each.national_id for each in asked.professionals.values()] == ["3489999011/DPO-1", "801234567897"]
    assert faults(professionals=[PROFESSIONAL | {"profession": "dpo"}]) == {}


@pytest.mark.parametrize(
    ("changed", "path", "reason"),
    [
        ({"internal_id": None}, "", "a professional has an 'rpps'"),
        ({"rpps": "01234567897"}, "", "a professional has an 'rpps'"),
        ({"profession": "10"}, "", "only a professional of profession dpo"),
        ({"profession": "dpo2"}, ".profession", "pattern"),
        ({"internal_id": "489999012/DPO-1"}, ".internal_id", "Luhn"),
        ({"internal_id": "489999011/"}, ".internal_id", "1 to 32"),
        ({"internal_id": "489999011/une officière"}, ".internal_id", "1 to 32"),
        ({"internal_id": "489999011"}, ".internal_id", "FINESS/identifier"),
        ({"organisations": ["489999029"]}, "", "the organisation of the identifier is one of the officer's"),
        ({"samu": True}, "", "only a doctor"),
    ],
)
async def test_an_officer_is_named_by_one_of_the_organisations_served(
    changed: dict[str, Any], path: str, reason: str
) -> None:
    """Each fault stands under its path; no other profession goes without an RPPS number, and none has both."""
    found = faults(professionals=[OFFICER | changed])
    assert list(found) == [f"professionals[0]{path}"]
    assert reason in found[f"professionals[0]{path}"]
    assert "officière" not in str(found)


async def test_every_fault_of_a_file_is_told_at_once() -> None:
    """One wrong entry hides no other, and each stands under its path."""
    found = faults(
        organisations=[{"finess": "489999012", "name": "Cabinet"}, {"finess": "489999011"}],
        professionals=[PROFESSIONAL | {"rpps": "01234534765", "profession": "doctor"}],
        applications=[APPLICATION | {"kind": "bank"}, APPLICATION | {"purposes": ["TREAT"]}],
        persons=[PERSON, PERSON | {"ins": "255081416802500"}, PERSON | {"traits": PERSON["traits"] | {"sex": "X"}}],
        machines=[],
    )
    assert set(found) == {
        "organisations[0].finess",
        "organisations[1].name",
        "professionals[0].rpps",
        "professionals[0].profession",
        "applications[0].kind",
        "applications[1]",
        "persons[1]",
        "persons[2].traits.sex",
        "machines",
    }
    assert "Luhn" in found["organisations[0].finess"]
    assert "97" in found["persons[1]"]


async def test_no_fault_quotes_what_was_written() -> None:
    """An INS with a wrong key, and every other wrong value, stays out of the message."""
    said = str(
        faults(
            persons=[PERSON | {"ins": "255081416802500", "reference": "né en 1979"}],
            professionals=[PROFESSIONAL | {"rpps": "01234534765", "given_name": 7}],
        )
    )
    for secret in ("255081416802500", "né en 1979", "01234534765"):
        assert secret not in said


@pytest.mark.parametrize(
    "person",
    [
        {name: value for name, value in PERSON.items() if name != "ins"},
        {name: value for name, value in PERSON.items() if name not in {"ins", "system"}},
        PERSON | {"status": "certain"},
        PERSON | {"traits": {name: value for name, value in PERSON["traits"].items() if name != "birth_place"}},
        PERSON | {"nickname": "N"},
        [],
    ],
)
async def test_a_qualified_identity_is_whole(person: Any) -> None:
    """Without its INS, its birth place or a known status, or with an unknown field, it is refused."""
    assert next(iter(faults(persons=[person]))).startswith("persons[0]")


async def test_a_provisional_identity_needs_no_matricule() -> None:
    """Someone without papers is registered under a reference."""
    bare = {name: value for name, value in PERSON.items() if name not in {"ins", "system"}}
    assert faults(persons=[bare | {"status": "provisional"}]) == {}


@pytest.mark.parametrize(
    "jwk",
    [
        KEY | {"d": "A" * 43},
        KEY | {"x": "A" * 42},
        KEY | {"x": "A" * 44 + "="},
        KEY | {"crv": "X25519"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        None,
    ],
)
async def test_an_application_has_a_public_ed25519_key(jwk: Any) -> None:
    """A private key, a cut one, another curve or none is refused."""
    assert faults(applications=[APPLICATION | {"jwk": jwk}])


async def test_only_a_doctor_regulates() -> None:
    """`samu` stands with profession 10 alone; absent, it is false."""
    assert faults(professionals=[PROFESSIONAL | {"samu": True}]) == {}
    found = faults(professionals=[PROFESSIONAL | {"samu": True, "profession": "60"}])
    assert found == {"professionals[0]": "only a doctor (profession 10) regulates for the SAMU"}
    assert not parse(json.dumps({"professionals": [PROFESSIONAL]}).encode()).professionals["professionals[0]"].samu


async def test_a_data_protection_officer_is_registered_too() -> None:
    """Consent knows officers by this code; any other word is no profession."""
    assert faults(professionals=[PROFESSIONAL | {"profession": "dpo"}]) == {}
    for other in ("DPO", "dp", "dpo1", ""):
        assert list(faults(professionals=[PROFESSIONAL | {"profession": other}])) == ["professionals[0].profession"]


@pytest.mark.parametrize("client_id", ["801234567897", "A", "a", "a|b", "a:b", "é" * 3])
async def test_a_client_id_cannot_pass_for_a_person(client_id: str) -> None:
    """It begins with a letter: no assertion about an application reads as one about a professional."""
    assert "applications[0].client_id" in faults(applications=[APPLICATION | {"client_id": client_id}])


@pytest.mark.parametrize("kind", ["insurer", "care-software"])
async def test_only_a_patient_frontend_signs_patients_in(kind: str) -> None:
    """No other kind of software is registered with that right."""
    assert faults(applications=[APPLICATION | {"kind": kind, "signs_patients_in": True}])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"persons": {}}', b'{"persons": [1]}'])
async def test_what_is_no_registration_is_said_so(content: bytes) -> None:
    """A file that is not JSON, or of another shape, has a fault."""
    assert parse(content).faults


ACTING: dict[str, Any] = {"represented": "noa", "holder": "camille", "role": "parent", "scopes": ["read", "govern"]}
HEIR = ACTING | {"role": "heir", "scopes": ["read"], "attestation": True}
CARING = ACTING | {"role": "caregiver", "scopes": ["read"], "attestation": True}


async def test_a_representation_becomes_the_domains_value() -> None:
    """References, role, scopes and end come out as they were said."""
    asked = parse(json.dumps({"representations": [CARING | {"until": "2030-01-01"}]}).encode())
    assert asked.faults == ()
    said = asked.representations["representations[0]"]
    assert (said.represented, said.holder, said.role, sorted(said.scopes)) == ("noa", "camille", "caregiver", ["read"])
    assert (said.until, said.attested) == (date(2030, 1, 1), True)
    assert faults(representations=[HEIR]) == {}


@pytest.mark.parametrize(
    ("changed", "path", "reason"),
    [
        ({"holder": "noa"}, "", "nobody represents themselves"),
        ({"role": "cousin"}, ".role", "parent"),
        ({"scopes": []}, ".scopes", "at least 1"),
        ({"scopes": ["read", "read"]}, "", "twice"),
        ({"scopes": ["read", "sell"]}, ".scopes[1]", "govern"),
        ({"attestation": True}, "", "the role parent takes no attestation"),
        ({"until": "tomorrow"}, ".until", "date"),
        ({"represented": "une enfant"}, ".represented", "pattern"),
        (CARING | {"attestation": False}, "", "the role caregiver takes a signed attestation"),
        (CARING | {"scopes": ["read", "govern"]}, "", "the scopes govern are not those of the role caregiver"),
        (HEIR | {"attestation": False}, "", "the role heir takes a signed attestation"),
        (HEIR | {"scopes": ["read", "journal"]}, "", "the scopes journal are not those of the role heir"),
        ({"since": "2026-01-01"}, ".since", "extra"),
    ],
)
async def test_a_representation_keeps_to_its_role(changed: dict[str, Any], path: str, reason: str) -> None:
    """Each fault stands under its path with its reason, and quotes no value."""
    found = faults(representations=[ACTING | changed])
    assert list(found) == [f"representations[0]{path}"]
    assert reason in found[f"representations[0]{path}"]
    assert not any(word in str(found.values()) for word in ("cousin", "sell", "tomorrow", "une enfant"))


async def test_a_death_follows_a_birth() -> None:
    """It is known to be, or on a day; `false` takes back what was said in error."""
    for said, held in ((True, True), (False, False), ("2026-05-01", date(2026, 5, 1))):
        asked = parse(json.dumps({"persons": [PERSON | {"deceased": said}]}).encode())
        assert (asked.faults, asked.persons["persons[0]"].deceased) == ((), held)
    assert faults(persons=[PERSON | {"deceased": "1979-03-27"}]) == {"persons[0]": "a death before the birth"}
    assert parse(json.dumps({"persons": [PERSON]}).encode()).persons["persons[0]"].deceased is None
