"""The national agency's CDA samples (skipped where they are absent)."""

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from services.documents.cda import CdaRejected, read_header, require_patient
from services.documents.fhir.dates import fhir_span
from services.documents.fhir.deposits import parse_deposit
from tests.conformance.cases import samples
from tests.synthetic import INS, SYSTEM_OID, document_reference

SAMPLES = samples("cda", "*.xml")
TYPES = {
    "BIO-CR-BIO_2024.01_TSH_1": "11502-2",
    "CNAM-HR_2021.01": "REMB",
    "DOC_NON_STRUCTURE_CDA-R2-N1": "11502-2",
    "IMG_CR_IMG_2024.01_CDA-R2-Niveau-1": "18748-4",
    "LDL-SES_2022.01": "11490-0",
    "VAC_2023.01": "11369-6",
    "VSM_1.4_2022.01": "SYNTH",
    "eP-MED-DM_2024.01_PosoStruct": "57833-6",
}
each_sample = pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)


@pytest.mark.skipif(not SAMPLES, reason="the official samples are not here")
def test_all_eight_samples_are_read() -> None:
    """The test below runs on each of the eight."""
    assert {path.stem for path in SAMPLES} == TYPES.keys()


@each_sample
def test_a_sample_is_read(path: Path) -> None:
    """Header, patient, type, times, author and body come out; only known defects are remarked."""
    header = read_header(path.read_bytes())
    require_patient(header, SYSTEM_OID, INS)
    with pytest.raises(CdaRejected):
        require_patient(header, SYSTEM_OID, "284058832102532")
    assert header.code is not None
    assert header.code.code == TYPES[path.stem]
    assert header.title
    assert header.language == "fr-FR"
    assert header.confidentiality is not None
    assert header.confidentiality.code == "N"
    fhir_span(header.effective_time)
    assert (header.patient.birth_family, header.patient.birth_date) == ("PAT-TROIS", "1979-03-28")
    assert header.authors[0].ids[0].extension
    assert header.custodian is not None
    assert header.acts[0].start
    assert header.body_media_type == ("application/pdf" if header.body == "nonXMLBody" else "")
    # these two samples sign with a RPPS whose key is wrong
    bad_key = path.stem in ("BIO-CR-BIO_2024.01_TSH_1", "DOC_NON_STRUCTURE_CDA-R2-N1")
    assert [warned.slug for warned in header.warnings] == (["cda-rpps-key"] if bad_key else [])
    assert [link.type_code for link in header.related] == (["RPLC"] if path.stem.startswith("IMG") else [])


@each_sample
def test_a_sample_is_deposited_as_it_is(path: Path) -> None:
    """A DocumentReference that states nothing but the patient takes its metadata from the sample, byte for byte."""
    content = path.read_bytes()
    resource = document_reference(content)
    for name in ("type", "author", "contained"):
        del resource[name]
    deposit = parse_deposit(orjson.dumps(resource), now=datetime.now(UTC))
    assert deposit.content == content
    assert deposit.type_code == TYPES[path.stem]
    assert deposit.master_identifier.startswith("urn:oid:1.")
    assert deposit.authors
