"""The project's source as trees: which module imports what, and what each name in it stands for."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "chassis", "services", "deploy")


@dataclass(frozen=True)
class Module:
    """One file: its path from the root (posix), and its syntax tree."""

    path: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The top-level folder."""
        return self.path.split("/")[0]

    @property
    def service(self) -> str | None:
        """The service's name, for a file of a room."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == "services" and len(parts) > 2 else None

    @property
    def within(self) -> tuple[str, ...]:
        """The path inside the room (or inside the top-level folder), without `.py`."""
        parts = self.path.removesuffix(".py").split("/")
        return tuple(parts[2:] if self.service else parts[1:])

    @property
    def name(self) -> str:
        """The dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Every import as (line, dotted name); `from a import b` is `a.b`."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
        return found

    @cached_property
    def meanings(self) -> dict[str, str]:
        """What each imported name stands for, in full."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {
                    alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
                    for alias in node.names
                }
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                found |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
        return found

    @cached_property
    def constants(self) -> dict[str, ast.expr]:
        """What the module's own top-level names are assigned."""
        found: dict[str, ast.expr] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    found |= _paired(target, node.value)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                found |= _paired(node.target, node.value)
        return found

    def meaning(self, node: ast.expr) -> str:
        """Return the full dotted name of an expression such as `documents.Deposited`; empty when it is none."""
        if isinstance(node, ast.Name):
            return self.meanings.get(node.id, f"{self.name}.{node.id}" if node.id in self.constants else node.id)
        if isinstance(node, ast.Attribute):
            above = self.meaning(node.value)
            return f"{above}.{node.attr}" if above else ""
        return ""

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Yield every call with the full name of what is called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield self.meaning(node.func), node

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        inside = self.path.removesuffix(".py").split("/")[: -node.level]
        return ".".join([*inside, *([node.module] if node.module else [])])


def _paired(target: ast.expr, value: ast.expr) -> dict[str, ast.expr]:
    if isinstance(target, ast.Name):
        return {target.id: value}
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=False)
        return {name.id: each for name, each in pairs if isinstance(name, ast.Name)}
    return {}


def modules(root: Path = ROOT, packages: tuple[str, ...] = PACKAGES) -> list[Module]:
    """Return every Python file of these packages."""
    files = [file for package in packages for file in sorted((root / package).rglob("*.py"))]
    return [
        Module(file.relative_to(root).as_posix(), ast.parse(file.read_text(encoding="utf-8"), str(file)))
        for file in files
    ]
