"""A card of the catalogue becomes the broker's settings of its topic."""

import pytest

from chassis import kafka
from chassis.topics import settings_of
from contracts.registry import catalogue


@pytest.mark.parametrize("name", sorted(catalogue()))
async def test_retention_is_what_the_card_says_and_comes_true(name: str) -> None:
    """The retention is the card's, and segments roll often enough for the broker to keep it."""
    card = catalogue()[name]
    settings = {key: value for key, value in settings_of(card).items() if value.isdigit()}
    assert int(settings["retention.ms"]) == int(card.retention_hours * 3_600_000)
    assert 60_000 <= int(settings["segment.ms"]) <= max(60_000, int(settings["retention.ms"]) // 10)
    assert int(settings["max.message.bytes"]) == kafka.MAX_MESSAGE_BYTES


async def test_retention_is_the_design_s() -> None:
    """Questions and answers stay ten minutes, domain facts seven days: erasure waits no longer."""
    for name, card in catalogue().items():
        assert card.retention_hours <= (0.17 if name.startswith("carnet.flows.") else 168)
        assert settings_of(card)["cleanup.policy"] == "delete"
