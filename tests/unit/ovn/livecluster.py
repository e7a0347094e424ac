"""A cluster at the wire whose zones answer exec as a generated world has them; VMs may move while it is asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.access.client import Client
from tests.unit.access.fakeapi import FakeApi, connect, status
from tests.unit.ovn.nbworld import nbctl_json, tables
from tests.unit.ovn.routes_world import World

KUBEVIRT = {
    "resources": [
        {"name": "virtualmachineinstances", "kind": "VirtualMachineInstance", "namespaced": True},
        {"name": "virtualmachineinstancemigrations", "kind": "VirtualMachineInstanceMigration", "namespaced": True},
    ]
}
OPENSHIFT = ("openshift-ovn-kubernetes", ["northd", "nbdb", "kube-rbac-proxy-node", "sbdb", "ovnkube-controller"])
UPSTREAM = ("ovn-kubernetes", ["nb-ovsdb", "sb-ovsdb", "ovn-northd", "ovnkube-controller", "ovn-controller"])


class Cluster:
    """`names` are the namespace and containers of ovnkube pods; `before` is called with (zone, its n-th reading)."""

    def __init__(self, world: World, api: FakeApi, names: tuple[str, list[str]] = UPSTREAM) -> None:
        self.world = world
        self.api = api
        self.namespace, self.containers = names
        self.mode = "interconnect"
        self.delay: Callable[[int], float] = lambda zone: 0.0
        self.before: Callable[[int, int], None] = lambda zone, count: None
        self.output: Callable[[int], tuple[str, int]] = self._tables
        self.readings: dict[int, int] = {}
        self.argvs: list[list[str]] = []
        self.phases: dict[int, str] = {}
        self.more: list[dict[str, Any]] = []
        self.forbidden: set[str] = set()
        self._lock = threading.Lock()
        api.say("GET /apis/kubevirt.io/v1", lambda r: web.json_response(KUBEVIRT))
        api.say("GET /api/v1/pods", lambda r: self._list(r, self.pods()))
        for name in ("openshift-ovn-kubernetes", "ovn-kubernetes"):
            api.say(f"GET /api/v1/namespaces/{name}/pods", lambda r: self._list(r, self._in(r.path.split("/")[4])))
        api.say("GET /api/v1/nodes", lambda r: self._list(r, self.nodes()))
        base = "GET /apis/kubevirt.io/v1/virtualmachineinstance"
        api.say(f"{base}s", lambda r: self._list(r, self.vmis()))
        api.say(f"{base}migrations", lambda r: self._list(r, []))
        api.exec = self._exec

    def _list(self, request: web.Request, objects: list[dict[str, Any]]) -> web.Response:
        if request.path in self.forbidden:
            return status(403, "Forbidden", f"cannot list {request.path}")
        wanted = dict(pair.split("=", 1) for pair in request.query.get("labelSelector", "").split(",") if pair)
        found = [o for o in objects if wanted.items() <= (o["metadata"].get("labels") or {}).items()]
        if address := request.query.get("fieldSelector", "").removeprefix("status.podIP="):
            found = [o for o in found if (o.get("status") or {}).get("podIP") == address]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": found})

    def _tables(self, zone: int) -> tuple[str, int]:
        return nbctl_json(tables(self.world, zone, pods=False)), 0

    async def _exec(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        zone = int(request.path.split("/")[-2][-5:])
        with self._lock:
            count = self.readings[zone] = self.readings.get(zone, 0) + 1
        argv = request.query.getall("command")
        self.argvs.append([request.query["container"], *argv])
        self.before(zone, count)
        await asyncio.sleep(self.delay(zone))
        text, code = self.output(zone) if "list" in argv else (self.world.dump(zone), 0)
        for at in range(0, len(text), 60_000):
            await ws.send_bytes(b"\x01" + text[at : at + 60_000].encode())
        end: dict[str, Any] = {"status": "Success"}
        if code:
            causes = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
            end = {"status": "Failure", "reason": "NonZeroExitCode", "details": causes}
        await ws.send_bytes(b"\x03" + json.dumps(end).encode())

    def pods(self) -> list[dict[str, Any]]:
        label = {"app": "ovnkube-node" if self.mode == "interconnect" else "ovnkube-master"}
        found = [
            {
                "metadata": {
                    "name": f"ovnkube-{label['app'][8:]}-{zone:05d}",
                    "namespace": self.namespace,
                    "labels": label,
                },
                "spec": {
                    "hostNetwork": True,
                    "nodeName": self.world.name(zone),
                    "containers": [{"name": name} for name in self.containers],
                },
                "status": {"phase": self.phases.get(zone, "Running")},
            }
            for zone in range(self.world.size if self.mode == "interconnect" else 3)
        ]
        return found + self.more + [self.launcher(vm) for vm in self.vms()]

    def _in(self, namespace: str) -> list[dict[str, Any]]:
        return [pod for pod in self.pods() if pod["metadata"]["namespace"] == namespace]

    def vms(self) -> list[str]:
        """IPv4 addresses; a VM for each."""
        return [address for address in self.world.vms if ":" not in address]

    def launcher(self, address: str) -> dict[str, Any]:
        index = self.vms().index(address)
        node = self.world.name(self.world.vms[address][1])
        return {
            "metadata": {
                "name": f"virt-launcher-vm{index}-abcde",
                "namespace": "demo",
                "uid": f"pod{index}-{node}",
                "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/nodeName": node},
                "annotations": {
                    "kubevirt.io/domain": f"vm{index}",
                    "k8s.ovn.org/pod-networks": json.dumps({"default": {"ip_addresses": [f"{address}/21"]}}),
                },
            },
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "podIP": address},
        }

    def vmis(self) -> list[dict[str, Any]]:
        return [self.vmi(address) for address in self.vms()]

    def vmi(self, address: str, moving: bool = False) -> dict[str, Any]:
        index = self.vms().index(address)
        state = {"migrationState": {"targetNode": "x"}} if moving else {}
        return {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": {"name": f"vm{index}", "namespace": "demo", "uid": f"vmi{index}", "resourceVersion": "2"},
            "spec": {
                "domain": {"devices": {"interfaces": [{"name": "default", "bridge": {}}]}},
                "networks": [{"name": "default", "pod": {}}],
            },
            "status": {
                "phase": "Running",
                "nodeName": self.world.name(self.world.vms[address][1]),
                "interfaces": [{"name": "default", "ipAddresses": [address]}],
                **state,
            },
        }

    def nodes(self) -> list[dict[str, Any]]:
        found = []
        for zone in range(self.world.size):
            subnets = [self.world.subnet(zone, family) for family in self.world.families()]
            transit = {"ipv4": f"{self.world.transit(zone, 4)}/16"}
            notes = {
                "k8s.ovn.org/node-subnets": json.dumps({"default": subnets}),
                "k8s.ovn.org/node-transit-switch-port-ifaddr": json.dumps(transit),
            }
            found.append({"kind": "Node", "metadata": {"name": self.world.name(zone), "annotations": notes}})
        return found


@contextmanager
def cluster(world: World, folder: Path, names: tuple[str, list[str]] = UPSTREAM) -> Iterator[tuple[Cluster, Client]]:
    """A running one and a client of it."""
    with FakeApi() as api:
        yield Cluster(world, api, names), connect(api, folder)
