"""Keys as they are announced: every instance reads the short topic whole, and the highest version holds."""

import asyncio
from collections.abc import Callable

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from chassis import kafka, logs
from chassis.settings import KafkaSettings
from chassis.trust import Statement, Trust, Untrusted
from contracts.consent import SealingKeysAnnounced
from contracts.identity import TokenKeysAnnounced
from contracts.registry import Undecodable, decode, topic_of

USES = {
    "tokens": (TokenKeysAnnounced, "identity"),
    "sealing": (SealingKeysAnnounced, "consent"),
}
_log = logs.get("announcements")


class Announcements:
    """Follows one use of keys and gives each newer statement to a callback."""

    def __init__(self, settings: KafkaSettings, trust: Trust, use: str, believe: Callable[[Statement], None]) -> None:
        self._settings, self._trust, self._use, self._believe = settings, trust, use, believe
        self._version = 0

    async def known(self) -> bool:
        """Say whether a statement was ever believed: a readiness check."""
        return self._version > 0

    async def run(self) -> None:
        """Follow until cancelled."""
        fact_type, role = USES[self._use]
        place = TopicPartition(topic_of(fact_type), 0)
        while True:
            reader = kafka.consumer(self._settings)
            try:
                await reader.start()
                reader.assign([place])
                await reader.seek_to_beginning(place)
                async for record in reader:
                    self._read(record.headers, record.value, role)
            except KafkaError as error:
                _log.warning("interrupted", error=type(error).__name__)
                await asyncio.sleep(1)
            finally:
                await reader.stop()

    def _read(self, headers: list[tuple[str, bytes]], value: bytes | None, role: str) -> None:
        try:
            _, fact = decode(headers, value)
            if not isinstance(fact, TokenKeysAnnounced | SealingKeysAnnounced):
                return
            statement = self._trust.statement(fact.role_certificate, fact.statement, role, self._use)
        except (Undecodable, Untrusted) as error:
            _log.error("not believed", topic=self._use, error=type(error).__name__)
            return
        if statement.version > self._version:
            self._version = statement.version
            self._believe(statement)
