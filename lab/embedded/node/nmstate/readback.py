"""The node's real state, read from the kernel and from Open vSwitch.

``read`` runs four commands; ``build`` turns what they said into a Host and is pure. Nothing is remembered
between two readings. It must not change the node.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from lab.embedded.host.command import CommandFailed
from lab.embedded.host.link import bridge_vlans, bridges_filter, ip_json
from lab.embedded.host.ovs import Ovs, Row, rows
from lab.embedded.node.nmstate.bonds import REALISED
from lab.embedded.node.nmstate.dhcp import DhcpClients
from lab.embedded.node.nmstate.model import BOND_ROLE, UNKNOWN_BOND, Bond, Bridge, Host, Link, Port, PortVlan, Route
from lab.embedded.node.nmstate.ovscommands import BOND_KEY, LOCAL_KEY, ROLE_KEY

OVS_TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface")
BRIDGE_OPTIONS = (
    "stp_state", "forward_delay", "hello_time", "max_age", "priority", "ageing_time", "group_fwd_mask",
    "mcast_snooping", "mcast_querier", "vlan_filtering", "vlan_default_pvid",
)  # fmt: skip
MAIN_TABLES = {"main": 254, "default": 253, "local": 255}
IPV6_CONF = Path("/proc/sys/net/ipv6/conf")


class Reader:
    """Reads one node. ``nics`` names its NICs: every other veth belongs to a pod and is none of nmstate's."""

    def __init__(self, ovs: Ovs, nics: Collection[str], dhcp: DhcpClients, dns: Path) -> None:
        self.ovs, self.nics, self.dhcp, self.dns = ovs, frozenset(nics), dhcp, dns
        self._filters: bool | None = None

    async def read(self) -> Host:
        """The Host as it is now. Raises CommandFailed."""
        links, routes4, routes6, tables = await asyncio.gather(
            ip_json(["addr", "show"]), self._routes("-4"), self._routes("-6"), self._tables()
        )
        if self._filters is None:
            self._filters = await bridges_filter()
        servers, search = self._dns()
        return build(
            links,
            [*routes4, *routes6],
            tables,
            nics=self.nics,
            dhcp=self.dhcp.serving(),
            ipv6_off=_ipv6_off([str(link["ifname"]) for link in links]),
            dns_servers=servers,
            dns_search=search,
            filters=self._filters,
            vlans=await bridge_vlans() if any(map(_filtering, links)) else (),
        )

    async def _tables(self) -> dict[str, list[Row]]:
        words: list[str] = []
        for table in OVS_TABLES:
            words += [*(["--"] if words else []), "list", table]
        text = await self.ovs.vsctl("--format=json", *words)
        return dict(zip(OVS_TABLES, (rows(line) for line in text.splitlines() if line.strip()), strict=True))

    async def _routes(self, family: str) -> list[Row]:
        try:
            found: list[Row] = await ip_json([family, "route", "show", "table", "all"])
        except CommandFailed:
            # A kernel without IPv6 has no such table, and so no routes.
            if family == "-6":
                return []
            raise
        return found

    def _dns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        try:
            kept = json.loads(self.dns.read_text())
        except (OSError, ValueError):
            return (), ()
        return tuple(kept.get("server", ())), tuple(kept.get("search", ()))


def _ipv6_off(names: Sequence[str]) -> frozenset[str]:
    off: set[str] = set()
    for name in names:
        try:
            fd = os.open(IPV6_CONF / name / "disable_ipv6", os.O_RDONLY)
        except OSError:
            off.add(name)
            continue
        try:
            if os.read(fd, 8).strip() == b"1":
                off.add(name)
        finally:
            os.close(fd)
    return frozenset(off)


