"""How to tell that a process does its work; for a mongod also what makes it do so, which may be asked again safely."""

import asyncio
import contextlib
from typing import Any

import aiohttp
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.processes import Kind

_NOT_YET_INITIALIZED = 94
_OK = 200


async def ready(kind: Kind, port: int) -> bool:
    """Say whether what listens on this port of 127.0.0.1 does its work."""
    if not await _listens(port):
        # The clients would report each refused connection of an engine that boots.
        return False
    if kind == "mongod":
        return await asyncio.to_thread(mongod_ready, port)
    if kind == "kafka":
        return await kafka_ready(f"127.0.0.1:{port}")
    path = "/health/ready" if kind == "service" else "/"
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
            session.get(f"http://127.0.0.1:{port}{path}") as answer,
        ):
            # The door answers 404 for "/": it stands.
            return answer.status == _OK or kind == "front-door"
    return False


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def mongod_ready(port: int) -> bool:
    """Say whether this mongod is a writable primary; make it one if it never was, or if its port has changed."""
    me = f"127.0.0.1:{port}"
    members = [{"_id": 0, "host": me}]
    # The blocking client: the asynchronous one leaves a socket open when it is closed while its monitor connects.
    client: MongoClient[dict[str, Any]] = MongoClient(
        f"mongodb://{me}/?directConnection=true", serverSelectionTimeoutMS=500, connectTimeoutMS=500
    )
    try:
        if client.admin.command("hello").get("isWritablePrimary"):
            return True
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code == _NOT_YET_INITIALIZED:
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            return False
        if [each["host"] for each in config["members"]] != [me]:
            moved = {**config, "version": config["version"] + 1, "members": members}
            client.admin.command("replSetReconfig", moved, force=True)
    except PyMongoError:
        return False
    finally:
        client.close()
    return False


async def kafka_ready(bootstrap: str) -> bool:
    """Say whether a broker answers there and knows itself as one of the cluster."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=2_000)
    try:
        async with asyncio.timeout(4):
            await client.bootstrap()
            return bool(client.cluster.brokers())
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await client.close()
