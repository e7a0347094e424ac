"""Node policies as manifests: what a target changes in a documented one, and what takes it back. Pure.

Deleting a policy leaves the nodes as they are (kubernetes-nmstate, user guide 102): taking one back means applying its
inverse. The inverse names what the policy made and nothing else; NICs that were ports of a bond are left alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from lab.access.kinds import Obj
from lab.core.errors import UsageError

REMOVABLE = frozenset({"bond", "linux-bridge", "ovs-bridge", "vlan", "vxlan", "dummy", "vrf"})


def adapted(policy: Obj, *, bond_ports: Sequence[str] = (), node_selector: Mapping[str, str] | None = None) -> Obj:
    """A copy with the target's NICs as ports of its (only) bond, and the target's node selector.

    Raises:
        UsageError: the policy has several bonds, so that the NICs could be meant for any of them.
    """
    result = copy.deepcopy(policy)
    if node_selector:
        result["spec"]["nodeSelector"] = dict(node_selector)
    bonds = [i for i in interfaces(result) if i.get("type") == "bond"]
    if bond_ports and len(bonds) > 1:
        raise UsageError(
            f"one bond in the policy {result['metadata']['name']}, to give the target's NICs to",
            f"{', '.join(str(b.get('name')) for b in bonds)}",
            advice="name the NICs in the manifest itself",
        )
    if bond_ports and bonds:
        bonds[0].setdefault("link-aggregation", {})["port"] = list(bond_ports)
    return result


def interfaces(policy: Obj) -> list[dict[str, Any]]:
    """The interfaces that a policy wants."""
    found = ((policy.get("spec") or {}).get("desiredState") or {}).get("interfaces") or []
    return [i for i in found if isinstance(i, dict)]


def touched(policy: Obj) -> set[str]:
    """Every link that a policy names: its interfaces and the ports of its bonds and bridges."""
    names: set[str] = set()
    for interface in interfaces(policy):
        names.add(str(interface.get("name")))
        names |= {str(port) for port in (interface.get("link-aggregation") or {}).get("port") or []}
        names |= {str(port.get("name")) for port in (interface.get("bridge") or {}).get("port") or []}
    return names


def _all_mappings(policy: Obj) -> list[dict[str, Any]]:
    ovn = ((policy.get("spec") or {}).get("desiredState") or {}).get("ovn") or {}
    return list(ovn.get("bridge-mappings") or [])


def mappings(policy: Obj) -> dict[str, str]:
    """localnet -> bridge of the mappings that a policy wants present."""
    return {
        str(m["localnet"]): str(m.get("bridge", ""))
        for m in _all_mappings(policy)
        if m.get("state", "present") == "present"
    }


def inverse(policy: Obj) -> Obj:
    """The policy that takes another one back: same name and nodes, everything it made absent, users before used.

    The inverse of an inverse is itself, so that a taking back which was cut short can be done again.
    """
    meta = {k: v for k, v in policy["metadata"].items() if k in {"name", "labels"}}
    result = {"apiVersion": policy["apiVersion"], "kind": policy["kind"], "metadata": meta}
    result["spec"] = {k: v for k, v in copy.deepcopy(policy["spec"]).items() if k == "nodeSelector"}
    gone = [
        {"name": i["name"], "type": i["type"], "state": "absent"}
        for i in reversed(interfaces(policy))
        if i.get("type") in REMOVABLE
    ]
    state: dict[str, Any] = {}
    if gone:
        state["interfaces"] = gone
    if found := _all_mappings(policy):
        state["ovn"] = {"bridge-mappings": [{"localnet": m["localnet"], "state": "absent"} for m in found]}
    result["spec"]["desiredState"] = state
    return result


def without_ports(policy: Obj, ports: Mapping[str, str]) -> Obj:
    """The policy with *ports* (name -> type) taken out of its bridges and removed, the bridges kept.

    For a name that shall be something else afterwards: a bond where an internal port was, or the reverse.
    """
    result = copy.deepcopy(policy)
    kept = [interface for interface in interfaces(result) if interface["name"] not in ports]
    for interface in kept:
        if interface.get("type") == "ovs-bridge":
            bridge = interface["bridge"]
            bridge["port"] = [p for p in bridge.get("port") or [] if p.get("name") not in ports]
    absent = [{"name": name, "type": kind, "state": "absent"} for name, kind in sorted(ports.items())]
    result["spec"]["desiredState"]["interfaces"] = [*absent, *kept]
    return result
