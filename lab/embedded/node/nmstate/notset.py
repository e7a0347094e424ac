"""What a desired state asks for and this node cannot have, though nmstate would not refuse it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lab.embedded.node.nmstate.bridges import BRIDGE_OPTIONS
from lab.embedded.node.nmstate.desired import DEFAULT_TRUNK, Desired, Iface

HEARD = frozenset({"miimon", "lacp_rate", "primary", "updelay", "downdelay"})
APPROXIMATED = frozenset({"balance-rr", "balance-xor", "balance-tlb", "balance-alb"})
REFUSALS = ("auto-gateway", "auto-routes")
SETTINGS = (
    "auto-route-table-id", "auto-route-metric", "dhcp-client-id", "dhcp-custom-hostname", "dhcp-send-hostname",
)  # fmt: skip


def not_set(desired: Desired, *, filters: bool) -> list[str]:
    """One text for each interface and subject, in order; ``filters``: the kernel's bridges can filter VLANs."""
    return [
        text
        for iface in desired.interfaces
        if iface.up
        for text in (*(() if filters else _filtering(iface)), *_bridge(iface), *_bond(iface), *_dhcp(iface))
    ]


def _filtering(iface: Iface) -> Iterator[str]:
    bridge = iface.data.get("bridge")
    if iface.type != "linux-bridge" or not isinstance(bridge, Mapping):
        return
    filtered = [port["name"] for port in bridge.get("port", ()) if port.get("vlan") == DEFAULT_TRUNK]
    if filtered:
        yield (
            f"{iface.name}: VLAN filtering of {', '.join(filtered)} (trunk 2-4094) is not set, the kernel has no "
            "bridge VLAN filtering; the bridge passes all VLANs"
        )


def _bridge(iface: Iface) -> Iterator[str]:
    bridge = iface.data.get("bridge")
    if iface.type != "linux-bridge" or not isinstance(bridge, Mapping):
        return
    if unheard := sorted(set(bridge.get("options", {})) - {"stp", *BRIDGE_OPTIONS}):
        yield f"{iface.name}: bridge options {', '.join(unheard)} are not set, this node's handler does not know them"
    for port in bridge.get("port", ()):
        if unheard := sorted(key for key in port if key.startswith("stp-")):
            yield f"{iface.name}: {', '.join(unheard)} of port {port['name']} is not set"


def _bond(iface: Iface) -> Iterator[str]:
    if iface.type != "bond":
        return
    section = iface.data.get("link-aggregation", {})
    if unheard := sorted(set(section.get("options", {})) - HEARD):
        yield f"{iface.name}: bond options {', '.join(unheard)} have no counterpart in Open vSwitch"
    if (mode := section.get("mode", "")) in APPROXIMATED:
        yield f"{iface.name}: mode {mode} is realised as balance-slb of Open vSwitch"


def _dhcp(iface: Iface) -> Iterator[str]:
    section = iface.data.get("ipv4", {})
    if not section.get("dhcp"):
        return
    unheard = [f"{key}: false" for key in REFUSALS if section.get(key) is False]
    unheard += [key for key in SETTINGS if section.get(key) not in (None, 0, "")]
    if unheard:
        yield f"{iface.name}: {', '.join(unheard)} is not set, the node's DHCP client takes what the server gives"
