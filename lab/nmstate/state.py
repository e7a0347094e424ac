"""What a node's network really is, as nmstate reports it, and whether a bridge leads anywhere.

A green policy does not prove an uplink: nmstate makes an internal port for a port name that it does not know (nmstate
rust/src/lib/ifaces/inter_ifaces_controller.rs). Here the reported state is read and judged by itself; nothing is
applied here, and no packet is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.nmstate.nics import NIC_TYPES

INTERNAL = "ovs-interface"


@dataclass(frozen=True)
class Interface:
    """One entry of ``currentState.interfaces``."""

    name: str
    type: str
    state: str = ""
    controller: str = ""
    ports: tuple[str, ...] = ()
    patch: bool = False
    mac: str = ""
    mode: str = ""
    """Of a bond, as nmstate spells it: ``802.3ad``, ``active-backup``, ..."""


@dataclass(frozen=True)
class NodeState:
    """A NodeNetworkState, read. ``interfaces`` are keyed by (name, type): a bridge and its own port share a name."""

    node: str
    interfaces: Mapping[tuple[str, str], Interface] = field(default_factory=dict)
    mappings: Mapping[str, str] = field(default_factory=dict)
    """localnet -> bridge"""
    updated: str = ""

    def named(self, name: str) -> tuple[Interface, ...]:
        """All interfaces of that name, whatever their type."""
        return tuple(i for (found, _), i in self.interfaces.items() if found == name)


@dataclass(frozen=True)
class UplinkFinding:
    """A port, or the lack of one, that keeps a bridge from the network outside."""

    node: str
    bridge: str
    port: str
    why: str

    def __str__(self) -> str:
        return f"{self.port} on {self.node} is no uplink: {self.why}"


def read_state(nns: Mapping[str, Any]) -> NodeState:
    """A NodeNetworkState object (nmstate.io/v1beta1), typed; what it does not say stays empty."""
    status = nns.get("status") or {}
    current = status.get("currentState") or {}
    entries = [_interface(entry) for entry in current.get("interfaces") or [] if isinstance(entry, dict)]
    mappings = (current.get("ovn") or {}).get("bridge-mappings") or []
    return NodeState(
        node=str((nns.get("metadata") or {}).get("name", "")),
        interfaces={(i.name, i.type): i for i in entries},
        mappings={str(m.get("localnet", "")): str(m.get("bridge", "")) for m in mappings if isinstance(m, dict)},
        updated=str(status.get("lastSuccessfulUpdateTime", "")),
    )


def _interface(entry: Mapping[str, Any]) -> Interface:
    bridge = entry.get("bridge") or {}
    bond = entry.get("link-aggregation") or {}
    ports = bond.get("port") if bond else [p.get("name") for p in bridge.get("port") or [] if isinstance(p, dict)]
    return Interface(
        name=str(entry.get("name", "")),
        type=str(entry.get("type", "")),
        state=str(entry.get("state", "")),
        controller=str(entry.get("controller", "")),
        ports=tuple(str(p) for p in ports or ()),
        patch=bool(entry.get("patch")),
        mac=str(entry.get("mac-address", "")),
        mode=str(bond.get("mode", "")),
    )


def uplink_findings(state: NodeState, bridge: str) -> list[UplinkFinding]:
    """Why *bridge* leads nowhere on this node; empty when at least one of its ports is an uplink.

    An uplink is a port that is neither internal (``ovs-interface``) nor a patch, nor the cable of a pod (``veth``), is
    up, and, if a bond, has ports.
    """
    entry = state.interfaces.get((bridge, "ovs-bridge")) or state.interfaces.get((bridge, "linux-bridge"))
    if entry is None:
        return [UplinkFinding(state.node, bridge, bridge, "the node has no bridge of that name")]
    ports = [p for p in entry.ports if p != bridge and not _is_patch(state, p) and not _of_pod(state, p)]
    if not ports:
        return [UplinkFinding(state.node, bridge, bridge, "the bridge has no port but those of OVN and of pods")]
    reasons = {port: _no_uplink(state, bridge, port) for port in ports}
    if not all(reasons.values()):
        return []
    return [UplinkFinding(state.node, bridge, port, why) for port, why in reasons.items()]


def missing_nics(
    states: Iterable[NodeState], nics: Sequence[str]
) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Node -> (those of *nics* that it has not, the NICs that it has); only nodes that lack one."""
    found = {}
    for state in states:
        lacking = tuple(nic for nic in nics if not state.named(nic))
        if lacking:
            found[state.node] = (lacking, tuple(sorted(n for n, kind in state.interfaces if kind in NIC_TYPES)))
    return found


def taken_nics(states: Iterable[NodeState], nics: Sequence[str]) -> list[str]:
    """Those of *nics* that another link holds as its port, in words."""
    return [
        f"{nic} on {state.node} is a port of {link.controller}"
        for state in states
        for nic in nics
        for link in state.named(nic)
        if link.controller and link.type != INTERNAL
    ]


def _is_patch(state: NodeState, port: str) -> bool:
    return port.startswith("patch-") or any(i.patch for i in state.named(port))


def _of_pod(state: NodeState, port: str) -> bool:
    return any(i.type == "veth" for i in state.named(port))


def _no_uplink(state: NodeState, bridge: str, port: str) -> str:
    found = state.named(port)
    carriers = [i for i in found if i.type != INTERNAL]
    if not carriers:
        what = f"an internal port of {bridge} (type {INTERNAL}), which leads nowhere"
        return f"it is {what}; the node has no bond or NIC of that name" if found else "the node has no such interface"
    carrier = carriers[0]
    if carrier.state not in {"", "up"}:
        return f"the {carrier.type} is {carrier.state}"
    if carrier.type == "bond" and not carrier.ports:
        return "the bond has no port"
    return ""


def bridges_of(states: Iterable[NodeState], localnet: str) -> dict[str, str]:
    """The bridge that each node maps *localnet* to; empty text for a node that maps it to none."""
    return {state.node: state.mappings.get(localnet, "") for state in states}
