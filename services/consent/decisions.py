"""What operators learn of decisions: which rule ended them, how many and how fast. Nobody can be singled out by it.

A line and a series hold codes and numbers. The line names its flow, so that a patient who read of it in the journal can
have it looked into; no line and no span names a record, so that without the journal a flow leads to nobody.
"""

import time

from prometheus_client import Counter

from chassis import logs
from services.consent.use_cases.decide import Decided

DECISIONS = Counter(
    "carnet_decisions_total",
    "Flows that were judged, answered repeats included, by action, outcome, rule and purpose of use.",
    ["action", "outcome", "rule", "purpose"],
)
# A token's purpose and kind are identity's words; one that is not known here is no label: their vocabulary is small.
_PURPOSES = frozenset({
    "TREAT", "ETREAT", "BTG", "PATRQT", "PREVENT", "NOTIFY", "COVERAGE", "HPAYMT", "CLMATTCH", "EMPLOYMENT", "HMARKT",
    "COMMERCE", "PATADMIN",
})  # fmt: skip
_KINDS = frozenset({
    "care-software", "patient-frontend", "insurer", "employer", "advertiser", "commercial", "public-service", "service",
})  # fmt: skip
_OTHER = "other"
_DIGITS = 12  # of the policies' digest: enough to tell two apart
_log = logs.get("decisions")


def tell(decided: Decided, started: float) -> None:
    """Tell operators of a decision that began at `started` (`time.perf_counter`)."""
    flow, entry, outcome = decided.flow, decided.entry, decided.outcome
    verdict, rule = (outcome.verdict, outcome.rule) if outcome else ("stale", "")
    purpose = flow.purpose if flow.purpose in _PURPOSES else _OTHER
    DECISIONS.labels(flow.action, verdict, rule, purpose).inc()
    _log.info(
        "decided",
        flow=flow.id,
        action=flow.action,
        outcome=verdict,
        rule=rule,
        purpose=purpose,
        actor=flow.actor.kind,
        application=flow.actor.application_kind if flow.actor.application_kind in _KINDS else _OTHER,
        policies=entry.policies[:_DIGITS] if entry else "",
        count=outcome.count if outcome else 0,
        refused=sum(number for _, number in outcome.refused) if outcome else 0,
        ms=round((time.perf_counter() - started) * 1000, 2),
    )
