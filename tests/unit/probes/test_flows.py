"""Many flows: what is counted, what is lost, and what proves nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.core import process
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProbeNotStarted
from lab.core.result import CommandResult
from lab.probes import flows as probe
from lab.probes.flows import BYTES, SERVE, flows, read_flows


def said(stdout: str, code: int = 0) -> CommandResult:
    return CommandResult(("sh",), "pod a", code, stdout, "", 1.0)


def test_flows_that_brought_everything_have_passed() -> None:
    seen = read_flows(said(f"{BYTES}\n" * 3), "pod a", "10.0.0.2", 3)
    assert seen.passed
    assert str(seen) == f"flows pod a -> 10.0.0.2: 3 of 3 brought {BYTES} bytes"


def test_a_flow_that_brought_less_is_lost_and_told() -> None:
    seen = read_flows(said(f"{BYTES}\n0\n{BYTES}\n1448\n"), "pod a", "10.0.0.2", 4)
    assert not seen.passed
    assert str(seen) == f"flows pod a -> 10.0.0.2: 2 of 4 brought {BYTES} bytes, 2 brought less (0, 1448 bytes)"


@pytest.mark.parametrize("result", [said(f"{BYTES}\n"), said("", 1), said("0\n0\n", 2)])
def test_flows_that_were_not_counted_prove_nothing(result: CommandResult) -> None:
    with pytest.raises(Inconclusive, match=r"wanted: a count of bytes for each of 2 flows from pod a to 10\.0\.0\.2"):
        read_flows(result, "pod a", "10.0.0.2", 2)


def test_a_place_without_nc_never_started() -> None:
    with pytest.raises(ProbeNotStarted, match="wanted: nc and timeout to run"):
        read_flows(said("", 127), "pod a", "10.0.0.2", 2)


class Here:
    """A pod that is this machine."""

    place = "here"

    def run(self, argv: list[str], *, deadline: Deadline) -> CommandResult:
        return process.run(argv, deadline=deadline, place=self.place)

    def close(self) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Sends to each connection what the list says, the last entry for ever."""
    amounts = [BYTES]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr(probe, "PORT", listening.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"\0" * (amounts.pop(0) if len(amounts) > 1 else amounts[0]))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield amounts
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def applets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """busybox' nc, head and timeout on PATH, as a pod has them."""
    for name in ("nc", "timeout", "head"):
        (tmp_path / name).symlink_to(shutil.which("busybox") or "")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("applets")
def test_real_flows_are_tried_at_once_and_counted(server: list[int]) -> None:
    assert flows(Here(), "127.0.0.1", count=5, deadline=Deadline.after(20)).passed
    server[:] = [100, BYTES]
    seen = flows(Here(), "127.0.0.1", count=3, deadline=Deadline.after(20))
    assert (seen.whole, seen.short) == (2, (100,))


@pytest.mark.usefixtures("applets")
def test_the_far_side_sends_as_much_as_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(probe, "PORT", port)
    serving = subprocess.Popen([str(port) if word == "7000" else word for word in SERVE])
    try:
        attempts = (flows(Here(), "127.0.0.1", count=4, deadline=Deadline.after(20)).passed for _ in range(20))
        assert any(attempts)
    finally:
        serving.kill()
        serving.wait()
