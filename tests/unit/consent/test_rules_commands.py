"""The commands of the public rules: what they print, what they refuse, and that a refused file leaves no trace."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from chassis.sealing import b64
from services.consent.bootstrap import Desk
from services.consent.domain.bundle import TABLE, Bundle
from services.consent.domain.cosigning import Cosigning, statement
from services.consent.domain.habilitation import read_table
from services.consent.domain.rules import POLICIES
from services.consent.in_force import Archive
from services.consent.rules_commands import rules_commands
from services.consent.settings import ConsentSettings
from services.consent.use_cases.compare_rules import CompareRules
from services.consent.use_cases.read_rules import ReadRules
from tests.unit.consent.people import RULES
from tests.unit.consent.test_habilitation import OFFICIAL
from tests.unit.consent.test_in_force import House
from tests.unit.consent.variants import PACKAGE, POLICY

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Terminal:
    """The commands on ports in memory, and a folder of rules."""

    def __init__(self, folder: Path, cosigning: Cosigning) -> None:
        self.house, self.folder = House(), folder
        house = self.house

        @asynccontextmanager
        async def desk(_: ConsentSettings) -> AsyncIterator[Desk]:
            yield Desk(
                activate=house.operator(cosigning),
                read=ReadRules(house.activations, house.bundles),
                compare=CompareRules(house.activations, house.bundles),
                archive=Archive(house.bundles),
            )

        self.commands = rules_commands(lambda: ConsentSettings(environment="local"), desk)

    def run(self, *words: Any) -> Result:
        """Run one command."""
        return CliRunner().invoke(self.commands, [str(each) for each in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the package's rules."""
    return shutil.copytree(POLICIES, tmp_path / "rules")


@pytest.fixture
def terminal(folder: Path) -> Terminal:
    """Sit down where no signature is needed."""
    return Terminal(folder, Cosigning())


def test_a_folder_is_shown_without_a_database(terminal: Terminal) -> None:
    """Its digest, what co-signers sign, the table's label, and every rule in French."""
    shown = terminal.run("show", terminal.folder)
    assert shown.exit_code == 0, shown.output
    assert f"Empreinte : {PACKAGE.digest}" in shown.output
    assert f"À cosigner : {statement(PACKAGE.digest).decode()}" in shown.output
    assert "(table provisoire, sans valeur officielle)" in shown.output
    assert all(rule.sentence in shown.output and rule.law in shown.output for rule in RULES.rules.values())


def test_rules_are_activated_shown_and_compared(terminal: Terminal) -> None:
    """From a folder into force, then by digest, by folder or by none."""
    assert terminal.run("show").exit_code == 1
    first = terminal.run("activate", terminal.folder)
    assert (first.exit_code, PACKAGE.digest in first.output) == (0, True), first.output
    assert PACKAGE.digest in terminal.run("show").output
    with (terminal.folder / "directives.cedar").open("a", encoding="utf-8") as out:
        out.write(POLICY)
    newer = Bundle.read(terminal.folder).digest
    for words in (("diff", PACKAGE.digest, terminal.folder), ("diff", POLICIES, terminal.folder)):
        told = terminal.run(*words)
        assert (told.exit_code, told.output.splitlines()[0]) == (0, "Règle ajoutée : planted")
    assert terminal.run("activate", terminal.folder).exit_code == 0
    assert newer in terminal.run("show").output
    assert "Règle retirée : planted" in terminal.run("diff", newer, PACKAGE.digest).output
    assert "Rien" in terminal.run("diff", newer, newer).output


