"""What is known besides routes: which VM runs where, which pod is which node's, which subnet is whose.

From ``oc get pods -o wide``, ``oc get vmi`` and node-subnets tables as printed, from JSON and YAML of pods, VMIs,
migrations and nodes, and from the ports in a northbound database. It keeps what was said and where; it does not guess.
The AGE column is no evidence of order: tables are pasted at different times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.ovn.routes import is_address, plain

LAUNCHER = re.compile(r"^virt-launcher-(.+)-[a-z0-9]{5}$")
OVNKUBE = re.compile(
    r"(?<![a-z0-9-])ovnkube-(?:node|master|zone-controller|db|control-plane)(?:-[a-z0-9]+)+(?![a-z0-9-])"
)
HEADER = re.compile(r"^\s*(NAMESPACE\s+)?NAME\s+(READY\s+STATUS|AGE\s+PHASE)\s")
SUBNETS = re.compile(r"^\s*(\S+)\s+(\{.*\})\s*$")
DONE = ("Completed", "Succeeded", "Failed", "Error")
CONTAINERS = ("nbdb", "nb-ovsdb", "ovnkube-controller", "ovn-controller", "northd", "ovn-northd")
"""Containers of OVN-Kubernetes' pods that have ovn-nbctl and share /run/ovn, the best first."""
FILES = {"pods": "Pod", "nodes": "Node", "virtualmachineinstances": "VirtualMachineInstance"}
"""Names of files and folders of a must-gather, and what is in them."""


@dataclass(frozen=True)
class Sighting:
    """A workload said to have an address: on *node*, alive or done. `vm` is empty for a pod that is no VM's.

    `name` begins with the namespace where that is known. `moving`: its VM migrates just now. `instance`: a VMI says so,
    which knows better than its launcher pods, of which two may run for a while.
    """

    name: str
    node: str
    alive: bool
    vm: str = ""
    moving: bool = False
    instance: bool = False
    where: str = field(default="", compare=False)

    @property
    def namespace(self) -> str:
        """Empty when not known."""
        return self.name.partition("/")[0] if "/" in self.name else ""


@dataclass
class Inventory:
    """Everything of all inputs. Addresses are keys in the form OVN prints."""

    by_address: dict[str, list[Sighting]] = field(default_factory=dict)
    pod_nodes: dict[str, str] = field(default_factory=dict)
    """ovnkube pod -> node."""
    pod_places: dict[str, tuple[str, str]] = field(default_factory=dict)
    """ovnkube pod -> its namespace, and a container in which ovn-nbctl works."""
    subnets: dict[str, str] = field(default_factory=dict)
    """node subnet -> node."""
    transits: dict[str, str] = field(default_factory=dict)
    """transit address -> node."""
    migrating: set[tuple[str, str]] = field(default_factory=set)
    """(namespace, VM) with a migration that has not ended."""
    everything: bool = False
    """Whether every VM of the cluster is in here: only then an address nobody has is an orphan."""

    def add(self, address: str, sighting: Sighting) -> None:
        """Note a workload, once. Addresses of one link only are nobody's in the routes."""
        if is_address(address) and not address.lower().startswith(("fe8", "fe9", "fea", "feb", "169.254.")):
            known = self.by_address.setdefault(plain(address), [])
            if sighting not in known:
                known.append(sighting)

    def alive(self, address: str) -> list[Sighting]:
        """Workloads that have the address now."""
        return [s for s in self.by_address.get(address, ()) if s.alive]

    def moving(self, address: str) -> bool:
        """Whether the VM with the address migrates just now, or is said to run on two nodes."""
        alive = self.alive(address)
        if any(s.moving or (s.vm and self._migrates(s)) for s in alive):
            return True
        return len({s.node for s in self._deciding(alive)}) > 1

    @staticmethod
    def _deciding(alive: list[Sighting]) -> list[Sighting]:
        vms = [s for s in alive if s.vm]
        return [s for s in vms if s.instance] or vms

    def _migrates(self, sighting: Sighting) -> bool:
        space = sighting.namespace
        return any(vm == sighting.vm and space in ("", other) for other, vm in self.migrating)

    def runner(self, address: str) -> str:
        """The node a VM runs on; empty when unknown, when it moves just now, or when nodes are at odds."""
        nodes = {s.node for s in self._deciding(self.alive(address))}
        return nodes.pop() if len(nodes) == 1 and not self.moving(address) else ""

    def vm(self, address: str) -> str:
        """The VM's name, with its namespace where that is known; or empty."""
        seen = [s for s in self.by_address.get(address, ()) if s.vm]
        best = next((s for s in seen if s.namespace), seen[0] if seen else None)
        return "" if best is None else f"{best.namespace}/{best.vm}" if best.namespace else best.vm

    def addresses(self, namespace: str, vm: str) -> list[str]:
        """The addresses that a VM is said to have now."""
        return [
            address
            for address in self.by_address
            if any(s.vm == vm and s.namespace in ("", namespace) for s in self.alive(address))
        ]


