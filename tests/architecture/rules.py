"""The rules of the house. Each is a check, the sentence that tells the way out, and the page that says why."""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.architecture.source import Module

Found = Iterator[tuple[int, str]]

DRIVERS = {"motor", "pymongo", "bson", "gridfs"}
BROKERS = {"faststream", "aiokafka"}
WEB = {"fastapi", "starlette", "uvicorn", "http"}
ENGINES = DRIVERS | BROKERS | WEB | {"aiohttp", "structlog", "logging", "opentelemetry", "prometheus_client", "socket"}
NAMELESS = {"utils", "util", "common", "helpers", "helper", "misc", "shared", "lib"}
ADAPTERS = {"api", "bootstrap", "consumers", "settings", "store", "__main__"}
CLOCKS = {
    "time.time", "time.time_ns", "time.monotonic", "datetime.datetime.now", "datetime.datetime.utcnow",
    "datetime.datetime.today", "datetime.date.today",
}  # fmt: skip
# Who else may read the environment, and why.
READS_ENVIRONMENT = {
    "chassis/telemetry.py": "OpenTelemetry's own variables have names of their own",
    "deploy/": "it makes the environment of the processes that it starts",
}
# Who else may import a driver, and why.
IMPORTS_DRIVER = {
    "chassis/mongo.py": "it is the one file (ADR 0004)",
    "deploy/local/": "it initiates the replica set, before any service runs",
}


@dataclass(frozen=True)
class Rule:
    """One rule; `check` yields the line and what stands there."""

    name: str
    check: Callable[[Module], Found]
    way_out: str
    adr: str

    def broken_by(self, modules: list[Module]) -> list[str]:
        """Return one message for each violation."""
        return [
            f"{module.path}:{line}: {what}. {self.way_out} Why: docs/adr/{self.adr}"
            for module in modules
            for line, what in self.check(module)
        ]


def _top(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _is_domain(module: Module) -> bool:
    return module.service is not None and module.within[0] == "domain"


def _is_use_case(module: Module) -> bool:
    return module.service is not None and module.within[0] == "use_cases" and module.within[-1] != "__init__"


def contracts_alone(module: Module) -> Found:
    """Find what contracts import beyond pydantic, the standard library and themselves."""
    if module.package == "contracts":
        for line, name in module.imports:
            if _top(name) not in {"contracts", "pydantic"} | sys.stdlib_module_names:
                yield line, f"contracts import {_top(name)}"


def chassis_below(module: Module) -> Found:
    """Find where the chassis knows a service, a deployment or a test."""
    if module.package == "chassis":
        for line, name in module.imports:
            if _top(name) in {"services", "deploy", "tests", "portal"}:
                yield line, f"the chassis imports {name}"


def no_sibling(module: Module) -> Found:
    """Find where a service imports a sibling, a deployment or a test."""
    if module.service is not None:
        for line, name in module.imports:
            parts = name.split(".")
            if parts[0] in {"deploy", "tests", "portal"}:
                yield line, f"{module.service} imports {name}"
            if parts[0] == "services" and parts[1:2] != [module.service]:
                yield line, f"{module.service} imports its sibling {name}"


def one_driver(module: Module) -> Found:
    """Find who imports the database's driver beside the one file."""
    if not module.path.startswith(tuple(IMPORTS_DRIVER)):
        for line, name in module.imports:
            if _top(name) in DRIVERS:
                yield line, f"imports the driver {_top(name)}"


def one_broker(module: Module) -> Found:
    """Find where a service meets Kafka past the chassis: a publish, an acknowledgement policy."""
    if module.service is not None:
        for line, name in module.imports:
            if _top(name) in BROKERS or name.endswith(".AckPolicy"):
                yield line, f"imports {name}"
        for name, call in module.calls():
            if name.endswith(("broker.publish", "producer.send", "producer.send_and_wait")):
                yield call.lineno, f"calls {name}"


def one_environment(module: Module) -> Found:
    """Find who reads the environment beside the settings."""
    settings = module.path == "chassis/settings.py" or (module.service and module.within == ("settings",))
    if settings or module.path.startswith(tuple(READS_ENVIRONMENT)):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute | ast.Name) and module.meaning(node) in {"os.environ", "os.getenv"}:
            yield node.lineno, f"reads {module.meaning(node)}"
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                if module.meaning(base).endswith(("BaseSettings", "chassis.settings.Settings")):
                    yield node.lineno, f"{node.name} reads the environment"


def one_logging(module: Module) -> Found:
    """Find where a service sets logging up."""
    if module.service is not None:
        for name, call in module.calls():
            if name in {"logging.basicConfig", "logging.getLogger", "structlog.configure", "chassis.logs.setup"}:
                yield call.lineno, f"calls {name}"


def no_nameless_room(module: Module) -> Found:
    """Find a folder or a file where everything meets."""
    for part in module.path.removesuffix(".py").split("/"):
        if part in NAMELESS:
            yield 1, f"a room called {part}"


