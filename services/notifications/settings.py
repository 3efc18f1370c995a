"""What this service is told from outside."""

from pydantic import Field

from chassis.settings import MongoSettings, Settings


class Database(MongoSettings):
    """The service's own database."""

    database: str = "carnet_notifications"


class NotificationsSettings(Settings):
    """Nothing of its own but the database's name."""

    mongo: Database = Field(default_factory=Database)
