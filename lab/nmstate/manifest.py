"""Node policies as manifests: what a target changes in a documented one, and what takes it back. Pure.

Deleting a policy leaves the nodes as they are (kubernetes-nmstate, user guide 102): taking one back means applying its
inverse. The inverse names what the policy made, and the NICs that were its ports as they were before: nmstate leaves a
former port without its address, and one that it brought up itself up.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from lab.access.kinds import Obj
from lab.core.errors import UsageError

REMOVABLE = frozenset({"bond", "linux-bridge", "ovs-bridge", "vlan", "vxlan", "dummy", "vrf"})
DOMAIN = "virtlab.dev/"
DEFAULTS = ("0.0.0.0/0", "::/0")


def adapted(
    policy: Obj,
    *,
    ports: Mapping[str, Sequence[str]] | None = None,
    node_selector: Mapping[str, str] | None = None,
    name: str = "",
) -> Obj:
    """A copy with the target's NICs as ports of its bonds and Linux bridges, node selector and name.

    *ports* is by name of the bond or bridge; a bridge's ports keep their other settings, in their order.

    Raises:
        UsageError: a bridge has settings for another number of ports than the target names.
    """
    result = copy.deepcopy(policy)
    if name:
        result["metadata"]["name"] = name
    if node_selector:
        result["spec"]["nodeSelector"] = dict(node_selector)
    for interface in interfaces(result):
        wanted = list((ports or {}).get(str(interface.get("name")), ()))
        if wanted and interface.get("type") == "bond":
            interface.setdefault("link-aggregation", {})["port"] = wanted
        elif wanted and interface.get("type") == "linux-bridge":
            _set_bridge_ports(result, interface, wanted)
    return result


def _set_bridge_ports(policy: Obj, interface: dict[str, Any], wanted: Sequence[str]) -> None:
    documented = (interface.get("bridge") or {}).get("port") or []
    if len(documented) != len(wanted):
        raise UsageError(
            f"{len(documented)} NICs for {interface['name']}, as the policy {policy['metadata']['name']} has",
            f"the target names {', '.join(wanted)}",
            advice=f"correct nics.bridges.{interface['name']} in the target file",
        )
    interface["bridge"]["port"] = [{**port, "name": nic} for port, nic in zip(documented, wanted, strict=True)]


def interfaces(policy: Obj) -> list[dict[str, Any]]:
    """The interfaces that a policy wants."""
    found = ((policy.get("spec") or {}).get("desiredState") or {}).get("interfaces") or []
    return [i for i in found if isinstance(i, dict)]


def made(policy: Obj) -> set[str]:
    """The links that a policy makes."""
    return {str(i["name"]) for i in interfaces(policy) if i.get("type") in REMOVABLE and i.get("state") != "absent"}


def default_routes(policy: Obj) -> list[str]:
    """The default routes that a policy sets or takes, as destinations."""
    routes = ((policy.get("spec") or {}).get("desiredState") or {}).get("routes") or {}
    return [str(r.get("destination")) for r in routes.get("config") or [] if r.get("destination") in DEFAULTS]


def touched(policy: Obj) -> set[str]:
    """Every link that a policy names: its interfaces and the ports of its bonds and bridges."""
    names: set[str] = set()
    for interface in interfaces(policy):
        names.add(str(interface.get("name")))
        names |= {str(port) for port in (interface.get("link-aggregation") or {}).get("port") or []}
        names |= {str(port.get("name")) for port in (interface.get("bridge") or {}).get("port") or []}
    return names


def every_mapping(policy: Obj) -> list[dict[str, Any]]:
    """The bridge mappings that a policy sets or takes."""
    ovn = ((policy.get("spec") or {}).get("desiredState") or {}).get("ovn") or {}
    return list(ovn.get("bridge-mappings") or [])


def mappings(policy: Obj) -> dict[str, str]:
    """localnet -> bridge of the mappings that a policy wants present."""
    return {
        str(m["localnet"]): str(m.get("bridge", ""))
        for m in every_mapping(policy)
        if m.get("state", "present") == "present"
    }


def inverse(policy: Obj, restored: Sequence[Mapping[str, Any]] = ()) -> Obj:
    """The policy that takes another one back: same name and nodes, everything it made absent, users before used.

    *restored* are interfaces as they were before (see :mod:`lab.nmstate.restore`). The inverse of an inverse is itself,
    so that a taking back which was cut short can be done again.
    """
    meta = {k: v for k, v in policy["metadata"].items() if k in {"name", "labels"}}
    # Others' annotations (the webhook's time stamp) are not ours to own.
    if ours := {k: v for k, v in (policy["metadata"].get("annotations") or {}).items() if k.startswith(DOMAIN)}:
        meta["annotations"] = ours
    result = {"apiVersion": policy["apiVersion"], "kind": policy["kind"], "metadata": meta}
    result["spec"] = {k: v for k, v in copy.deepcopy(policy["spec"]).items() if k == "nodeSelector"}
    gone = [
        {"name": i["name"], "type": i["type"], "state": "absent"}
        for i in reversed(interfaces(policy))
        if i.get("type") in REMOVABLE
    ]
    state: dict[str, Any] = {}
    if wanted := [*gone, *(dict(entry) for entry in restored)]:
        state["interfaces"] = wanted
    if found := every_mapping(policy):
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
