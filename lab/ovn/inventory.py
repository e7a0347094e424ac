"""What is known besides routes: which VM runs where, which pod is which node's, which subnet is whose.

From ``oc get pods -o wide`` and node-subnets tables as printed, and from JSON of pods, VMIs and nodes. It keeps what
was said and where; it does not guess. The AGE column is no evidence of order: tables are pasted at different times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.ovn.routes import is_address, plain

LAUNCHER = re.compile(r"^virt-launcher-(.+)-[a-z0-9]{5}$")
OVNKUBE = re.compile(r"\bovnkube-(?:node|master|zone-controller|db)-[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\b")
HEADER = re.compile(r"^\s*(NAMESPACE\s+)?NAME\s+READY\s+STATUS\s")
SUBNETS = re.compile(r"^\s*(\S+)\s+(\{.*\})\s*$")
DONE = ("Completed", "Succeeded", "Failed", "Error")


@dataclass(frozen=True)
class Sighting:
    """A workload said to have an address: on *node*, alive or done. `vm` is empty for a pod that is no VM's."""

    name: str
    node: str
    alive: bool
    vm: str = ""
    moving: bool = False
    where: str = ""


@dataclass
class Inventory:
    """Everything of all inputs. Addresses are keys in the form OVN prints."""

    by_address: dict[str, list[Sighting]] = field(default_factory=dict)
    pod_nodes: dict[str, str] = field(default_factory=dict)
    """ovnkube pod -> node."""
    subnets: dict[str, str] = field(default_factory=dict)
    """node subnet -> node."""
    transits: dict[str, str] = field(default_factory=dict)
    """transit address -> node."""
    everything: bool = False
    """Whether every VM of the cluster is in here: only then an address nobody has is an orphan."""

    def add(self, address: str, sighting: Sighting) -> None:
        """Note a workload, once."""
        if is_address(address):
            known = self.by_address.setdefault(plain(address), [])
            if sighting not in known:
                known.append(sighting)

    def alive(self, address: str) -> list[Sighting]:
        """Workloads that have the address now."""
        return [s for s in self.by_address.get(address, ()) if s.alive]

    def runner(self, address: str) -> str:
        """The node a VM runs on; empty when unknown, when it moves just now, or when nodes are at odds."""
        found = [s for s in self.alive(address) if s.vm]
        nodes = {s.node for s in found}
        return nodes.pop() if len(nodes) == 1 and not any(s.moving for s in found) else ""

    def vm(self, address: str) -> str:
        """The VM's name, or empty."""
        return next((s.vm for s in self.by_address.get(address, ()) if s.vm), "")


def pod_row(inventory: Inventory, header: str, line: str, where: str) -> bool:
    """One row of ``oc get pods -o wide`` under *header*; whether it is one."""
    columns = re.split(r"\s{2,}", header.strip())
    words = line.split()
    offset = 1 if columns[0] == "NAMESPACE" else 0
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
    match = LAUNCHER.match(name)
    alive = status not in DONE and status != "<none>"
    inventory.add(address, Sighting(name, node, alive, match[1] if match else "", where=where))
    return True


def subnet_row(inventory: Inventory, line: str) -> bool:
    """One row of the node-subnets table: a node's name and the annotation; whether it is one."""
    match = SUBNETS.match(line)
    if match is None:
        return False
    try:
        return _subnets(inventory, match[1], json.loads(match[2]))
    except ValueError:
        return False


def _subnets(inventory: Inventory, node: str, value: Any) -> bool:
    """``{"default": "cidr"}`` or ``{"default": ["cidr", ...]}`` (go-controller/pkg/util/subnet_annotations.go)."""
    found = value.get("default") if isinstance(value, dict) else None
    if found is None:
        return False
    for cidr in [found] if isinstance(found, str) else found:
        inventory.subnets[plain(str(cidr))] = node
    return True


def objects(inventory: Inventory, document: Mapping[str, Any], where: str) -> int:
    """Pods, VMIs and nodes of a JSON document, a list or one object; how many were of use."""
    items = document.get("items")
    used = 0
    for item in items if isinstance(items, list) else [document]:
        if not isinstance(item, dict):
            continue
        kind = item.get("kind") or str(document.get("kind", "")).removesuffix("List")
        reader = {"Pod": _pod, "VirtualMachineInstance": _vmi, "Node": _node}.get(str(kind))
        if reader is not None:
            try:
                reader(inventory, item, where)
            except (AttributeError, TypeError, ValueError, KeyError):
                continue
            used += 1
    return used


def _pod(inventory: Inventory, pod: Mapping[str, Any], where: str) -> None:
    meta, status = pod["metadata"], pod.get("status") or {}
    name, node = str(meta["name"]), str((pod.get("spec") or {}).get("nodeName") or "")
    if (pod.get("spec") or {}).get("hostNetwork"):
        if OVNKUBE.fullmatch(name):
            inventory.pod_nodes[name] = node
        return
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    match = LAUNCHER.match(name)
    launcher = labels.get("kubevirt.io") == "virt-launcher" or match is not None
    vm = str(notes.get("kubevirt.io/domain") or labels.get("vm.kubevirt.io/name") or (match[1] if match else name))
    phase = str(status.get("phase", ""))
    ready = labels.get("kubevirt.io/nodeName") in (None, node) or bool(
        notes.get("kubevirt.io/migration-target-ready-timestamp")
    )
    seen = Sighting(
        f"{meta.get('namespace', '')}/{name}", node, phase not in DONE and ready, vm if launcher else "", where=where
    )
    for address in _pod_addresses(status, notes):
        inventory.add(address, seen)


def _pod_addresses(status: Mapping[str, Any], notes: Mapping[str, Any]) -> Iterable[str]:
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
    name = f"{meta.get('namespace', '')}/{meta['name']}"
    seen = Sighting(name, str(status.get("nodeName") or ""), alive, str(meta["name"]), moving, where)
    for interface in status.get("interfaces") or ():
        if networks and "pod" not in networks.get(interface.get("name"), {}):
            continue
        for address in interface.get("ipAddresses") or [interface.get("ipAddress", "")]:
            inventory.add(str(address), seen)


def _node(inventory: Inventory, node: Mapping[str, Any], where: str) -> None:
    name, notes = str(node["metadata"]["name"]), node["metadata"].get("annotations") or {}
    if "k8s.ovn.org/node-subnets" in notes:
        _subnets(inventory, name, json.loads(notes["k8s.ovn.org/node-subnets"]))
    for cidr in json.loads(notes.get("k8s.ovn.org/node-transit-switch-port-ifaddr") or "{}").values():
        inventory.transits[str(cidr).partition("/")[0]] = name
