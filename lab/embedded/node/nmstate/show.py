"""The node's state in nmstate's own words: what ``nmstatectl show`` prints and kubernetes-nmstate publishes.

Pure: a Host in, a document out. Only what was read back appears; it must not fill in what a policy wished.
"""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

from lab.embedded.model.vlans import runs
from lab.embedded.node.nmstate.model import BOND_ROLE, Bond, Bridge, Host, Link, Port, PortVlan

Doc = dict[str, Any]
NO_GATEWAY = {4: "0.0.0.0", 6: "::"}  # noqa: S104  nmstate prints these for a route without gateway
LACP_RATE = {"fast": "fast", "slow": "slow"}


def show(host: Host) -> Doc:
    """The whole state: interfaces by name, routes, DNS, mappings."""
    interfaces = [_link(host, link) for link in host.links.values() if not _only_bridge_local(host, link)]
    interfaces += [_bridge(b) for b in host.bridges.values() if b.role != BOND_ROLE]
    interfaces += [_bond(host, name, port) for name, (bridge, port) in host.bonds().items() if bridge.role != BOND_ROLE]
    interfaces += [_patch(b, p) for b in host.bridges.values() for p in b.ports.values() if p.kind == "patch"]
    dns = {"server": list(host.dns_servers), "search": list(host.dns_search)}
    configured = dns if host.dns_servers or host.dns_search else {}
    return {
        "dns-resolver": {"config": configured, "running": dict(configured)},
        "routes": {
            "config": _routes(host, lambda protocol: protocol == "static"),
            "running": _routes(host, lambda _protocol: True),
        },
        "interfaces": sorted(interfaces, key=lambda item: (item["name"], item["type"])),
        "ovn": {"bridge-mappings": [{"localnet": key, "bridge": value} for key, value in host.mappings.items()]},
    }


def _only_bridge_local(host: Host, link: Link) -> bool:
    bridge = host.bridges.get(link.name)
    return bridge is not None and bridge.role != BOND_ROLE and not bridge.local


def _routes(host: Host, wanted: Any) -> list[Doc]:
    return [
        {
            "destination": route.destination,
            "next-hop-interface": route.dev,
            "next-hop-address": route.via or NO_GATEWAY[route.family],
            "metric": route.metric,
            "table-id": route.table,
        }
        for route in sorted(host.routes, key=lambda r: (r.table, r.key))
        if route.table != 255 and wanted(route.protocol)
    ]


def _link(host: Host, link: Link) -> Doc:
    kind = {"bridge": "linux-bridge", "tap": "ovs-interface"}.get(link.kind, link.kind)
    document: Doc = {
        "name": link.name,
        "type": kind,
        "state": "up" if link.up else "down",
        "mac-address": link.mac.upper(),
        "mtu": link.mtu,
        "ipv4": _ip(host, link, 4),
        "ipv6": _ip(host, link, 6),
    }
    controller = host.controller_of(link.name)
    if controller:
        document["controller"] = controller
    if link.max_mtu:
        document.update({"min-mtu": link.min_mtu, "max-mtu": link.max_mtu})
    if link.kind == "bridge":
        document["bridge"] = _linux_bridge(host, link)
    alone = host.bond(link.name)
    if alone is not None and alone[0].role == BOND_ROLE:
        document["type"] = "bond"
        document["link-aggregation"] = _aggregation(alone[1])
    return document


def _ip(host: Host, link: Link, version: int) -> Doc:
    addresses = sorted(
        (ip_interface(text) for text in link.addresses | link.dynamic | link.local),
        key=lambda a: (a.is_link_local, a.version, a.packed, a.network.prefixlen),
    )
    kept = [a for a in addresses if a.version == version]
    dhcp = version == 4 and link.name in host.dhcp
    enabled = bool(kept or dhcp)
    document: Doc = {"enabled": enabled}
    if enabled:
        document["dhcp"] = dhcp
        document["address"] = [{"ip": str(a.ip), "prefix-length": a.network.prefixlen} for a in kept]
    return document


