"""What identity is told from outside."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from chassis.settings import MongoSettings, Settings, from_env


class TokenSettings(BaseSettings):
    """The keys that sign tokens, and whether patients of the demo sign in without any proof."""

    model_config = from_env("CARNET_IDENTITY_")

    token_keys: Path = Path("token-keys.json")
    demo: bool = False
    demo_frontend: str = Field(default="portail", description="The client id of the demo's patient frontend.")


class EmergencySettings(BaseSettings):
    """What bounds emergency tokens: a day's number is one professional's, an hour's one application's."""

    model_config = from_env("CARNET_IDENTITY_EMERGENCY_")

    sign_in_seconds: int = Field(default=600, ge=1, description="How long ago a sign-in may be that breaks the glass.")
    btg_a_day: int = Field(default=20, ge=1)
    btg_an_hour: int = Field(default=200, ge=1)
    etreat_a_day: int = Field(default=500, ge=1, description="A regulating doctor asks at every call.")
    etreat_an_hour: int = Field(default=2_000, ge=1)


class Database(MongoSettings):
    """The service's own database."""

    database: str = "carnet_identity"


class IdentitySettings(Settings):
    """Identity's settings: every service's, its token keys, the demo's sign-in, the bounds of emergencies."""

    tokens: TokenSettings = Field(default_factory=TokenSettings)
    emergency: EmergencySettings = Field(default_factory=EmergencySettings)
    mongo: Database = Field(default_factory=Database)

    def unsafe(self) -> list[str]:
        """Return what production refuses."""
        demo = ["sign-in without proof (unset CARNET_IDENTITY_DEMO)"]
        return super().unsafe() + (demo if self.tokens.demo else [])

    @property
    def issuer(self) -> str:
        """The base of identity's public addresses."""
        return f"{self.public_base}/identity"

    @property
    def token_endpoint(self) -> str:
        """The audience of every assertion."""
        return f"{self.issuer}/token"
