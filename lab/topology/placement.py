"""Which VM is where: the hosted-cluster view of a case, as one look at the API. Reads only.

VMs are the nodes of a hosted cluster; their launcher pods, the ended ones too, tell where each has been; node subnets
tell whose addresses they carry.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.access.client import Client
from lab.access.errors import Forbidden, KindMissing
from lab.access.kinds import NODE, POD, VM, VMI, Obj, condition
from lab.core.deadline import Deadline
from lab.core.errors import OperatorMissing, UsageError
from lab.ovn.inventory import pod_addresses, vm_of_pod
from lab.ovn.places import find
from lab.ovn.prefixes import Lpm
from lab.ovn.routes import is_address, plain
from lab.target.inventory import Component

SCHEMA = 1
LAUNCHERS = "kubevirt.io=virt-launcher"
SUBNETS = "k8s.ovn.org/node-subnets"
TRANSIT = "k8s.ovn.org/node-transit-switch-port-ifaddr"
CLUSTER = ("cluster.x-k8s.io/cluster-name", "hypershift.openshift.io/infra-id")
"""Labels that name the hosted cluster a VM is a node of (cluster-api-provider-kubevirt, HyperShift)."""


@dataclass(frozen=True)
class Launcher:
    """A launcher pod, as ``oc get pods -o wide`` shows it; `created` as the API writes it."""

    namespace: str
    name: str
    vm: str
    ready: str
    status: str
    restarts: int
    created: str
    addresses: tuple[str, ...]
    node: str


@dataclass(frozen=True)
class Answer:
    """What a guest's ping saw: `outcome` is reached, not reached or inconclusive; `way` is how the guest was asked."""

    to: str
    outcome: str
    detail: str
    way: str = ""


@dataclass
class HostedNode:
    """A VM. `home`: the node whose subnet its address is of; `moves`: launcher pods before the present one."""

    namespace: str
    name: str
    status: str
    node: str
    addresses: tuple[str, ...]
    created: str
    cluster: str = ""
    home: str = ""
    moves: int = 0
    ping: Answer | None = None


@dataclass(frozen=True)
class ClusterNode:
    """A node of the cluster below: its subnets as annotated, and its ovnkube pod, empty where there is none."""

    name: str
    subnets: str
    transit: str
    pod: str


@dataclass
class Placement:
    """The whole view, each list in the order of names; `notes` say what could not be read."""

    vms: list[HostedNode]
    launchers: list[Launcher]
    nodes: list[ClusterNode]
    instances: dict[tuple[str, str], Obj] = field(default_factory=dict)
    """VMIs by namespace and name, for who wants to enter the guests."""
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """For programs: described in docs/audit.md."""
        return {
            "schema": SCHEMA,
            "vms": [asdict(vm) for vm in self.vms],
            "launchers": [asdict(launcher) for launcher in self.launchers],
            "nodes": [asdict(node) for node in self.nodes],
            "notes": self.notes,
        }


def place(client: Client, component: Component | None, namespace: str = "", *, deadline: Deadline) -> Placement:
    """The view of one namespace, or of all.

    Raises:
        UsageError: this account may not list all namespaces and none was named.
        KindMissing, AccessDenied, ApiDown: as Client.list.
    """
    space = namespace or None
    try:
        instances = {_key(vmi): vmi for vmi in client.list(VMI, space, deadline=deadline)}
        machines = {_key(vm): vm for vm in client.list(VM, space, deadline=deadline)}
        pods = client.list(POD, space, labels=LAUNCHERS, deadline=deadline)
    except Forbidden as error:
        if namespace:
            raise
        raise UsageError("the VMs of all namespaces", error.found, client.server, "name one: -n NAMESPACE") from error
    notes: list[str] = []
    nodes = _nodes(client, component, notes, deadline)
    launchers = sorted((_launcher(pod) for pod in pods), key=lambda p: (p.namespace, p.vm, p.created, p.name))
    homes = _homes(nodes)
    vms = [
        _hosted(key, instances.get(key), machines.get(key), launchers, homes) for key in sorted({*instances, *machines})
    ]
    return Placement(vms, launchers, nodes, instances, notes)


