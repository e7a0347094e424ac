"""A cluster of two workers at the wire: what survey and preflight ask for, each answer to be changed by a test."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from lab.target.platform import NAMESPACES
from tests.unit.access.fakeapi import CORE, FakeApi

NMSTATE = ("NodeNetworkConfigurationPolicy", "NodeNetworkConfigurationEnactment", "NodeNetworkState")
PLURALS = {
    "NodeNetworkConfigurationPolicy": "nodenetworkconfigurationpolicies",
    "NodeNetworkConfigurationEnactment": "nodenetworkconfigurationenactments",
    "NodeNetworkState": "nodenetworkstates",
    "NetworkAttachmentDefinition": "network-attachment-definitions",
    "MigrationPolicy": "migrationpolicies",
}
GROUPS = {
    "/apis/nmstate.io/v1": NMSTATE[:1],
    "/apis/nmstate.io/v1beta1": NMSTATE,
    "/apis/kubevirt.io/v1": (
        "VirtualMachine", "VirtualMachineInstance", "VirtualMachineInstanceMigration", "KubeVirt",
    ),
    "/apis/migrations.kubevirt.io/v1alpha1": ("MigrationPolicy",),
    "/apis/k8s.cni.cncf.io/v1": ("NetworkAttachmentDefinition",),
    "/apis/coordination.k8s.io/v1": ("Lease",),
    "/apis/authorization.k8s.io/v1": ("SelfSubjectAccessReview",),
}  # fmt: skip
NAMESPACED = {"NetworkAttachmentDefinition", "VirtualMachine", "VirtualMachineInstance",
              "VirtualMachineInstanceMigration", "Lease", "KubeVirt"}  # fmt: skip


def ready(name: str, **meta: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True"}]
    labels = {"node-role.kubernetes.io/worker": "", **meta.pop("labels", {})}
    addresses = [{"type": "InternalIP", "address": f"10.0.0.{name[-1]}"}]
    return {
        "metadata": {"name": name, "labels": labels, **meta},
        "spec": {},
        "status": {"conditions": conditions, "addresses": addresses},
    }


def ethernet(name: str, *, up: bool = True, address: str = "", **more: Any) -> dict[str, Any]:
    listed = [{"ip": address, "prefix-length": 24}] if address else []
    return {"name": name, "type": "ethernet", "state": "up" if up else "down", "ipv4": {"address": listed}, **more}


def node_state(number: int, *more: dict[str, Any]) -> dict[str, Any]:
    """As on a node with OVN-Kubernetes' br-ex over the only NIC with an address, and two free ones."""
    address = {"address": [{"ip": f"10.0.0.{number}", "prefix-length": 24}], "dhcp": True}
    ports = [{"name": "br-ex"}, {"name": "eth0"}, {"name": "patch-br-ex_x-to-br-int"}]
    links = [
        ethernet("eth0", controller="br-ex"),
        {"name": "br-ex", "type": "ovs-bridge", "state": "up", "bridge": {"port": ports}},
        {"name": "br-ex", "type": "ovs-interface", "state": "up", "ipv4": address},
        {"name": "br-int", "type": "ovs-bridge", "state": "up", "bridge": {"port": []}},
        ethernet("ens1f0"), ethernet("ens1f1"),
        *more,
    ]  # fmt: skip
    route = {"destination": "0.0.0.0/0", "next-hop-interface": "br-ex", "next-hop-address": "10.0.0.254"}
    mapping = [{"localnet": "physnet", "bridge": "br-ex"}]
    return {"interfaces": links, "routes": {"running": [route]}, "ovn": {"bridge-mappings": mapping}}


