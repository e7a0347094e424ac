"""What makes no sense in a desired state, whatever the node: nmstate's refusals and those of this node's kernel.

Pure. Everything that later becomes a word of a command (names, addresses) is checked here. It must not know the node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from lab.embedded.node.nmstate.desired import CONTROLLERS, Iface, trunk_tags
from lab.embedded.node.nmstate.errors import MalformedState, invalid, unsupported

IMPOSSIBLE = ("dummy", "vlan", "vxlan", "vrf", "mac-vlan", "mac-vtap", "macsec", "infiniband", "ipsec", "hsr",
              "xfrm", "ipvlan", "veth", "tun")  # fmt: skip
UNSETTABLE = ("mptcp", "802.1x", "ethtool", "dispatch", "ovs-db", "accept-all-mac-addresses")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")
KERNEL_NAME, OVS_NAME = 15, 63
MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


def check_name(name: str, limit: int = KERNEL_NAME) -> None:
    """A name that the kernel and ovs-vsctl take as a name: nothing that could be an option, a path or two words."""
    if not NAME.fullmatch(name) or len(name) > limit:
        raise invalid(f"Interface name {name!r} is no name of a device (1 to {limit} letters, digits, `_.@+-`)")


def check_interface(iface: Iface) -> None:
    """One interface that shall be up. Raises NmstateError."""
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
    mac = iface.data.get("mac-address")
    if mac and not MAC.fullmatch(mac):
        raise invalid(f"Invalid MAC address {mac!r} of interface {iface.name}")
    for name in (*(iface.ports or ()), *iface.held):
        check_name(name, OVS_NAME if iface.type == "ovs-bridge" else KERNEL_NAME)
    check_name(iface.data.get("controller") or iface.name, OVS_NAME)
    if iface.data.get("patch"):
        check_name(iface.data["patch"]["peer"], OVS_NAME)
    for version in (4, 6):
        _check_ip(iface, version)
    if iface.type == "ovs-bridge":
        _check_ovs_bridge(iface)
    if iface.type == "linux-bridge":
        _check_linux_bridge(iface)


def check_unique(interfaces: Iterable[Iface]) -> None:
    """No interface twice; an ovs-bridge and its internal interface may share a name."""
    seen: dict[str, set[str]] = {}
    for iface in interfaces:
        kinds = seen.setdefault(iface.name, set())
        if kinds and {*kinds, iface.type} != {"ovs-bridge", "ovs-interface"}:
            raise invalid(f"Duplicate interface {iface.name}/{iface.type or 'unknown'} in the desired state")
        kinds.add(iface.type)


def _check_ip(iface: Iface, version: int) -> None:
    length = 32 if version == 4 else 128
    other = 6 if version == 4 else 4
    section = iface.data.get(f"ipv{version}", {})
    for address in section.get("address", ()):
        try:
            found = ip_address(address["ip"])
        except ValueError:
            raise MalformedState(f"interfaces: invalid IP address syntax: {address['ip']!r} on {iface.name}") from None
        if isinstance(found, IPv6Address) and found.scope_id:
            raise invalid(f"IPv6 address {found} of interface {iface.name} must not have a scope")
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
        _check_vlan(port.get("vlan"), port["name"])


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


def check_mappings(mappings: Iterable[Mapping[str, Any]]) -> None:
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


def check_route(route: Mapping[str, Any]) -> None:
    try:
        if route.get("destination"):
            ip_network(route["destination"], strict=False)
        if route.get("next-hop-address"):
            ip_address(route["next-hop-address"])
    except ValueError as wrong:
        raise invalid(f"Invalid IP address in route {dict(route)}: {wrong}") from None
    if "%" in f"{route.get('destination')}{route.get('next-hop-address')}":
        raise invalid(f"An address with a scope cannot be used in route {dict(route)}")
    if not 0 <= route.get("table-id", 0) < 1 << 32 or not -1 <= route.get("metric", 0) < 1 << 32:
        raise invalid(f"table-id or metric out of range in route {dict(route)}")
    if route.get("state") == "absent":
        return
    if route.get("route-type") or route.get("weight") or route.get("vrf-name"):
        raise unsupported("`route-type`, `weight` and `vrf-name` of a route cannot be set on this node")
    if not route.get("destination"):
        raise invalid(f"Route with empty destination is not supported: {dict(route)}")
    if not route.get("next-hop-interface"):
        raise invalid(f"Route with empty next hop interface is not supported: {dict(route)}")


def check_overbooked(interfaces: Iterable[Iface]) -> None:
    holder: dict[str, str] = {}
    for iface in interfaces:
        if not iface.up or iface.type not in CONTROLLERS:
            continue
        for port in iface.held:
            if port in holder:
                raise invalid(f"Port {port} is overbooked by two controller: {iface.name}, {holder[port]}")
            holder[port] = iface.name


def check_controllers(interfaces: Iterable[Iface]) -> None:
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
