"""What the pages say of the code, read so that it can be checked: paths in back quotes name something that stands."""

import re
import subprocess
from pathlib import Path

_NAMED = re.compile(r"`((?:tests|services|chassis|contracts|deploy|docs)/[\w./-]+)(?:::(\w+))?`")
MACHINE_PATH = re.compile(r"/wor[k]/(?:main|shared|steering|\.)|/tmp/brie[f]|/far[m]/")
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|repo1?\.maven|--(?:extra-)?index-url|\bfile://"
)


def named(text: str) -> list[tuple[str, str | None]]:
    """Return what a text names as (path, test or None)."""
    return [(path, test or None) for path, test in _NAMED.findall(text)]


def missing(root: Path, text: str) -> list[str]:
    """Return what a text names and that does not stand."""
    found = []
    for path, test in named(text):
        place = root / path
        if not place.exists():
            found.append(path)
        elif test and not re.search(rf"^\s*(?:async )?def {test}\(", place.read_text(encoding="utf-8"), re.MULTILINE):
            found.append(f"{path}::{test}")
    return found


def section(text: str, title: str) -> str:
    """Return a section of a page, without its heading; empty when there is none."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def unlocked(lock: str) -> list[str]:
    """Return what is wrong with a lock: a requirement without a version or a hash, an address."""
    found = [line for line in lock.splitlines() if REGISTRY.search(line) or " @ " in line]
    blocks = [block for block in re.split(r"\n(?=\S)", lock.strip()) if not block.startswith("#")]
    pinned = re.compile(r"\S+==\S+.*--hash=sha256:[0-9a-f]{64}", re.DOTALL)
    found += [block.splitlines()[0] for block in blocks if not pinned.match(block)]
    return found


def tracked(root: Path) -> list[Path]:
    """Return the text files that belong to the project: committed, or new and not ignored."""
    listed = subprocess.run(  # noqa: S603 - a fixed command
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [file for name in listed.splitlines() if (file := root / name).is_file()]


def on_this_machine(root: Path, files: list[Path]) -> list[str]:
    """Return the places that name a path of the machine where they were written."""
    found = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        places = [number for number, line in enumerate(text.splitlines(), 1) if MACHINE_PATH.search(line)]
        found += [f"{file.relative_to(root)}:{number}" for number in places]
    return found