def build(
    links: Sequence[Mapping[str, Any]],
    routes: Sequence[Mapping[str, Any]],
    tables: Mapping[str, Sequence[Row]],
    *,
    nics: Collection[str],
    dhcp: Collection[str] = (),
    ipv6_off: Collection[str] = (),
    dns_servers: tuple[str, ...] = (),
    dns_search: tuple[str, ...] = (),
    filters: bool = False,
    vlans: Sequence[Mapping[str, Any]] = (),
) -> Host:
    """A Host from ``ip -j -d addr``, ``ip -j -d route``, the rows of the OVSDB tables and ``bridge -j vlan``."""
    bridges = _bridges(tables)
    internals = {name for bridge in bridges.values() for name in (bridge.name, *_internal(bridge))}
    found: dict[str, Link] = {}
    for raw in links:
        link = _link(raw, nics, internals, ipv6_off)
        if link is not None:
            found[link.name] = link
    for name, vlan in _port_vlans(links, vlans).items():
        if name in found:
            found[name] = replace(found[name], vlan=vlan)
    shown = {
        name: _with_local(bridge, found.get(name)) if bridge.role != BOND_ROLE else bridge
        for name, bridge in bridges.items()
    }
    top = tables["Open_vSwitch"][0] if tables["Open_vSwitch"] else {}
    return Host(
        links=found,
        bridges=shown,
        mappings=mappings_of(top.get("external_ids", {}).get("ovn-bridge-mappings", "")),
        routes=frozenset(r for r in map(_route, routes) if r is not None and r.dev in found),
        dhcp=frozenset(dhcp),
        dns_servers=dns_servers,
        dns_search=dns_search,
        filters=filters,
    )


def mappings_of(text: str) -> dict[str, str]:
    """``a:br1,b:br2`` as a dict, sorted by localnet."""
    pairs = (item.split(":", 1) for item in text.split(",") if ":" in item)
    return dict(sorted((localnet.strip(), bridge.strip()) for localnet, bridge in pairs))


def _internal(bridge: Bridge) -> list[str]:
    return [port.name for port in bridge.ports.values() if port.kind == "internal"]


def _with_local(bridge: Bridge, link: Link | None) -> Bridge:
    if link is None or bridge.local or not (link.addresses or link.dynamic):
        return bridge
    return Bridge(**{**bridge.__dict__, "local": True})


def _link(
    raw: Mapping[str, Any], nics: Collection[str], internals: Collection[str], ipv6_off: Collection[str]
) -> Link | None:
    name, info = str(raw["ifname"]), raw.get("linkinfo") or {}
    if name == "lo":
        kind = "loopback"
    elif name in nics:
        kind = "ethernet"
    elif name in internals:
        kind = "tap"
    elif info.get("info_kind") == "bridge":
        kind = "bridge"
    else:
        return None
    addresses: dict[str, set[str]] = {"static": set(), "dynamic": set(), "local": set()}
    for item in raw.get("addr_info", ()):
        if not item.get("local"):
            continue
        kept = "local" if item.get("scope") == "link" else "dynamic" if item.get("dynamic") else "static"
        addresses[kept].add(f"{item['local']}/{item['prefixlen']}")
    data = info.get("info_data") or {}
    return Link(
        name,
        kind,
        up="UP" in raw.get("flags", ()),
        mtu=int(raw.get("mtu", 0)),
        mac=str(raw.get("address", "")),
        min_mtu=int(raw.get("min_mtu", 0)),
        max_mtu=int(raw.get("max_mtu", 0)),
        master=str(raw.get("master", "")) if raw.get("master") != "ovs-system" else "",
        addresses=frozenset(addresses["static"]),
        dynamic=frozenset(addresses["dynamic"]),
        local=frozenset(addresses["local"]),
        ipv6=name not in ipv6_off,
        options=tuple(sorted((key, int(str(data[key]), 0)) for key in BRIDGE_OPTIONS if key in data))
        if kind == "bridge"
        else (),
    )


def _filtering(raw: Mapping[str, Any]) -> bool:
    return bool(_options(raw).get("vlan_filtering"))


