"""A bundle: the public texts that judge, all of one folder, and the digest that names them together."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chassis.sealing import canonical, digest

# By subject. When several rules refuse, the first subject of this list that has one gives the reason.
SUBJECTS = (
    "red_lines", "visibility", "minors", "representation", "directives", "emergency", "legal_basis", "programmes",
)  # fmt: skip
SCHEMA, TABLE, DELEGATIONS = "carnet.cedarschema", "habilitation.csv", "delegations.csv"


class RulesBroken(ValueError):
    """Texts that are no rules: one is missing, unknown, does not parse or validate, or does not say what it is."""


@dataclass(frozen=True)
class Bundle:
    """File name -> text: policies by subject, the schema that they are checked by, the habilitation matrix.

    The table of what representatives may do is younger than the first bundles: without it, they may nothing.
    """

    texts: Mapping[str, str]

    def __post_init__(self) -> None:
        known = {f"{subject}.cedar" for subject in SUBJECTS} | {SCHEMA, TABLE, DELEGATIONS}
        if unknown := sorted(self.texts.keys() - known):
            raise RulesBroken(f"no subject of rules is called {', '.join(unknown)}: they are {', '.join(SUBJECTS)}")
        if missing := sorted({SCHEMA, TABLE} - self.texts.keys()):
            raise RulesBroken(f"the bundle lacks {', '.join(missing)}")
        if not self.policies:
            raise RulesBroken("the bundle holds no rule")

    @classmethod
    def read(cls, folder: Path) -> "Bundle":
        """Read a folder; raise RulesBroken. A line's end counts as one, whatever the system that wrote it."""
        if not folder.is_dir():
            raise RulesBroken(f"no folder {folder.name}")
        # Only what looks like a rule is refused by its name: a page of notes beside them changes nothing.
        names = ("*.cedar", "*.cedarschema", TABLE, DELEGATIONS)
        files = sorted({file for name in names for file in folder.glob(name)})
        try:
            return cls({file.name: file.read_text(encoding="utf-8") for file in files})
        except UnicodeDecodeError as error:
            raise RulesBroken("a text of the bundle is not UTF-8") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 (base64url) of the canonical JSON (RFC 8785) of {file name: text}: every text counts."""
        return digest(canonical(dict(self.texts)))

    @property
    def policies(self) -> dict[str, str]:
        """Subject -> text, in the order of precedence."""
        return {each: self.texts[f"{each}.cedar"] for each in SUBJECTS if f"{each}.cedar" in self.texts}

    @property
    def schema(self) -> str:
        """What a rule may speak of."""
        return self.texts[SCHEMA]

    @property
    def table(self) -> str:
        """The habilitation matrix, as it is written."""
        return self.texts[TABLE]

    @property
    def delegations(self) -> str:
        """What representatives may do, as it is written; empty in a bundle that says nothing of it."""
        return self.texts.get(DELEGATIONS, "")