def test_a_bundle_is_activated_with_its_signatures(folder: Path, tmp_path: Path) -> None:
    """Detached signatures in files: none, a stranger's, then the association's."""
    terminal = Terminal(folder, Cosigning((b64(KEY.public_key().public_bytes_raw()),), 1))
    refused = terminal.run("activate", folder)
    assert (refused.exit_code, "NotCosigned" in refused.output) == (1, True)
    mine, foreign = tmp_path / "mine.sig", tmp_path / "foreign.sig"
    mine.write_bytes(KEY.sign(statement(PACKAGE.digest)))
    foreign.write_bytes(Ed25519PrivateKey.generate().sign(statement(PACKAGE.digest)))
    assert terminal.run("activate", folder, "--signature", foreign).exit_code == 1
    assert terminal.house.journal.entries == {}
    assert terminal.run("activate", folder, "--signature", foreign, "--signature", mine).exit_code == 0


@pytest.mark.parametrize("words", [("activate", "nowhere"), ("show", "nowhere"), ("diff", "nowhere", "nowhere")])
def test_what_is_nowhere_is_told_in_a_line(terminal: Terminal, words: tuple[str, ...]) -> None:
    """No traceback for a folder that is absent or a digest that nobody kept."""
    told = terminal.run(*words)
    assert told.exit_code == 1
    assert len(told.output.strip().splitlines()) == 1


def test_broken_rules_are_told_in_a_line(terminal: Terminal) -> None:
    """A folder that does not load is not activated, and the reason is said."""
    (terminal.folder / "directives.cedar").write_text("permit (principal, action, resource);", encoding="utf-8")
    told = terminal.run("activate", terminal.folder)
    assert (told.exit_code, "a rule of directives.cedar lacks @fr, @id, @law" in told.output) == (1, True), told.output


def test_an_official_table_is_loaded_by_one_command(terminal: Terminal, tmp_path: Path) -> None:
    """The folder's table is the official one; what its file does not name is said, and the rest is untouched."""
    file = tmp_path / "official.csv"
    file.write_bytes(b"\xef\xbb\xbf" + OFFICIAL.replace("\n", "\r\n").encode())
    told = terminal.run("load-habilitation", file, "--into", terminal.folder, "--source", "arrêté du 26 octobre 2023")
    assert told.exit_code == 0, told.output
    assert "10 : 112 types" in told.output
    after = Bundle.read(terminal.folder)
    matrix = read_table(after.table)
    assert (matrix.authoritative, matrix.source, matrix.professions) == (
        True,
        "arrêté du 26 octobre 2023",
        ("10", "40"),
    )
    assert {name for name in after.texts if after.texts[name] != PACKAGE.texts[name]} == {TABLE}
    assert "provisoire" not in terminal.run("show", terminal.folder).output


def test_a_table_without_a_named_source_is_named_by_its_digest(terminal: Terminal, tmp_path: Path) -> None:
    """Where it came from can be checked against the file."""
    file = tmp_path / "official.csv"
    file.write_text(OFFICIAL, encoding="utf-8")
    assert terminal.run("load-habilitation", file, "--into", terminal.folder).exit_code == 0
    assert "SHA-256" in read_table(Bundle.read(terminal.folder).table).source


@pytest.mark.parametrize(
    ("held", "error"),
    [
        (
            b"profession,type,read\n10,11502-2,yes\n10,11502-3,yes\n",
            "line 3: '11502-3' is not in the value set of types",
        ),
        (b"profession,type,read\n10,11502-2,yes\n40,\xe9,no\n", "line 3: not UTF-8"),
        (b"", "line 1: the header is not profession,type,read"),
    ],
)
def test_a_table_with_an_error_is_not_written(terminal: Terminal, tmp_path: Path, held: bytes, error: str) -> None:
    """The error's line is told, and the folder is byte for byte what it was."""
    file = tmp_path / "official.csv"
    file.write_bytes(held)
    before = {each.name: each.read_bytes() for each in terminal.folder.iterdir()}
    told = terminal.run("load-habilitation", file, "--into", terminal.folder)
    assert (told.exit_code, told.output.strip()) == (1, error)
    assert {each.name: each.read_bytes() for each in terminal.folder.iterdir()} == before
