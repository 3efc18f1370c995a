"""The house keeps its rules, and each rule has been seen broken."""

from pathlib import Path

import pytest

from tests.architecture.rules import RULES, Rule
from tests.architecture.source import PACKAGES, ROOT, modules

# What breaks each rule, by the path where it would stand.
PLANTED = {
    "contracts-alone": [
        ("contracts/planted.py", "import orjson"),
        ("contracts/planted.py", "from chassis import sealing"),
        ("contracts/planted.py", "def late():\n    import aiokafka"),
    ],
    "chassis-below": [
        ("chassis/planted.py", "from services.consent.domain import entry"),
        ("chassis/planted.py", "import tests.synthetic"),
    ],
    "no-sibling": [
        ("services/documents/planted.py", "from services.consent import keys"),
        ("services/documents/planted.py", "from services import consent"),
        ("services/documents/fhir/planted.py", "from ...identity import domain"),
        ("services/documents/planted.py", "import deploy.local"),
    ],
    "one-driver": [
        ("services/documents/store.py", "from motor.motor_asyncio import AsyncIOMotorClient"),
        ("chassis/outbox.py", "import pymongo.errors"),
        ("services/consent/store.py", "from bson import ObjectId"),
    ],
    "one-broker": [
        ("services/documents/consumers.py", "from faststream import AckPolicy"),
        ("services/documents/consumers.py", "from aiokafka import AIOKafkaProducer"),
        ("services/documents/api.py", "async def deposit(room):\n    await room.broker.publish(1)"),
    ],
    "one-environment": [
        ("services/identity/api.py", "import os\nDEMO = os.environ['DEMO']"),
        ("services/identity/api.py", "from os import environ as e\nDEMO = e.get('DEMO')"),
        ("chassis/kafka.py", "import os\nBROKERS = os.getenv('KAFKA')"),
        ("services/identity/bootstrap.py", "from chassis.settings import Settings\nclass Mine(Settings): ..."),
    ],
    "one-logging": [
        ("services/documents/api.py", "import logging\nlogging.basicConfig()"),
        ("services/documents/__main__.py", "from chassis import logs\nlogs.setup('documents', '1', 'INFO')"),
    ],
    "no-nameless-room": [
        ("services/documents/utils.py", ""),
        ("chassis/common/dates.py", ""),
        ("services/consent/domain/helpers.py", ""),
    ],
    "pure-domain": [
        ("services/consent/domain/flow.py", "from contracts.consent import Action"),
        ("services/consent/domain.py", "from http import HTTPStatus"),
        ("services/identity/domain.py", "import fastapi"),
        ("services/consent/domain/flow.py", "from services.consent.store import MongoJournal"),
        ("services/consent/domain/flow.py", "from chassis.mongo import Mongo"),
    ],
    "passed-clock": [
        ("services/consent/domain/record.py", "import time\nNOW = time.time()"),
        ("services/consent/domain.py", "from datetime import datetime\ndef now():\n    return datetime.now()"),
    ],
    "cases-know-ports": [
        ("services/documents/use_cases/deposit.py", "from services.documents.store import Store"),
        ("services/documents/use_cases/deposit.py", "from fastapi import HTTPException"),
    ],
    "one-verb": [
        ("services/consent/use_cases/decide.py", "def decide(): ...\ndef withdraw(): ..."),
        ("services/consent/use_cases/deposit_handler.py", "class Deposit:\n    def __call__(self): ..."),
        ("services/consent/use_cases/nothing.py", "VALUE = 1"),
    ],
    "logged-by-name": [
        ("services/documents/api.py", "def f(_log, name):\n    _log.info(f'stored {name}')"),
        ("services/documents/api.py", "def f(_log, error):\n    _log.warning('failed', error=str(error))"),
        ("chassis/relay.py", "def f(_log, error):\n    _log.warning('failed', error=error)"),
    ],
}  # fmt: skip
ALLOWED = {
    "contracts/fine.py": "import tomllib\nfrom pydantic import BaseModel\nfrom contracts.fact import Fact\n",
    "chassis/mongo.py": "from pymongo import AsyncMongoClient\n",
    "chassis/telemetry.py": "import os\nENDPOINT = os.environ.get('OTEL_EXPORTER_OTLP_ENDPOINT')\n",
    "services/documents/settings.py": "from chassis.settings import Settings\nclass Mine(Settings): ...\n",
    "services/documents/domain.py": "from dataclasses import dataclass\nfrom chassis.sealing import digest\n",
    "services/documents/use_cases/deposit.py": (
        "from services.documents.domain import digest\nclass Refused(Exception): ...\n"
        "class Deposit:\n    async def __call__(self): ...\n"
    ),
    "services/documents/use_cases/read.py": "async def read(): ...\ndef _part(): ...\n",
    "services/documents/api.py": (
        "from services.documents.use_cases import read\nfrom contracts.documents import Deposited\n"
        "def f(_log, error):\n    _log.info('stored', error=type(error).__name__)\n"
    ),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
async def test_the_house_keeps_the_rule(rule: Rule) -> None:
    """No file of the project breaks the rule."""
    found = rule.broken_by(modules())
    assert found == [], "\n".join(found)


@pytest.mark.parametrize(
    ("name", "path", "source"), [(name, path, source) for name, planted in PLANTED.items() for path, source in planted]
)
async def test_a_planted_violation_is_seen(name: str, path: str, source: str, tmp_path: Path) -> None:
    """The rule names the file, and tells the way out and where the reason stands."""
    _plant(tmp_path, {path: source})
    rule = next(each for each in RULES if each.name == name)
    found = rule.broken_by(modules(tmp_path))
    assert len(found) >= 1
    assert all(message.startswith(f"{path}:") and rule.way_out in message for message in found)


async def test_every_rule_was_seen_broken() -> None:
    """No rule stands without a planted violation."""
    assert {rule.name for rule in RULES} == set(PLANTED)


async def test_what_is_allowed_is_left_alone(tmp_path: Path) -> None:
    """The exceptions and the ordinary files of a room break nothing."""
    _plant(tmp_path, ALLOWED)
    assert [message for rule in RULES for message in rule.broken_by(modules(tmp_path))] == []


async def test_every_rule_points_at_a_page_that_stands() -> None:
    """Each rule's page is in docs/adr."""
    assert [rule.adr for rule in RULES if not (ROOT / "docs" / "adr" / rule.adr).is_file()] == []


async def test_every_package_is_looked_at() -> None:
    """The walk finds the files of each top-level package: an empty walk would pass every rule."""
    seen = {module.package for module in modules()}
    assert seen >= {"contracts", "chassis", "services"}
    folders = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    assert folders <= {*PACKAGES, "tests"}, "a new top-level package needs an ADR, and its place in PACKAGES"


def _plant(root: Path, files: dict[str, str]) -> None:
    for path, source in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