def vm_of_pod(pod: str) -> str:
    """The VM of a launcher pod by the pod's name; empty for another pod."""
    match = LAUNCHER.match(pod)
    return match[1] if match else ""


def kind_of_file(path: str) -> str:
    """What objects without a kind are, by the file they are in (``.../core/pods.yaml``); empty for others."""
    parts = path.replace("\\", "/").split("/")
    stem = parts[-1].rsplit(".", 1)[0]
    return FILES.get(stem) or next((FILES[part] for part in parts[-3:-1] if part in FILES), "")


def table_row(inventory: Inventory, header: str, line: str, where: str) -> bool:
    """One row of ``oc get pods -o wide`` or ``oc get vmi`` under *header*; whether it is one."""
    columns = header.split()
    offset = 1 if columns[0] == "NAMESPACE" else 0
    if "PHASE" in columns:
        return _vmi_row(inventory, offset, line.split(), where)
    return _pod_row(inventory, offset, re.split(r"\s{2,}", header.strip()), line.split(), where)


def _pod_row(inventory: Inventory, offset: int, columns: list[str], words: list[str], where: str) -> bool:
    if len(words) < 5 + offset or "/" not in words[1 + offset] or not words[1 + offset][0].isdigit():
        return False
    if "NODE" not in columns or "IP" not in columns:
        return True
    behind = len(columns) - columns.index("NODE")
    if len(words) < behind + 4 + offset:
        return False
    name, status, node, address = words[offset], words[2 + offset], words[-behind], words[-behind - 1]
    if OVNKUBE.fullmatch(name):
        inventory.pod_nodes[name] = node
    alive = status not in DONE and status != "<none>"
    shown = f"{words[0]}/{name}" if offset else name
    inventory.add(address, Sighting(shown, node, alive, vm_of_pod(name), where=where))
    return True


def _vmi_row(inventory: Inventory, offset: int, words: list[str], where: str) -> bool:
    """Without an address in its column, the VMI says nothing about routes."""
    if len(words) < 3 + offset or not words[1 + offset][0].isdigit():
        return False
    if len(words) >= 5 + offset and is_address(words[3 + offset]):
        name, phase, address, node = words[offset], *words[2 + offset : 5 + offset]
        shown = f"{words[0]}/{name}" if offset else name
        inventory.add(address, Sighting(shown, node, phase not in DONE, name, instance=True, where=where))
    return True


def subnet_row(inventory: Inventory, line: str) -> bool:
    """One row of the node-subnets table: a node's name and the annotation; whether it is one."""
    match = SUBNETS.match(line)
    if match is None:
        return False
    try:
        return _subnets(inventory, match[1], json.loads(match[2]))
    except (ValueError, RecursionError):
        return False


def _subnets(inventory: Inventory, node: str, value: Any) -> bool:
    """``{"default": "cidr"}`` or ``{"default": ["cidr", ...]}`` (go-controller/pkg/util/subnet_annotations.go)."""
    found = value.get("default") if isinstance(value, dict) else None
    if found is None:
        return False
    for cidr in [found] if isinstance(found, str) else found:
        inventory.subnets[plain(str(cidr))] = node
    return True


