"""Every type has its card, its schemas and its examples, and all of them only ever grow."""

import copy
import json
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import jsonschema_rs
import pytest

from contracts.__main__ import SCHEMAS, minors, schema_text, write
from contracts.fact import Fact, RecordId
from contracts.registry import FACTS, Envelope, catalogue, decode, topic_of

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "contracts" / "examples"
KINDS = sorted(FACTS)


def examples(kind: str) -> list[Path]:
    """Return the examples of a type's major."""
    return sorted((EXAMPLES / kind / f"v{kind.rsplit('.v', 1)[1]}").glob("*.json"))


def headers(fact: Fact) -> list[tuple[str, bytes]]:
    """Return the headers that such a fact would travel with."""
    owner = fact.TYPE.split(".")[1]
    return Envelope(
        source=f"carnet/{owner}", type=fact.TYPE, subject=fact.record_id, correlation_id="example"
    ).to_headers()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_type_has_a_card_a_schema_and_an_example(kind: str) -> None:
    """Each fact stands on one topic with an owner and a consumer, and has a schema and an example."""
    topics = [name for name, card in catalogue().items() if kind in card.types]
    assert topics == [topic_of(FACTS[kind])]
    card = catalogue()[topics[0]]
    assert card.owner == kind.split(".")[1]
    assert card.consumers
    assert minors(kind), f"no schema of {kind}: run `python -m contracts`"
    assert examples(kind), f"no example of {kind}: add {EXAMPLES.name}/{kind}/v1/<name>.json"


async def test_no_schema_example_or_card_without_a_type() -> None:
    """What the folders and the catalogue name is a registered type."""
    assert {folder.name for folder in SCHEMAS.iterdir()} == set(KINDS)
    assert {folder.name for folder in EXAMPLES.iterdir()} == set(KINDS)
    assert {kind for card in catalogue().values() for kind in card.types} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_newest_schema_is_the_class(kind: str) -> None:
    """The newest schema file is what the class generates today."""
    newest = minors(kind)[-1].read_text(encoding="utf-8")
    assert newest == schema_text(FACTS[kind]), f"{kind} changed: run `python -m contracts` to write its next minor"


@pytest.mark.parametrize("kind", KINDS)
async def test_each_example_decodes_and_satisfies_every_schema_of_its_major(kind: str) -> None:
    """Old examples decode today, and new ones satisfy the oldest schema of their major."""
    for example in examples(kind):
        value = example.read_bytes()
        fact = FACTS[kind].model_validate_json(value)
        envelope, decoded = decode(headers(fact), value)
        assert (envelope.type, decoded) == (kind, fact)
        for schema in minors(kind):
            jsonschema_rs.validator_for(json.loads(schema.read_text(encoding="utf-8"))).validate(json.loads(value))


def narrowing(older: dict[str, Any], newer: dict[str, Any]) -> list[str]:
    """Return what a minor may not do: drop, change or require a field, or touch a closed value."""
    before, after = _bare(older), _bare(newer)
    found = [
        f"field {name} changed or gone"
        for name, schema in before["properties"].items()
        if after["properties"].get(name) != schema
    ]
    if set(after.get("required", [])) != set(before.get("required", [])):
        found.append("the required fields changed")
    found += [
        f"{name} changed or gone"
        for name, schema in before.get("$defs", {}).items()
        if after["$defs"].get(name) != schema
    ]
    return found


