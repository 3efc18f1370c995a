"""Points where a test may kill this process, as a power cut would: `CARNET_FAULT=documents.deposit.stored:3`.

`CARNET_FAULT=@<file>` arms nothing yet: at each SIGUSR1 the process arms what the file says then.
"""

import os
import signal
from pathlib import Path

_armed: dict[str, int] = {}


def arm(setting: str) -> None:
    """Arm one point from `name:n`; an empty setting arms none. Production refuses the setting altogether."""
    if setting.startswith("@"):
        file = Path(setting[1:])
        signal.signal(signal.SIGUSR1, lambda *_: arm(file.read_text(encoding="ascii").strip()))
        return
    name, _, count = setting.partition(":")
    if name:
        _armed[name] = int(count or 1)


def point(name: str) -> None:
    """Die here by SIGKILL if this is the nth passage that was asked for."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
