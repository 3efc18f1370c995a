"""What the code really publishes and takes in, read from its syntax trees: nobody has to declare it twice.

A service publishes each fact that it constructs, and takes in each topic that it hands to `Consuming.on`. When it
constructs a part of the chassis (`Asker`, `Hearer`, `Announcements`), what that part does is its doing too.
"""

import ast
from dataclasses import dataclass, field

from chassis import flows
from chassis.announcements import USES
from contracts.registry import FACTS, topic_of
from tests.architecture.source import Module

CLASSES = {f"{fact.__module__}.{fact.__name__}": fact for fact in FACTS.values()}
_FOLLOWED = {f"chassis.flows.{name}": value for name, value in vars(flows).items() if isinstance(value, str)}


class Unreadable(Exception):
    """The code wires itself in a way that this reading does not follow: write it plainly, or teach the reading."""


@dataclass
class Wiring:
    """Topics taken in, fact types handled, fact types published."""

    topics: set[str] = field(default_factory=set)
    handled: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)

    def add(self, other: "Wiring") -> None:
        """Take over what a part does."""
        self.topics |= other.topics
        self.handled |= other.handled
        self.published |= other.published


def wirings(modules: list[Module]) -> dict[str, Wiring]:
    """Return what each service does, by its name."""
    chassis = {module.name: module for module in modules if module.package == "chassis"}
    found: dict[str, Wiring] = {}
    for module in modules:
        if module.service is None:
            continue
        wiring = found.setdefault(module.service, Wiring())
        for name, call in module.calls():
            if name in CLASSES:
                wiring.published.add(CLASSES[name].TYPE)
            elif name.endswith(".on") or (isinstance(call.func, ast.Attribute) and call.func.attr == "on"):
                wiring.add(_subscription(module, call))
            elif name == "chassis.announcements.Announcements":
                wiring.add(_announcements(module, call))
            elif (part := chassis.get(name.rpartition(".")[0])) is not None and name.split(".")[-1] in _classes(part):
                wiring.add(_of_part(part))
    return found


def _classes(module: Module) -> set[str]:
    return {node.name for node in module.tree.body if isinstance(node, ast.ClassDef)}


def _of_part(part: Module) -> Wiring:
    """Return what a part of the chassis does by itself: the facts it makes and tells apart, the topics it reads."""
    wiring = Wiring()
    for name, call in part.calls():
        if name in CLASSES:
            wiring.published.add(CLASSES[name].TYPE)
        elif name == "isinstance" and (told := CLASSES.get(part.meaning(call.args[1]))):
            wiring.handled.add(told.TYPE)
        elif name.endswith((".TopicPartition", ".subscribe")):
            names = [node for each in call.args[:1] for node in ast.walk(each) if isinstance(node, ast.Name)]
            wiring.topics |= {_FOLLOWED[full] for node in names if (full := part.meaning(node)) in _FOLLOWED}
    return wiring


def _subscription(module: Module, call: ast.Call) -> Wiring:
    """Read `consuming.on(topic, (Fact, handler), ...)`."""
    if len(call.args) < 2 or not all(isinstance(each, ast.Tuple) for each in call.args[1:]):
        raise Unreadable(f"{module.path}:{call.lineno}")
    wiring = Wiring({_topic(module, call.args[0])})
    for pair in call.args[1:]:
        fact = CLASSES.get(module.meaning(pair.elts[0])) if isinstance(pair, ast.Tuple) else None
        if fact is None:
            raise Unreadable(f"{module.path}:{call.lineno}")
        wiring.handled.add(fact.TYPE)
    return wiring


def _topic(module: Module, node: ast.expr) -> str:
    """Return a topic's name: a literal, a constant of the module, or `topic_of(Fact)`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name) and node.id in module.constants:
        return _topic(module, module.constants[node.id])
    if isinstance(node, ast.Call) and module.meaning(node.func) == "contracts.registry.topic_of":
        fact = CLASSES.get(module.meaning(node.args[0]))
        if fact is not None:
            return topic_of(fact)
    raise Unreadable(f"{module.path}:{node.lineno}")


def _announcements(module: Module, call: ast.Call) -> Wiring:
    """Read `Announcements(kafka, trust, "tokens", believe)`."""
    uses = [each.value for each in [*call.args, *(k.value for k in call.keywords)] if isinstance(each, ast.Constant)]
    facts = [USES[use][0] for use in uses if isinstance(use, str) and use in USES]
    if len(facts) != 1:
        raise Unreadable(f"{module.path}:{call.lineno}")
    return Wiring({topic_of(facts[0])}, {facts[0].TYPE})
