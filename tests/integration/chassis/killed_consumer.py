"""A consumer that dies by SIGKILL after its first event's effect and before the commit: `SERVICE TOPIC`."""

import asyncio
import sys

from chassis import faults
from chassis.consuming import Consuming
from chassis.dead_letters import DeadLetters
from chassis.mongo import Mongo
from chassis.settings import KafkaSettings, MongoSettings
from contracts.documents import Deposited
from contracts.registry import Envelope


async def main(service: str, topic: str) -> None:
    """Consume until killed."""
    mongo = Mongo(MongoSettings())

    async def handle(envelope: Envelope, _: Deposited) -> None:
        await mongo["effects"].insert_one({"_id": envelope.id})

    consuming = Consuming(service, KafkaSettings(), DeadLetters(mongo, f"carnet.{service}"))
    consuming.on(topic, (Deposited, handle))
    async with consuming.running():
        await asyncio.sleep(60)


if __name__ == "__main__":
    faults.arm("consuming.ended:1")
    asyncio.run(main(sys.argv[1], sys.argv[2]))
