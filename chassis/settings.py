"""What a process is told from outside; the only place that reads the environment."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict


class UnsafeSettings(ValueError):
    """Production was asked to start with something that only the local stack may use."""


def from_env(prefix: str) -> SettingsConfigDict:
    """Return the configuration of a part of the settings whose variables begin with `prefix`."""
    return SettingsConfigDict(
        env_prefix=prefix,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,  # a database's address may hold a password
    )


class _Values(EnvSettingsSource):
    """Reads values, never whole parts: `CARNET_KAFKA` names the brokers, it is no JSON for `Settings.kafka`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings):
            return None, field_name, False
        return super().get_field_value(field, field_name)


class KafkaSettings(BaseSettings):
    """The brokers, and how to speak to them."""

    model_config = from_env("CARNET_KAFKA_")

    bootstrap: str = Field(default="127.0.0.1:9192", validation_alias="CARNET_KAFKA")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = "PLAINTEXT"


class MongoSettings(BaseSettings):
    """The replica set, the service's own database, and the driver (ADR 0004)."""

    model_config = from_env("CARNET_MONGO_")

    uri: str = Field(
        default="mongodb://127.0.0.1:27117/?replicaSet=rs0&directConnection=true",
        validation_alias="CARNET_MONGO",
    )
    database: str = ""
    driver: Literal["motor", "pymongo"] = "motor"


class HttpSettings(BaseSettings):
    """Where this process answers; every process has health and metrics there."""

    model_config = from_env("CARNET_HTTP_")

    host: str = "127.0.0.1"
    port: int = 8100


class TrustSettings(BaseSettings):
    """The pinned root (Ed25519 public key, base64url), and this instance's identity file."""

    model_config = from_env("CARNET_TRUST_")

    root: str = ""
    instance: Path = Path("instance.json")


class LimitSettings(BaseSettings):
    """How many requests a minute one process takes in for one application, professional and record (`limits.py`).

    The defaults are fuses above what one busy machine can do for itself; a deployment sets what its people need.
    """

    model_config = from_env("CARNET_LIMITS_")

    application_per_minute: int = Field(default=120_000, ge=1, description="Of one product, whoever uses it.")
    professional_per_minute: int = Field(default=30_000, ge=1, description="Emergencies apart.")
    record_per_minute: int = Field(default=12_000, ge=1, description="By each kind of actor; emergencies apart.")


class Settings(BaseSettings):
    """What every service is told; a service adds its own parts by attribute."""

    model_config = from_env("CARNET_")

    environment: Literal["local", "production"] = "production"
    instance: str = "unnamed"
    public_base: str = "http://localhost:8080"
    log_level: str = "INFO"
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    trust: TrustSettings = Field(default_factory=TrustSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    fault: str = Field(default="", description="`point:n`: die by SIGKILL at the nth passage (tests of crashes).")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the arguments, then the environment; each part reads its own."""
        return init_settings, _Values(settings_cls)

    @property
    def local(self) -> bool:
        """Whether this is a developer's stack."""
        return self.environment == "local"

    def unsafe(self) -> list[str]:
        """Return what production refuses, one sentence each; a service adds its own."""
        found = []
        if self.kafka.security_protocol == "PLAINTEXT":
            found.append("Kafka without TLS (set CARNET_KAFKA_SECURITY_PROTOCOL=SASL_SSL)")
        if "@" not in self.mongo.uri:
            found.append("MongoDB without authentication (name a user in CARNET_MONGO)")
        if self.fault:
            found.append("a fault point (unset CARNET_FAULT)")
        return found

    @model_validator(mode="after")
    def _production_is_safe(self) -> Self:
        if not self.local and (found := self.unsafe()):
            raise UnsafeSettings("production refuses: " + "; ".join(found))
        return self
