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


class Database(MongoSettings):
    """The service's own database."""

    database: str = "carnet_identity"


class IdentitySettings(Settings):
    """Identity's settings: every service's, its token keys, the demo's sign-in."""

    tokens: TokenSettings = Field(default_factory=TokenSettings)
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
