"""Open vSwitch of a node, read through ovnkube-node's own container: bridges, ports, spanning tree, OVN's mappings.

Reads and never writes. One exec per look: ``ovs-vsctl`` prints one JSON document per table (ovs-vsctl(8), --format).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.ovn import ovsdb

LISTEN = ("listening", "learning")
TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface")
ARGV = ("ovs-vsctl", "--format=json", "--data=json", *(w for t in TABLES for w in ("--", "list", t)))


@dataclass(frozen=True)
class SwitchPort:
    """One port; ``stp`` is its spanning tree state, empty when it takes no part. ``interfaces`` > 1: a bond."""

    name: str
    bridge: str
    stp: str = ""
    stp_seconds: int = 0
    interfaces: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    """Interface types: ``internal``, ``patch``, ``system`` or empty for a NIC."""
    trunks: tuple[int, ...] = ()
    tag: int | None = None
    up: bool = True
    numbers: tuple[int, ...] = ()
    """Its interfaces' OpenFlow numbers; -1: Open vSwitch could not open it."""
    peer: str = ""
    """The other end of a patch port."""
    logical: str = ""
    """The logical port of OVN that it says it is (``iface-id``)."""
    mac: str = ""
    """The MAC address that it was attached for (OVN-Kubernetes' ``attached_mac``)."""


@dataclass(frozen=True)
class NodeSwitch:
    """Open vSwitch of one node, as it was read."""

    node: str
    mappings: Mapping[str, str] = field(default_factory=dict)
    """localnet -> bridge, from ``external_ids:ovn-bridge-mappings``."""
    stp: Mapping[str, bool] = field(default_factory=dict)
    """bridge -> whether spanning tree is on."""
    ports: tuple[SwitchPort, ...] = ()

    def on(self, bridge: str) -> tuple[SwitchPort, ...]:
        """The ports of a bridge."""
        return tuple(p for p in self.ports if p.bridge == bridge)

    def patch(self, localnet_port: str) -> SwitchPort | None:
        """The mapped bridge's end of the patch to br-int that OVN makes for a localnet port."""
        return next((p for p in self.ports if p.name == f"patch-{localnet_port}-to-br-int"), None)


def localnet_port(network: str) -> str:
    """OVN-Kubernetes' name of a network's localnet port (go-controller/pkg/util/multi_network.go, pkg/types)."""
    return network.replace("-", ".").replace("/", ".") + "_ovn_localnet_port"


def read_switch(node: str, text: str) -> NodeSwitch:
    """The output of :data:`ARGV`.

    Raises:
        ValueError: the output is not the four tables asked for.
    """
    tables = dict(zip(TABLES, _documents(text), strict=True))
    rows = {name: [_row(table["headings"], data) for data in table["data"]] for name, table in tables.items()}
    interfaces = {str(i["_uuid"]): i for i in rows["Interface"]}
    ports = {str(p["_uuid"]): p for p in rows["Port"]}
    system = rows["Open_vSwitch"][0] if rows["Open_vSwitch"] else {}
    found = [
        _port(ports[uuid], str(bridge["name"]), interfaces)
        for bridge in rows["Bridge"]
        for uuid in _many(bridge["ports"])
        if uuid in ports
    ]
    return NodeSwitch(
        node=node,
        mappings=parse_mappings(str((system.get("external_ids") or {}).get("ovn-bridge-mappings", ""))),
        stp={str(b["name"]): bool(b.get("stp_enable")) for b in rows["Bridge"]},
        ports=tuple(found),
    )


def parse_mappings(text: str) -> dict[str, str]:
    """``a:br1,b:br2`` as a table."""
    pairs = (entry.strip().partition(":") for entry in text.split(",") if entry.strip())
    return {name: bridge for name, _, bridge in pairs}


def _documents(text: str) -> Iterable[dict[str, Any]]:
    decoder = json.JSONDecoder()
    at, end = 0, len(text.rstrip())
    while at < end:
        document, at = decoder.raw_decode(text, at)
        if not isinstance(document, dict) or "headings" not in document:
            raise ValueError(f"wanted a table of ovs-vsctl, found {str(document)[:120]}")
        yield document
        while at < end and text[at].isspace():
            at += 1


def _row(headings: list[str], data: list[Any]) -> dict[str, Any]:
    return {heading: ovsdb.value(value) for heading, value in zip(headings, data, strict=True)}


def _many(value: Any) -> list[Any]:
    """A column that holds a set: one member is written without the set around it."""
    return value if isinstance(value, list) else [value]


def _port(row: Mapping[str, Any], bridge: str, interfaces: Mapping[str, Mapping[str, Any]]) -> SwitchPort:
    members = [interfaces[uuid] for uuid in _many(row["interfaces"]) if uuid in interfaces]
    status = row.get("status") or {}
    tags = _many(row.get("tag"))
    return SwitchPort(
        name=str(row["name"]),
        bridge=bridge,
        stp=str(status.get("stp_state", "")),
        stp_seconds=int(status.get("stp_sec_in_state", 0) or 0),
        interfaces=tuple(str(i["name"]) for i in members),
        types=tuple(str(i.get("type", "")) for i in members),
        trunks=tuple(int(t) for t in _many(row.get("trunks")) if t is not None),
        tag=int(tags[0]) if tags and tags[0] is not None else None,
        up=any(i.get("link_state") == "up" for i in members),
        numbers=tuple(int(i["ofport"]) for i in members if isinstance(i.get("ofport"), int)),
        peer=next((str(i["options"]["peer"]) for i in members if "peer" in (i.get("options") or {})), ""),
        logical=_id(members, "iface-id"),
        mac=_id(members, "attached_mac").lower(),
    )


def _id(members: Iterable[Mapping[str, Any]], key: str) -> str:
    """An external id of the first interface that has it."""
    return next((str(i["external_ids"][key]) for i in members if key in (i.get("external_ids") or {})), "")


def dark(switch: NodeSwitch, networks: Mapping[str, str]) -> list[str]:
    """Why the networks (localnet -> name of the network) do not pass this node's bridges yet; empty when they do.

    ``no patch port`` while OVN has not made it, ``listening`` or ``learning`` while spanning tree holds a port.
    """
    reasons = []
    for localnet, network in networks.items():
        bridge = switch.mappings.get(localnet)
        if bridge is None:
            reasons.append(f"{localnet} is mapped to no bridge")
        elif (patch := switch.patch(localnet_port(network))) is None:
            reasons.append(f"no patch port for {localnet} on {bridge}")
        elif switch.stp.get(bridge) and patch.stp != "forwarding":
            reasons.append(f"{localnet}: {patch.stp or 'no spanning tree state'} for {patch.stp_seconds} s")
    bridges = {b for localnet in networks if (b := switch.mappings.get(localnet))}
    reasons += [
        f"{port.name}: {port.stp} for {port.stp_seconds} s"
        for bridge in sorted(bridges)
        for port in switch.on(bridge)
        if port.stp in LISTEN and "patch" not in port.types
    ]
    return reasons
