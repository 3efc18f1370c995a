"""What differs between two bundles, as people compare laws: rules added, removed and changed, cells of the matrix."""

from dataclasses import dataclass
from typing import NamedTuple

from services.consent.domain.bundle import Bundle
from services.consent.domain.delegation import Delegation, read_delegations
from services.consent.domain.habilitation import read_table
from services.consent.domain.rules import Rule, rules_of


class Cell(NamedTuple):
    """One cell of the matrix that is not what it was; None where a table does not have it."""

    profession: str
    type_code: str
    before: bool | None
    after: bool | None


@dataclass(frozen=True, slots=True)
class Difference:
    """From one bundle to another. Where nothing differs, the two say the same, though a comment may not."""

    before: str
    after: str
    added: tuple[Rule, ...]
    removed: tuple[Rule, ...]
    changed: tuple[tuple[Rule, Rule], ...]
    cells: tuple[Cell, ...]
    source: tuple[str, str] | None  # the matrix's, where it is another
    delegations: tuple[tuple[Delegation | None, Delegation | None], ...]  # each line as it was and as it is
    vocabulary: bool  # what a rule may speak of


def difference(before: Bundle, after: Bundle) -> Difference:
    """Compare two bundles; raise RulesBroken. A rule is known by its id, and is what it says and what it evaluates."""
    old, new = rules_of(before), rules_of(after)
    tables = read_table(before.table), read_table(after.table)
    was, now = (each.cells() for each in tables)
    cells = (Cell(*place, was.get(place), now.get(place)) for place in sorted(was.keys() | now.keys()))
    told, tells = (
        {(each.role, each.action): each for each in read_delegations(bundle.delegations).rows}
        for bundle in (before, after)
    )
    lines = ((told.get(place), tells.get(place)) for place in sorted(told.keys() | tells.keys()))
    origins = [(each.authoritative, each.source) for each in tables]
    return Difference(
        before=before.digest,
        after=after.digest,
        added=tuple(rule for name, rule in new.items() if name not in old),
        removed=tuple(rule for name, rule in old.items() if name not in new),
        changed=tuple((old[name], rule) for name, rule in new.items() if name in old and not rule.says_as(old[name])),
        cells=tuple(cell for cell in cells if cell.before != cell.after),
        source=None if origins[0] == origins[1] else (tables[0].source, tables[1].source),
        delegations=tuple(line for line in lines if line[0] != line[1]),
        vocabulary=before.schema != after.schema,
    )
