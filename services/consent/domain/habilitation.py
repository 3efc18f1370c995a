"""The habilitation matrix: which profession may read which type of document (annex of the arrêté of 26 October 2023).

A table that a lawyer can read. Its first line says whether it is the official one, and where it comes from; then
come rows `profession,type,read,source`. `*` stands for every profession, or every type, that the table names; a later
row overrides an earlier one. What the table does not name is not read.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from services.consent.domain.bundle import RulesBroken

ANY = "*"
DOCTOR = "10"  # TRE_G15-ProfessionSante
HEADER = ("profession", "type", "read", "source")
OFFICIAL_HEADER = HEADER[:3]
_ORIGIN = re.compile(r"# (non-)?authoritative: (\S.*)")
_PROFESSION = re.compile(r"[0-9]{2}")
_READ = {"yes": True, "no": False}


class Row(NamedTuple):
    """One line of the table."""

    profession: str
    type_code: str
    read: bool
    source: str


class TableBroken(RulesBroken):
    """The table cannot be believed; each of `errors` names its line."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


@dataclass(frozen=True)
class Matrix:
    """The table, and its one question. `authoritative` is false for an interim table, and is said wherever it shows."""

    authoritative: bool
    source: str
    rows: tuple[Row, ...]
    types: frozenset[str] = field(init=False)
    professions: tuple[str, ...] = field(init=False)
    _read: dict[str, frozenset[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        types = frozenset(row.type_code for row in self.rows if row.type_code != ANY)
        professions = tuple(sorted({row.profession for row in self.rows if row.profession != ANY}))
        object.__setattr__(self, "types", types)
        object.__setattr__(self, "professions", professions)
        object.__setattr__(self, "_read", {each: frozenset(self._of(each)) for each in professions})

    def _of(self, profession: str) -> set[str]:
        found: set[str] = set()
        for row in self.rows:
            if row.profession in {ANY, profession}:
                said = found.update if row.read else found.difference_update
                said(self.types if row.type_code == ANY else {row.type_code})
        return found

    def reads(self, profession: str, type_code: str) -> bool:
        """Say whether a profession reads a type. A type outside the table is read by doctors only."""
        read = self._read.get(profession)
        if read is None:
            return False
        return type_code in read or (profession == DOCTOR and type_code not in self.types)

    def cells(self) -> dict[tuple[str, str], bool]:
        """Return every cell: (profession, type) -> may read."""
        return {(one, other): self.reads(one, other) for one in self.professions for other in sorted(self.types)}


def read_table(text: str) -> Matrix:
    """Read a bundle's table; raise TableBroken."""
    first, _, rest = text.partition("\n")
    origin = _ORIGIN.fullmatch(first.rstrip())
    errors = [] if origin else ["line 1: neither '# authoritative: <source>' nor '# non-authoritative: <source>'"]
    rows = []
    for number, (profession, type_code, read, source) in rows_of(rest, 2, HEADER, errors):
        errors += _wrong(number, _is_profession(profession) or profession == ANY, f"'{profession}' is no profession")
        errors += _wrong(number, bool(type_code), "no type of document")
        errors += _wrong(number, read in _READ, f"'{read}' is neither yes nor no")
        errors += _wrong(number, bool(source), "no source")
        rows.append(Row(profession, type_code, _READ.get(read, False), source))
    if errors or origin is None:
        raise TableBroken(errors)
    return Matrix(origin[1] is None, origin[2], tuple(rows))


def official_table(text: str, standing: Matrix, source: str) -> str:
    """Return the bundle's table for an official file `profession,type,read`; raise TableBroken and return nothing.

    The types that the standing table names are the value set: the official file may name no other.
    """
    errors = [] if source.strip() and source.isprintable() else ["the source is empty, or more than one line"]
    lines = [f"# authoritative: {source.strip()}", ",".join(HEADER)]
    labels = {row.type_code: row.source for row in reversed(standing.rows) if row.profession == ANY}
    lines += [_line(ANY, each, "no", labels.get(each, "value set")) for each in sorted(standing.types)]
    seen: dict[tuple[str, str], int] = {}
    for number, (profession, type_code, read) in rows_of(text.removeprefix("\ufeff"), 1, OFFICIAL_HEADER, errors):
        errors += _wrong(number, _is_profession(profession), f"'{profession}' is no profession (two digits, TRE_G15)")
        errors += _wrong(number, type_code in standing.types, f"'{type_code}' is not in the value set of types")
        errors += _wrong(number, read in _READ, f"'{read}' is neither yes nor no")
        first = seen.setdefault((profession, type_code), number)
        errors += _wrong(number, first == number, f"{profession},{type_code} was said on line {first}")
        lines.append(_line(profession, type_code, read, source.strip()))
    if not seen and not errors:
        errors.append("line 2: the table is empty")
    if errors:
        raise TableBroken(errors)
    return "\n".join(lines) + "\n"


def rows_of(text: str, first: int, header: tuple[str, ...], errors: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of the rows of the header's width; what is not one is an error. Comments are passed over."""
    lines = ((number, line) for number, line in enumerate(text.split("\n"), first) if line.strip() and line[0] != "#")
    number, line = next(lines, (first, ""))
    if tuple(_fields(line)) != header:
        errors.append(f"line {number}: the header is not {','.join(header)}")
        return
    for number, line in lines:
        fields = _fields(line)
        if len(fields) != len(header):
            errors.append(f"line {number}: {len(fields)} fields where {len(header)} are due")
        else:
            yield number, fields


def _fields(line: str) -> list[str]:
    # Line by line: a field over several lines would put every line number after it out.
    try:
        return [each.strip() for each in next(csv.reader([line], strict=True), [])]
    except csv.Error:
        return []


def _line(*fields: str) -> str:
    return ",".join(f'"{each.replace(chr(34), chr(34) * 2)}"' if set(each) & {",", '"'} else each for each in fields)


def _is_profession(text: str) -> bool:
    return _PROFESSION.fullmatch(text) is not None


def _wrong(number: int, holds: bool, what: str) -> list[str]:
    return [] if holds else [f"line {number}: {what}"]
