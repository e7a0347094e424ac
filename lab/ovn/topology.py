"""Who is who: nodes with their subnets, transit and join addresses, and what each address in the tables is for.

Data and questions about it; :mod:`lab.ovn.infer` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.ovn.prefixes import Lpm
from lab.ovn.routes import is_address
from lab.ovn.tables import Leg, State, Tables
from lab.ovn.zone import Zone


@dataclass(eq=False)
class NodeInfo:
    """One node, captured or only pointed at. Addresses by family."""

    name: str = ""
    zone: int | None = None
    transit: dict[int, str] = field(default_factory=dict)
    join: dict[int, str] = field(default_factory=dict)
    subnets: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Its name, or what is known of it."""
        if self.name:
            return self.name
        known = [*self.transit.values(), *self.join.values(), *self.subnets]
        return f"the node at {known[0]}" if known else "a node"


def could_be(node: NodeInfo | None, runner: NodeInfo | None) -> bool:
    """Whether two may be one node: the same, or one known by address only and one known by name only."""
    if node is None or runner is None or node is runner:
        return node is runner and node is not None
    return not runner.transit and node.zone is None and not node.name


@dataclass
class Topology:
    """The nodes, and the prefixes by what they are for."""

    zones: list[Zone]
    nodes: list[NodeInfo] = field(default_factory=list)
    by_zone: dict[int, NodeInfo] = field(default_factory=dict)
    by_transit: dict[str, NodeInfo] = field(default_factory=dict)
    by_name: dict[str, NodeInfo] = field(default_factory=dict)
    owner: dict[str, NodeInfo] = field(default_factory=dict)
    """Node subnet -> its node."""
    join_owner: dict[str, NodeInfo] = field(default_factory=dict)
    subnets: Lpm = field(default_factory=Lpm)
    clusters: Lpm = field(default_factory=Lpm)
    tables: Tables = field(default_factory=Tables)
    groups: list[tuple[State, list[str]]] = field(default_factory=list)
    """VM addresses that share a state and every network around them."""
    others: set[str] = field(default_factory=set)
    """Single addresses in the tables that are no VM's."""
    unexplained: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    transit_nets: Lpm = field(default_factory=Lpm)

    def routed(self, address: str) -> bool:
        """Whether any zone has a host route for a VM's address."""
        return address in self.tables.hosts and address not in self.others

    def node_of(self, address: str) -> NodeInfo | None:
        """The node whose subnet an address is in."""
        return self.owner.get(self.subnets.around(address))

    def node_of_hop(self, row: Leg, zone: int) -> bool:
        """Whether a row's next hop is in the zone's own subnet: its management port."""
        return is_address(row.nexthop) and self.node_of(row.nexthop) is self.by_zone[zone]

    def in_transit(self, address: str) -> bool:
        """Whether an address lies among the transit addresses seen."""
        return bool(self.transit_nets.around(address))

    def label(self, zone: int) -> str:
        """What to call a zone."""
        node = self.by_zone.get(zone)
        return (node.name if node is not None else "") or self.zones[zone].label
