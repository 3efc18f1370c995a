"""A stack with three deciders beside the process that serves, and no documents service: its callers are the tests."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.machine import Ports
from deploy.local.stack import Stack
from deploy.local.trust_material import ServiceProcess

DECIDERS = ("consent-2", "consent-3", "consent-4")


@asynccontextmanager
async def three_deciders(folder: Path) -> AsyncIterator[Stack]:
    """Start the stack, give it, stop it, whatever was paused."""
    processes = [
        ServiceProcess("identity"),
        ServiceProcess("consent", 1, ("serve", "consume", "relay", "beat")),
        *(ServiceProcess("consent", number, ("decide",)) for number in (2, 3, 4)),
    ]
    stack = Stack(folder, ports=Ports.free(), processes=processes)
    await stack.start()
    try:
        yield stack
    finally:
        for name in (*DECIDERS, "kafka"):
            if stack.pid_of(name):
                stack.signal_process(name, signal.SIGCONT)
        await stack.stop()
