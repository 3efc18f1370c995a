"""Where the official samples are: `CARNET_CASES`, else beside the repository. They are not part of the project."""

import os
from pathlib import Path
from typing import Final

CASES: Final = Path(os.environ.get("CARNET_CASES", Path(__file__).parents[2].parent / "shared" / "cases"))


def samples(folder: str, pattern: str) -> list[Path]:
    """Return the official samples of a folder (`cda`, `fhir`), none when they are absent."""
    return sorted((CASES / folder).glob(pattern))
