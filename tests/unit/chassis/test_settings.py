"""Settings come from the environment, and production refuses what only the local stack may use."""

import pytest
from pydantic import ValidationError

from chassis.settings import KafkaSettings, Settings

SAFE = {
    "CARNET_ENVIRONMENT": "production",
    "CARNET_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "CARNET_MONGO": "mongodb://carnet:s3cret-canary@db.example.org/?replicaSet=rs0",
}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    import os  # noqa: PLC0415

    for name in [name for name in os.environ if name.startswith(("CARNET_", "KAFKA", "MONGO"))]:
        monkeypatch.delenv(name)


def told(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """Return the settings under these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings()


async def test_each_part_reads_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CARNET_KAFKA` names the brokers although there is a part called kafka; so does `CARNET_MONGO` the database."""
    found = told(
        monkeypatch,
        CARNET_ENVIRONMENT="local",
        CARNET_INSTANCE="documents-1",
        CARNET_KAFKA="broker:9092",
        CARNET_MONGO="mongodb://db/",
        CARNET_MONGO_DATABASE="carnet_documents",
        CARNET_MONGO_DRIVER="pymongo",
        CARNET_HTTP_PORT="8101",
        CARNET_TRUST_ROOT="abc",
    )
    assert (found.local, found.instance) == (True, "documents-1")
    assert found.kafka.bootstrap == "broker:9092"
    assert (found.mongo.uri, found.mongo.database, found.mongo.driver) == (
        "mongodb://db/", "carnet_documents", "pymongo"
    )  # fmt: skip
    assert (found.http.port, found.trust.root) == (8101, "abc")


async def test_a_part_may_be_passed_in() -> None:
    """Tests and the local stack hand parts over without an environment."""
    assert Settings(environment="local", kafka=KafkaSettings(bootstrap="b:1")).kafka.bootstrap == "b:1"


async def test_production_starts_when_it_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS, a database user and no fault point: nothing is refused."""
    found = told(monkeypatch, **SAFE)
    assert not found.local
    assert found.unsafe() == []


async def test_who_says_nothing_is_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """The safe environment is the default: a forgotten variable refuses, it does not open."""
    with pytest.raises(ValidationError, match="production refuses"):
        told(monkeypatch)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CARNET_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", "Kafka without TLS"),
        ("CARNET_MONGO", "mongodb://db.example.org/?replicaSet=rs0", "MongoDB without authentication"),
        ("CARNET_FAULT", "documents.deposit.stored:1", "a fault point"),
    ],
)
async def test_production_refuses_what_is_unsafe(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each unsafe setting alone stops production, by name and with the way out; the local stack takes it."""
    with pytest.raises(ValidationError) as caught:
        told(monkeypatch, **SAFE | {variable: value})
    assert said in str(caught.value)
    assert variable in str(caught.value)
    assert told(monkeypatch, **SAFE | {variable: value, "CARNET_ENVIRONMENT": "local"}).local


async def test_a_refusal_quotes_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's address holds a password: no error prints it."""
    with pytest.raises(ValidationError) as caught:
        told(monkeypatch, **SAFE | {"CARNET_FAULT": "x"})
    assert "canary" not in str(caught.value)
    with pytest.raises(ValidationError) as caught:
        told(monkeypatch, **SAFE | {"CARNET_MONGO_DRIVER": "s3cret-canary"})
    assert "canary" not in str(caught.value)


async def test_settings_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked at the start holds to the end."""
    found = told(monkeypatch, **SAFE)
    with pytest.raises(ValidationError):
        found.environment = "local"
