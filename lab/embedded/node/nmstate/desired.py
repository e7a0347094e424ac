"""What a policy asks for, and what kubernetes-nmstate itself adds to it before nmstate sees it.

Added are default VLAN filtering for Linux bridge ports (pkg/bridge/bridge.go) and the list of features.
It must not know the node.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.embedded.node.nmstate.errors import invalid

DEFAULT_TRUNK: Mapping[str, Any] = {"mode": "trunk", "trunk-tags": [{"id-range": {"min": 2, "max": 4094}}]}
CONTROLLERS = ("bond", "linux-bridge", "ovs-bridge")
COPIES_MAC = ("bond", "linux-bridge", "ovs-interface")
"""Where nmstate heeds ``copy-mac-from``; elsewhere it says nothing and does nothing (inter_ifaces.rs)."""


@dataclass(frozen=True)
class Iface:
    """One desired interface; ``type`` is empty when the document left it out (then the node knows it)."""

    name: str
    type: str
    state: str
    data: Mapping[str, Any]

    @property
    def up(self) -> bool:
        return self.state == "up"

    @property
    def ports(self) -> tuple[str, ...] | None:
        """Names in its port list; None when it says nothing about ports."""
        if self.type not in CONTROLLERS:
            return None
        if self.type == "bond":
            section = self.data.get("link-aggregation", {})
            if "port" in section:
                return tuple(section["port"])
            config = section.get("ports-config")
            return tuple(item["name"] for item in config) if config else None
        section = self.data.get("bridge")
        if not isinstance(section, Mapping) or "port" not in section:
            return None
        return tuple(port["name"] for port in section["port"])

    @property
    def held(self) -> tuple[str, ...]:
        """Every interface it takes hold of, members of an ovs-bridge's own bonds included."""
        names: list[str] = []
        section = self.data.get("bridge", {}) if self.type in ("ovs-bridge", "linux-bridge") else {}
        own = {p["name"]: p.get("link-aggregation") for p in section.get("port", ())} if section else {}
        for name in self.ports or ():
            members = own.get(name)
            names += [item["name"] for item in members.get("port", ())] if members else [name]
        return tuple(names)


@dataclass(frozen=True)
class Desired:
    """A whole desired state."""

    interfaces: tuple[Iface, ...] = ()
    routes: tuple[Mapping[str, Any], ...] = ()
    mappings: tuple[Mapping[str, Any], ...] = ()
    dns: Mapping[str, Any] | None = None
    empty: bool = field(default=False)

    def iface(self, name: str) -> Iface | None:
        return next((iface for iface in self.interfaces if iface.name == name), None)


def trunk_tags(tags: Iterable[Mapping[str, Any]]) -> list[int]:
    """``trunk-tags`` written out."""
    found: list[int] = []
    for item in tags:
        if "id" in item:
            found.append(item["id"])
        if "id-range" in item:
            low, high = item["id-range"]["min"], item["id-range"]["max"]
            if high - low > 4096:
                raise invalid(f"VLAN range {low}-{high} is not in the range of [0,4094]")
            found += range(low, high + 1)
    return found


def with_default_vlans(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the enactment records: each port of a Linux bridge without ``vlan`` trunks 2-4094."""
    state: dict[str, Any] = copy.deepcopy(dict(document))
    for iface in _mappings_in(state.get("interfaces")):
        if iface.get("type") != "linux-bridge" or iface.get("state") != "up":
            continue
        bridge = iface.get("bridge")
        for port in _mappings_in(bridge.get("port") if isinstance(bridge, dict) else None):
            if "vlan" not in port:
                port["vlan"] = copy.deepcopy(dict(DEFAULT_TRUNK))
    return state


def _mappings_in(value: Any) -> list[dict[str, Any]]:
    """What of a list can be looked into; the rest, and what is no list, is `parse`'s to refuse."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def features(desired: Desired) -> list[str]:
    """What ``nmstatectl statistic`` names (rust/src/lib/statistic/feature/features.rs)."""
    found: set[str] = set()
    if desired.mappings:
        found.add("ovn-mapping")
    if desired.routes:
        found.add("static-route")
    if (desired.dns or {}).get("server"):
        found.add("static-dns-name-server")
    if (desired.dns or {}).get("search"):
        found.add("static-dns-search")
    for iface in desired.interfaces:
        bridge = iface.data.get("bridge") if iface.type == "ovs-bridge" else None
        if bridge and any("link-aggregation" in p for p in bridge.get("port", ())):
            found.add("ovs-bond")
        if iface.data.get("patch"):
            found.add("ovs-patch")
        if iface.data.get("lldp", {}).get("enabled"):
            found.add("lldp")
    if len(desired.interfaces) >= 10:
        found.add("iface-count10-plus")
    return sorted(found)
