"""Refusals that repeat: which are told by their number, and for how long (docs/adr/0011-refusals-that-repeat.md)."""

from typing import Any

from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.flow import Flow
from services.consent.domain.judging import Verdict

# What each question has of its own, however alike two are. When somebody signed in is another input that need not be
# the same: where it matters, the rule that ended the flow says so.
_OWN = frozenset({"id", "digest", "deadline_ms", "auth_time"})


def alike(entry: Entry) -> dict[str, Any]:
    """Return what two entries have in common exactly if the second one would tell nothing new.

    Whatever the first one holds, but for when and under which id it was asked: an input that is added to a flow parts
    entries by itself. An end that software reckons from now (of declared care) says nothing of what was asked.
    """
    said = entry.private
    flow = {name: held for name, held in said["flow"].items() if name not in _OWN}
    if "care" in flow:
        flow["care"] = {name: held for name, held in flow["care"].items() if name != "until"}
    return {"flow": flow, "outcome": said["outcome"], "policies": entry.policies, "stream": entry.stream}


def repeatable(entry: Entry) -> bool:
    """Say whether an entry like this one may be told by a number: a refusal of the main stream.

    Never the patient's own acts, which she reads one by one; never what shows a one-time code, which is an attempt.
    """
    flow, outcome = entry.flow, entry.outcome
    if flow is None or outcome is None or entry.stream != MAIN or flow.actor.kind == "patient":
        return False
    return outcome.verdict in {"refused", "red-line"} and (flow.care is None or flow.care.code is None)


def gives_nothing(flow: Flow, verdict: Verdict) -> bool:
    """Say whether a verdict lets nothing out: a refusal, or what looks like one, whatever streams it stands in.

    Whoever is given nothing waits for the same steps, so that they tell nobody which of these it was.
    """
    return flow.actor.kind != "patient" and not verdict.released and verdict.outcome.document is None


def over_at(at: int, lasts_ms: int) -> int:
    """Return when the window of a time is over (both ms).

    Windows begin where the clock says, not where a refusal came first: so a view that shows one of many equal questions
    a window is the same whether they were refused or allowed.
    """
    return (at // lasts_ms + 1) * lasts_ms
