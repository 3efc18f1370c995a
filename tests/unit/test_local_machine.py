"""What the local stack finds out about the machine, the keys it makes, and the front door it describes."""

import os
import socket
from pathlib import Path

import pytest

from deploy.local.front_door import caddyfile
from deploy.local.machine import Ports, PortsTaken, check_ports, holder_of, is_free, memory_available_bytes
from deploy.local.stack import Stack
from deploy.local.trust_material import ServiceProcess


def test_a_held_port_names_its_holder() -> None:
    """The holder of a port is told by pid, command and user."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        assert not is_free(port)
        assert holder_of(port).startswith(f"process {os.getpid()} (")
        assert holder_of(port).endswith("of you")
    assert is_free(port)


def test_all_conflicts_are_told_at_once() -> None:
    """Two held ports are one message, with the variable that moves them all."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
        with pytest.raises(PortsTaken) as caught:
            check_ports([("mongod", ports[0]), ("kafka", ports[1])])
    assert all(f"port {port} (" in str(caught.value) for port in ports)
    assert "CARNET_PORTS_BASE=" in str(caught.value)


def test_a_base_moves_every_port() -> None:
    """All ports of a whole stack, with a mongod a service, are different and lie in the hundred after the base."""
    stack = Stack(Path("unused"), ports=Ports.from_base(18_000), mongods="per-service")
    ports = [*(stack.port_of(name) for name in stack.names), stack.ports.controller]
    assert len(set(ports)) == len(ports)
    assert all(18_000 <= port < 18_100 for port in ports)


def test_memory_is_a_plausible_number() -> None:
    """Available memory is more than nothing and less than the machine has."""
    assert 0 < memory_available_bytes() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_every_process_is_told_what_it_needs_and_no_other_s_keys(tmp_path: Path) -> None:
    """Keys of identity and consent are named to their own processes only, and files of keys are the owner's alone."""
    stack = Stack(tmp_path, ports=Ports.from_base(18_000))
    told = {name: stack.env_of(name) for name in stack.processes}
    assert told["documents-1"]["CARNET_KAFKA"] == "127.0.0.1:18090"
    assert told["documents-1"]["CARNET_MONGO"] == "mongodb://127.0.0.1:18080/?replicaSet=rs0&directConnection=true"
    assert len({each["CARNET_TRUST_ROOT"] for each in told.values()}) == 1
    assert len({each["CARNET_TRUST_INSTANCE"] for each in told.values()}) == len(told)
    assert [name for name in told if "CARNET_IDENTITY_TOKEN_KEYS" in told[name]] == ["identity-1"]
    assert [name for name in told if "CARNET_CONSENT_ROOT_KEY" in told[name]] == ["consent-1", "consent-2"]
    files = [path for path in (tmp_path / "trust").rglob("*") if path.is_file() and path.suffix != ".jws"]
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    root_key = Path(told["consent-1"]["CARNET_CONSENT_ROOT_KEY"])
    assert len(root_key.read_text(encoding="ascii")) == 43


def test_keys_are_made_once(tmp_path: Path) -> None:
    """A second stack on the same folder says the same variables and changes no file."""
    first = Stack(tmp_path)
    told = first.env_of("consent-1")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert Stack(tmp_path).env_of("consent-1") == told
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_the_door_sends_requests_to_processes_that_serve() -> None:
    """Several upstreams of a service share its path; a path without any has no route but keeps its 503 document."""
    text = caddyfile(8080, {"documents": [8101, 8105]})
    assert "reverse_proxy 127.0.0.1:8101 127.0.0.1:8105 {" in text
    assert text.count("\treverse_proxy ") == 1
    assert text.count("-unreachable") >= 4
    assert [ServiceProcess("consent", 2, roles).serves for roles in (("decide",), ("serve",), ("all",))] == [
        False,
        True,
        True,
    ]
