"""`python -m contracts`: write the schema of every fact that has none yet; change none that stands."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from contracts.fact import Fact
from contracts.registry import FACTS

SCHEMAS = Path(__file__).parent / "schemas"


def schema_text(fact: type[Fact]) -> str:
    """Return the JSON Schema (2020-12) of a fact, as the file holds it."""
    return json.dumps(fact.model_json_schema(mode="serialization"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def minors(kind: str, schemas: Path = SCHEMAS) -> list[Path]:
    """Return the schema files of a type, the oldest minor first."""
    return sorted((schemas / kind).glob("v*.json"), key=lambda file: int(file.stem.split(".")[1]))


def write(facts: Mapping[str, type[Fact]] = FACTS, schemas: Path = SCHEMAS) -> list[Path]:
    """Add `v<major>.<minor>.json` for each fact whose newest schema differs from its class; return the new files."""
    written = []
    for kind, fact in facts.items():
        standing = minors(kind, schemas)
        if standing and standing[-1].read_text(encoding="utf-8") == schema_text(fact):
            continue
        major = kind.rsplit(".v", 1)[1]
        file = schemas / kind / f"v{major}.{len(standing)}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(schema_text(fact), encoding="utf-8")
        written.append(file)
    return written


if __name__ == "__main__":
    for path in write():
        sys.stdout.write(f"{path.relative_to(SCHEMAS.parent)}\n")
