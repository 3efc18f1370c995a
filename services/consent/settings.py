"""What consent is told from outside."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from chassis.sealing import KEY_BYTES, unb64
from chassis.settings import MongoSettings, Settings, from_env
from services.consent.domain.cosigning import Cosigning


class ConsentKeySettings(BaseSettings):
    """Where the root and the sealing keys are."""

    model_config = from_env("CARNET_CONSENT_")

    root_key: Path = Path("consent-root.key")
    root_kind: str = "file"
    sealing: Path = Path("consent-sealing.json")
    unconfirmed_seconds: float = Field(default=86_400, gt=2, description="How long a deposit may stay unconfirmed.")


class RepeatsSettings(BaseSettings):
    """How long refusals that repeat are told by their number."""

    model_config = from_env("CARNET_CONSENT_REPEATS_")

    seconds: int = Field(default=600, ge=1, le=86_400, description="The length of a window.")


class ProjectionSettings(BaseSettings):
    """How long identity may be unheard until representatives are refused. Identity beats every two seconds."""

    model_config = from_env("CARNET_CONSENT_")

    stale_seconds: float = Field(default=30, gt=2, le=30)


class RulesSettings(BaseSettings):
    """Whose signatures a bundle of rules needs before it is activated: k (the quorum) of n keys; none by default."""

    model_config = from_env("CARNET_CONSENT_RULES_")

    cosigners: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Ed25519 public keys, base64url, separated by commas."
    )
    quorum: int = Field(default=0, ge=0)

    @field_validator("cosigners", mode="before")
    @classmethod
    def _separated(cls, value: Any) -> Any:
        return tuple(each.strip() for each in value.split(",") if each.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if any(len(unb64(each)) != KEY_BYTES for each in self.cosigners):
            raise ValueError("a co-signer's key is 32 bytes in base64url")
        if not bool(self.cosigners) <= self.quorum <= len(set(self.cosigners)):
            raise ValueError("the quorum is at least one co-signer, and at most all of them")
        return self

    @property
    def cosigning(self) -> Cosigning:
        """The domain's word for it."""
        return Cosigning(self.cosigners, self.quorum)


class Database(MongoSettings):
    """The service's own database."""

    database: str = "carnet_consent"


class ConsentSettings(Settings):
    """Consent's settings: every service's, its keys, who co-signs its rules, what is stale, how refusals are told."""

    keys: ConsentKeySettings = Field(default_factory=ConsentKeySettings)
    rules: RulesSettings = Field(default_factory=RulesSettings)
    projection: ProjectionSettings = Field(default_factory=ProjectionSettings)
    repeats: RepeatsSettings = Field(default_factory=RepeatsSettings)
    mongo: MongoSettings = Field(default_factory=Database)

    def unsafe(self) -> list[str]:
        """Return what production refuses."""
        file_root = ["a root key in a file (set CARNET_CONSENT_ROOT_KIND to a hardware or vault root)"]
        return super().unsafe() + (file_root if self.keys.root_kind == "file" else [])
