"""What each kind of representative may do: data, so that what is still under study is a word to change, not a program.

A table that a lawyer can read: rows `role,action,scope,state,source`. `scope` is what the representation must hold
(identity's word for it), `state` is `in-force` or `under-study`. What the table does not name, nobody may do.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from services.consent.domain.bundle import RulesBroken
from services.consent.domain.flow import Action
from services.consent.domain.habilitation import rows_of
from services.consent.domain.representation import HEIR

HEADER = ("role", "action", "scope", "state", "source")
ROLES = frozenset({"parent", "guardian", "family-authorisation", "caregiver", HEIR})
SCOPES = frozenset({"read", "govern", "deposit", "journal"})
# What there is to do in somebody's place; the rest is a professional's, or a service's.
_ACTIONS = frozenset({
    Action.LIST, Action.READ, Action.EXPORT, Action.DEPOSIT, Action.READ_JOURNAL, Action.READ_DIRECTIVES,
    Action.CHANGE_DIRECTIVES, Action.ASK_AS_HEIR,
})  # fmt: skip
_STATES = {"in-force": True, "under-study": False}


class Delegation(NamedTuple):
    """One line: a role may do this where its representation has the scope, if that is in force."""

    role: str
    action: str
    scope: str
    in_force: bool
    source: str


@dataclass(frozen=True)
class Delegations:
    """The table, and its one question."""

    rows: tuple[Delegation, ...] = ()
    _needs: dict[tuple[str, str], str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        needs = {(each.role, each.action): each.scope for each in self.rows if each.in_force}
        object.__setattr__(self, "_needs", needs)

    def allow(self, role: str, action: str, scopes: Collection[str]) -> bool:
        """Say whether a representative of this role, with these scopes, may do this."""
        return self._needs.get((role, action)) in scopes


def read_delegations(text: str) -> Delegations:
    """Read a bundle's table; a bundle without one delegates nothing. Raise RulesBroken, each error with its line."""
    errors: list[str] = []
    known = {"role": ROLES, "action": _ACTIONS, "scope": SCOPES, "state": _STATES}
    rows: dict[tuple[str, str], Delegation] = {}
    for number, fields in rows_of(text, 1, HEADER, errors) if text else ():
        said = dict(zip(HEADER, fields, strict=True))
        wrong = [name for name, words in known.items() if said[name] not in words]
        errors += [f"line {number}: '{said[name]}' is no {name}" for name in wrong]
        errors += [] if said["source"] else [f"line {number}: no source"]
        if (place := (said["role"], said["action"])) in rows:
            errors.append(f"line {number}: {', '.join(place)} was said before")
        rows[place] = Delegation(*place, said["scope"], _STATES.get(said["state"], False), said["source"])
    if errors:
        raise RulesBroken("; ".join(errors))
    return Delegations(tuple(rows.values()))
