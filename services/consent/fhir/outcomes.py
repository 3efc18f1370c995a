"""Problems as OperationOutcomes."""

from typing import Final

from chassis.problems import Problem
from services.consent.fhir import systems
from services.consent.fhir.systems import Json, coding, concept

# FHIR's issue type of each status.
_ISSUE: Final = {
    400: "value", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 406: "not-supported",
    409: "conflict", 422: "invalid", 429: "throttled", 500: "exception", 503: "transient",
}  # fmt: skip


def operation_outcome(problem: Problem) -> Json:
    """Return a problem as an OperationOutcome; a rule that may be told stands beside the code in `details.coding`."""
    said = [coding(systems.PROBLEM, problem.code)]
    if "rule" in problem.more:
        said.append(coding(systems.RULE, problem.more["rule"], problem.more.get("law")))
    issue = {
        "severity": "error",
        "code": _ISSUE.get(problem.status, "processing"),
        "details": concept(*said),
        "diagnostics": problem.detail,
    }
    return {"resourceType": "OperationOutcome", "issue": [issue]}