def _options(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    info = raw.get("linkinfo") or {}
    return (info.get("info_data") or {}) if info.get("info_kind") == "bridge" else {}


def _port_vlans(links: Sequence[Mapping[str, Any]], vlans: Sequence[Mapping[str, Any]]) -> dict[str, PortVlan]:
    """VLANs of ports beside the default one of their bridge, which nmstate does not show either."""
    defaults = {str(raw["ifname"]): int(_options(raw).get("vlan_default_pvid", 1)) for raw in links if _filtering(raw)}
    masters = {str(raw["ifname"]): str(raw.get("master", "")) for raw in links}
    found: dict[str, PortVlan] = {}
    for row in vlans:
        name = str(row["ifname"])
        if masters.get(name) not in defaults:
            continue
        tag: int | None = None
        trunks: set[int] = set()
        for entry in row.get("vlans", ()):
            if entry["vlan"] == defaults[masters[name]]:
                continue
            if {"PVID", "Egress Untagged"} <= set(entry.get("flags", ())):
                tag = int(entry["vlan"])
            else:
                trunks |= set(range(entry["vlan"], entry.get("vlanEnd", entry["vlan"]) + 1))
        if tag is not None or trunks:
            native = bool(trunks and tag)
            found[name] = PortVlan("trunk" if trunks else "access", tag, tuple(sorted(trunks)), native)
    return found


def _route(raw: Mapping[str, Any]) -> Route | None:
    if raw.get("type", "unicast") != "unicast" or "dev" not in raw:
        return None
    table = raw.get("table", "main")
    via = raw.get("gateway") or (raw.get("via") or {}).get("host", "")
    destination = str(raw["dst"])
    if destination == "default":
        destination = "::/0" if ":" in str(via) else "0.0.0.0/0"
    number = MAIN_TABLES.get(str(table)) or int(table)
    return Route(
        str(ip_network(destination)),
        str(via),
        str(raw["dev"]),
        int(raw.get("metric", 0)),
        number,
        str(raw.get("protocol", "boot")),
    )


def _bridges(tables: Mapping[str, Sequence[Row]]) -> dict[str, Bridge]:
    ports = {row["_uuid"]: row for row in tables["Port"]}
    interfaces = {row["_uuid"]: row for row in tables["Interface"]}
    found: dict[str, Bridge] = {}
    for row in tables["Bridge"]:
        name = str(row["name"])
        own = [ports[uuid] for uuid in _many(row["ports"]) if uuid in ports]
        local = next((port for port in own if port["name"] == name), None)
        found[name] = Bridge(
            name,
            {
                str(p["name"]): _port(p, [interfaces[i] for i in _many(p["interfaces"]) if i in interfaces])
                for p in sorted(own, key=lambda p: str(p["name"]))
                if p["name"] != name
            },
            stp=bool(row["stp_enable"]),
            rstp=bool(row["rstp_enable"]),
            mcast=bool(row["mcast_snooping_enable"]),
            fail_mode=str(_one(row["fail_mode"]) or ""),
            datapath=str(row["datapath_type"]),
            role=str(row["external_ids"].get(ROLE_KEY, "")),
            local=local is not None and local["external_ids"].get(LOCAL_KEY) == "true",
        )
    return found


def _port(row: Row, interfaces: Sequence[Row]) -> Port:
    name = str(row["name"])
    error = "; ".join(f"{i['name']}: {_one(i['error'])}" for i in interfaces if _one(i["error"]))
    mode = row["external_ids"].get(BOND_KEY)
    bond = _bond(row, mode) if mode is not None or len(interfaces) > 1 else None
    if bond is not None and not (len(interfaces) == 1 and interfaces[0]["type"] == "internal"):
        members = tuple(sorted(str(i["name"]) for i in interfaces))
        return Port(name, "bond", members, vlan=_vlan(row), bond=bond, error=error)
    kind = str(interfaces[0]["type"]) if interfaces else "other"
    peer = str(interfaces[0]["options"].get("peer", "")) if kind == "patch" else ""
    kind = {"": "system", "system": "system", "internal": "internal", "patch": "patch", "tap": "system"}.get(
        kind, "other"
    )
    return Port(name, kind, (), peer, _vlan(row), bond, error)


def _bond(row: Row, recorded: str | None) -> Bond:
    lacp, bond_mode = str(_one(row["lacp"]) or "off"), str(_one(row["bond_mode"]) or "active-backup")
    if recorded is not None:
        # The recorded name only tells apart modes that OVS realises alike; the columns decide.
        mode = recorded if REALISED.get(recorded) == (lacp, bond_mode) else UNKNOWN_BOND.mode
    else:
        mode = "lacp" if lacp == "active" and bond_mode == "active-backup" else bond_mode
    other = tuple(sorted((str(k), str(v)) for k, v in row["other_config"].items()))
    up, down = int(row["bond_updelay"]), int(row["bond_downdelay"])
    return Bond(mode, lacp, bond_mode, other, up, down, own=recorded is None)


def _vlan(row: Row) -> PortVlan | None:
    tag, mode, trunks = _one(row["tag"]), _one(row["vlan_mode"]), tuple(sorted(_many(row["trunks"])))
    if tag is None and mode is None and not trunks:
        return None
    if mode == "access" or (mode is None and tag is not None):
        return PortVlan("access", tag)
    return PortVlan("trunk", tag, trunks, mode in ("native-untagged", "native-tagged"))


def _many(cell: Any) -> list[Any]:
    return list(cell) if isinstance(cell, list) else [cell]


def _one(cell: Any) -> Any:
    if isinstance(cell, list):
        return cell[0] if cell else None
    return cell
