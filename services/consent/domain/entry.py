"""An entry of a record's journal: at once state, lock and audit trail. It holds every input of its verdict."""

from dataclasses import dataclass
from typing import Any, Literal

from services.consent.domain.flow import Action, Actor, Change, Deposit, Flow, compact

Kind = Literal["opened", "decision", "abandoned"]
# The classes of the public log: nobody who knows when he asked can tell that he was refused.
LeafClass = Literal["deposit", "request", "emergency", "directive", "other"]
MAIN = "main"


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
    about: str | None = None  # the document of an `abandoned` entry

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
        if self.flow:
            flow = compact(self.flow)
            for name in ("actor", "deposit", "change"):
                if name in flow:
                    flow[name] = compact(flow[name])
            if self.flow.deposit:
                flow["deposit"]["visibility"] = list(self.flow.deposit.visibility)
            flow["documents"] = list(self.flow.documents)
            body["flow"] = flow
        if self.outcome:
            body["outcome"] = compact(self.outcome) | {
                "allowed": list(self.outcome.allowed),
                "refused": [list(pair) for pair in self.outcome.refused],
            }
        return body

    @classmethod
    def read(cls, clear: dict[str, Any], private: dict[str, Any]) -> "Entry":
        """Put an entry together again from its two parts."""
        flow, outcome = private.get("flow"), private.get("outcome")
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
            flow=_flow(flow) if flow else None,
            outcome=_outcome(outcome) if outcome else None,
        )


def leaf_class(action: Action) -> LeafClass:
    """Return the public class of a decision about an action."""
    if action is Action.DEPOSIT:
        return "deposit"
    return "directive" if action is Action.CHANGE_DIRECTIVES else "request"


def _flow(body: dict[str, Any]) -> Flow:
    return Flow(
        **body
        | {
            "action": Action(body["action"]),
            "actor": Actor(**body["actor"]),
            "documents": tuple(body["documents"]),
            "deposit": _deposit(body["deposit"]) if "deposit" in body else None,
            "change": Change(**body["change"]) if "change" in body else None,
        }
    )


def _deposit(body: dict[str, Any]) -> Deposit:
    return Deposit(**body | {"visibility": tuple(body["visibility"])})


def _outcome(body: dict[str, Any]) -> Outcome:
    return Outcome(**body | {"allowed": tuple(body["allowed"]), "refused": tuple((r, n) for r, n in body["refused"])})
