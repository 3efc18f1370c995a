"""When a decider calls itself ready: questions reach it then, and not before."""

import asyncio
import time
from contextlib import suppress
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from chassis import kafka
from chassis.asking import ConsentUnreachable
from chassis.flows import REQUESTS
from chassis.hearing import Heard, Hearer, Judged
from contracts.consent import FlowAnswer
from contracts.registry import catalogue
from tests.integration.deciding import ALLOWED, QUESTION, World, new_record
from tests.integration.observing import eventually


class Greedy(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Gives every partition to one member: the others are left without, as those beyond the partitions' number are."""

    def __init__(self) -> None:
        self.one, self.members = "", 0

    def assign(self, cluster: Any, members: Any) -> Any:
        """Assign, as the group's leader does for all."""
        self.one, self.members = self.one if self.one in members else next(iter(members)), len(members)
        nothing = dict.fromkeys(members, ConsumerProtocolMemberAssignment(self.version, [], b""))
        return nothing | super().assign(cluster, {self.one: members[self.one]})


async def test_a_decider_is_ready_once_it_holds_partitions(world: World) -> None:
    """A process that decides nothing is ready; one that decides is not until it has partitions, and answers then."""

    async def judge(_: Heard) -> Judged:
        return Judged(ALLOWED, {"version": 1})

    me, greedy = world.identity("consent-readiness", "consent", actions=()), Greedy()
    hearer, asker = Hearer(world.kafka, me, world.trust, [world.sealing_key], judge), world.asker(world.identity("d-1"))
    other = kafka.consumer(world.kafka, group_id=Hearer.GROUP, partition_assignment_strategy=[greedy])

    async def other_has_all() -> bool:
        return len(other.assignment()) == catalogue()[REQUESTS].partitions

    async def both_are_assigned() -> bool:
        return greedy.members == 2

    async def answered() -> FlowAnswer | None:
        with suppress(ConsentUnreachable):  # a busy machine may be late once
            return await asker.ask(new_record(), QUESTION)
        return None

    assert await hearer.ready()
    async with asker.running():
        async with kafka.started(other):
            other.subscribe([REQUESTS])
            await eventually(other_has_all, 60)
            async with hearer.running():
                await eventually(both_are_assigned, 30)
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    assert not await hearer.ready()
                    await asyncio.sleep(0.05)
                assert await other_has_all()
                await other.stop()
                await eventually(hearer.ready, 30)
                assert await eventually(answered) == ALLOWED
        assert await hearer.ready()
