"""A policy's desired state: parsed, checked for sense as far as it can be without looking at the node.

Also the two things kubernetes-nmstate itself adds before nmstate sees a state: default VLAN filtering for
Linux bridge ports (pkg/bridge/bridge.go) and the list of features.  It must not know the node.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from lab.embedded.node.nmstate.errors import MalformedState, invalid, unsupported
from lab.embedded.node.nmstate.schema import STATE, TYPES, interface_shape, read

DEFAULT_TRUNK: Mapping[str, Any] = {"mode": "trunk", "trunk-tags": [{"id-range": {"min": 2, "max": 4094}}]}
CONTROLLERS = ("bond", "linux-bridge", "ovs-bridge")
IMPOSSIBLE = ("dummy", "vlan", "vxlan", "vrf", "mac-vlan", "mac-vtap", "macsec", "infiniband", "ipsec", "hsr",
              "xfrm", "ipvlan", "veth", "tun")  # fmt: skip
UNSETTABLE = ("mptcp", "802.1x", "ethtool", "dispatch", "ovs-db", "copy-mac-from", "accept-all-mac-addresses")
MAX_NAME = 15


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
        section = self.data.get("bridge", {}) if self.type != "bond" else {}
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


def parse(document: Mapping[str, Any]) -> Desired:
    """Read a desiredState. Raises MalformedState or NmstateError (InvalidArgument, NotSupportedError)."""
    state = read(dict(document), STATE, "")
    for section in ("hostname", "route-rules", "ovs-db"):
        if state.get(section):
            raise unsupported(f"`{section}` cannot be set on this node")
    interfaces = tuple(_iface(item, f"interfaces[{i}]") for i, item in enumerate(state.get("interfaces", ())))
    _unique(interfaces)
    mappings = tuple(state.get("ovn", {}).get("bridge-mappings", ()))
    _check_mappings(mappings)
    routes = tuple(r for r in state.get("routes", {}).get("config", ()) if r.get("state") != "ignore")
    for route in routes:
        _check_route(route)
    for iface in interfaces:
        if iface.up:
            _check_iface(iface)
    _check_overbooked(interfaces)
    _check_controllers(interfaces)
    dns = state.get("dns-resolver", {}).get("config")
    return Desired(interfaces, routes, mappings, dns, not (interfaces or mappings or routes or dns is not None))


def _iface(item: Any, path: str) -> Iface:
    if not isinstance(item, Mapping):
        raise MalformedState(f"{path}: invalid type, expected a map")
    kind, state = str(item.get("type") or ""), str(item.get("state") or "up")
    kind = "" if kind == "unknown" else kind
    if state == "absent":
        # nmstate ignores all other properties of an absent interface, wrong ones included.
        item = {key: item[key] for key in ("name", "type", "state") if key in item}
    if kind and kind not in TYPES:
        raise MalformedState(f"{path}: unknown variant `{kind}`, expected one of {', '.join(f'`{t}`' for t in TYPES)}")
    data = read(dict(item), interface_shape(kind), path)
    return Iface(data["name"], kind, data.get("state", "up"), data)


def _unique(interfaces: Iterable[Iface]) -> None:
    seen: set[tuple[str, bool]] = set()
    for iface in interfaces:
        key = (iface.name, iface.type == "ovs-bridge")
        if key in seen:
            raise invalid(f"Duplicate interface {iface.name}/{iface.type or 'unknown'} in the desired state")
        seen.add(key)


def _check_iface(iface: Iface) -> None:
    if iface.type in IMPOSSIBLE:
        raise unsupported(
            f"Interface {iface.name}: type {iface.type} cannot be made on this node, its kernel has no such device; "
            "bond, linux-bridge, ovs-bridge, ovs-interface and ethernet can"
        )
    for section in UNSETTABLE:
        if iface.data.get(section):
            raise unsupported(f"Interface {iface.name}: `{section}` cannot be set on this node")
    if iface.type == "ethernet" and (iface.data.get("veth") or iface.data.get("ethernet", {}).get("sr-iov")):
        raise unsupported(f"Interface {iface.name}: `veth` and `sr-iov` cannot be set on this node")
    if iface.type in ("linux-bridge", "ovs-interface", "bond") and len(iface.name) > MAX_NAME:
        raise invalid(f"Interface name {iface.name} is longer than {MAX_NAME} characters")
    for version in (4, 6):
        _check_ip(iface, version)
    if iface.type == "ovs-bridge":
        _check_ovs_bridge(iface)
    if iface.type == "linux-bridge":
        _check_linux_bridge(iface)


def _check_ip(iface: Iface, version: int) -> None:
    length = 32 if version == 4 else 128
    other = 6 if version == 4 else 4
    section = iface.data.get(f"ipv{version}", {})
    for address in section.get("address", ()):
        try:
            found = ip_address(address["ip"])
        except ValueError:
            raise MalformedState(f"interfaces: invalid IP address syntax: {address['ip']!r} on {iface.name}") from None
        if found.version != version:
            raise invalid(f"Got IPv{other} address {found}/{address['prefix-length']} in ipv{version} config section")
        if not 0 <= address["prefix-length"] <= length:
            raise invalid(
                f"Invalid IPv{version} network prefix length '{address['prefix-length']}', "
                f"should be in the range of 0 to {length}"
            )
    mtu = iface.data.get("mtu")
    if version == 6 and section.get("enabled") and mtu is not None and mtu < 1280:
        raise invalid(f"MTU should be >= 1280 when IPv6 is enabled on interface {iface.name}, but got mtu: {mtu}")


def _check_ovs_bridge(iface: Iface) -> None:
    if iface.data.get("mac-address"):
        raise invalid(
            f"OVS Bridge {iface.name} can not hold MAC address, please set MAC address on "
            "OVS internal interface instead"
        )
    bridge = iface.data.get("bridge", {})
    if bridge.get("options", {}).get("datapath", "") not in ("", "netdev"):
        raise unsupported(
            f"OVS Bridge {iface.name}: datapath {bridge['options']['datapath']!r} needs the openvswitch kernel module, "
            "which this node has not; leave `datapath` out or set it to netdev"
        )
    if bridge.get("options", {}).get("fail-mode", "") not in ("", "standalone", "secure"):
        raise invalid(f"Invalid OVS bridge fail-mode {bridge['options']['fail-mode']}, expecting standalone or secure")
    for port in bridge.get("port", ()):
        _check_vlan(port.get("vlan"), port["name"])
        bond = port.get("link-aggregation")
        if bond is not None and len(bond.get("port", ())) < 2:
            raise invalid(f"OVS bond {port['name']} of bridge {iface.name} needs two ports or more")


def _check_linux_bridge(iface: Iface) -> None:
    bridge = iface.data.get("bridge", {})
    limits = {"hello-time": (1, 10), "max-age": (6, 40), "forward-delay": (2, 30)}
    for key, (low, high) in limits.items():
        value = bridge.get("options", {}).get("stp", {}).get(key)
        if value is not None and not low <= value <= high:
            raise invalid(f"Desired STP {key.replace('-', ' ')} {value} is not in the range of [{low},{high}]")
    for port in bridge.get("port", ()):
        vlan = port.get("vlan")
        _check_vlan(vlan, port["name"])
        if vlan and vlan != DEFAULT_TRUNK:
            raise unsupported(
                f"Linux bridge {iface.name}: VLAN filtering of port {port['name']} cannot be set, the kernel of this "
                "node has no bridge VLAN filtering; leave `vlan` out, or tag on an ovs-bridge"
            )


def _check_vlan(vlan: Mapping[str, Any] | None, port: str) -> None:
    if not vlan:
        return
    mode, tags, tag = vlan.get("mode"), vlan.get("trunk-tags"), vlan.get("tag")
    if mode == "trunk" and tag not in (None, 0) and not vlan.get("enable-native"):
        raise invalid("Bridge VLAN filtering `tag` cannot be use in trunk mode without `enable-native`")
    if mode == "access" and vlan.get("enable-native"):
        raise invalid("Bridge VLAN filtering `enable-native: true` cannot be set in access mode")
    if mode == "access" and tags:
        raise invalid("Bridge VLAN filtering access mode cannot have trunk-tags defined")
    if mode == "trunk" and tags is None:
        raise invalid("Bridge VLAN filtering trunk mode cannot have empty trunk-tags")
    seen: set[int] = set()
    for value in [*trunk_tags(tags or ()), *([] if tag is None else [tag])]:
        if not 0 <= value <= 4094:
            raise invalid(f"VLAN tag {value} of port {port} is not in the range of [0,4094]")
        if value in seen and value != tag:
            raise invalid(f"Bridge VLAN trunk tag {value} is overlapping with other tag {value}")
        seen.add(value)


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


def _check_mappings(mappings: Iterable[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for mapping in mappings:
        if mapping["localnet"] in seen:
            raise invalid(f"Found duplicate `localnet` key {mapping['localnet']}")
        seen.add(mapping["localnet"])
    for mapping in mappings:
        if mapping.get("state") != "absent" and not mapping.get("bridge"):
            raise invalid(f"mapping for `localnet` key {mapping['localnet']} missing the `bridge` attribute")
        for text in (mapping["localnet"], mapping.get("bridge", "")):
            # The pairs are stored as one string in external_ids: its separators cannot be part of a name.
            if any(sign in text for sign in ':, \n"'):
                raise invalid(f"Cannot convert {text} to OvnBridgeMapping, expected format is `<localnet>:<bridge>`")


def _check_route(route: Mapping[str, Any]) -> None:
    if route.get("state") == "absent":
        return
    if route.get("route-type") or route.get("weight") or route.get("vrf-name"):
        raise unsupported("`route-type`, `weight` and `vrf-name` of a route cannot be set on this node")
    if not route.get("destination"):
        raise invalid(f"Route with empty destination is not supported: {dict(route)}")
    if not route.get("next-hop-interface"):
        raise invalid(f"Route with empty next hop interface is not supported: {dict(route)}")


def _check_overbooked(interfaces: Iterable[Iface]) -> None:
    holder: dict[str, str] = {}
    for iface in interfaces:
        if not iface.up or iface.type not in CONTROLLERS:
            continue
        for port in iface.held:
            if port in holder:
                raise invalid(f"Port {port} is overbooked by two controller: {iface.name}, {holder[port]}")
            holder[port] = iface.name


def _check_controllers(interfaces: Iterable[Iface]) -> None:
    listed = {iface.name: iface for iface in interfaces if iface.up and iface.type in CONTROLLERS}
    holder = {port: iface.name for iface in listed.values() for port in iface.ports or ()}
    for iface in interfaces:
        wanted = iface.data.get("controller")
        if not iface.up or wanted is None:
            continue
        if wanted and wanted in listed and listed[wanted].ports is not None and iface.name not in listed[wanted].held:
            raise invalid(
                f"Interface {iface.name} has controller {wanted} but not listed in port list of controller interface"
            )
        found = holder.get(iface.name)
        if found is not None and found != wanted:
            how = f"has controller property set to {wanted}" if wanted else (
                "desired to detach controller via controller property set to ''")  # fmt: skip
            listing = "but been listed" if wanted else "but still been listed"
            raise invalid(f"Interface {iface.name} {how}, {listing} as port of controller {found} ")


def with_default_vlans(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the enactment records: each port of a Linux bridge without ``vlan`` trunks 2-4094."""
    state: dict[str, Any] = copy.deepcopy(dict(document))
    for iface in state.get("interfaces") or ():
        if not isinstance(iface, dict) or iface.get("type") != "linux-bridge" or iface.get("state") != "up":
            continue
        bridge = iface.get("bridge")
        for port in (bridge.get("port") or ()) if isinstance(bridge, dict) else ():
            if isinstance(port, dict) and "vlan" not in port:
                port["vlan"] = copy.deepcopy(dict(DEFAULT_TRUNK))
    return state


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
        bridge = iface.data.get("bridge")
        if iface.type == "ovs-bridge" and bridge and any("link-aggregation" in p for p in bridge.get("port", ())):
            found.add("ovs-bond")
        if iface.data.get("patch"):
            found.add("ovs-patch")
        if iface.data.get("lldp", {}).get("enabled"):
            found.add("lldp")
    if len(desired.interfaces) >= 10:
        found.add("iface-count10-plus")
    return sorted(found)
