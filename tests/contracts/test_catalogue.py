"""The catalogue says what the code does: no topic, fact, producer or consumer more, and none less."""

from pathlib import Path

import pytest

from contracts.registry import catalogue
from tests.architecture.source import modules
from tests.contracts.wiring import Unreadable, Wiring, wirings

SERVICES = ("identity", "consent", "documents", "notifications")


def said(service: str) -> Wiring:
    """Return what the catalogue says that a service does."""
    cards = catalogue()
    return Wiring(
        topics={name for name, card in cards.items() if service in card.consumers},
        published={kind for card in cards.values() if service in card.publishers for kind in card.types},
    )


@pytest.fixture(scope="module")
def done() -> dict[str, Wiring]:
    """Return what the services really do."""
    return wirings(modules())


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_publishes_what_the_catalogue_says(service: str, done: dict[str, Wiring]) -> None:
    """The facts that a service makes are those of the topics that it may publish to."""
    assert done.get(service, Wiring()).published == said(service).published


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_takes_in_what_the_catalogue_says(service: str, done: dict[str, Wiring]) -> None:
    """The topics that a service reads are those whose card names it as a consumer."""
    assert done.get(service, Wiring()).topics == said(service).topics


async def test_every_fact_is_handled_by_one_of_its_consumers(done: dict[str, Wiring]) -> None:
    """No fact is published for nobody, and none is handled by a service that its card does not name."""
    for card in catalogue().values():
        for kind in card.types:
            handlers = {service for service, wiring in done.items() if kind in wiring.handled}
            assert handlers, f"nobody handles {kind}"
            assert handlers <= set(card.consumers), kind


async def test_the_catalogue_names_services_only() -> None:
    """Owners, producers and consumers are the four services."""
    for card in catalogue().values():
        assert {card.owner, *card.publishers, *card.consumers} <= set(SERVICES)


@pytest.mark.parametrize(
    ("source", "published", "topics"),
    [
        (
            "from contracts.documents import Deposited\nfact = Deposited(record='x')",
            {"carnet.documents.deposited.v1"}, set(),
        ),
        (
            "from contracts import consent as wire\ndef f():\n    return wire.DepositUnconfirmed(record='x')",
            {"carnet.consent.deposit-unconfirmed.v1"}, set(),
        ),
        (
            ("from contracts.registry import topic_of\nfrom contracts.documents import Deposited as Fact\n"
            "consuming.on(topic_of(Fact), (Fact, handle))"),
            set(), {"carnet.documents.documents"},
        ),
        (
            ("from contracts.identity import RecordOpened\nTOPIC = 'carnet.unheard.of'\n"
            "room.consuming.on(TOPIC, (RecordOpened, handle))"),
            set(), {"carnet.unheard.of"},
        ),
        (
            "from chassis.announcements import Announcements\nAnnouncements(k, trust, 'sealing', use)",
            set(), {"carnet.consent.keys"},
        ),
        (
            "from chassis.asking import Asker\nasker = Asker(k, 'identity', me, trust)",
            {"carnet.consent.flow-requested.v1"}, {"carnet.flows.decisions"},
        ),
        (
            "from chassis import hearing\nhearer = hearing.Hearer(k, me, trust, keys, judge)",
            {"carnet.consent.flow-decided.v1"}, {"carnet.flows.requests"},
        ),
    ],
)  # fmt: skip
async def test_what_identity_did_beyond_its_card_is_seen(
    source: str, published: set[str], topics: set[str], tmp_path: Path
) -> None:
    """A planted publication or subscription appears in the reading, and differs from the catalogue."""
    room = tmp_path / "services" / "identity"
    room.mkdir(parents=True)
    (room / "planted.py").write_text(source, encoding="utf-8")
    chassis = [module for module in modules() if module.package == "chassis"]
    found = wirings([*chassis, *modules(tmp_path)])["identity"]
    assert (found.published, found.topics) == (published, topics)
    assert not (found.published <= said("identity").published and found.topics <= said("identity").topics)


@pytest.mark.parametrize(
    "source",
    [
        "consuming.on(name_of(1), (Fact, handle))",
        "from contracts.documents import Deposited\nconsuming.on('t', *pairs)",
        "consuming.on('t', (Unheard, handle))",
        "from chassis.announcements import Announcements\nAnnouncements(k, trust, use, believe)",
    ],
)
async def test_wiring_that_cannot_be_read_is_an_error(source: str, tmp_path: Path) -> None:
    """What the reading does not follow is said, not passed over."""
    room = tmp_path / "services" / "identity"
    room.mkdir(parents=True)
    (room / "planted.py").write_text(source, encoding="utf-8")
    with pytest.raises(Unreadable, match=r"planted\.py"):
        wirings(modules(tmp_path))
