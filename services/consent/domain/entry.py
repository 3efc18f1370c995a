"""An entry of a record's journal: at once state, lock and audit trail. It holds every input of its verdict."""

from dataclasses import dataclass
from typing import Any, Literal

from services.consent.domain.flow import (
    Action,
    Actor,
    Amendment,
    Care,
    Change,
    Deposit,
    Flow,
    Motive,
    Reason,
    compact,
)  # fmt: skip
from services.consent.domain.representation import Representation

Kind = Literal[
    "opened", "represented", "decision", "abandoned", "revealed", "activated", "looked-at-review", "reviewed",
    "told-doctor", "repeated",
]  # fmt: skip
# What an entry gives to tell. An emergency and declared care at once, whatever the person prefers
# (docs/adr/0009-what-cannot-be-silenced.md); what was revealed to her by an ordinary notice, which may be refused.
Announced = Literal["emergency", "declared-care", "revealed"]
_TOLD: dict[Action, Announced] = {Action.DECLARE_CARE: "declared-care"}
# The classes of the public log: nobody who knows when he asked can tell that he was refused.
LeafClass = Literal["deposit", "request", "emergency", "directive", "other"]
MAIN = "main"
# BTG: "bris de glace", any care professional (R.1111-48); ETREAT: the SAMU's regulating doctor (L.1111-17).
EMERGENCIES = frozenset({"BTG", "ETREAT"})
_SHOWING = frozenset({Action.LIST, Action.READ})
# What changes who may read is a directive to whoever sees classes only, the patient's or not.
_CLASSES: dict[Action, LeafClass] = {
    Action.DEPOSIT: "deposit",
    Action.CHANGE_DIRECTIVES: "directive",
    Action.DECLARE_CARE: "directive",
    Action.END_CARE: "directive",
    Action.ANNOUNCE: "directive",
    Action.AMEND: "directive",
    Action.ASK_AS_HEIR: "directive",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict. `allowed` lists documents but for `list`, where replay gives them again and their number is enough."""

    verdict: Literal["allowed", "refused", "red-line", "conflict"]
    rule: str
    allowed: tuple[str, ...] = ()
    count: int = 0
    refused: tuple[tuple[str, int], ...] = ()
    document: str | None = None  # the deposit's
    version: int | None = None
    errors: bool = False  # a rule failed to evaluate: refused, and said


@dataclass(frozen=True, slots=True)
class Reviewing:
    """What somebody did about what had to be announced: learnt of it or, with an `answer`, closed its review.

    A data protection officer looks and answers, a treating doctor is told. `flow` is the access's or the declaration's,
    `at` its time (ms); `justified` is whether the officer found it so.
    """

    flow: str
    at: int
    by: Actor
    answer: str | None = None
    justified: bool | None = None
    of: Announced = "emergency"


@dataclass(frozen=True, slots=True)
class Repeated:
    """How often a refusal was repeated that was told once: of which flow, to whom, from `since` to `until` (ms)."""

    flow: str
    by: Actor
    action: Action
    purpose: str
    verdict: Literal["refused", "red-line"]
    times: int
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `at` is Unix time in milliseconds; `policies` is the digest of the rules that judged."""

    record: str
    version: int
    cause: str
    stream: str
    n: int
    at: int
    policies: str
    leaf_class: LeafClass
    kind: Kind
    flow: Flow | None = None
    outcome: Outcome | None = None
    about: str | None = None  # the document of an `abandoned` or `revealed` entry, the digest of an `activated` one
    representation: Representation | None = None  # of a `represented` entry
    reviewing: Reviewing | None = None  # of `looked-at-review`, `reviewed` and `told-doctor`
    repeated: Repeated | None = None  # of a `repeated` entry

    @property
    def announces(self) -> Announced | None:
        """What must be told about this entry; None for nearly all.

        What she may not know of yet tells nothing: the entry that opens its stream does, which is of the main one.
        """
        flow, outcome = self.flow, self.outcome
        if self.stream != MAIN:
            return None
        if flow is None or outcome is None:
            return "revealed" if self.kind == "revealed" else None
        if shown_in_emergency(flow, outcome):
            return "emergency"
        if outcome.verdict != "allowed":
            return None
        return "revealed" if flow.announces else _TOLD.get(flow.action)

    @property
    def clear(self) -> dict[str, Any]:
        """The part that stands in clear, and under the encryption's associated data."""
        return {
            "record": self.record,
            "version": self.version,
            "cause": self.cause,
            "stream": self.stream,
            "n": self.n,
            "at": self.at,
            "policies": self.policies,
            "class": self.leaf_class,
        }

    @property
    def private(self) -> dict[str, Any]:
        """The part that is encrypted under the record's entry key."""
        body: dict[str, Any] = {"kind": self.kind}
        if self.about:
            body["about"] = self.about
        if self.representation:
            body["representation"] = self.representation.private
        if self.flow:
            body["flow"] = _told(self.flow)
        if self.outcome:
            body["outcome"] = compact(self.outcome) | {
                "allowed": list(self.outcome.allowed),
                "refused": [list(pair) for pair in self.outcome.refused],
            }
        for name, said in (("reviewing", self.reviewing), ("repeated", self.repeated)):
            if said:
                body[name] = compact(said) | {"by": compact(said.by)}
        return body

    @classmethod
    def read(cls, clear: dict[str, Any], private: dict[str, Any]) -> "Entry":
        """Put an entry together again from its two parts."""
        flow, outcome, reviewing = (private.get(name) for name in ("flow", "outcome", "reviewing"))
        representation, repeated = private.get("representation"), private.get("repeated")
        return cls(
            record=clear["record"],
            version=clear["version"],
            cause=clear["cause"],
            stream=clear["stream"],
            n=clear["n"],
            at=clear["at"],
            policies=clear["policies"],
            leaf_class=clear["class"],
            kind=private["kind"],
            about=private.get("about"),
            representation=Representation.read(representation) if representation else None,
            flow=_flow(flow) if flow else None,
            outcome=_outcome(outcome) if outcome else None,
            reviewing=Reviewing(**reviewing | {"by": Actor(**reviewing["by"])}) if reviewing else None,
            repeated=_repeated(repeated) if repeated else None,
        )


def shown_in_emergency(flow: Flow, outcome: Outcome) -> bool:
    """Say whether an emergency opened the record: it was asked for as one, and was let in."""
    return flow.purpose in EMERGENCIES and flow.action in _SHOWING and outcome.verdict == "allowed"


def leaf_class(flow: Flow, outcome: Outcome) -> LeafClass:
    """Return the public class of a decision. An emergency that was refused is a request like another."""
    return "emergency" if shown_in_emergency(flow, outcome) else _CLASSES.get(flow.action, "request")


def _told(flow: Flow) -> dict[str, Any]:
    said = {name: held for name, held in compact(flow).items() if held is not False}
    for name in ("actor", "deposit", "change", "care", "amendment", "reason", "motive"):
        if name in said:
            said[name] = compact(said[name])
    if flow.deposit:
        said["deposit"]["visibility"] = list(flow.deposit.visibility)
    if flow.change:
        said["change"]["members"] = list(flow.change.members)
    said["documents"] = list(flow.documents)
    return said


def _flow(body: dict[str, Any]) -> Flow:
    return Flow(
        **body
        | {
            "action": Action(body["action"]),
            "actor": Actor(**body["actor"]),
            "documents": tuple(body["documents"]),
            "deposit": _deposit(body["deposit"]) if "deposit" in body else None,
            "change": _change(body["change"]) if "change" in body else None,
            "care": Care(**body["care"]) if "care" in body else None,
            "amendment": _amendment(body["amendment"]) if "amendment" in body else None,
            "reason": Reason(**body["reason"]) if "reason" in body else None,
            "motive": Motive(**body["motive"]) if "motive" in body else None,
        }
    )


def _deposit(body: dict[str, Any]) -> Deposit:
    return Deposit(**body | {"visibility": tuple(body["visibility"])})


def _change(body: dict[str, Any]) -> Change:
    return Change(**body | {"members": tuple(body.get("members", ()))})


def _amendment(body: dict[str, Any]) -> Amendment:
    return Amendment(**{name: tuple(held) for name, held in body.items()})


def _repeated(body: dict[str, Any]) -> Repeated:
    return Repeated(**body | {"by": Actor(**body["by"]), "action": Action(body["action"])})


def _outcome(body: dict[str, Any]) -> Outcome:
    return Outcome(**body | {"allowed": tuple(body["allowed"]), "refused": tuple((r, n) for r, n in body["refused"])})
