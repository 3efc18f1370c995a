"""The habilitation matrix: what is known of it, how it is read, and that what it does not say is not allowed."""

import csv
import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consent.domain.habilitation import (
    ANY,
    DOCTOR,
    HEADER,
    Matrix,
    Row,
    TableBroken,
    official_table,
    read_table,
)
from tests.unit.consent.people import RULES

MATRIX = RULES.matrix
DENTIST, PODIATRIST, PHARMACIST, NURSE, SOCIAL_WORKER = "40", "80", "21", "60", "41"
NOT_FOR_DENTISTS = {"80788-3", "75496-0", "83981-1", "83901-9", "68599-0", "EXPPAT_3"}


def _unread(profession: str) -> set[str]:
    return {each for each in MATRIX.types if not RULES.habilitated(profession, each)}


def test_the_interim_table_says_what_it_is() -> None:
    """It is not the official one, and says where its cells come from."""
    assert not MATRIX.authoritative
    assert "provisoire" in MATRIX.source
    assert all(row.source for row in MATRIX.rows)


def test_the_interim_table_knows_the_whole_value_set() -> None:
    """114 types (JDV_J07), none twice."""
    named = [row.type_code for row in MATRIX.rows if row.profession == ANY]
    assert len(named) == len(set(named)) == len(MATRIX.types) == 114


def test_the_known_cells_are_in_the_interim_table() -> None:
    """Doctors all but one type, dentists all but six, podiatrists all but one; and nobody what doctors do not read."""
    assert _unread(DOCTOR) == {"ATTEST-RESID"}
    assert _unread(DENTIST) == {*NOT_FOR_DENTISTS, "ATTEST-RESID"}
    assert _unread(PODIATRIST) == {"15508-5", "ATTEST-RESID"}


def test_what_is_not_confirmed_is_more_restricted() -> None:
    """Pharmacists and nurses read less than doctors, social workers a few social documents and no medical one."""
    for profession in (PHARMACIST, NURSE):
        assert _unread(profession) > _unread(DOCTOR)
        assert len(_unread(profession)) < 10
    read = MATRIX.types - _unread(SOCIAL_WORKER)
    assert 0 < len(read) < 10
    assert "28653-4" in read
    assert not read & {"11502-2", "34112-3", "60591-5", "68599-0", "SYNTH", "18748-4"}
    for row in MATRIX.rows:
        if row.profession in {PHARMACIST, NURSE, SOCIAL_WORKER}:
            assert "non confirmé" in row.source


@given(st.text(max_size=4), st.sampled_from([*sorted(MATRIX.types), "", "unknown", ANY]))
def test_an_unknown_profession_reads_nothing(profession: str, type_code: str) -> None:
    """Whatever is not named by the table, `*` and the empty code included."""
    if profession not in MATRIX.professions:
        assert not RULES.habilitated(profession, type_code)


@given(st.text(max_size=12))
def test_an_unknown_type_is_read_by_doctors_only(type_code: str) -> None:
    """A type outside the value set is nobody else's."""
    if type_code not in MATRIX.types:
        assert [each for each in MATRIX.professions if RULES.habilitated(each, type_code)] == [DOCTOR]


_ROWS = st.lists(
    st.builds(Row, st.sampled_from(["10", "21", "40", ANY]), st.sampled_from(["A", "B", "C", ANY]), st.booleans(),
              st.text(st.characters(codec="utf-8", categories=("L", "P", "Zs", "N")), min_size=1).filter(str.strip)),
    max_size=12,
)  # fmt: skip


def _oracle(rows: Sequence[Row], profession: str, type_code: str) -> bool:
    """Say the same by looking from the last row up."""
    if all(row.profession != profession for row in rows):
        return False
    if all(row.type_code != type_code for row in rows) or type_code == ANY:
        return profession == DOCTOR
    meant = (row.read for row in reversed(rows)
             if row.profession in {profession, ANY} and row.type_code in {type_code, ANY})  # fmt: skip
    return next(meant, False)


@given(_ROWS, st.sampled_from(["10", "21", "40", "50", ""]), st.sampled_from(["A", "B", "C", "D", ""]))
def test_the_last_row_that_means_a_cell_decides(rows: list[Row], profession: str, type_code: str) -> None:
    """The table agrees with its rule stated plainly, on every cell of any table."""
    assert Matrix(True, "x", tuple(rows)).reads(profession, type_code) == _oracle(rows, profession, type_code)


def _table(rows: Sequence[Row], origin: str = "# authoritative: an order") -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows((row.profession, row.type_code, "yes" if row.read else "no", row.source) for row in rows)
    return f"{origin}\n{out.getvalue()}"


@given(_ROWS)
def test_a_table_is_read_as_it_was_written(rows: list[Row]) -> None:
    """Any source that a line can hold comes back, quotes and commas included."""
    read = read_table(_table(rows))
    assert [each[:3] for each in read.rows] == [each[:3] for each in rows]
    assert [each.source for each in read.rows] == [each.source.strip() for each in rows]
    assert (read.authoritative, read.source) == (True, "an order")


