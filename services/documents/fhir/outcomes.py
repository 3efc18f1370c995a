"""What is refused and what is remarked: one value per issue, and the OperationOutcome that carries them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

SLUGS: Final = "https://carnet.example/fhir/CodeSystem/problem"

Kind = Literal[
    "malformed", "invalid", "too-large", "unsupported", "not-acceptable", "forbidden", "not-found", "conflict"
]


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue of an OperationOutcome.

    `code` is of FHIR's issue-type, `slug` is Carnet's stable name, `diagnostics` a sentence that tells the way out and
    holds no value of the request, `expression` a FHIRPath (empty when the issue is about no element).
    """

    slug: str
    code: str
    diagnostics: str
    expression: str = ""
    severity: Literal["fatal", "error", "warning", "information"] = "error"


class FhirRejected(Exception):
    """A request that FHIR, MHD or PDSm does not allow. `kind` hints at the HTTP status, which `api.py` chooses."""

    def __init__(self, kind: Kind, issue: Issue, *more: Issue) -> None:
        super().__init__(f"{issue.slug}: {issue.diagnostics}")
        self.kind: Kind = kind
        self.issues = (issue, *more)

    @property
    def slug(self) -> str:
        """The slug of the first issue."""
        return self.issues[0].slug

    @property
    def code(self) -> str:
        """The FHIR issue type of the first issue."""
        return self.issues[0].code

    @property
    def expression(self) -> str:
        """The FHIRPath of the first issue."""
        return self.issues[0].expression

    @property
    def diagnostics(self) -> str:
        """The sentence of the first issue."""
        return self.issues[0].diagnostics


def operation_outcome(issues: Iterable[Issue]) -> bytes:
    """Return the OperationOutcome (JSON) of one or more issues; the slug stands in `details.coding[0].code`."""
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": [_issue(issue) for issue in issues]})


def _issue(issue: Issue) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "severity": issue.severity,
        "code": issue.code,
        "details": {"coding": [{"system": SLUGS, "code": issue.slug}]},
        "diagnostics": issue.diagnostics,
    }
    if issue.expression:
        entry["expression"] = [issue.expression]
    return entry