def pure_domain(module: Module) -> Found:
    """Find a domain that knows an engine, HTTP, a contract class or another file of its room."""
    if not _is_domain(module):
        return
    own = f"services.{module.service}.domain"
    for line, name in module.imports:
        if (
            _top(name) in ENGINES | {"contracts"}
            or name.endswith("HTTPStatus")
            or (_top(name) == "chassis" and not name.startswith("chassis.sealing"))
            or (_top(name) == "services" and not f"{name}.".startswith(f"{own}."))
        ):
            yield line, f"the domain imports {name}"


def passed_clock(module: Module) -> Found:
    """Find a domain that reads a clock: it is given the time."""
    if _is_domain(module):
        for name, call in module.calls():
            if name in CLOCKS:
                yield call.lineno, f"the domain calls {name}"


def cases_know_ports(module: Module) -> Found:
    """Find a use case that knows an adapter: it knows its domain and its ports."""
    if _is_use_case(module):
        for line, name in module.imports:
            parts = name.split(".")
            if parts[0] == "services" and parts[2:3] and parts[2] in ADAPTERS:
                yield line, f"the use case imports {name}"
            if parts[0] in WEB | BROKERS:
                yield line, f"the use case imports {name}"


def one_verb(module: Module) -> Found:
    """Find a use case's file that holds no public verb, several, or one of another name."""
    if not _is_use_case(module):
        return
    verbs = [node for node in module.tree.body if _is_verb(node)]
    names = [node.name for node in verbs if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    said = [name.replace("_", "").lower() for name in names]
    if said != [module.within[-1].replace("_", "")]:
        yield 1, f"{module.within[-1]}.py holds the verbs {', '.join(names) or 'none'}"


def _is_verb(node: ast.stmt) -> bool:
    """Say whether a statement defines something that is done: a public function, or a class that is called."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return not node.name.startswith("_")
    methods = {
        each.name for each in getattr(node, "body", []) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return isinstance(node, ast.ClassDef) and not node.name.startswith("_") and "__call__" in methods


def logged_by_name(module: Module) -> Found:
    """Find log lines that could quote somebody: the event is a literal, the error a class."""
    if module.package == "deploy":  # it talks to a person at a terminal, in sentences
        return
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        logger = node.func.value
        if not (isinstance(logger, ast.Name) and logger.id in {"_log", "log", "logger", "_logger"}):
            continue
        if not (node.args and isinstance(node.args[0], ast.Constant)):
            yield node.lineno, "the log's event is made up at run time"
        for keyword in node.keywords:
            if keyword.arg in {"error", "reason"} and not _is_class_name(keyword.value):
                yield node.lineno, f"the log's {keyword.arg} may quote its input"


def _is_class_name(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Attribute) and value.attr in {"__name__", "slug"})


RULES = (
    Rule(
        "contracts-alone", contracts_alone,
        "Contracts are read by everybody: move what needs a library to the chassis.", "0008-the-house.md",
    ),
    Rule(
        "chassis-below", chassis_below,
        "Pass the service's part in as an argument, or move the module into the service.", "0008-the-house.md",
    ),
    Rule(
        "no-sibling", no_sibling,
        "Services speak through Kafka only: add a fact to contracts/, or ask by a flow.", "0008-the-house.md",
    ),
    Rule(
        "one-driver", one_driver,
        "Use chassis.mongo.Mongo; add there what it lacks.", "0004-motor-behind-one-file.md",
    ),
    Rule(
        "one-broker", one_broker,
        "Publish with chassis.outbox.Outbox.add in the transaction; take in with chassis.consuming.Consuming.on.",
        "0007-what-the-chassis-holds.md",
    ),
    Rule(
        "one-environment", one_environment,
        "Add a field to the room's settings.py and pass the value in.", "0008-the-house.md",
    ),
    Rule(
        "one-logging", one_logging,
        "Use chassis.logs.get: its lines go through the allow list.", "0007-what-the-chassis-holds.md",
    ),
    Rule(
        "no-nameless-room", no_nameless_room,
        "Name the file after what it holds, in the field's words.", "0008-the-house.md",
    ),
    Rule(
        "pure-domain", pure_domain,
        "Translate at the edge (api.py, consumers.py, store.py); give the domain its own value.", "0008-the-house.md",
    ),
    Rule(
        "passed-clock", passed_clock,
        "Take the time as an argument: a verdict must be replayable.", "0002-the-journal-is-the-lock.md",
    ),
    Rule(
        "cases-know-ports", cases_know_ports,
        "Add a Protocol to ports.py and let bootstrap.py fill it.", "0008-the-house.md",
    ),
    Rule(
        "one-verb", one_verb,
        "Give each verb a file of its own, called by its name: the folder is an index.", "0008-the-house.md",
    ),
    Rule(
        "logged-by-name", logged_by_name,
        "Write a fixed event, ids as fields, and error=type(error).__name__.", "0007-what-the-chassis-holds.md",
    ),
)  # fmt: skip
