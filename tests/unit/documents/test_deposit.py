"""A deposit stores what consent gave keys for, and nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.consent import FlowAnswer, FlowQuestion
from services.documents.domain import Abandoned
from services.documents.fhir.deposits import parse_deposit
from services.documents.use_cases.deposit import Deposit
from tests.synthetic import deposit_request, laboratory_report


class _Consent:
    def __init__(self, answer: FlowAnswer) -> None:
        self.answer, self.asked = answer, 0

    async def ask(self, record: str, question: FlowQuestion, *, correlation_id: str | None = None) -> FlowAnswer:  # noqa: ARG002 - the port's
        self.asked += 1
        return self.answer


class _Untouched:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was called")


@pytest.mark.parametrize("already_stored", [False, True])
async def test_an_approval_without_keys_stores_nothing(already_stored: bool) -> None:
    """Allowed, and the key is gone: the deposit was given up, and nothing is asked of the store."""
    consent = _Consent(FlowAnswer(outcome="allowed", already_stored=already_stored))
    parsed = parse_deposit(deposit_request(laboratory_report()), now=datetime(2026, 6, 12, 8, tzinfo=UTC))
    with pytest.raises(Abandoned):
        await Deposit(consent, _Untouched(), _Untouched())(parsed, "carnetexamplerecordaaaa234", "a.token")
    assert consent.asked == 1
