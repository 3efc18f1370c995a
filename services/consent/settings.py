"""What consent is told from outside."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from chassis.settings import MongoSettings, Settings, from_env


class ConsentKeySettings(BaseSettings):
    """Where the root and the sealing keys are."""

    model_config = from_env("CARNET_CONSENT_")

    root_key: Path = Path("consent-root.key")
    root_kind: str = "file"
    sealing: Path = Path("consent-sealing.json")
    unconfirmed_seconds: float = Field(default=86_400, gt=2, description="How long a deposit may stay unconfirmed.")


class Database(MongoSettings):
    """The service's own database."""

    database: str = "carnet_consent"


class ConsentSettings(Settings):
    """Consent's settings: every service's, and where its keys are."""

    keys: ConsentKeySettings = Field(default_factory=ConsentKeySettings)
    mongo: MongoSettings = Field(default_factory=Database)

    def unsafe(self) -> list[str]:
        """Return what production refuses."""
        file_root = ["a root key in a file (set CARNET_CONSENT_ROOT_KIND to a hardware or vault root)"]
        return super().unsafe() + (file_root if self.keys.root_kind == "file" else [])
