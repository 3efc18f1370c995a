"""Commands for the owner of the root, in a folder that no service reads (chassis.trust.Authority)."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chassis.trust import Authority
from contracts.consent import Action


class Role(StrEnum):
    """A service, as the root certifies it."""

    IDENTITY = "identity"
    CONSENT = "consent"
    DOCUMENTS = "documents"
    NOTIFICATIONS = "notifications"


_Folder = Annotated[Path, typer.Option("--folder", "-f", help="Where the root and the role keys are kept (0700).")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="The file to write (0600): private keys and certificates.")]
_Rotate = Annotated[bool, typer.Option("--rotate", help="Add a new key, which is used from now on.")]

app = typer.Typer(
    no_args_is_help=True,
    help="""Keys and certificates under the one root that every service pins.

    The chain: root -> role -> instance. The root's folder belongs offline: a service needs its public key
    (CARNET_TRUST_ROOT), its own identity file (CARNET_TRUST_INSTANCE), and identity and consent their announced keys.
    Every command is idempotent: what stands, and lasts another week, is left as it is.""",
)


@app.command("root", help="Make the root if there is none yet; print its public key, for CARNET_TRUST_ROOT.")
def root(folder: _Folder) -> None:
    """Print the root's public key."""
    typer.echo(Authority(folder).root_public)


@app.command("role", help="Certify a role's key for two years; print the certificate (JWS).")
def role(folder: _Folder, name: Annotated[Role, typer.Argument(help="The service.")]) -> None:
    """Print a role's certificate."""
    typer.echo(_authority(folder).role_certificate(name.value))


@app.command("instance", help="Write an instance's identity file: fresh keys, certified for 90 days.")
def instance(  # noqa: PLR0917 - a command line
    folder: _Folder,
    role: Annotated[Role, typer.Argument(help="The service that it is an instance of.")],
    name: Annotated[str, typer.Argument(help="The instance's name (CARNET_INSTANCE), such as documents-1.")],
    out: _Out,
    action: Annotated[
        list[Action] | None, typer.Option(help="An action that it may ask consent for; repeat it.")
    ] = None,
    reply_partition: Annotated[
        list[int] | None, typer.Option(min=0, help="A partition of carnet.flows.decisions that it reads; repeat it.")
    ] = None,
    days: Annotated[float, typer.Option(help="How long the certificate holds.")] = Authority.INSTANCE_DAYS,
) -> None:
    """Write an instance's identity file."""
    _authority(folder).instance(
        role=role.value,
        instance=name,
        actions=[each.value for each in action or []],
        reply_partitions=reply_partition or [],
        out=out,
        days=days,
    )


@app.command(
    "token-keys",
    help="""Write identity's token keys and the statement that announces them (CARNET_IDENTITY_TOKEN_KEYS).

    After a rotation restart the processes with the role 'beat' first, and those with 'serve' a few seconds later: then
    everybody knows the new key before it signs. The key before it stays announced.""",
)
def token_keys(folder: _Folder, out: _Out, rotate: _Rotate = False) -> None:
    """Write identity's token keys."""
    _authority(folder).token_keys(out=out, rotate=rotate)


@app.command("consent-keys", help="Write consent's HPKE keys and their statement (CARNET_CONSENT_SEALING).")
def consent_keys(folder: _Folder, out: _Out, rotate: _Rotate = False) -> None:
    """Write consent's sealing keys."""
    _authority(folder).consent_keys(out=out, rotate=rotate)


def _authority(folder: Path) -> Authority:
    """Open the root's folder; a mistyped path must not make a second root that nobody pins."""
    if not (folder / "root.key").exists():
        raise typer.BadParameter(f"no root in {folder}: make it once with 'trust root --folder {folder}'")
    return Authority(folder)