def test_the_first_line_says_whether_the_table_counts() -> None:
    """An interim table is told by its first line, and the source is what follows."""
    for origin, expected in (("# authoritative: an order, of May", (True, "an order, of May")),
                             ("# non-authoritative: interim table", (False, "interim table"))):  # fmt: skip
        read = read_table(_table([], origin))
        assert (read.authoritative, read.source) == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1: neither"),
        ("profession,type,read,source\n", "line 1: neither"),
        ("# authoritative:\nprofession,type,read,source\n", "line 1: neither"),
        ("# Authoritative: x\nprofession,type,read,source\n", "line 1: neither"),
        ("# authoritative: x\n", "line 2: the header"),
        ("# authoritative: x\n# remark\nprofession;type;read;source\n", "line 3: the header"),
        ("# authoritative: x\nprofession,type,read,source\n10,A,yes\n", "line 3: 3 fields where 4 are due"),
        ("# authoritative: x\nprofession,type,read,source\n\n# remark\n10,A,oui,x\n", "line 5: 'oui' is neither"),
        ("# authoritative: x\nprofession,type,read,source\n1O,A,yes,x\n", "line 3: '1O' is no profession"),
        ("# authoritative: x\nprofession,type,read,source\n10,,yes,x\n", "line 3: no type"),
        ("# authoritative: x\nprofession,type,read,source\n10,A,yes,\n", "line 3: no source"),
        ('# authoritative: x\nprofession,type,read,source\n10,A,yes,"x\n', "line 3: 0 fields"),
    ],
)
def test_a_table_that_cannot_be_believed_names_its_line(text: str, error: str) -> None:
    """Whatever is wrong is told with its line, as an editor counts them."""
    with pytest.raises(TableBroken, match="line") as broken:
        read_table(text)
    assert any(each.startswith(error) for each in broken.value.errors), broken.value.errors


OFFICIAL = "profession,type,read\n10,11502-2,yes\n10,ATTEST-RESID,no\n40,11502-2,yes\n40,EXPPAT_3,no\n"


def test_an_official_file_becomes_the_table() -> None:
    """Its cells are the table's, its source is said, and the value set stays known."""
    matrix = read_table(official_table(OFFICIAL, MATRIX, "arrêté du 26 octobre 2023, annexe"))
    assert (matrix.authoritative, matrix.source) == (True, "arrêté du 26 octobre 2023, annexe")
    assert matrix.types == MATRIX.types
    assert matrix.professions == ("10", "40")
    assert matrix.reads("10", "11502-2")
    assert matrix.reads("40", "11502-2")
    assert not matrix.reads("10", "ATTEST-RESID")
    # What the file does not say is not read, though the type is known.
    assert not matrix.reads("10", "EXPPAT_3")
    assert not matrix.reads(SOCIAL_WORKER, "28653-4")
    labels = {row.type_code: row.source for row in matrix.rows if row.profession == ANY}
    assert labels["11502-2"] == "CR d'examens biologiques"


def test_a_second_official_file_replaces_the_first() -> None:
    """The value set survives each replacement."""
    first = read_table(official_table(OFFICIAL, MATRIX, "one"))
    second = read_table(official_table("\ufeffprofession,type,read\n21,11502-2,yes\n", first, "two"))
    assert (second.types, second.professions, second.source) == (MATRIX.types, ("21",), "two")


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("", ["line 1: the header is not profession,type,read"]),
        ("profession;type;read\n10;11502-2;yes\n", ["line 1: the header is not profession,type,read"]),
        ("profession,type,read\n", ["line 2: the table is empty"]),
        (
            "profession,type,read\n10,11502-2,yes\n10,nowhere,yes\ndoctor,11502-2,no\n10,11502-2,no\n21,11502-2\n*,11502-2,maybe\n",
            [
                "line 3: 'nowhere' is not in the value set of types",
                "line 4: 'doctor' is no profession (two digits, TRE_G15)",
                "line 5: 10,11502-2 was said on line 2",
                "line 6: 2 fields where 3 are due",
                "line 7: '*' is no profession (two digits, TRE_G15)",
                "line 7: 'maybe' is neither yes nor no",
            ],
        ),
    ],
)
def test_an_official_file_with_an_error_becomes_nothing(text: str, errors: list[str]) -> None:
    """Every error is told at once, with its line."""
    with pytest.raises(TableBroken) as broken:
        official_table(text, MATRIX, "an order")
    assert broken.value.errors == errors


@pytest.mark.parametrize("source", ["", " ", "two\nlines"])
def test_an_official_file_needs_a_source(source: str) -> None:
    """A table that says nothing of its origin, or would break its own first line, is not made."""
    with pytest.raises(TableBroken):
        official_table(OFFICIAL, MATRIX, source)
