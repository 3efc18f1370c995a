"""The pages tell the truth: what they name stands, and each check of it has been seen red."""

import re
from pathlib import Path

import pytest

from tests.architecture.pages import missing, named, on_this_machine, rows, section, tracked, unlocked
from tests.architecture.source import ROOT

ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
HASH = "--hash=sha256:" + "0" * 64
# Chassis files whose tests stand elsewhere than in a file of their own name, and where.
TESTED_BY = {
    "__init__": "contracts/README.md",
    "dead_letters": "tests/integration/chassis/test_consuming.py",
    "command": "tests/unit/chassis/test_roles.py",
    "announcements": "tests/contracts/test_catalogue.py",
    "asking": "tests/unit/chassis/test_flows.py",
    "hearing": "tests/unit/chassis/test_flows.py",
    "problems": "tests/unit/chassis/test_web.py",
    "relay": "tests/integration/chassis/test_outbox.py",
}


@pytest.mark.parametrize("page", ADRS, ids=lambda page: page.stem)
def test_an_adr_says_why_what_and_what_enforces_it(page: Path) -> None:
    """Each page has its parts, and what enforces it stands."""
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]}. ")
    assert all(f"**{part}**" in text.replace(f"**{part}.**", f"**{part}**")
               for part in ("Context", "Decision", "Consequences", "Enforced by"))  # fmt: skip
    enforced = text.partition("**Enforced by**")[2]
    assert named(enforced), "name the tests or files that enforce it"
    assert missing(ROOT, enforced) == []
    assert len(text.splitlines()) <= 60, "one page"


async def test_adrs_are_numbered_without_a_gap() -> None:
    """The numbers run from 0001 on."""
    assert [int(page.name[:4]) for page in ADRS] == list(range(1, len(ADRS) + 1))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "contracts/README.md"])
async def test_what_a_page_names_stands(page: str) -> None:
    """No page names a file or a test that is gone."""
    assert missing(ROOT, (ROOT / page).read_text(encoding="utf-8")) == []


async def test_every_feature_has_the_test_that_shows_it() -> None:
    """Each row of the README's table names at least one test."""
    table = rows(section((ROOT / "README.md").read_text(encoding="utf-8"), "What works"))
    assert len(table) > 5
    assert [row[0] for row in table if not any(path.startswith("tests/") for path, _ in named(row[-1]))] == []


async def test_the_changelog_begins_with_what_is_unreleased() -> None:
    """Keep a Changelog: an Unreleased section, and known kinds of change."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert section(text, "[Unreleased]").strip()
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("file", sorted((ROOT / "chassis").glob("*.py")), ids=lambda file: file.stem)
async def test_a_chassis_file_has_its_tests(file: Path) -> None:
    """Its own test file, or the one that is named here."""
    own = [ROOT / "tests" / kind / "chassis" / f"test_{file.stem}.py" for kind in ("unit", "integration")]
    other = ROOT / TESTED_BY.get(file.stem, "nowhere")
    assert any(place.is_file() for place in [*own, other]), f"no tests of chassis/{file.name}"


async def test_every_chassis_file_says_why_it_stands() -> None:
    """The chassis grows by a reason on its page, not by a file."""
    page = (ROOT / "docs" / "adr" / "0007-what-the-chassis-holds.md").read_text(encoding="utf-8")
    files = {file.stem for file in (ROOT / "chassis").glob("*.py")} - {"__init__"}
    assert {name for name in files if f"`{name}`" not in page} == set()


async def test_the_lock_has_hashes_and_no_address() -> None:
    """Every requirement is pinned by version and hash; where it is fetched from is the installer's business."""
    assert unlocked((ROOT / "requirements.lock").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "lock",
    [
        "a==1",
        "a>=1 \\\n    " + HASH,
        "a==1 \\\n    --hash=sha256:short",
        "a @ https://example.org/a.whl \\\n    " + HASH,
        "--index-url https://example.org/simple\na==1 \\\n    " + HASH,
        f"a==1 \\\n    {HASH}\nb==2\nc==3 \\\n    {HASH}",
    ],
)
async def test_a_loose_lock_is_seen(lock: str) -> None:
    """A missing version, a missing or cut hash, an address: each is found."""
    assert unlocked(lock)
    assert unlocked(f"# comment\na==1 \\\n    {HASH} \\\n    {HASH}\n    # via b\n") == []


async def test_no_file_names_this_machine() -> None:
    """A clone works anywhere."""
    assert on_this_machine(ROOT, tracked(ROOT)) == []


async def test_a_machine_path_is_seen(tmp_path: Path) -> None:
    """The check above finds a planted path, by file and line, and passes over binary files."""
    planted, binary = tmp_path / "planted.py", tmp_path / "binary.bin"
    planted.write_text("fine = 1\nPATH = '/wo" + "rk/main/x'\n", encoding="utf-8")
    binary.write_bytes(b"\xff\xfe")
    assert on_this_machine(tmp_path, [planted, binary]) == ["planted.py:2"]


async def test_what_a_page_invents_is_seen(tmp_path: Path) -> None:
    """A path or a test that does not stand is found, and one that does is not."""
    test = tmp_path / "tests" / "test_it.py"
    test.parent.mkdir()
    test.write_text("async def test_it() -> None: ...\n", encoding="utf-8")
    text = "`tests/test_it.py::test_it` `tests/test_it.py` `tests/test_it.py::test_that` `tests/gone.py`"
    assert missing(tmp_path, text) == ["tests/test_it.py::test_that", "tests/gone.py"]


async def test_a_row_without_its_test_is_seen() -> None:
    """Rows and sections are really read."""
    page = (
        "# x\n## What works\n| a | b |\n|---|---|\n| one | `tests/x.py` |\n| two | soon |\n\n## Limits\n| no | row |\n"
    )
    assert rows(section(page, "What works")) == [["one", "`tests/x.py`"], ["two", "soon"]]
    assert section(page, "Nothing") == ""
