"""An SSH session that must live on: it echoes, and when it ends that is said with the time."""

from __future__ import annotations

import time

import pytest
from sshserver import SshServer
from test_guest_ssh import authorized, shell_to

from lab.core.deadline import Deadline
from lab.core.errors import ProbeNotStarted
from lab.probes.session import SshSession


def test_an_ssh_session_echoes_and_its_end_is_said() -> None:
    with SshServer(authorized()) as server:
        shell = shell_to(server)
        session = SshSession(shell, name="vm-a")
        session.start(Deadline.after(10))
        time.sleep(0.5)
        session.stop(Deadline.after(10))
        assert session.read().lost == 0
        assert session.read().broke == ""
        session = SshSession(shell, name="vm-a")
        session.start(Deadline.after(10))
        server.drop()
        time.sleep(0.5)
        session.stop(Deadline.after(10))
        assert session.read().broke
        shell.close()


def test_a_session_that_does_not_echo_never_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.probes.session.ECHO", "echo no shell here >&2; exit 1")
    with SshServer(authorized()) as server:
        shell = shell_to(server)
        with pytest.raises(ProbeNotStarted, match="an SSH session that echoes"):
            SshSession(shell, name="vm-a").start(Deadline.after(5))
        shell.close()
