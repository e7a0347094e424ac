"""SSH against a real SSH server: status, streams, keys, lost connections, and the way through a command."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from sshserver import SshServer

from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentTimeout, GuestUnreachable, Inconclusive, ToolMissing
from lab.guest.keys import HostKeys, RunKey
from lab.guest.ssh import CommandLink, DirectLink, SshShell

KEY = RunKey.generate("run-1")
RELAY = """
import socket, sys, threading, os
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def out():
    while data := s.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=out, daemon=True).start()
while data := os.read(0, 65536):
    s.sendall(data)
"""


def authorized() -> str:
    return " ".join(KEY.public_line.split()[:2])


@pytest.fixture
def server() -> Iterator[SshServer]:
    with SshServer(authorized()) as running:
        yield running


def shell_to(server: SshServer, keys: HostKeys | None = None, key: RunKey = KEY, password: str = "") -> SshShell:
    return SshShell(
        lambda deadline: DirectLink("127.0.0.1", server.port, deadline),
        "virtlab",
        key,
        name="demo/a",
        via="direct",
        host_keys=keys,
        password=password,
    )


def test_status_and_both_streams_are_exact(server: SshServer) -> None:
    shell = shell_to(server)
    result = shell.run(["sh", "-c", "echo one; echo two >&2; printf end; exit 42"], deadline=Deadline.after(10))
    assert (result.exit_code, result.stdout, result.stderr) == (42, "one\nend", "two\n")
    big = shell.run(["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x"], deadline=Deadline.after(10))
    assert big.stdout == "x" * 300000
    text = 'it\'s $HOME "x" \n\t☃'
    assert shell.run(["printf", "%s", text], deadline=Deadline.after(10)).stdout == text
    assert server.connections == 1
    shell.close()


def test_a_lost_connection_is_inconclusive_and_the_next_command_connects_anew(server: SshServer) -> None:
    shell = shell_to(server)
    with pytest.raises(Inconclusive, match="half"):
        shell.run(["drop"], deadline=Deadline.after(10))
    assert shell.run(["echo", "again"], deadline=Deadline.after(10)).stdout == "again\n"
    assert server.connections == 2
    shell.close()


def test_a_command_past_its_deadline_is_told(server: SshServer) -> None:
    shell = shell_to(server)
    with pytest.raises(EnvironmentTimeout, match="sleep 3"):
        shell.run(["sleep", "3"], deadline=Deadline.after(0.5))
    shell.close()


def test_a_key_that_is_not_let_in_points_at_cloud_init(server: SshServer) -> None:
    with pytest.raises(GuestUnreachable, match="cloud-init"):
        shell_to(server, key=RunKey.generate()).connect(Deadline.after(10))
    server.password = "virtlab"
    shell = shell_to(server, key=RunKey.generate(), password="virtlab")
    shell.connect(Deadline.after(10))
    shell.close()


def test_another_host_key_later_in_the_run_is_an_error(server: SshServer) -> None:
    keys = HostKeys()
    first = shell_to(server, keys)
    first.connect(Deadline.after(10))
    first.close()
    server.host_key = paramiko.ECDSAKey.generate()
    with pytest.raises(GuestUnreachable, match="duplicate IP"):
        shell_to(server, keys).connect(Deadline.after(10))
    keys.forget("demo/a")
    again = shell_to(server, keys)
    again.connect(Deadline.after(10))
    again.close()


def test_a_command_can_be_the_way(server: SshServer) -> None:
    shell = SshShell(
        lambda deadline: CommandLink([sys.executable, "-c", RELAY, "{host}", "{port}"], "127.0.0.1", server.port),
        "virtlab",
        KEY,
        name="demo/a",
        via="a command",
    )
    assert shell.run(["echo", "through"], deadline=Deadline.after(15)).stdout == "through\n"
    shell.close()


def test_what_a_failing_way_says_is_in_the_error() -> None:
    argv = [sys.executable, "-c", "import sys; sys.exit('gateway-2024: no route to {host}')"]
    shell = SshShell(lambda deadline: CommandLink(argv, "192.0.2.1", 22), "u", KEY, name="demo/a", via="gateway-2024")
    with pytest.raises(GuestUnreachable, match=r"no route to 192\.0\.2\.1"):
        shell.connect(Deadline.after(10))
    missing = SshShell(lambda deadline: CommandLink(["no-such-x"], "h", 22), "u", KEY, name="demo/a", via="x")
    with pytest.raises(ToolMissing, match="no-such-x"):
        missing.connect(Deadline.after(5))


def test_a_silent_port_and_a_closed_port_are_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        shell = SshShell(lambda d: DirectLink("127.0.0.1", port, d), "u", KEY, name="demo/a", via="direct")
        with pytest.raises(GuestUnreachable):
            shell.connect(Deadline.after(1))
    with pytest.raises(GuestUnreachable, match="refused"):
        shell.connect(Deadline.after(1))


def test_the_saved_key_is_the_owners_only_and_never_shown(tmp_path: Path) -> None:
    path = KEY.save(tmp_path / "key")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" in path.read_text()
    assert "PRIVATE" not in repr(KEY)
    assert KEY.public_line.startswith("ssh-ed25519 ")
