"""The network of one node as plain values: links, Open vSwitch, routes, mappings.

``Host`` is what is (read back) or what shall be (merged with a desired state); the two are compared by value,
so that "nothing to do" is an equality and a rollback is just another transition.  It must not run anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BOND_ROLE = "bond"
MEMBERS_SUFFIX = "-members"
INTEGRATION_BRIDGE = "br-int"


@dataclass(frozen=True)
class PortVlan:
    """VLAN settings of a bridge's port; ``mode`` is ``access`` or ``trunk``."""

    mode: str
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    native: bool = False


@dataclass(frozen=True)
class Link:
    """A kernel link.

    ``kind``: ``ethernet`` (a NIC of the node), ``bridge``, ``tap`` (the kernel's face of an OVS internal interface),
    ``loopback`` or ``other``. Addresses are ``ip/prefix``; ``dynamic`` ones come from DHCP and ``local`` ones are
    link-local: neither is ever set or removed by a plan.
    """

    name: str
    kind: str
    up: bool = False
    mtu: int = 1500
    mac: str = ""
    min_mtu: int = 0
    max_mtu: int = 0
    master: str = ""
    addresses: frozenset[str] = frozenset()
    dynamic: frozenset[str] = frozenset()
    local: frozenset[str] = frozenset()
    ipv6: bool = True
    options: tuple[tuple[str, int], ...] = ()
    """Linux bridge options as iproute2 spells them, in its units."""
    vlan: PortVlan | None = None
    """VLANs of a port of a Linux bridge that filters them; the bridge's default VLAN is not among them."""


@dataclass(frozen=True)
class Bond:
    """How an OVS port aggregates; ``own`` when the ovs-bridge itself declares it (``port[].link-aggregation``).

    ``mode`` is nmstate's name; ``lacp``, ``bond_mode``, ``other`` are the OVSDB columns that realise it.
    """

    mode: str
    lacp: str
    bond_mode: str
    other: tuple[tuple[str, str], ...] = ()
    updelay: int = 0
    downdelay: int = 0
    own: bool = False


@dataclass(frozen=True)
class Port:
    """An OVS port; ``kind``: ``system``, ``internal``, ``patch``, ``bond`` or ``other`` (tunnels: never touched)."""

    name: str
    kind: str = "system"
    members: tuple[str, ...] = ()
    peer: str = ""
    vlan: PortVlan | None = None
    bond: Bond | None = None
    error: str = ""
    """What ovs-vswitchd says is wrong with it; empty when it works."""


@dataclass(frozen=True)
class Bridge:
    """An OVS bridge.

    With role ``bond`` it is private: the home of a bond that stands alone, its LOCAL port named as the bond.
    """

    name: str
    ports: Mapping[str, Port] = field(default_factory=dict)
    stp: bool = False
    rstp: bool = False
    mcast: bool = False
    fail_mode: str = ""
    datapath: str = "netdev"
    role: str = ""
    local: bool = False
    """The LOCAL port was asked for as an ovs-interface (or carries an address) and so is shown."""


@dataclass(frozen=True)
class Route:
    """A unicast route; ``protocol`` as iproute2 names it."""

    destination: str
    via: str
    dev: str
    metric: int = 0
    table: int = 254
    protocol: str = "static"

    @property
    def family(self) -> int:
        return 6 if ":" in self.destination else 4

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        return (self.destination, self.via, self.dev, self.metric, self.table)


@dataclass(frozen=True)
class Host:
    """Everything a policy can change on a node."""

    links: Mapping[str, Link] = field(default_factory=dict)
    bridges: Mapping[str, Bridge] = field(default_factory=dict)
    mappings: Mapping[str, str] = field(default_factory=dict)
    routes: frozenset[Route] = frozenset()
    dhcp: frozenset[str] = frozenset()
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    filters: bool = False
    """The kernel's bridges can filter VLANs."""

    def bond(self, name: str) -> tuple[Bridge, Port] | None:
        """Where the bond called ``name`` lives, alone or in an ovs-bridge."""
        home = self.bridges.get(name)
        if home is not None and home.role == BOND_ROLE:
            inner = home.ports.get(name + MEMBERS_SUFFIX)
            return home, inner or Port(name + MEMBERS_SUFFIX, "bond", (), bond=UNKNOWN_BOND)
        for bridge in self.bridges.values():
            port = bridge.ports.get(name)
            if port is not None and port.bond is not None and not port.bond.own:
                return bridge, port
        return None

    def bonds(self) -> dict[str, tuple[Bridge, Port]]:
        """All bonds of nmstate's type ``bond`` by name."""
        found: dict[str, tuple[Bridge, Port]] = {}
        for bridge in self.bridges.values():
            names = [bridge.name] if bridge.role == BOND_ROLE else list(bridge.ports)
            for name in names:
                bond = self.bond(name)
                if bond is not None:
                    found[name] = bond
        return found

    def bridge_of(self, port: str) -> Bridge | None:
        """The ordinary ovs-bridge that has ``port`` in its port list."""
        for bridge in self.bridges.values():
            if bridge.role != BOND_ROLE and port in bridge.ports:
                return bridge
        return None

    def controller_of(self, name: str) -> str:
        """The bridge or bond that holds ``name`` as port or member; empty when it is free."""
        link = self.links.get(name)
        if link is not None and link.master:
            return link.master
        for bond_name, (_bridge, port) in self.bonds().items():
            if name in port.members:
                return bond_name
        for bridge in self.bridges.values():
            if bridge.role == BOND_ROLE:
                continue
            for port in bridge.ports.values():
                if name == port.name or (port.bond is not None and port.bond.own and name in port.members):
                    return bridge.name
        return ""


UNKNOWN_BOND = Bond("unknown", "off", "active-backup")
