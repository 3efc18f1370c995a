"""What consent's answer is worth, and for how long."""

import time

import pytest

from chassis.asking import ConsentUnreachable
from chassis.flows import GIVE_UP_SECONDS
from services.documents.answers import Approval


def test_an_approval_dies_with_its_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys may be used until 2 s after the question; later is as if consent had not answered."""
    approval, asked = Approval(), time.monotonic()
    approval.require_in_time()
    monkeypatch.setattr(time, "monotonic", lambda: asked + GIVE_UP_SECONDS + 0.01)
    with pytest.raises(ConsentUnreachable):
        approval.require_in_time()
