"""Who is who: which node a dump is of, its subnets, its transit and join address, per family, and what stays unknown.

By proof from the routes (a join address that points at itself is the zone's own; the next hop the others have for it
is its transit address; the subnet they send there is its own), joined with names from the inventory where given. No
default address range is assumed: all are configurable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from lab.ovn.dump import Zone
from lab.ovn.inventory import Inventory
from lab.ovn.prefixes import Lpm
from lab.ovn.routes import is_address
from lab.ovn.tables import SELF, Leg, State, Tables, bits


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
    hosts: dict[str, State] = field(default_factory=dict)
    """VM addresses, and where they are in :attr:`subnets`."""
    unexplained: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    transit_nets: Lpm = field(default_factory=Lpm)

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
        return self.by_zone[zone].name or self.zones[zone].label


def infer(tables: Tables, zones: list[Zone], facts: Inventory, live: Iterable[int]) -> Topology:
    """All that follows from the dumps and the inventory. *live*: the zones that count (none given up)."""
    topology = Topology(zones)
    for index in live:
        zone = zones[index]
        node = NodeInfo(facts.pod_nodes.get(zone.pod, "") or zone.marks.own, index)
        topology.nodes.append(node)
        topology.by_zone[index] = node
    masked, plain_hosts = _split(tables)
    _clusters(topology, masked, facts)
    joins = _joins(topology, plain_hosts)
    _transits(topology, joins)
    _names(topology, (masked, plain_hosts), facts)
    _subnets(topology, masked, facts)
    _cut(topology, masked)
    _gaps(topology)
    return topology


def _split(tables: Tables) -> tuple[dict[str, State], dict[str, State]]:
    masked = {p: s for p, s in tables.states.items() if "/" in p}
    return masked, {p: s for p, s in tables.states.items() if p not in masked} if masked else tables.states


def _clusters(topology: Topology, masked: dict[str, State], facts: Inventory) -> None:
    """The cluster's networks: what src-ip routes cover, and every node subnet."""
    for prefix in facts.subnets:
        topology.clusters.add(prefix)
    for prefix in masked:
        if not prefix.endswith("/0"):
            topology.clusters.add(prefix)


def _joins(topology: Topology, hosts: dict[str, State]) -> dict[str, State]:
    """Join addresses: outside of the cluster's networks, in the net of those that point at themselves.

    What is inside, or has a node switch's port, is a VM's; the rest has no explanation.
    """
    around = topology.clusters.around
    outside = {prefix: state for prefix, state in hosts.items() if not around(prefix)}
    topology.hosts = {p: s for p, s in hosts.items() if p not in outside} if outside else hosts
    nets = Lpm()
    for prefix, state in outside.items():
        for zone in bits(_own_zones(state)):
            node = topology.by_zone[zone]
            node.join[6 if ":" in prefix else 4] = prefix
            topology.join_owner[prefix] = node
            nets.add(f"{prefix}/{112 if ':' in prefix else 16}")
    inside = {}
    for prefix, state in outside.items():
        if nets.around(prefix):
            inside[prefix] = state
        elif _has_port(state):
            topology.hosts[prefix] = state
        else:
            topology.unexplained.append(prefix)
    return inside


def _own_zones(state: State) -> int:
    """The zones in which a prefix points at itself without a port."""
    found = 0
    for legs, zones in state.zones.items():
        if any(r.nexthop == SELF and not r.port and r.policy == "dst-ip" for r in legs.rows):
            found |= zones
    return found


def majority(state: State, without: int | None = None) -> list[str]:
    """Next hops of dst-ip rows, the commonest first; a tie is broken by text so that order of zones says nothing.

    The zone *without* is left out.
    """
    counts: Counter[str] = Counter()
    for legs, zones in state.zones.items():
        weight = (zones & ~(1 << without) if without is not None else zones).bit_count()
        for nexthop in {r.nexthop for r in legs.rows if r.policy == "dst-ip" and r.nexthop != SELF and not r.port}:
            counts[nexthop] += weight
    return sorted((n for n in counts if counts[n]), key=lambda n: (-counts[n], n))


def _transits(topology: Topology, joins: dict[str, State]) -> None:
    """A captured node's transit address is what the other zones use for its join address; others have one each too."""
    for prefix, state in sorted(joins.items(), key=lambda entry: entry[0] not in topology.join_owner):
        family = 6 if ":" in prefix else 4
        node = topology.join_owner.get(prefix)
        found = majority(state, node.zone if node else None)
        if not found:
            continue
        node = node or topology.by_transit.get(found[0]) or _remote(topology)
        if found[0] in topology.by_transit and topology.by_transit[found[0]] is not node:
            continue
        topology.join_owner[prefix] = node
        node.join[family] = prefix
        _transit(topology, node, found[0])


def _transit(topology: Topology, node: NodeInfo, address: str) -> None:
    family = 6 if ":" in address else 4
    node.transit.setdefault(family, address)
    topology.by_transit[address] = node
    topology.transit_nets.add(f"{address}/{112 if family == 6 else 16}")


