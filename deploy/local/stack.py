"""A whole Carnet: engines, services, front door. `make up` runs one in .carnet, tests others in temporary folders."""

import asyncio
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from deploy.local import engines, front_door
from deploy.local.machine import Ports, check_ports
from deploy.local.processes import DidNotStart, Processes, Program
from deploy.local.readiness import kafka_ready, ready
from deploy.local.trust_material import ServiceProcess, TrustMaterial

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "services" / "consent" / "policies"
LIBRARIES = ROOT / ".carnet" / "kafka-libs"
SERVICES = ("identity", "documents", "consent", "notifications")
DEFAULT_PROCESSES = (
    ServiceProcess("identity"),
    ServiceProcess("documents"),
    ServiceProcess("consent"),
    ServiceProcess("consent", 2, ("decide",)),
    ServiceProcess("notifications"),
)
# What a terminal may tell the processes; every other CARNET_ variable is the stack's own.
_PASSED_ON = ("CARNET_LOG_LEVEL", "CARNET_MONGO_DRIVER")
_READY_SECONDS = 90.0

Event = Literal["starting", "waiting", "ready", "stopping", "stopped"]
Watch = Callable[[str, Event], None]


class Stack:
    """One stack in one data folder.

    `mongods`: one for all services, or one each (then uncompressed, so that a test can search the files). `kafka`:
    bootstrap servers to use instead of starting a broker. `environment`: variables added to every service process.
    """

    def __init__(
        self, data: Path, *, ports: Ports | None = None, processes: Sequence[ServiceProcess] = DEFAULT_PROCESSES,
        mongods: Literal["one", "per-service"] = "one", kafka: str | None = None,
        environment: Mapping[str, str] | None = None, libraries: Path = LIBRARIES, watch: Watch = lambda *_: None,
    ) -> None:  # fmt: skip
        self.data, self.ports = data.resolve(), ports or Ports()
        self.processes: dict[str, ServiceProcess] = {each.name: each for each in processes}
        self.base = f"http://localhost:{self.ports.front_door}"
        self.kafka = kafka or f"127.0.0.1:{self.ports.kafka}"
        self._own_kafka, self._per_service = kafka is None, mongods == "per-service"
        self._libraries, self._watch, self._extra = libraries, watch, dict(environment or {})
        self._running = Processes(self.data, ROOT)
        self._trust: TrustMaterial | None = None

    @property
    def engines(self) -> list[str]:
        """The names of the engines' processes."""
        mongods = [f"mongod-{each}" for each in SERVICES] if self._per_service else ["mongod"]
        return [*mongods, "kafka"] if self._own_kafka else mongods

    @property
    def names(self) -> list[str]:
        """The names of all processes, in the order in which they start."""
        return [*self.engines, *self.processes, "front-door"]

    def mongo_uri(self, service: str) -> str:
        """Return the database server of a service."""
        return f"mongodb://127.0.0.1:{self._mongo_port(service)}/?replicaSet=rs0&directConnection=true"

    def data_of(self, engine: str) -> Path:
        """Return the folder that holds an engine's files."""
        return self.data / engine

    def log_of(self, name: str) -> Path:
        """Return the file that holds a process's output."""
        return self._running.log_of(name)

    def pid_of(self, name: str) -> int | None:
        """Return the pid of a process that is alive."""
        found = self._running.running(name)
        return found.pid if found else None

    def env_of(self, name: str) -> dict[str, str]:
        """Return the variables that a service process is started with (without those of the terminal)."""
        process = self.processes[name]
        self._trust = self._trust or TrustMaterial(self.data / "trust")
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return passed_on | {
            "CARNET_ENVIRONMENT": "local",
            "CARNET_INSTANCE": name,
            "CARNET_KAFKA": self.kafka,
            "CARNET_MONGO": self.mongo_uri(process.service),
            "CARNET_MONGO_DATABASE": f"carnet_{process.service}",
            "CARNET_HTTP_HOST": "127.0.0.1",
            "CARNET_HTTP_PORT": str(self.port_of(name)),
            "CARNET_PUBLIC_BASE": self.base,
            # A killed process must not take its last lines along.
            "PYTHONUNBUFFERED": "1",
            **self._trust.of(process),
            **self._extra,
        }

    def port_of(self, name: str) -> int:
        """Return the port on which a process listens."""
        if name in self.processes:
            return self.ports.services + list(self.processes).index(name)
        if name == "front-door":
            return self.ports.front_door
        return self.ports.kafka if name == "kafka" else self._mongo_port(name.removeprefix("mongod-"))

    async def start(self) -> None:
        """Start what does not run yet, in order, each when what it needs is ready; raise DidNotStart, PortsTaken."""
        check_ports(self._ports_to_take(self.names))
        await self.start_engines()
        await asyncio.gather(self.create_topics(), self.activate_rules())
        await self._start([*self.processes, "front-door"])

    async def start_engines(self) -> None:
        """Start databases and broker only."""
        check_ports(self._ports_to_take(self.engines))
        if self._own_kafka:
            await asyncio.to_thread(engines.fetch_kafka, self._libraries)
        elif not await kafka_ready(self.kafka):
            raise DidNotStart(f"no Kafka broker answers on {self.kafka} (CARNET_KAFKA)")
        await self._start(self.engines)

    async def create_topics(self) -> None:
        """Create the catalogue's topics, where they are absent."""
        await _done("the topics could not be created", {"CARNET_KAFKA": self.kafka}, "chassis.topics")

    async def activate_rules(self) -> None:
        """Put the source's rules in force, where they are others than at this folder's last start.

        Services run the rules that were activated; a developer who changed a rule expects to meet it.
        """
        consent = next((name for name, process in self.processes.items() if process.service == "consent"), None)
        texts = b"".join(file.read_bytes() for file in sorted(POLICIES.iterdir()))
        wanted, stamp = hashlib.sha256(texts).hexdigest(), self.data / "rules"
        if consent is None or (stamp.exists() and stamp.read_text(encoding="ascii") == wanted):
            return
        words = ("services.consent", "rules", "activate", str(POLICIES))
        await _done("the rules could not be activated", await asyncio.to_thread(self.env_of, consent), *words)
        stamp.write_text(wanted, encoding="ascii")

    async def stop(self) -> None:
        """Stop all that runs: the front door and the services, then the engines."""
        alive = [each.name for each in self._running.all()]
        engine = [each.name for each in self._running.all() if each.kind in {"mongod", "kafka"}]
        await asyncio.gather(*(self.stop_process(name) for name in alive if name not in engine))
        await asyncio.gather(*(self.stop_process(name) for name in engine))

    async def start_process(self, name: str, *, wait: bool = True, **environment: str) -> None:
        """Start one process, with more variables for this once (a fault point); wait until it is ready."""
        await self._start([name], environment, wait=wait)

    async def stop_process(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop a process by a signal that ends it, and wait for its end; SIGKILL follows after 15 s."""
        if self.pid_of(name) is not None:
            self._watch(name, "stopping")
            await self._running.stop(name, number)
            self._watch(name, "stopped")

    def signal_process(self, name: str, number: signal.Signals) -> None:
        """Send a signal and wait for nothing: SIGSTOP, SIGCONT."""
        if not self._running.send(name, number):
            raise ProcessLookupError(name)

    async def ready(self, name: str) -> bool:
        """Say whether a process is alive and does its work."""
        found = self._running.running(name)
        return found is not None and await ready(found.kind, found.port)

    async def _start(
        self, names: Sequence[str], environment: Mapping[str, str] | None = None, *, wait: bool = True
    ) -> None:  # fmt: skip
        async def one(program: Program) -> None:
            known = self._running.running(program.name)
            if known is not None and known.digest != program.digest:
                await self.stop_process(program.name)
            self._watch(program.name, "starting")
            stood = self._running.running(program.name) is not None
            self._running.start(program)
            if not wait:
                return
            try:
                await self._until_ready(program)
            except DidNotStart:
                # It may have been dying when we looked: once more, if it is not ours of just now.
                if not stood or self.pid_of(program.name) is not None:
                    raise
                self._running.start(program)
                await self._until_ready(program)

        # One after the other: they make keys and format folders.
        programs = [await asyncio.to_thread(self._program, name, environment or {}) for name in names]
        try:
            async with asyncio.TaskGroup() as group:
                for program in programs:
                    group.create_task(one(program))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _until_ready(self, program: Program) -> None:
        name, end = program.name, time.monotonic() + _READY_SECONDS
        # Both: a stranger on the port could answer in the place of a process that is dead.
        while not ((alive := self.pid_of(name) is not None) and await ready(program.kind, program.port)):
            if not alive or time.monotonic() > end:
                what = f"is not ready after {_READY_SECONDS:.0f} s" if alive else "ended instead of starting"
                log = self.log_of(name)
                raise DidNotStart(f"{name} {what}. The end of {log}:\n{self._running.last_words(name)}")
            self._watch(name, "waiting")
            await asyncio.sleep(0.1)
        self._watch(name, "ready")

    def _program(self, name: str, environment: Mapping[str, str]) -> Program:
        port = self.port_of(name)
        if name in self.processes:
            process = self.processes[name]
            command = (sys.executable, "-m", f"services.{process.service}", "run", *process.roles)
            return Program(name, "service", command, port, environment=self.env_of(name) | dict(environment))
        if name == "front-door":
            serving = [each for each in self.processes.values() if each.serves]
            upstreams = {of: [self.port_of(each.name) for each in serving if each.service == of] for of in SERVICES}
            return front_door.caddy(name, self.data_of(name), port, upstreams)
        if name == "kafka":
            return engines.kafka(name, self.data_of(name), self._libraries, port, self.ports.controller)
        return engines.mongod(name, self.data_of(name), port, compressed=not self._per_service)

    def _mongo_port(self, service: str) -> int:
        return self.ports.mongo + (SERVICES.index(service) if self._per_service else 0)

    def _ports_to_take(self, names: Sequence[str]) -> list[tuple[str, int]]:
        held = {each.name: each.port for each in self._running.all()}
        absent = [(name, self.port_of(name)) for name in names if held.get(name) != self.port_of(name)]
        return absent + [("kafka's controller", self.ports.controller) for name, _ in absent if name == "kafka"]


async def _done(otherwise: str, environment: Mapping[str, str], *module: str) -> None:
    """Run a module to its end; raise DidNotStart with its last words where it failed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module, cwd=ROOT, env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    if process.returncode != 0:
        raise DidNotStart(f"{otherwise}:\n{said.decode(errors='replace')[-2_000:]}")
