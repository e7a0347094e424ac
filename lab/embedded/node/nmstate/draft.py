"""A Host under change: the elementary moves of a merge.

Every move keeps the Host consistent (a name is held by one controller at most). It must not judge what was asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.embedded.node.nmstate.model import BOND_ROLE, MEMBERS_SUFFIX, UNKNOWN_BOND, Bond, Bridge, Host, Link, Port


class Draft:
    """A Host under change."""

    def __init__(self, host: Host) -> None:
        self.links = dict(host.links)
        self.bridges = dict(host.bridges)
        self.dhcp = set(host.dhcp)
        self.filters = host.filters

    def host(self) -> Host:
        return Host(links=self.links, bridges=self.bridges)

    def set_link(self, name: str, **change: Any) -> None:
        if name in self.links:
            self.links[name] = replace(self.links[name], **change)

    def set_port(self, bridge: str, port: Port) -> None:
        home = self.bridges[bridge]
        self.bridges[bridge] = replace(home, ports={**home.ports, port.name: port})

    def drop_port(self, bridge: str, port: str) -> None:
        home = self.bridges[bridge]
        self.bridges[bridge] = replace(home, ports={n: p for n, p in home.ports.items() if n != port})

    def release(self, name: str) -> None:
        """Take ``name`` out of whatever holds it now."""
        self.set_link(name, master="", vlan=None)
        for bond, (bridge, port) in self.host().bonds().items():
            if name in port.members:
                self.set_members(bond, bridge.name, port, tuple(m for m in port.members if m != name))
        for bridge in list(self.bridges.values()):
            held = bridge.ports.get(name)
            if held is None or bridge.role == BOND_ROLE:
                continue
            self.drop_port(bridge.name, name)
            if held.kind in ("internal", "patch"):
                self.links.pop(name, None)

    def set_members(self, bond: str, bridge: str, port: Port, members: tuple[str, ...]) -> None:
        alone = self.bridges[bridge].role == BOND_ROLE
        if alone and not members:
            self.drop_port(bridge, port.name)
        else:
            self.set_port(bridge, replace(port, members=members, kind="bond" if members else "internal"))

    def remove_bond(self, name: str) -> tuple[str, ...]:
        """Forget a bond; returns its members."""
        found = self.host().bond(name)
        if found is None:
            return ()
        bridge, port = found
        if bridge.role == BOND_ROLE:
            del self.bridges[bridge.name]
            self.links.pop(name, None)
            self.dhcp.discard(name)
        else:
            self.drop_port(bridge.name, port.name)
        return port.members

    def stand_alone(self, name: str) -> None:
        """Give a bond that is leaving its ovs-bridge a home of its own, LOCAL port named as the bond."""
        found = self.host().bond(name)
        if found is None or found[0].role == BOND_ROLE:
            return
        bridge, port = found
        self.drop_port(bridge.name, name)
        self.add_bond(name, port.members, port.bond or UNKNOWN_BOND)

    def add_bond(self, name: str, members: tuple[str, ...], bond: Bond) -> None:
        inner = Port(name + MEMBERS_SUFFIX, "bond", members, bond=bond)
        self.bridges[name] = Bridge(name, {inner.name: inner} if members else {}, role=BOND_ROLE)
        self.links.setdefault(name, Link(name, "tap", up=True))


def unconfigure(draft: Draft, name: str) -> None:
    """A former port is left down and without addresses, as a device that no profile is active on."""
    draft.dhcp.discard(name)
    draft.set_link(name, master="", vlan=None, up=False, addresses=frozenset(), dynamic=frozenset())


def enslave(draft: Draft, name: str) -> None:
    """A port of a bond or bridge is up and carries no address."""
    draft.dhcp.discard(name)
    draft.set_link(name, up=True, addresses=frozenset(), dynamic=frozenset())


def type_of(host: Host, name: str) -> str:
    """nmstate's type of what is called ``name`` on the node; empty when nothing is."""
    if host.bond(name) is not None:
        return "bond"
    link = host.links.get(name)
    if link is not None and link.kind == "tap" and name not in host.bridges:
        return "ovs-interface"
    if name in host.bridges:
        return "ovs-bridge"
    if link is None:
        return "ovs-interface" if host.bridge_of(name) else ""
    return {"bridge": "linux-bridge", "ethernet": "ethernet", "loopback": "loopback"}.get(link.kind, "")
