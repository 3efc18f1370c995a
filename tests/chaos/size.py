"""How large a campaign is: a sample in `make test`, the whole in `make chaos`."""

import os


def size(sample: int, full: int) -> int:
    """Return the number of rounds to run."""
    return full if os.environ.get("CARNET_CHAOS") == "full" else sample
