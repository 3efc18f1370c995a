"""Code systems and identifiers under one name each, whatever spelling the caller chose (URL, OID, padded RPPS)."""

import re
from dataclasses import dataclass
from typing import Final

from services.documents.fhir import value_sets

LOINC: Final = "http://loinc.org"
TRE_A05: Final = "https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
TRE_A07: Final = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
ASTM: Final = "urn:oid:ASTM"
CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
URI: Final = "urn:ietf:rfc:3986"
NATIONAL_IDS: Final = "1.2.250.1.71.4.2."  # of persons and structures
NATIONAL_PERSON_OID: Final = f"{NATIONAL_IDS}1"
NATIONAL_PERSON: Final = f"urn:oid:{NATIONAL_PERSON_OID}"
RPPS: Final = "https://rpps.esante.gouv.fr"
# NIR, NIA, test, demonstration
INS_OIDS: Final = frozenset({f"1.2.250.1.213.1.4.{arc}" for arc in (8, 9, 10, 11)})

_ALIASES: Final = {
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "urn:oid:1.2.250.1.213.1.1.4.12": TRE_A05,
    "urn:oid:1.2.250.1.213.1.1.4.13": TRE_A07,
    "urn:oid:2.16.840.1.113883.5.25": CONFIDENTIALITY,
}
# the guides themselves spell these two in several ways (StatutVisibilite.., StatusVisibilite..): the number decides
_NOS: Final = {"TRE_A04-": LOINC, "TRE_A05-": TRE_A05, "TRE_A07-": TRE_A07, "JDV_J08-": TRE_A07}
_NOS_BASE: Final = "https://mos.esante.gouv.fr/NOS/"
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, repr=False)
class Identifier:
    """A FHIR identifier: the system (a URI) and the value; it may be an INS, so it has no `repr`."""

    system: str
    value: str


def canonical_system(system: str) -> str:
    """Return the one name that Carnet uses for a code system; an unknown one stays as it is."""
    if system in _ALIASES:
        return _ALIASES[system]
    if system.startswith(_NOS_BASE):
        return _NOS.get(system[len(_NOS_BASE) : len(_NOS_BASE) + 8], system)
    return system


def oid_system(oid: str) -> str:
    """Return the FHIR name of a code system that CDA names by its OID."""
    return canonical_system(f"urn:oid:{oid}")


def is_document_type(system: str, code: str) -> bool:
    """Tell whether a code (of a canonical system) is one of JDV_J07, the types that a French document may have."""
    types = {LOINC: value_sets.LOINC_TYPES, TRE_A05: value_sets.TRE_A05_TYPES, ASTM: value_sets.ASTM_TYPES}
    return code in types.get(system, ())


def unique_id(root: str, extension: str = "") -> str:
    """Return the canonical form of an HL7 v3 instance identifier: `urn:oid:<root>[^<extension>]` or `urn:uuid:<uuid>`.

    `root^extension` is the XDS uniqueId of a CDA (IHE ITI TF-3 4.2.3.2.26).
    """
    urn = f"urn:uuid:{root.lower()}" if _UUID.fullmatch(root) else f"urn:oid:{root}"
    return f"{urn}^{extension}" if extension else urn


def master_identifier(system: str, value: str) -> str:
    """Return the canonical form of a `masterIdentifier`, comparable with `unique_id`, whichever spelling was used."""
    if system in ("", URI):
        scheme, _, rest = value.partition(":")
        kind, _, name = rest.partition(":")
        if scheme.lower() == "urn" and kind.lower() in ("oid", "uuid") and name:
            root, _, extension = name.partition("^")
            return unique_id(root, extension)
        return value
    if system.startswith(("urn:oid:", "urn:uuid:")):
        return unique_id(system.split(":", 2)[2], value)
    return f"{system}|{value}"


def canonical_person(identifier: Identifier) -> Identifier:
    """Return a professional's identifier in the national form ("8" + RPPS, OID); others unchanged."""
    if identifier.system == RPPS:
        return Identifier(NATIONAL_PERSON, f"8{identifier.value}")
    return identifier


def rpps_holds(rpps: str) -> bool:
    """Tell whether a RPPS number has 11 digits, the last of which is their Luhn check digit."""
    if not re.fullmatch(r"[0-9]{11}", rpps):
        return False
    digits = [int(digit) for digit in reversed(rpps)]
    return sum(digits[0::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0


def ins_holds(matricule: str) -> bool:
    """Tell whether a matricule INS has 15 characters, the last two of which are its key (97 - number mod 97)."""
    match = re.fullmatch(r"([0-9]{5}(?:[0-9]{2}|2A|2B)[0-9]{6})([0-9]{2})", matricule)
    if match is None:
        return False
    number = match[1].replace("2A", "19").replace("2B", "18")
    return int(match[2]) == 97 - int(number) % 97
