"""The default pod network with packets: two nodes, a pod on each, and a host outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.access.client import Client
from lab.access.kinds import POD
from lab.core.deadline import Deadline
from lab.core.wait import Seen

pytestmark = pytest.mark.lab
NAME = f"pods-{os.getpid()}"
# As a person has it: a lab finds its tools itself, and a test's fixtures must not change what it finds.
PLAIN = dict(os.environ)
SIZE = 300_000
SERVER = """
import socket
server = socket.create_server(("", 8000))
while True:
    peer, address = server.accept()
    size = 0
    while data := peer.recv(65536):
        size += len(data)
    peer.sendall(f"{size} from {address[0]}".encode())
    peer.close()
"""
CLIENT = f"""
import socket, sys
with socket.create_connection((sys.argv[1], 8000), 5) as peer:
    peer.settimeout(5)
    peer.sendall(bytes({SIZE}))
    peer.shutdown(socket.SHUT_WR)
    print(peer.recv(100).decode())
"""


def virtlab(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "lab.embedded", *words]
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3], env={**PLAIN, "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]},
    )  # fmt: skip


def on(node: str, *argv: str) -> str:
    """What a command on a node prints, once it ended well."""
    done = virtlab("node", "exec", "--name", NAME, node, "--", *argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pod(name: str, node: str) -> dict[str, Any]:
    containers = [{"name": "server", "image": "any", "command": [sys.executable, "-c", SERVER]}]
    meta = {"name": name, "namespace": "default"}
    spec = {"nodeName": node, "containers": containers, "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def running(client: Client, wanted: dict[str, Any]) -> str:
    """Create a pod and return its address once it is Running."""
    client.create(wanted)

    def seen(found: dict[str, Any] | None) -> Seen[str]:
        status = (found or {}).get("status", {})
        return Seen(str(status.get("phase")), status.get("phase") == "Running", status.get("podIP"))

    name = wanted["metadata"]["name"]
    return client.wait_for(POD, name, "default", "Running", seen, deadline=Deadline.after(20)) or ""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    came = virtlab("up", "--name", NAME, "--workers", "2")
    try:
        assert came.returncode == 0, came.stderr
        connected = Client.connect(Path(virtlab("kubeconfig", "--name", NAME).stdout.strip()))
        yield connected
        connected.close()
    finally:
        virtlab("down", "--name", NAME)


def test_pods_reach_each_other_and_the_outside(client: Client) -> None:
    here, there = running(client, pod("one", "worker-1")), running(client, pod("two", "worker-2"))

    def one(*argv: str) -> str:
        done = client.exec("one", "default", "server", argv, deadline=Deadline.after(20))
        assert done.ok, done.output
        return done.stdout.strip()

    # Not even the first packet is lost: the tunnel's other end is known before.
    assert "3 received, 0% packet loss" in one("ping", "-c", "3", "-i", "0.2", "-W", "1", there)
    assert one(sys.executable, "-c", CLIENT, there) == f"{SIZE} from {here}"
    assert on("worker-1", sys.executable, "-c", CLIENT, there).strip() == f"{SIZE} from 10.128.0.2"
    assert " 0% packet loss" in one("ping", "-c", "2", "-W", "2", "192.168.53.1")
    rows = [line.split() for line in on("worker-1", "ovn-nbctl", "lr-route-list", "ovn_cluster_router").splitlines()]
    assert [row for row in rows if len(row) == 3 and row[2].endswith("-ip")] == [
        ["100.64.0.2", "100.64.0.2", "dst-ip"],
        ["100.64.0.3", "100.88.0.3", "dst-ip"],
        ["10.128.2.0/23", "100.88.0.3", "dst-ip"],
        ["10.128.0.0/23", "100.64.0.2", "src-ip"],
    ]
