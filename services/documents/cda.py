"""The header of a CDA R2 document (HL7 CDA R2, CI-SIS Volet Structuration Minimale), read without trusting it.

What breaks the document is refused (`CdaRejected`); what a careless software wrote is listed in `warnings` and never
mended: the bytes are the document.
"""

import re
from typing import Final

from lxml import etree

from services.documents.cda_header import (
    Act,
    Author,
    CdaHeader,
    Coded,
    InstanceId,
    Organisation,
    PersonName,
    Related,
    Traits,
    Warned,
)
from services.documents.fhir import systems, value_sets
from services.documents.fhir.dates import hl7_lacks_offset, hl7_to_fhir

# a real document has some 20,000; libxml2 would spend 120 bytes on each element or attribute
MAX_MARKUP: Final = 400_000
_H: Final = "{urn:hl7-org:v3}"
# atomic groups: a long prolog cannot make this backtrack
_DOCTYPE: Final = re.compile(rb"(?:\xef\xbb\xbf)?(?>\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
_RPPS_LENGTH: Final = 12


class CdaRejected(Exception):
    """A document that is not stored. `slug` is stable, `sentence` tells the way out and quotes nothing."""

    def __init__(self, slug: str, sentence: str) -> None:
        super().__init__(f"{slug}: {sentence}")
        self.slug = slug
        self.sentence = sentence


def read_header(xml: bytes) -> CdaHeader:
    """Return the header of a CDA R2 document. Raise CdaRejected for what is no safe, well-formed CDA with a patient."""
    return _Reader(_parse(xml)).header()


def require_patient(header: CdaHeader, system_oid: str, ins: str) -> None:
    """Raise CdaRejected unless the header's patient is the record's: same INS under the same OID, and no other INS.

    Both are named only by the last three digits of the matricule.
    """
    found = [one for one in header.patient_ids if one.root in systems.INS_OIDS or one.root == system_oid]
    wanted = InstanceId(system_oid, ins)
    if found and all(one == wanted for one in found):
        return
    other = next((one for one in found if one != wanted), None)
    theirs = f"the INS ending in {other.extension[-3:]} (system {other.root})" if other else "no INS"
    raise CdaRejected(
        "cda-patient-mismatch",
        f"The document's header names {theirs}, the record is of the INS ending in {ins[-3:]} (system {system_oid}). "
        "Deposit the document into its patient's record.",
    )


def _parse(xml: bytes) -> etree._Element:
    if _DOCTYPE.match(xml):
        raise _doctype()
    if xml.count(b"<") + xml.count(b"=") > MAX_MARKUP:
        raise CdaRejected("xml-too-complex", f"The XML has over {MAX_MARKUP} elements and attributes; split it.")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,  # libxml2 then refuses 256 levels, texts of 10 MB and entity amplification
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as error:
        raise _syntax(error) from None
    if root.getroottree().docinfo.internalDTD is not None:  # in an encoding that the scan above does not read
        raise _doctype()
    if root.tag != f"{_H}ClinicalDocument":
        raise CdaRejected(
            "not-cda", "XML content must be a CDA R2 document, whose root is ClinicalDocument in urn:hl7-org:v3."
        )
    return root


def _doctype() -> CdaRejected:
    return CdaRejected("xml-doctype", "A DOCTYPE is not accepted: remove it, and write entities as characters.")


def _syntax(error: etree.XMLSyntaxError) -> CdaRejected:
    text = error.msg or ""
    if "depth" in text:
        return CdaRejected("xml-too-deep", "The XML has more than 255 levels of elements; flatten it.")
    if "Resource limit" in text:
        return CdaRejected(
            "xml-text-too-long", "A single text of the XML exceeds 10 MB: deposit the embedded file itself, as it is."
        )
    line, column = error.position
    return CdaRejected(
        "xml-malformed", f"The content is not well-formed XML: line {line}, column {column}. Send the file unchanged."
    )


class _Reader:
    """Reads one document; collects what it finds wrong."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._warnings: list[Warned] = []

    def header(self) -> CdaHeader:
        root = self._root
        identifiers = _ids(root)
        if not identifiers:
            raise CdaRejected(
                "cda-id-missing", "The CDA header has no id with a root: give the document its identifier."
            )
        targets = root.findall(f"{_H}recordTarget/{_H}patientRole")
        if len(targets) != 1:
            raise CdaRejected(
                "cda-patient-missing",
                "The CDA header must have one recordTarget with its patientRole: name the patient.",
            )
        version = _attribute(root, "versionNumber", "value")
        set_id = _ids(root, "setId")
        nonxml = root.find(f"{_H}component/{_H}nonXMLBody")
        structured = root.find(f"{_H}component/{_H}structuredBody")
        return CdaHeader(
            id=identifiers[0],
            set_id=set_id[0] if set_id else None,
            version_number=int(version) if re.fullmatch("[0-9]{1,9}", version) else None,
            code=self._type(_coded(root, "code")),
            title=self._required("title", _text(root, "title")),
            effective_time=self._required(
                "effectiveTime", self._time(root.find(f"{_H}effectiveTime"), "effectiveTime")
            ),
            confidentiality=self._confidentiality(_coded(root, "confidentialityCode")),
            language=_attribute(root, "languageCode", "code"),
            patient_ids=_ids(targets[0]),
            patient=self._traits(targets[0]),
            authors=self._authors(),
            custodian=_organisation(
                root.find(f"{_H}custodian/{_H}assignedCustodian/{_H}representedCustodianOrganization")
            ),
            related=tuple(
                Related(link.get("typeCode", ""), _ids(link, "parentDocument/id"))
                for link in root.findall(f"{_H}relatedDocument")
            ),
            acts=tuple(self._act(act) for act in root.findall(f"{_H}documentationOf/{_H}serviceEvent")),
            encounter=self._encounter(),
            body="nonXMLBody" if nonxml is not None else "structuredBody" if structured is not None else "",
            body_media_type="" if nonxml is None else _attribute(nonxml, "text", "mediaType"),
            warnings=tuple(self._warnings),
        )

    def _encounter(self) -> InstanceId | None:
        """Return the episode's identifier; software that writes a person's or a structure's there names no episode."""
        found = _ids(self._root, "componentOf/encompassingEncounter/id")
        return next((one for one in found if not one.root.startswith(systems.NATIONAL_IDS)), None)

    def _warn(self, slug: str, sentence: str) -> None:
        self._warnings.append(Warned(slug, sentence))

    def _required(self, element: str, value: str) -> str:
        if not value:
            self._warn("cda-element-missing", f"The CDA header has no {element}, or none that can be read.")
        return value

    def _type(self, code: Coded | None) -> Coded | None:
        if code is None:
            self._warn("cda-element-missing", "The CDA header has no code.")
        elif not systems.is_document_type(systems.oid_system(code.system), code.code):
            self._warn("cda-type-outside-value-set", "The document's code is outside the value set JDV_J07.")
        return code

    def _confidentiality(self, code: Coded | None) -> Coded | None:
        if code is None:
            self._warn("cda-element-missing", "The CDA header has no confidentialityCode.")
        elif code.code not in value_sets.CONFIDENTIALITIES | value_sets.VISIBILITIES:
            self._warn("cda-confidentiality-outside-value-set", "The confidentialityCode is outside JDV_J08.")
        return code

    def _time(self, element: etree._Element | None, name: str) -> str:
        value = "" if element is None else element.get("value", "")
        if not value:
            return ""
        if hl7_lacks_offset(value):
            self._warn("cda-time-without-offset", f"{name} has no offset: it is taken as French legal time.")
        try:
            return hl7_to_fhir(value)
        except ValueError:
            self._warn("cda-time-unreadable", f"{name} is no HL7 time.")
            return ""

    def _traits(self, role: etree._Element) -> Traits:
        for one in _ids(role):
            if one.root in systems.INS_OIDS and not systems.ins_holds(one.extension):
                self._warn(
                    "cda-ins-key", f"The INS ending in {one.extension[-3:]} does not have the key of its number."
                )
        name = role.find(f"{_H}patient/{_H}name")
        family = {} if name is None else _by_qualifier(name, "family")
        given = {} if name is None else _by_qualifier(name, "given")
        return Traits(
            birth_family=family.get("BR") or family.get("", ""),
            birth_given=tuple((given.get("") or given.get("BR", "")).split()),
            used_family=family.get("CL", ""),
            used_given=given.get("CL", ""),
            birth_date=self._time(role.find(f"{_H}patient/{_H}birthTime"), "birthTime"),
            sex=_attribute(role, "patient/administrativeGenderCode", "code"),
            birth_place=_text(role, "patient/birthplace/place/addr/county"),
        )

    def _authors(self) -> tuple[Author, ...]:
        authors = []
        for number, author in enumerate(self._root.findall(f"{_H}author"), start=1):
            assigned = author.find(f"{_H}assignedAuthor")
            if assigned is None:
                continue
            identifiers = _ids(assigned)
            for one in identifiers:
                rpps = one.extension[1:]
                if (
                    one.root == systems.NATIONAL_PERSON_OID
                    and one.extension[:1] == "8"
                    and not systems.rpps_holds(rpps)
                ):
                    self._warn("cda-rpps-key", f"The RPPS of author {number} does not have 11 digits and a Luhn key.")
            authors.append(
                Author(
                    ids=identifiers,
                    name=_name(assigned.find(f"{_H}assignedPerson/{_H}name")),
                    profession=_coded(assigned, "code"),
                    organisation=_organisation(assigned.find(f"{_H}representedOrganization")),
                    time=self._time(author.find(f"{_H}time"), f"The time of author {number}"),
                    software=_text(assigned, "assignedAuthoringDevice/softwareName"),
                )
            )
        if not authors:
            self._warn("cda-element-missing", "The CDA header has no author.")
        return tuple(authors)

    def _act(self, act: etree._Element) -> Act:
        period = f"{_H}effectiveTime/{_H}"
        return Act(
            code=_coded(act, "code"),
            start=self._time(act.find(f"{period}low"), "The start of an act"),
            end=self._time(act.find(f"{period}high"), "The end of an act"),
        )


def _path(path: str) -> str:
    return _H + path.replace("/", f"/{_H}")


def _attribute(parent: etree._Element, path: str, name: str) -> str:
    element = parent.find(_path(path))
    return "" if element is None else element.get(name, "").strip()


def _text(parent: etree._Element, path: str) -> str:
    element = parent.find(_path(path))
    return "" if element is None else _words(element)


def _words(element: etree._Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _ids(parent: etree._Element, path: str = "id") -> tuple[InstanceId, ...]:
    found = ((one.get("root", "").strip(), one.get("extension", "").strip()) for one in parent.findall(_path(path)))
    return tuple(InstanceId(root, extension) for root, extension in found if root)


def _coded(parent: etree._Element, path: str) -> Coded | None:
    element = parent.find(_path(path))
    if element is None or not element.get("code"):
        return None
    return Coded(element.get("code", "").strip(), element.get("codeSystem", "").strip(), element.get("displayName", ""))


def _organisation(element: etree._Element | None) -> Organisation | None:
    return None if element is None else Organisation(_ids(element), _text(element, "name"))


def _by_qualifier(name: etree._Element, part: str) -> dict[str, str]:
    return {element.get("qualifier", ""): _words(element) for element in name.findall(f"{_H}{part}")}


def _name(name: etree._Element | None) -> PersonName | None:
    if name is None:
        return None
    given = tuple(_words(element) for element in name.findall(f"{_H}given"))
    return PersonName(_text(name, "family"), given, _text(name, "prefix"), _text(name, "suffix"))