def _nodes(client: Client, component: Component | None, notes: list[str], deadline: Deadline) -> list[ClusterNode]:
    """Nodes are read where that is allowed; without OVN-Kubernetes they have no ovnkube pod."""
    pods: dict[str, str] = {}
    try:
        pods = {place.node: place.pod for place in find(client, component, deadline=deadline).places}
    except (OperatorMissing, Forbidden) as error:
        notes.append(f"pods of OVN-Kubernetes are not known: {error.headline}")
    try:
        found = client.list(NODE, deadline=deadline)
    except (Forbidden, KindMissing) as error:
        notes.append(f"nodes are not known: {error.headline}")
        return []
    return [
        ClusterNode(
            str(node["metadata"]["name"]),
            str((node["metadata"].get("annotations") or {}).get(SUBNETS, "")),
            str((node["metadata"].get("annotations") or {}).get(TRANSIT, "")),
            pods.get(str(node["metadata"]["name"]), ""),
        )
        for node in sorted(found, key=lambda n: str(n["metadata"]["name"]))
    ]


def _homes(nodes: list[ClusterNode]) -> tuple[Lpm, dict[str, str]]:
    networks, owners = Lpm(), {}
    for node in nodes:
        try:
            found = json.loads(node.subnets or "{}").get("default") or ()
            for subnet in [found] if isinstance(found, str) else found:
                owners[plain(subnet)] = node.name
                networks.add(plain(subnet))
        except (ValueError, AttributeError, TypeError):
            continue
    return networks, owners


def _key(obj: Obj) -> tuple[str, str]:
    return str(obj["metadata"].get("namespace", "")), str(obj["metadata"]["name"])


def _hosted(
    key: tuple[str, str],
    vmi: Obj | None,
    vm: Obj | None,
    launchers: list[Launcher],
    homes: tuple[Lpm, dict[str, str]],
) -> HostedNode:
    meta = ((vmi or vm) or {})["metadata"]
    status = (vmi or {}).get("status") or {}
    mine = [pod for pod in launchers if (pod.namespace, pod.vm) == key]
    found = [a for pod in mine if pod.status == "Running" for a in pod.addresses]
    found += [a for entry in status.get("interfaces") or () for a in entry.get("ipAddresses") or ()]
    addresses = tuple(dict.fromkeys(a for a in found if is_address(a) and not a.startswith("fe80:")))
    networks, owners = homes
    home = next((owners[net] for a in addresses if (net := networks.around(plain(a)))), "")
    return HostedNode(
        *key,
        _state(vmi, vm),
        str(status.get("nodeName") or ""),
        addresses,
        str(meta.get("creationTimestamp") or ""),
        next((str((meta.get("labels") or {})[label]) for label in CLUSTER if label in (meta.get("labels") or {})), ""),
        home,
        max(0, len(mine) - 1),
    )


def _state(vmi: Obj | None, vm: Obj | None) -> str:
    """A node's words for a VM whose guest runs; else what KubeVirt says of it."""
    if vmi is None:
        return str(((vm or {}).get("status") or {}).get("printableStatus") or "Stopped")
    phase = str((vmi.get("status") or {}).get("phase") or "Pending")
    if phase != "Running":
        return phase
    return "Ready" if condition(vmi, "Ready").get("status") == "True" else "NotReady"


def _launcher(pod: Obj) -> Launcher:
    meta, status = pod["metadata"], pod.get("status") or {}
    notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    states = status.get("containerStatuses") or []
    total = len(states) or len((pod.get("spec") or {}).get("containers") or ())
    name = str(meta["name"])
    return Launcher(
        str(meta.get("namespace", "")),
        name,
        str(notes.get("kubevirt.io/domain") or labels.get("vm.kubevirt.io/name") or vm_of_pod(name)),
        f"{sum(bool(state.get('ready')) for state in states)}/{total}",
        _phase(pod),
        sum(int(state.get("restartCount") or 0) for state in states),
        str(meta.get("creationTimestamp") or ""),
        tuple(a for a in pod_addresses(status, notes) if a),
        str((pod.get("spec") or {}).get("nodeName") or ""),
    )


def _phase(pod: Obj) -> str:
    """As ``oc get pods`` puts it."""
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    phase = str((pod.get("status") or {}).get("phase") or "Unknown")
    return {"Succeeded": "Completed", "Failed": "Error"}.get(phase, phase)
