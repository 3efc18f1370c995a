"""A fault point kills the process once it is armed, at the passage that was asked for, and never else."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def end_of(program: str, setting: str) -> tuple[int, str]:
    """Return a program's exit code and what it printed."""
    done = subprocess.run(  # noqa: S603 - this interpreter, this program
        [sys.executable, "-c", program, setting], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def dies_after(setting: str, passages: int) -> tuple[int, str]:
    """Return the exit code of a process that passes a point so often, and how often it lived on."""
    program = (
        "import sys\nfrom chassis import faults\nfaults.arm(sys.argv[1])\n"
        f"for _ in range({passages}):\n    faults.point('a.b')\n    print('x', end='', flush=True)\n"
    )
    return end_of(program, setting)


@pytest.mark.parametrize(
    ("setting", "code", "lived"),
    [("", 0, "xxx"), ("a.c", 0, "xxx"), ("a.b", -signal.SIGKILL, ""), ("a.b:3", -signal.SIGKILL, "xx"),
     ("a.b:4", 0, "xxx")],
)  # fmt: skip
async def test_a_point_kills_at_its_passage(setting: str, code: int, lived: str) -> None:
    """SIGKILL at the nth passage of the named point; no setting, another name or too few passages: nothing."""
    assert dies_after(setting, 3) == (code, lived)


async def test_a_running_process_is_armed_by_a_signal(tmp_path: Path) -> None:
    """With `@<file>` nothing is armed until SIGUSR1, and then what the file says at that time."""
    file = tmp_path / "fault"
    program = (
        "import os, pathlib, signal, sys\nfrom chassis import faults\nfaults.arm(sys.argv[1])\n"
        "faults.point('a.b')\nprint('x', end='', flush=True)\n"
        "pathlib.Path(sys.argv[1][1:]).write_text('a.b:2')\nos.kill(os.getpid(), signal.SIGUSR1)\n"
        "for _ in range(3):\n    faults.point('a.b')\n    print('y', end='', flush=True)\n"
    )
    assert end_of(program, f"@{file}") == (-signal.SIGKILL, "xy")
