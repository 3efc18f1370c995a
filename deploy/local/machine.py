"""What this machine has to offer before anything starts: free memory, and ports that nobody holds."""

import contextlib
import os
import pwd
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.local import Trouble

_SPAN = 100


class PortsTaken(Trouble):
    """Ports that we need are held by others; the message names each, its holder, and the way out."""


@dataclass(frozen=True)
class Ports:
    """Where everything listens, on 127.0.0.1. Services and mongods take consecutive ports from the first."""

    front_door: int = 8080
    services: int = 8101
    mongo: int = 27117
    kafka: int = 9192
    controller: int = 9193

    @classmethod
    def from_base(cls, base: int) -> "Ports":
        """Return ports that all lie in [base, base + 100)."""
        return cls(base, base + 1, base + 80, base + 90, base + 91)

    @classmethod
    def free(cls) -> "Ports":
        """Return a hundred free ports, below those that the kernel gives to outgoing connections."""
        bases = list(range(12_000, 32_000, _SPAN))
        random.shuffle(bases)
        for base in bases:
            if all(is_free(port) for port in range(base, base + _SPAN)):
                return cls.from_base(base)
        raise PortsTaken("no hundred consecutive free ports between 12000 and 32000")


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
            attempt.listen()
        except OSError:
            return False
    return True


def check_ports(wanted: Iterable[tuple[str, int]]) -> None:
    """Raise PortsTaken, in one message for all, if a port of these (program, port) is held."""
    taken = [f"  port {port} ({name}) is held by {holder_of(port)}" for name, port in wanted if not is_free(port)]
    if taken:
        way_out = "Stop what holds them, or choose others, from any number on: CARNET_PORTS_BASE=18000 make up"
        raise PortsTaken("\n".join(["These ports are not free:", *taken, way_out]))


def holder_of(port: int) -> str:
    """Return who holds a TCP port, as far as /proc tells."""
    inodes = _inodes_on(port)
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                        return f"process {folder.name} ({command.strip()[:80]}) of {_user(folder.stat().st_uid)}"
    return "a process that this user may not see ('sudo ss -ltnp' would tell)"


def memory_available_bytes() -> int:
    """Return what may still be allocated: of the machine, or of this control group if that is less."""
    meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    available = next(int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemAvailable"))
    with contextlib.suppress(OSError, ValueError, KeyError):
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        counters = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        # The page cache counts as used, and yields at once.
        return min(available, int(limit) - int(used) + int(counters["inactive_file"]))
    return available


def _inodes_on(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _user(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return "you" if uid == os.getuid() else pwd.getpwuid(uid).pw_name
    return f"user {uid}"
