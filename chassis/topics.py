"""`python -m chassis.topics`: create the topics of the catalogue, and mend the settings of those that stand."""

import asyncio
import sys

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError

from chassis import kafka
from chassis.settings import KafkaSettings
from contracts.registry import Topic, catalogue

_HOUR_MS = 3_600_000


def settings_of(card: Topic) -> dict[str, str]:
    """Return the broker's settings of a topic."""
    retention = int(card.retention_hours * _HOUR_MS)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(retention),
        # Retention works by whole segments: roll them often enough for it to be true.
        "segment.ms": str(max(60_000, retention // 10)),
        "max.message.bytes": str(kafka.MAX_MESSAGE_BYTES),
        "compression.type": "producer",
    }


async def create(settings: KafkaSettings, replication: int = 1) -> list[str]:
    """Create what is missing; return the names created."""
    admin = AIOKafkaAdminClient(**kafka.connection(settings))
    await admin.start()
    created = []
    try:
        standing = set(await admin.list_topics())
        for name, card in catalogue().items():
            if name in standing:
                resource = ConfigResource(ConfigResourceType.TOPIC, name, configs=settings_of(card))
                await admin.alter_configs([resource])
                continue
            topic = NewTopic(name, card.partitions, replication, topic_configs=settings_of(card))
            try:
                await admin.create_topics([topic])
            except TopicAlreadyExistsError:
                continue
            created.append(name)
    finally:
        await admin.close()
    return created


if __name__ == "__main__":
    for topic_name in asyncio.run(create(KafkaSettings())):
        sys.stdout.write(f"{topic_name}\n")