def objects(inventory: Inventory, document: Mapping[str, Any], where: str, hint: str = "") -> int:
    """Pods, VMIs, migrations and nodes of a document, a list or one object; how many were of use.

    *hint*: the kind of what names none.
    """
    items = document.get("items")
    used = 0
    for item in items if isinstance(items, list) else [document]:
        if not isinstance(item, dict):
            continue
        kind = item.get("kind") or str(document.get("kind") or hint).removesuffix("List")
        reader = READERS.get(str(kind))
        if reader is not None:
            try:
                reader(inventory, item, where)
            except (AttributeError, TypeError, ValueError, KeyError, RecursionError):
                continue
            used += 1
    return used


def _pod(inventory: Inventory, pod: Mapping[str, Any], where: str) -> None:
    meta, status, spec = pod["metadata"], pod.get("status") or {}, pod.get("spec") or {}
    name, node = str(meta["name"]), str(spec.get("nodeName") or "")
    if spec.get("hostNetwork"):
        if OVNKUBE.fullmatch(name):
            inventory.pod_nodes[name] = node
            have = {str(c.get("name")) for c in spec.get("containers") or ()}
            container = next((c for c in CONTAINERS if c in have), "")
            inventory.pod_places[name] = (str(meta.get("namespace") or ""), container)
        return
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    launcher = labels.get("kubevirt.io") == "virt-launcher" or bool(LAUNCHER.match(name))
    vm = str(
        notes.get("kubevirt.io/domain") or labels.get("vm.kubevirt.io/name") or vm_of_pod(name) or name
        if launcher
        else ""
    )
    phase = str(status.get("phase", ""))
    ready = labels.get("kubevirt.io/nodeName") in (None, node) or bool(
        notes.get("kubevirt.io/migration-target-ready-timestamp")
    )
    space = str(meta.get("namespace") or "")
    seen = Sighting(f"{space}/{name}" if space else name, node, phase not in DONE and ready, vm, where=where)
    for address in pod_addresses(status, notes):
        inventory.add(address, seen)


def pod_addresses(status: Mapping[str, Any], notes: Mapping[str, Any]) -> Iterable[str]:
    """The annotation is what OVN-Kubernetes goes by; the status follows it."""
    default = (json.loads(str(notes.get("k8s.ovn.org/pod-networks") or "{}"))).get("default") or {}
    found = [str(a).partition("/")[0] for a in default.get("ip_addresses") or ()]
    return found or [str(entry.get("ip", "")) for entry in status.get("podIPs") or [{"ip": status.get("podIP", "")}]]


def _vmi(inventory: Inventory, vmi: Mapping[str, Any], where: str) -> None:
    meta, status = vmi["metadata"], vmi.get("status") or {}
    networks = {n.get("name"): n for n in (vmi.get("spec") or {}).get("networks") or ()}
    state = status.get("migrationState") or {}
    moving = bool(state) and not state.get("completed") and not state.get("failed")
    alive = str(status.get("phase", "")) not in ("Succeeded", "Failed")
    space = str(meta.get("namespace") or "")
    name = f"{space}/{meta['name']}" if space else str(meta["name"])
    seen = Sighting(name, str(status.get("nodeName") or ""), alive, str(meta["name"]), moving, True, where)
    for interface in status.get("interfaces") or ():
        if networks and "pod" not in networks.get(interface.get("name"), {}):
            continue
        for address in interface.get("ipAddresses") or [interface.get("ipAddress", "")]:
            inventory.add(str(address), seen)


def _migration(inventory: Inventory, migration: Mapping[str, Any], where: str) -> None:
    if str((migration.get("status") or {}).get("phase", "")) not in ("Succeeded", "Failed"):
        space = str(migration["metadata"].get("namespace") or "")
        inventory.migrating.add((space, str(migration["spec"]["vmiName"])))


def _node(inventory: Inventory, node: Mapping[str, Any], where: str) -> None:
    name, notes = str(node["metadata"]["name"]), node["metadata"].get("annotations") or {}
    if "k8s.ovn.org/node-subnets" in notes:
        _subnets(inventory, name, json.loads(notes["k8s.ovn.org/node-subnets"]))
    for cidr in json.loads(notes.get("k8s.ovn.org/node-transit-switch-port-ifaddr") or "{}").values():
        inventory.transits[str(cidr).partition("/")[0]] = name


READERS = {
    "Pod": _pod,
    "VirtualMachineInstance": _vmi,
    "VirtualMachineInstanceMigration": _migration,
    "Node": _node,
}
