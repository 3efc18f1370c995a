"""The public rules from a terminal: show, compare, activate, load the official habilitation table."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chassis import faults
from chassis.mongo import DatabaseError
from chassis.settings import UnsafeSettings
from services.consent.bootstrap import Desk
from services.consent.domain.bundle import TABLE, Bundle
from services.consent.domain.cosigning import NotCosigned, statement
from services.consent.domain.difference import difference
from services.consent.domain.entry import Entry
from services.consent.domain.habilitation import Matrix, TableBroken, official_table, read_table
from services.consent.domain.rules import Rules
from services.consent.french.phrases import when
from services.consent.french.rules_views import difference_lines, difference_view, matrix_view, rule_lines, rule_view
from services.consent.ports import OutcomeUnknown, RulesUnsettled, UnknownRules
from services.consent.settings import ConsentSettings

Opening = Callable[[ConsentSettings], AbstractAsyncContextManager[Desk]]
_Named = Annotated[str | None, typer.Argument(help="A folder or a digest; in force when absent.")]
_From = Annotated[str, typer.Argument(metavar="FROM")]
_To = Annotated[str, typer.Argument(metavar="TO")]
_Signatures = Annotated[
    list[Path] | None, typer.Option(help="A co-signature (Ed25519, 64 bytes) of what `show` prints; repeat it.")
]
_Into = Annotated[Path, typer.Option(help="The folder of rules; activate it afterwards.")]
_Source = Annotated[str | None, typer.Option(help="Where the table comes from; its digest when absent.")]


def rules_commands(settings: Callable[[], ConsentSettings], opening: Opening) -> typer.Typer:
    """Return the group of commands; `opening` gives what they work with on a database."""
    group = typer.Typer(no_args_is_help=True, help="The public rules: show, compare, activate.")
    counter = _Counter(settings, opening)

    @group.command("show", help="Print rules in French: a folder's, a digest's, or those in force.")
    def show(named: _Named = None) -> None:
        with _said():
            _show(counter.bundle(named))

    @group.command("diff", help="Print in French what changes from one to the other: folders, or digests.")
    def diff(before: _From, after: _To) -> None:
        with _said():
            found = difference(counter.bundle(before), counter.bundle(after))
            typer.echo("\n".join(difference_lines(difference_view(found))))

    @group.command("activate", help="Put a folder's rules in force: from then on no verdict is written under others.")
    def activate(folder: Path, signature: _Signatures = None) -> None:
        with _said():
            entry = counter.activated(Bundle.read(folder), [each.read_bytes() for each in signature or []])
            typer.echo(f"En vigueur depuis {when(entry.at)} : {entry.about}")

    @group.command("load-habilitation", help="Write an official table (profession,type,read) into a folder of rules.")
    def load_habilitation(file: Path, into: _Into, source: _Source = None) -> None:
        with _said():
            held = file.read_bytes()
            origin = source or f"fichier officiel, SHA-256 {hashlib.sha256(held).hexdigest()}"
            _tell(into / TABLE, read_table(_loaded(into, _text(held), origin)))

    return group


class _Counter:
    """What the commands ask of a database, one question a connection."""

    def __init__(self, settings: Callable[[], ConsentSettings], opening: Opening) -> None:
        self._settings, self._opening = settings, opening

    def bundle(self, named: str | None) -> Bundle:
        """Return a folder's bundle, the one kept under a digest, or the one in force."""
        if named is not None and Path(named).is_dir():
            return Bundle.read(Path(named))
        return asyncio.run(self._kept(named))

    def activated(self, bundle: Bundle, signatures: list[bytes]) -> Entry:
        """Activate a bundle; return its entry."""
        return asyncio.run(self._activated(bundle, signatures))

    async def _kept(self, digest: str | None) -> Bundle:
        async with self._opening(self._settings()) as desk:
            return (await desk.archive.rules(digest or (await desk.read()).in_force.digest)).bundle

    async def _activated(self, bundle: Bundle, signatures: list[bytes]) -> Entry:
        told = self._settings()
        faults.arm(told.fault)
        async with self._opening(told) as desk:
            return await desk.activate(bundle, signatures)


def _show(bundle: Bundle) -> None:
    rules = Rules(bundle)
    matrix = matrix_view(rules.matrix)
    notice = f" ({matrix['notice']})" if matrix["notice"] else ""
    typer.echo(f"Empreinte : {bundle.digest}\nÀ cosigner : {statement(bundle.digest).decode()}")
    typer.echo(f"Table d'habilitation : {matrix['source']}{notice}")
    for rule in rules.rules.values():
        typer.echo("\n".join(["", rule.id, *(f"  {line}" for line in rule_lines(rule_view(rule)))]))


def _tell(place: Path, matrix: Matrix) -> None:
    typer.echo(f"{place} : {len(matrix.professions)} professions, {len(matrix.types)} types")
    for profession in matrix.professions:
        named = {row.type_code for row in matrix.rows if row.profession == profession}
        if left := len(matrix.types - named):
            typer.echo(f"  {profession} : {left} types que le fichier ne nomme pas ne seront pas lus")


def _loaded(into: Path, official: str, source: str) -> str:
    """Write the bundle's table, whole or not at all; return it."""
    table = official_table(official, read_table(Bundle.read(into).table), source)
    new = into / f".{TABLE}.new"
    new.write_text(table, encoding="utf-8")
    new.replace(into / TABLE)
    return table


def _text(held: bytes) -> str:
    try:
        return held.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = held[: error.start].count(b"\n") + 1
        raise TableBroken([f"line {line}: not UTF-8"]) from None


@contextmanager
def _said() -> Iterator[None]:
    """Say what went wrong, and exit by it."""
    try:
        yield
    except UnsafeSettings as error:
        typer.echo(f"carnet consent: {error}", err=True)
        raise typer.Exit(2) from None
    except TableBroken as error:
        typer.echo("\n".join(error.errors), err=True)
    except (NotCosigned, RulesUnsettled, OSError, ValueError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
    except UnknownRules as error:
        typer.echo(f"no bundle of the digest {error} is kept, and no folder is called so", err=True)
    except (OutcomeUnknown, DatabaseError) as error:
        typer.echo(
            f"{type(error).__name__}: nothing is certain; run the command again, it finishes what it began", err=True
        )
    else:
        return
    raise typer.Exit(1)