def _linux_bridge(host: Host, link: Link) -> Doc:
    options = dict(link.options)
    shown: Doc = {}
    if "stp_state" in options:
        stp: Doc = {"enabled": bool(options["stp_state"])}
        for key, (name, factor) in {
            "forward-delay": ("forward_delay", 100),
            "hello-time": ("hello_time", 100),
            "max-age": ("max_age", 100),
            "priority": ("priority", 1),
        }.items():
            if name in options:
                stp[key] = options[name] // factor
        shown["stp"] = stp
    for key, (name, factor) in {
        "mac-ageing-time": ("ageing_time", 100),
        "group-forward-mask": ("group_fwd_mask", 1),
    }.items():
        if name in options:
            shown[key] = options[name] // factor
    for key, name in {"multicast-snooping": "mcast_snooping", "multicast-querier": "mcast_querier"}.items():
        if name in options:
            shown[key] = bool(options[name])
    if "vlan_default_pvid" in options:
        shown["vlan-default-pvid"] = options["vlan_default_pvid"]
    ports = sorted((item for item in host.links.values() if item.master == link.name), key=lambda item: item.name)
    return {"options": shown, "port": [_linux_port(port) for port in ports]}


def _linux_port(link: Link) -> Doc:
    document: Doc = {"name": link.name}
    if link.vlan is not None:
        # As nmstate reads them (nispor/linux_bridge_port_vlan.rs): an access port has an empty list of trunk tags.
        document["vlan"] = {**vlan(link.vlan), "trunk-tags": ranges(link.vlan.trunks)}
    return document


def _bridge(bridge: Bridge) -> Doc:
    ports = [_port(port) for port in bridge.ports.values()]
    if bridge.local:
        ports.append({"name": bridge.name})
    return {
        "name": bridge.name,
        "type": "ovs-bridge",
        "state": "up",
        "bridge": {
            "options": {
                "fail-mode": bridge.fail_mode,
                "mcast-snooping-enable": bridge.mcast,
                "rstp": bridge.rstp,
                "datapath": bridge.datapath,
                "stp": {"enabled": bridge.stp},
            },
            "port": sorted(ports, key=lambda p: str(p["name"])),
        },
    }


def _port(port: Port) -> Doc:
    document: Doc = {"name": port.name}
    if port.vlan is not None:
        document["vlan"] = vlan(port.vlan)
    if port.bond is not None and port.bond.own:
        document["link-aggregation"] = {
            "mode": port.bond.mode,
            "port": [{"name": name} for name in sorted(port.members)],
        }
        if port.bond.updelay:
            document["link-aggregation"]["bond-updelay"] = port.bond.updelay
        if port.bond.downdelay:
            document["link-aggregation"]["bond-downdelay"] = port.bond.downdelay
    return document


def vlan(setting: PortVlan) -> Doc:
    """The VLAN settings of a port; consecutive trunk tags become one range."""
    document: Doc = {"mode": setting.mode}
    if setting.mode == "trunk":
        document["trunk-tags"] = ranges(setting.trunks)
        document["enable-native"] = setting.native
    if setting.tag is not None:
        document["tag"] = setting.tag
    return document


def ranges(tags: tuple[int, ...]) -> list[Doc]:
    """``trunk-tags`` for a set of numbers."""
    return [{"id": low} if low == high else {"id-range": {"min": low, "max": high}} for low, high in runs(tags)]


def _aggregation(port: Port) -> Doc:
    bond = port.bond or Bond("unknown", "off", "")
    document: Doc = {"mode": bond.mode, "port": sorted(port.members)}
    options: Doc = {}
    other = dict(bond.other)
    if bond.mode == "802.3ad":
        options["lacp_rate"] = LACP_RATE.get(other.get("lacp-time", "slow"), "slow")
    if "bond-miimon-interval" in other:
        options["miimon"] = int(other["bond-miimon-interval"])
    if "bond-primary" in other:
        options["primary"] = other["bond-primary"]
    for key, value in (("updelay", bond.updelay), ("downdelay", bond.downdelay)):
        if value:
            options[key] = value
    return {**document, "options": options} if options else document


def _bond(host: Host, name: str, port: Port) -> Doc:
    return {
        "name": name,
        "type": "bond",
        "state": "up",
        "controller": host.controller_of(name),
        "ipv4": {"enabled": False},
        "ipv6": {"enabled": False},
        "link-aggregation": _aggregation(port),
    }


def _patch(bridge: Bridge, port: Port) -> Doc:
    return {
        "name": port.name,
        "type": "ovs-interface",
        "state": "up",
        "controller": bridge.name,
        "patch": {"peer": port.peer},
    }