def _bare(value: Any) -> Any:
    """Return a schema without its prose: words may be bettered."""
    if isinstance(value, dict):
        # A property may well be called "title": prose is a string, a property's schema is not.
        return {k: _bare(v) for k, v in value.items() if not (k in {"description", "title"} and isinstance(v, str))}
    return [_bare(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", KINDS)
async def test_a_minor_only_adds_optional_fields(kind: str) -> None:
    """From one minor to the next, nothing is dropped, changed or made required."""
    schemas = [json.loads(file.read_text(encoding="utf-8")) for file in minors(kind)]
    for older, newer in pairwise(schemas):
        assert narrowing(older, newer) == [], f"{kind}: that is a new major (contracts/README.md)"


async def test_a_narrowing_minor_is_seen() -> None:
    """The check above finds a dropped field, a changed one, a new required one and a touched closed value."""
    older = json.loads(minors("carnet.consent.flow-requested.v1")[0].read_text(encoding="utf-8"))
    assert narrowing(older, older) == []
    worded = copy.deepcopy(older)
    worded["properties"]["sealed"]["description"] = "In better words."
    worded["properties"]["added"] = {"type": "string"}
    assert narrowing(older, worded) == []
    dropped, changed, required, closed = (copy.deepcopy(older) for _ in range(4))
    del dropped["properties"]["sealed"]
    changed["properties"]["sealed"]["pattern"] = "^x$"
    required["properties"]["added"] = {"type": "string"}
    required["required"].append("added")
    closed["$defs"]["FlowHeader"]["properties"]["added"] = {"type": "string"}
    assert all(narrowing(older, newer) for newer in (dropped, changed, required, closed))


class Grown(Fact):
    """A fact whose second minor has one more field."""

    TYPE: ClassVar = "carnet.test.grown.v1"

    record: RecordId


class GrownSince(Grown):
    """Its second minor."""

    note: str | None = None


async def test_a_changed_class_gets_the_next_minor_and_leaves_the_first(tmp_path: Path) -> None:
    """`python -m contracts` adds files, and rewrites none."""
    first = write({Grown.TYPE: Grown}, tmp_path)
    text = first[0].read_text(encoding="utf-8")
    assert [file.name for file in first] == ["v1.0.json"]
    assert write({Grown.TYPE: Grown}, tmp_path) == []
    assert [file.name for file in write({Grown.TYPE: GrownSince}, tmp_path)] == ["v1.1.json"]
    assert first[0].read_text(encoding="utf-8") == text


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - a fixed command
        ["git", "-C", str(repository), *arguments],  # noqa: S607 - git is on the PATH of whoever has a clone
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def rewritten(repository: Path) -> set[str]:
    """Return the schema files that were ever changed, renamed or removed, in a commit or in the working tree."""
    place = ["--", "contracts/schemas"]
    log = _git(repository, "log", "-m", "--no-renames", "--diff-filter=MDT", "--name-only", "--format=", *place)
    status = _git(repository, "status", "--porcelain", "--no-renames", "--untracked-files=all", *place)
    # `A` is staged and new: until it is committed it may still change.
    return {*log.split(), *(line[3:] for line in status.splitlines() if line[:2] not in {"??", "A ", "AM", "AD"})}


async def test_schemas_are_append_only() -> None:
    """No committed schema was ever changed or removed."""
    assert rewritten(ROOT) == set(), "a schema is a promise: restore the file and run `python -m contracts`"


@pytest.mark.parametrize("deed", ["changed", "removed", "renamed", "changed and committed", "removed and committed"])
async def test_a_rewritten_schema_is_seen(tmp_path: Path, deed: str) -> None:
    """The check above finds a changed, removed or renamed file, committed or not, and passes an added one."""
    file = tmp_path / "contracts" / "schemas" / "carnet.test.grown.v1" / "v1.0.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}", encoding="utf-8")
    _git(tmp_path, "init", "--quiet")
    _commit(tmp_path)
    (file.parent / "v1.1.json").write_text("{}", encoding="utf-8")
    assert rewritten(tmp_path) == set()
    _commit(tmp_path)
    assert rewritten(tmp_path) == set()
    if deed.startswith("changed"):
        file.write_text('{"type": "object"}', encoding="utf-8")
    elif deed.startswith("removed"):
        file.unlink()
    else:
        file.rename(file.parent / "v1.2.json")
    if deed.endswith("committed"):
        _commit(tmp_path)
    assert rewritten(tmp_path) == {"contracts/schemas/carnet.test.grown.v1/v1.0.json"}


def _commit(repository: Path) -> None:
    _git(repository, "add", "--all")
    _git(repository, "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false",
         "commit", "--quiet", "--message", "step")  # fmt: skip
