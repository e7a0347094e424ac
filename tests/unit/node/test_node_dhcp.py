"""DHCP clients of a node: those killed with all of its processes ask again, those that were stopped do not."""

from __future__ import annotations

import asyncio
import os
import signal
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


# A client outlives the loop that started it, as it outlives an agent.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
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
        for name in ("ens3", "ens4"):
            await clients.stop(name)

    asyncio.run(story())
    assert asked.read_text().split() == ["ens3", "ens4", "ens5", "ens4"]
    assert (tmp_path / "dhcp/ens4.lease.kept").exists()
