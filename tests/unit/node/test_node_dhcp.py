"""DHCP clients of a node: those killed with all of its processes ask again, those that were stopped do not."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from lab.embedded.node.nmstate.dhcp import DhcpClients

BUSYBOX = """#!/bin/sh
echo "$4" >> {asked}
echo "10.0.0.5/24 9999999999 10.0.0.1" > "$VIRTLAB_LEASE"
while :; do sleep 1; done
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A busybox that gets a lease at once; the interfaces that it was started for, a line each."""
    path = tmp_path / "bin" / "busybox"
    path.parent.mkdir()
    path.write_text(BUSYBOX.format(asked=tmp_path / "asked"))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    return tmp_path / "asked"


def still(pids: list[int]) -> bool:
    """Whether some of them, or asyncio's threads that wait for them, are there."""
    waiting = any("waitpid" in thread.name for thread in threading.enumerate())
    return waiting or any(Path(f"/proc/{pid}").exists() for pid in pids)


async def reaped(pids: list[int]) -> None:
    """Until the loop knows of the end of its children: a client would outlive it, and asyncio complains of that."""
    async with asyncio.timeout(10):
        while still(pids):  # noqa: ASYNC110 - the kernel tells a parent's thread, and that nobody
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


def test_a_client_that_was_killed_asks_again_and_one_that_was_stopped_does_not(asked: Path, tmp_path: Path) -> None:
    clients = DhcpClients(tmp_path / "dhcp")

    async def story() -> None:
        for name in ("ens3", "ens4", "ens5"):
            assert await clients.start(name, 5) == "10.0.0.5/24"
        await clients.stop("ens5")
        os.kill(int((tmp_path / "dhcp/ens4.pid").read_text()), signal.SIGKILL)
        async with asyncio.timeout(5):
            while clients.running() != {"ens3"}:  # noqa: ASYNC110 - the end of a client's child is told to nobody else
                await asyncio.sleep(0.01)
        await clients.revive(5)
        assert clients.running() == {"ens3", "ens4"}
        pids = [int(path.read_text()) for path in (tmp_path / "dhcp").glob("*.pid")]
        for name in ("ens3", "ens4"):
            await clients.stop(name)
        await reaped(pids)

    asyncio.run(story())
    assert asked.read_text().split() == ["ens3", "ens4", "ens5", "ens4"]
    assert (tmp_path / "dhcp/ens4.lease.kept").exists()
