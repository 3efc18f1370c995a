"""Clients of the broker get the settings on which correctness rests."""

import asyncio
import ssl

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from chassis import kafka
from chassis.settings import KafkaSettings


async def test_a_deployment_speaks_tls_and_checks_the_broker() -> None:
    """With TLS asked for, the broker's certificate and name are verified."""
    context = kafka.connection(KafkaSettings(security_protocol="SASL_SSL"))["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert "ssl_context" not in kafka.connection(KafkaSettings())


async def test_a_producer_waits_for_every_replica_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All replicas acknowledge, a retry is no repeat, and nothing is delayed to fill a batch."""
    made: list[dict[str, object]] = []
    monkeypatch.setattr(kafka, "AIOKafkaProducer", lambda **options: made.append(options))
    kafka.producer(KafkaSettings())
    options = made[0]
    assert (options["acks"], options["enable_idempotence"], options["linger_ms"]) == ("all", True, 0)


async def test_a_consumer_commits_only_what_was_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No offset is committed by a timer."""
    made: list[dict[str, object]] = []
    monkeypatch.setattr(kafka, "AIOKafkaConsumer", lambda **options: made.append(options))
    kafka.consumer(KafkaSettings(), group_id="g")
    assert (made[0]["enable_auto_commit"], made[0]["group_id"]) == (False, "g")


async def test_what_was_started_is_stopped() -> None:
    """A client is stopped when its block ends, by an error too."""

    class Client:
        """Remembers."""

        def __init__(self) -> None:
            self.seen: list[str] = []

        async def start(self) -> None:
            """Start."""
            self.seen.append("start")

        async def stop(self) -> None:
            """Stop."""
            self.seen.append("stop")

    client = Client()
    with pytest.raises(ValueError, match="x"):
        async with kafka.started(client):
            raise ValueError("x")
    assert client.seen == ["start", "stop"]


async def test_a_client_that_cannot_start_is_stopped_too() -> None:
    """What a failed start had opened is closed, and its error passes on."""

    class Client:
        """Finds no broker."""

        stopped = False

        async def start(self) -> None:
            """Fail."""
            raise KafkaConnectionError

        async def stop(self) -> None:
            """Stop."""
            self.stopped = True

    client = Client()
    with pytest.raises(KafkaConnectionError):
        async with kafka.started(client):
            pass
    assert client.stopped


async def test_an_unread_error_of_a_send_is_read_and_counted() -> None:
    """Where a deadline has the last word, a failed send is a number and no complaint."""
    before = kafka.UNSENT._value.get()
    for error in (None, KafkaTimeoutError()):
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.set_exception(error) if error else sent.set_result(None)
        kafka.read_error(sent)
    left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left.cancel()
    kafka.read_error(left)
    assert kafka.UNSENT._value.get() == before + 1
