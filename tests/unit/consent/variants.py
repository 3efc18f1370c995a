"""Bundles that differ from the package's in one place."""

from services.consent.domain.bundle import TABLE, Bundle
from tests.unit.consent.people import RULES

PLANTED = "planted"
# It tells new verdicts from old ones.
POLICY = (
    '\n@id("planted") @law("aucune") @fr("Une règle plantée.")\n'
    'forbid (principal is Professional, action == Action::"list", resource)\n'
    'when { context.application_kind == "care-software" };\n'
)
PACKAGE = RULES.bundle


def changed(old: str, new: str, file: str = "directives.cedar", bundle: Bundle = PACKAGE) -> Bundle:
    """Return a bundle with other words in one of its texts."""
    assert old in bundle.texts[file]
    return Bundle({**bundle.texts, file: bundle.texts[file].replace(old, new)})


def planted(policy: str = POLICY, file: str = "red_lines.cedar", bundle: Bundle = PACKAGE) -> Bundle:
    """Return a bundle with one rule more."""
    return Bundle({**bundle.texts, file: bundle.texts[file] + policy})


def with_table(table: str, bundle: Bundle = PACKAGE) -> Bundle:
    """Return a bundle with another habilitation table."""
    return Bundle({**bundle.texts, TABLE: table})
