"""A VM that takes its pod address along over three nodes, with packets: sound, with OCPBUGS-27215, and healed."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.access import kubeconfig
from lab.access.client import Client
from lab.access.kinds import POD, VM, VMI, VMIM
from lab.access.transport import Transport
from lab.core.deadline import Deadline
from lab.core.wait import Seen
from tests.conftest import RunningLab

pytestmark = pytest.mark.lab
NODES = ("worker-1", "worker-2", "worker-3")
FLOWS = 24
# Each flow has a source port of its own, the same at every look: what dies is a matter of the five-tuple.
CLIENT = f"""
import socket, struct, sys, threading
dead = []
def flow(port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))
        sock.settimeout(2.5)
        try:
            sock.connect((sys.argv[1], 22))
        except OSError:
            dead.append(port)
threads = [threading.Thread(target=flow, args=(20000 + n,)) for n in range({FLOWS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(dead))
"""
VM_MANIFEST: dict[str, Any] = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "metadata": {"name": "vm", "namespace": "default"},
    "spec": {
        "runStrategy": "Always",
        "template": {
            "metadata": {"annotations": {"kubevirt.io/allow-pod-bridge-network-live-migration": ""}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "nodeSelector": {},
                "domain": {
                    "devices": {"interfaces": [{"name": "default", "bridge": {}}]},
                    "memory": {"guest": "128Mi"},
                },
                "networks": [{"name": "default", "pod": {}}],
            },
        },
    },
}


class Cluster:
    """The lab with a pod on each node and the VM, whose first node is its home."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        path = Path(lab.virtlab("kubeconfig").stdout.strip())
        # Under another name than the harness's, whose requests are judged.
        self.client = Client(Transport(kubeconfig.load(path), path, user_agent="test-of-virtlab"))
        for number, node in enumerate(NODES, 1):
            containers = [{"name": "c", "image": "any", "command": ["sleep", "86400"]}]
            meta = {"name": f"pod-{number}", "namespace": "default"}
            spec = {"nodeName": node, "containers": containers, "terminationGracePeriodSeconds": 0}
            self.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        self.client.create(VM_MANIFEST)
        self.home, self.address = self._running()
        for number, _ in enumerate(NODES, 1):
            self._wait(POD, f"pod-{number}", lambda status: status.get("phase") == "Running")

    def _wait(self, kind: Any, name: str, ok: Any, seconds: float = 60.0) -> dict[str, Any]:
        def seen(found: dict[str, Any] | None) -> Seen[dict[str, Any]]:
            status = (found or {}).get("status", {})
            return Seen(json.dumps(status)[:300], ok(status), status)

        return self.client.wait_for(kind, name, "default", "wanted", seen, deadline=Deadline.after(seconds)) or {}

    def _running(self) -> tuple[str, str]:
        def ok(status: dict[str, Any]) -> bool:
            # The pod does not hold the address: it is known once the guest's agent tells.
            return any("10.128." in str(nic.get("ipAddress")) for nic in status.get("interfaces") or [])

        status = self._wait(VMI, "vm", ok)
        return status["nodeName"], status["interfaces"][0]["ipAddress"]

    def migrate(self, node: str) -> None:
        made = self.client.create(
            {
                "apiVersion": "kubevirt.io/v1",
                "kind": "VirtualMachineInstanceMigration",
                "metadata": {"generateName": "vm-", "namespace": "default"},
                "spec": {"vmiName": "vm", "addedNodeSelector": {"kubernetes.io/hostname": node}},
            }
        )
        status = self._wait(VMIM, made["metadata"]["name"], lambda s: s.get("phase") in ("Succeeded", "Failed"))
        assert status["phase"] == "Succeeded"
        assert self._wait(VMI, "vm", lambda _: True)["nodeName"] == node

    def legs(self) -> dict[str, set[str]]:
        """By zone, the next hops and ports of its routes for the VM, as ovn-nbctl prints them."""
        found = {}
        for node in NODES:
            listed = self.lab.virtlab("node", "exec", node, "--", "ovn-nbctl", "lr-route-list", "ovn_cluster_router")
            rows = [line.split() for line in listed.stdout.splitlines()]
            found[node] = {" ".join(row[1:]) for row in rows if row and row[0] == self.address}
        return found

    def dead(self) -> dict[str, list[int]]:
        """By node, the source ports whose connection to the guest's SSH server does not come about."""
        found = {}
        for number, node in enumerate(NODES, 1):
            argv = [sys.executable, "-c", CLIENT, self.address]
            done = self.client.exec(f"pod-{number}", "default", "c", argv, deadline=Deadline.after(30))
            found[node] = json.loads(done.stdout)
        return found

    def transit(self, node: str) -> str:
        return f"100.88.0.{NODES.index(node) + 2}"


def test_routes_and_flows_over_three_nodes(lab: RunningLab) -> None:
    cluster = Cluster(lab)
    home, address = cluster.home, cluster.address
    first, second = (node for node in NODES if node != home)
    alive: dict[str, list[int]] = {node: [] for node in NODES}

    def single(runner: str) -> dict[str, set[str]]:
        remote = {f"{cluster.transit(runner)} dst-ip"}
        return {node: {f"{address} dst-ip rtos-{node}"} if node == runner else remote for node in NODES}

    cluster.migrate(first)
    cluster.migrate(second)
    assert cluster.legs() == single(second)
    assert cluster.dead() == alive

    assert lab.virtlab("fault", "set", "ovnk-bug", "bug=OCPBUGS-27215").returncode == 0
    assert cluster.legs() == single(second)
    cluster.migrate(first)
    old, new = cluster.transit(second), cluster.transit(first)
    assert cluster.legs() == {
        home: {f"{old} dst-ip ecmp", f"{new} dst-ip ecmp"},
        first: {f"{address} dst-ip rtos-{first} ecmp", f"{old} dst-ip ecmp"},
        second: {f"{new} dst-ip"},
    }
    dead = cluster.dead()
    for node, ports in dead.items():
        assert 2 <= len(ports) <= FLOWS - 2, f"{node}: about half of {FLOWS} flows should die, these did: {ports}"
    assert cluster.dead() == dead, "it is the same flows for ever"

    assert lab.virtlab("fault", "heal").returncode == 0
    assert cluster.legs() == single(first)
    assert cluster.dead() == alive

    cluster.migrate(home)
    assert cluster.legs() == {node: set() for node in NODES}
    cluster.client.delete(VM, "vm", "default", wait=Deadline.after(30))
    with contextlib.closing(cluster.client):
        left = lab.virtlab("node", "exec", home, "--", "ovn-nbctl", "--bare", "--columns=_uuid", "list", "DHCP_Options")
        assert left.stdout.strip() == ""
