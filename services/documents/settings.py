"""What documents is told from outside."""

from pydantic import Field

from chassis.settings import MongoSettings, Settings


class Database(MongoSettings):
    """The service's own database."""

    database: str = "carnet_documents"


class DocumentsSettings(Settings):
    """Documents' settings: every service's, and its own database."""

    mongo: MongoSettings = Field(default_factory=Database)
    sweep_after_seconds: float = Field(default=86_400, description="How long loose ciphertext may stand.")
