"""Both ends of a flow for tests: a root of their own, whoever it enrolled, and a consent with a trivial judge."""

import asyncio
import secrets
import time
from base64 import b32encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chassis.asking import Asker
from chassis.flows import header_info, request_digest
from chassis.hearing import Heard, Hearer, Judged
from chassis.sealing import b64, seal_to
from chassis.settings import KafkaSettings
from chassis.trust import AnnouncedKeys, Authority, InstanceIdentity, Trust
from contracts.consent import Action, FlowAnswer, FlowHeader, FlowQuestion, FlowRequested
from tests.integration.observing import eventually

DOCUMENT = "carnetexampledocumentaa567"
QUESTION = FlowQuestion(action=Action.READ, token="a.token", documents=(DOCUMENT,))
ALLOWED = FlowAnswer(outcome="allowed", rule="planted")


def new_record() -> str:
    """Return a record's id that no other test knows."""
    return b32encode(secrets.token_bytes(17)).decode().lower()[:26]


@dataclass
class Decider:
    """A trivial consent: it gives one answer to everything, or hangs like a stopped process."""

    hearer: Hearer
    heard: list[Heard] = field(default_factory=list)
    stopped: bool = False
    answer: FlowAnswer = ALLOWED
    continued: asyncio.Event = field(default_factory=asyncio.Event)

    async def judge(self, question: Heard) -> Judged | None:
        """Answer, or never return."""
        if self.stopped:
            await self.continued.wait()
        self.heard.append(question)
        return Judged(self.answer, {"version": 1})

    def go_on(self) -> None:
        """Answer again; what hung until now is answered late."""
        self.stopped, hung = False, self.continued
        self.continued = asyncio.Event()
        hung.set()

    def knows(self, flow: str) -> int:
        """Return how often this flow was judged."""
        return sum(each.flow == flow for each in self.heard)


@dataclass
class World:
    """A root, whoever it enrolled, and the keys that it vouches for."""

    kafka: KafkaSettings
    authority: Authority
    folder: Path
    sealing: AnnouncedKeys
    trust: Trust

    def identity(
        self, instance: str, role: str = "documents", *, actions: tuple[str, ...] = ("read",),
        partitions: tuple[int, ...] = (0,), authority: Authority | None = None, days: float = 90,
    ) -> InstanceIdentity:  # fmt: skip
        """Enrol an instance, under another root if one is named."""
        out = self.folder / f"{instance}-{secrets.token_hex(4)}.json"
        (authority or self.authority).instance(
            role=role, instance=instance, actions=list(actions), reply_partitions=list(partitions), out=out, days=days
        )
        return InstanceIdentity.load(out)

    def asker(self, identity: InstanceIdentity) -> Asker:
        """Return an asker that knows consent's keys."""
        asker = Asker(self.kafka, "documents", identity, self.trust)
        asker.use(self.trust.statement(self.sealing.role_certificate, self.sealing.statement, "consent", "sealing"))
        return asker

    @asynccontextmanager
    async def deciding(self, instance: str, identity: InstanceIdentity | None = None) -> AsyncIterator[Decider]:
        """Run a decider while the block does."""
        private = [self.sealing_key]
        me = identity or self.identity(instance, "consent", actions=())

        async def judge(question: Heard) -> Judged | None:
            return await decider.judge(question)

        decider = Decider(Hearer(self.kafka, me, self.trust, private, judge))
        async with decider.hearer.running():
            await eventually(decider.hearer.ready)
            yield decider

    @property
    def sealing_key(self) -> X25519PrivateKey:
        """Consent's private key."""
        return X25519PrivateKey.from_private_bytes(self.sealing.private[0][1])

    def question(
        self, identity: InstanceIdentity, record: str, *, seconds: float = 1.5, **header: int
    ) -> FlowRequested:
        """Return a question as an asker makes it, with any deadline and header."""
        said = {"reply_partition": 0, "deadline_ms": int((time.time() + seconds) * 1000)} | header
        clear_header = FlowHeader.model_validate({"flow": secrets.token_hex(16), "record": record} | said)
        clear = QUESTION.model_dump_json(exclude_none=True).encode()
        sealed = b64(seal_to(self.sealing_key.public_key(), clear, header_info(clear_header, identity.certificate)))
        return signed(
            FlowRequested(
                header=clear_header,
                role_certificate=identity.role_certificate,
                certificate=identity.certificate,
                sealed=sealed,
                signature="",
            ),
            identity,
        )


def signed(request: FlowRequested, identity: InstanceIdentity) -> FlowRequested:
    """Put an instance's certificate and signature on a question."""
    said = {"certificate": identity.certificate, "role_certificate": identity.role_certificate}
    request = request.model_copy(update=said)
    return request.model_copy(update={"signature": b64(identity.signing_key.sign(request_digest(request)))})
