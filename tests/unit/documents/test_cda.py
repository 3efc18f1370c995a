"""Reading a CDA header: what is read, what is remarked, what is refused."""

import time

import pytest

from services.documents.cda import MAX_MARKUP, CdaRejected, read_header, require_patient
from tests.synthetic import INS, SYSTEM_OID, laboratory_report


def _refused(xml: bytes) -> CdaRejected:
    with pytest.raises(CdaRejected) as caught:
        read_header(xml)
    return caught.value


def test_the_header_of_a_report_is_read() -> None:
    """Each field that the record needs comes out of the header, times with their offset."""
    header = read_header(laboratory_report(document_oid="2.25.7", title="TITRE <&>", family="CANARI"))
    assert (header.id.root, header.id.extension, header.version_number) == ("2.25.7", "", 1)
    assert header.code is not None
    assert (header.code.code, header.code.system) == ("11502-2", "2.16.840.1.113883.6.1")
    assert (header.title, header.language) == ("TITRE <&>", "fr-FR")
    assert header.effective_time == "2026-06-12T10:00:00+02:00"
    assert [(one.root, one.extension) for one in header.patient_ids] == [(SYSTEM_OID, INS)]
    assert (header.patient.birth_family, header.patient.birth_given) == ("CANARI", ("CAMILLE",))
    assert (header.patient.birth_date, header.patient.sex, header.patient.birth_place) == ("1979-03-28", "F", "51215")
    author = header.authors[0]
    assert author.name is not None
    assert author.organisation is not None
    assert (author.ids[0].extension, author.name.family) == ("801234567897", "BIOLOGISTE")
    assert author.organisation.ids[0].extension == "1120459876"
    assert (header.acts[0].start, header.body) == ("2026-06-12T10:00:00+02:00", "structuredBody")
    assert header.warnings == ()


def test_a_doctype_is_refused_wherever_the_prolog_hides_it() -> None:
    """A DOCTYPE is refused before the parser sees it: after comments, instructions, a BOM, and in UTF-16."""
    report = laboratory_report().split(b"?>", 1)[1]
    doctype = b'<!DOCTYPE ClinicalDocument [<!ENTITY a "b">]>'
    utf16 = ('<?xml version="1.0" encoding="UTF-16"?>' + (doctype + report).decode()).encode("utf-16")
    for xml in (doctype + report, b"\xef\xbb\xbf<?xml-model a?>\n<!-- > -->" + doctype + report, utf16):
        assert _refused(xml).slug == "xml-doctype"


def test_an_entity_bomb_is_refused_at_once() -> None:
    """A billion laughs costs nothing, whether in UTF-8 or in an encoding that the first scan cannot read."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE a [<!ENTITY e0 "lol">{entities}]><a b="&e11;">&e11;</a>'
    started = time.process_time()
    assert _refused(bomb.encode()).slug == "xml-doctype"
    assert _refused(f'<?xml version="1.0" encoding="UTF-16"?>{bomb}'.encode("utf-16")).slug.startswith("xml-")
    assert time.process_time() - started < 0.5


def test_a_prolog_of_instructions_costs_linear_time() -> None:
    """Thousands of instructions before the root do not make the DOCTYPE scan backtrack."""
    started = time.process_time()
    read_header(b"<?a b?><!-- c -->" * 20_000 + laboratory_report().split(b"?>", 1)[1])
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("xml", "slug"),
    [
        (b"", "xml-malformed"),
        (b"not xml", "xml-malformed"),
        (b"<a></b>", "xml-malformed"),
        (b"<a>\xff</a>", "xml-malformed"),
        (b"<a>" * 300 + b"</a>" * 300, "xml-too-deep"),
        (b"<a>" + b"x" * 10_100_000 + b"</a>", "xml-text-too-long"),
        (b"<a>" + b"<b/>" * MAX_MARKUP + b"</a>", "xml-too-complex"),
        (b"<html/>", "not-cda"),
        (b"<ClinicalDocument/>", "not-cda"),
        (b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>', "cda-id-missing"),
        (b'<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2"/></ClinicalDocument>', "cda-patient-missing"),
    ],
)
def test_what_is_no_safe_cda_is_refused_by_name(xml: bytes, slug: str) -> None:
    """Each way of being no CDA has its own slug, and a sentence that tells the way out."""
    error = _refused(xml)
    assert error.slug == slug
    assert error.sentence.endswith(".")


def test_the_patient_must_be_the_records() -> None:
    """Another INS, the same INS under another OID, and a second INS are refused, named by three digits only."""
    header = read_header(laboratory_report(ins="284058832102532"))
    require_patient(header, SYSTEM_OID, "284058832102532")
    with pytest.raises(CdaRejected) as caught:
        require_patient(header, SYSTEM_OID, INS)
    assert caught.value.slug == "cda-patient-mismatch"
    assert "532" in caught.value.sentence
    assert "989" in caught.value.sentence
    assert "284058832102532" not in caught.value.sentence
    assert INS not in caught.value.sentence
    with pytest.raises(CdaRejected):
        require_patient(header, "1.2.250.1.213.1.4.8", "284058832102532")
    two = laboratory_report().replace(
        b"<patient>", f'<id root="{SYSTEM_OID}" extension="284058832102532"/><patient>'.encode()
    )
    with pytest.raises(CdaRejected):
        require_patient(read_header(two), SYSTEM_OID, INS)


def test_a_header_without_ins_is_of_no_record() -> None:
    """A patient known by a local number only is not taken for the record's."""
    header = read_header(laboratory_report(system_oid="1.2.3.4"))
    with pytest.raises(CdaRejected, match="no INS"):
        require_patient(header, SYSTEM_OID, INS)


@pytest.mark.parametrize(
    ("variation", "slug"),
    [
        ({"rpps": "01234534765"}, "cda-rpps-key"),
        ({"ins": "255081416802500"}, "cda-ins-key"),
        ({"type_code": "99999-9"}, "cda-type-outside-value-set"),
        ({"confidentiality": "SECRET"}, "cda-confidentiality-outside-value-set"),
        ({"effective": "20260612100000"}, "cda-time-without-offset"),
        ({"effective": "20261345"}, "cda-time-unreadable"),
        ({"title": " "}, "cda-element-missing"),
    ],
)
def test_a_defect_is_remarked_and_not_mended(variation: dict[str, str], slug: str) -> None:
    """A careless header is read all the same, and each defect is listed."""
    header = read_header(laboratory_report(**variation))  # type: ignore[arg-type]
    assert slug in {warned.slug for warned in header.warnings}
    if "rpps" in variation:
        assert header.authors[0].ids[0].extension == "8" + variation["rpps"]


def test_no_value_of_a_header_is_printed() -> None:
    """A header that reaches a log or a traceback shows neither name, INS, title nor code."""
    header = read_header(laboratory_report(title="CANARI-TITRE", family="CANARI-NOM", rpps="99999999999"))
    shown = repr(header) + repr(header.warnings) + repr(header.patient) + repr(header.authors) + repr(header.code)
    for canary in ("CANARI", INS, "99999999999", "11502-2"):
        assert canary not in shown