def platform_pod(name: str, node: str, containers: tuple[str, ...], namespace: str, label: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": dict([label.split("=")])},
        "spec": {"nodeName": node, "containers": [{"name": c, "image": f"registry/{c}:1"} for c in containers]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


class FakeCluster(FakeApi):
    """`pods` are those of the platform; `nodes`, `states`, `denied` (rights that reviews refuse) may be changed."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = [ready("w1"), ready("w2")]
        self.states = {"w1": node_state(1), "w2": node_state(2)}
        self.pods: list[dict[str, Any]] = []
        self.denied: set[str] = set()
        for node in ("w1", "w2"):
            ovn = ("northd", "nbdb", "sbdb", "ovn-controller")
            self.pods += [
                platform_pod(f"ovnkube-{node}", node, ovn, "openshift-ovn-kubernetes", "app=ovnkube-node"),
                platform_pod(f"h-{node}", node, ("h",), "openshift-nmstate", "component=kubernetes-nmstate-handler"),
                platform_pod(f"v-{node}", node, ("v",), "openshift-cnv", "kubevirt.io=virt-handler"),
            ]
        core = [*CORE["resources"], {"name": "namespaces", "kind": "Namespace", "namespaced": False}]
        self.say("GET /api/v1", lambda r: web.json_response({"resources": core}))
        for base, kinds in GROUPS.items():
            self.group(base, kinds)
        self.say("GET /api/v1/nodes", lambda r: self._list(self.nodes))
        self.say("GET /api/v1/pods", lambda r: self._pods(r, ""))
        for namespace in [name for names in NAMESPACES.values() for name in names]:
            self.say(f"GET /api/v1/namespaces/{namespace}/pods", lambda r, n=namespace: self._pods(r, n))
        self.say("GET /apis/nmstate.io/v1beta1/nodenetworkstates", lambda r: self._list(
            [{"metadata": {"name": n}, "status": {"currentState": s}} for n, s in self.states.items()]))  # fmt: skip
        empty = ("/api/v1/namespaces", "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies",
                 "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions", "/apis/kubevirt.io/v1/virtualmachines",
                 "/apis/kubevirt.io/v1/virtualmachineinstances",
                 "/apis/migrations.kubevirt.io/v1alpha1/migrationpolicies")  # fmt: skip
        for path in empty:
            self.objects(path)
        self.objects("/apis/kubevirt.io/v1/kubevirts", {"metadata": {"name": "kubevirt", "namespace": "kubevirt"},
                     "status": {"phase": "Deployed", "observedKubeVirtVersion": "v1.5.0"}})  # fmt: skip
        self.leases()
        self.say("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review)

    def group(self, base: str, kinds: tuple[str, ...]) -> None:
        listed = [{"name": PLURALS.get(k, f"{k.lower()}s"), "kind": k,
                   "namespaced": k in NAMESPACED} for k in kinds]  # fmt: skip
        self.say(f"GET {base}", lambda r: web.json_response({"resources": listed}))

    def objects(self, path: str, *objects: dict[str, Any]) -> None:
        self.say(f"GET {path}", lambda r: self._list(list(objects)))

    def leases(self, **ahead: float) -> None:
        """Heartbeats of the workers; seconds by which a worker's is ahead of now."""

        def body(request: web.Request) -> web.Response:
            listed = []
            for node in self.nodes:
                name = node["metadata"]["name"]
                at = datetime.now(UTC) + timedelta(seconds=ahead.get(name, 0))
                spec = {"renewTime": at.isoformat(), "leaseDurationSeconds": 40}
                listed.append({"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec})
            return self._list(listed)

        self.say("GET /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", body)

    @staticmethod
    def _list(objects: list[dict[str, Any]]) -> web.Response:
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": objects})

    def _pods(self, request: web.Request, namespace: str) -> web.Response:
        label = request.query.get("labelSelector", "")
        found = [p for p in self.pods if not namespace or p["metadata"]["namespace"] == namespace]
        wanted = label.partition("=")[::2]
        return self._list([p for p in found if not label or p["metadata"]["labels"].get(wanted[0]) == wanted[1]])

    async def _review(self, request: web.Request) -> web.Response:
        body = json.loads(self.requests[-1][3])
        asked = body["spec"]["resourceAttributes"]
        said = f"{asked['verb']} {asked['resource']}"
        return web.json_response(body | {"status": {"allowed": said not in self.denied}}, status=201)