def _remote(topology: Topology, name: str = "") -> NodeInfo:
    """A node without a dump."""
    node = NodeInfo(name)
    topology.nodes.append(node)
    return node


def _names(topology: Topology, tables: tuple[dict[str, State], dict[str, State]], facts: Inventory) -> None:
    """Names from pods, owner marks and annotations; then from the port of local legs (``rtos-<node>``)."""
    masked, hosts = tables
    for node in topology.nodes:
        if node.name:
            topology.by_name.setdefault(node.name, node)
    named = {}
    for prefix, name in facts.subnets.items():
        if prefix in masked and (hops := majority(masked[prefix])):
            named[hops[0]] = name
    named |= facts.transits
    for zone in topology.by_zone:
        named.update(topology.zones[zone].marks.nodes)
    for address, name in sorted(named.items()):
        if is_address(address):
            _name(topology, address, name)
    for zone, name in _ports(hosts).items():
        node = topology.by_zone[zone]
        if not node.name:
            if (gone := topology.by_name.get(name)) is not None and gone.zone is None:
                _absorb(topology, node, gone)
            node.name = name
            topology.by_name[name] = node


def _ports(hosts: dict[str, State]) -> dict[int, str]:
    """The node that most local legs of a zone name."""
    ports: dict[int, Counter[str]] = {}
    for state, size in Counter(hosts.values()).items():
        for zone, rows in state.per_zone():
            for row in rows:
                if row.local and row.port.startswith("rtos-"):
                    ports.setdefault(zone, Counter())[row.port.removeprefix("rtos-")] += size
    return {zone: min(counts, key=lambda n: (-counts[n], n)) for zone, counts in ports.items()}


def _name(topology: Topology, address: str, name: str) -> None:
    """One node has the transit address and the name: join what was known of either."""
    at, called = topology.by_transit.get(address), topology.by_name.get(name)
    if at is None:
        node = called or _remote(topology, name)
        _transit(topology, node, address)
    elif called is None or called is at:
        node = at
    else:
        node, gone = (called, at) if called.zone is not None or at.zone is None else (at, called)
        if gone.zone is not None:
            return
        _absorb(topology, node, gone)
    node.name = node.name or name
    topology.by_name[node.name] = node


def _absorb(topology: Topology, node: NodeInfo, gone: NodeInfo) -> None:
    """Two families' halves of one node."""
    for index in (topology.by_transit, topology.join_owner, topology.owner):
        for key in [k for k, v in index.items() if v is gone]:
            index[key] = node
    node.transit |= gone.transit
    node.join |= gone.join
    node.subnets += gone.subnets
    topology.nodes.remove(gone)


def _subnets(topology: Topology, masked: dict[str, State], facts: Inventory) -> None:
    """Node subnets: dst-ip rows with a mask; the annotation, where given, says whose."""
    for prefix in sorted({*masked, *facts.subnets}):
        state = masked.get(prefix)
        hops = [h for h in majority(state) if h != "discard"] if state is not None else []
        name = facts.subnets.get(prefix, "")
        known = [topology.by_transit[h] for h in hops if h in topology.by_transit]
        node = topology.by_name.get(name) if name else None
        if node is None and known:
            node = known[0] if not (name and known[0].name) else None
        if node is None and (hops or name):
            node = _remote(topology, name)
        if node is None:
            continue
        if name and not node.name:
            node.name = name
            topology.by_name[name] = node
        if hops and (6 if ":" in prefix else 4) not in node.transit and hops[0] not in topology.by_transit:
            _transit(topology, node, hops[0])
        node.subnets.append(prefix)
        topology.owner[prefix] = node
        topology.subnets.add(prefix)


def _has_port(state: State) -> bool:
    return any(row.port.startswith("rtos-") for legs in state.zones for row in legs.rows)


def _cut(topology: Topology, masked: dict[str, State]) -> None:
    """Rows with src-ip are printed last and every zone has one: without it and without others' subnets, it was cut."""
    for family in {6 if ":" in prefix else 4 for prefix in topology.owner}:
        ended: set[int] = set()
        have: dict[int, int] = Counter()
        subnets = [prefix for prefix in topology.owner if (":" in prefix) == (family == 6)]
        for prefix, state in masked.items():
            if (":" in prefix) == (family == 6):
                for zone, rows in state.per_zone():
                    ended |= {zone} if any(row.policy == "src-ip" for row in rows) else set()
                    have[zone] += prefix in topology.owner
        for zone, node in topology.by_zone.items():
            own = sum((":" in prefix) == (family == 6) for prefix in node.subnets)
            if zone not in ended and have[zone] < len(subnets) - (own or 1):
                topology.zones[zone].cut = topology.zones[zone].cut or f"its last IPv{family} rows are not there"


def _gaps(topology: Topology) -> None:
    """What could not be known, in words."""
    for zone, node in topology.by_zone.items():
        label = topology.label(zone)
        missing = [
            word
            for word, known in (("name", node.name), ("subnet", node.subnets), ("transit address", node.transit))
            if not known
        ]
        if missing:
            topology.unknown.append(f"{label}: no {', no '.join(missing)} of its node could be inferred")
