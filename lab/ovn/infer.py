"""Which node a dump is of, its subnets, its transit and join address, per family; and what stays unknown.

By proof from the routes (a join address that points at itself is the zone's own; the next hop the others have for it
is its transit address; the subnet they send there is its own), joined with names from the inventory where given. No
default address range is assumed: all are configurable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lab.ovn.inventory import Inventory
from lab.ovn.prefixes import Lpm
from lab.ovn.routes import is_address
from lab.ovn.tables import SELF, State, Tables, bits
from lab.ovn.topology import NodeInfo, Topology
from lab.ovn.zone import Zone


def infer(tables: Tables, zones: list[Zone], facts: Inventory, live: Iterable[int]) -> Topology:
    """All that follows from the dumps and the inventory. *live*: the zones that count (none given up)."""
    topology = Topology(zones, tables=tables)
    for index in live:
        zone = zones[index]
        zone.place(facts)
        node = NodeInfo(facts.pod_nodes.get(zone.pod, "") or zone.marks.own, index)
        topology.nodes.append(node)
        topology.by_zone[index] = node
    _clusters(topology, tables.nets, facts)
    joins = _joins(topology, tables.hosts, facts)
    _transits(topology, joins)
    _names(topology, tables, facts)
    _subnets(topology, tables.nets, facts)
    _cut(topology, tables.nets)
    _gaps(topology)
    return topology


def _clusters(topology: Topology, masked: dict[str, State], facts: Inventory) -> None:
    """The cluster's networks: what src-ip routes cover, and every node subnet."""
    for prefix in facts.subnets:
        topology.clusters.add(prefix)
    for prefix in masked:
        if not prefix.endswith("/0"):
            topology.clusters.add(prefix)


def _joins(topology: Topology, hosts: dict[str, State], facts: Inventory) -> dict[str, State]:
    """Join addresses: outside of the cluster's networks, in the net of those that point at themselves.

    What is inside, has a node switch's port or is in the inventory is a VM's; the rest has no explanation.
    """
    around = topology.clusters.around
    outside: dict[str, State] = {}
    for state, members in _grouped(topology, hosts):
        if around(members[0]):
            topology.groups.append((state, members))
        else:
            outside.update(dict.fromkeys(members, state))
    nets = Lpm()
    outside = dict(sorted(outside.items(), key=lambda entry: entry[0]))
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
        elif _has_port(state) or facts.vm(prefix):
            topology.groups.append((state, [prefix]))
        else:
            topology.unexplained.append(prefix)
    topology.others = {*inside, *topology.unexplained}
    return inside


def _grouped(topology: Topology, hosts: dict[str, State]) -> list[tuple[State, list[str]]]:
    """Addresses that differ in their last part only and have one state: every network around one is around all."""
    groups: dict[tuple[State, str], list[str]] = {}
    coarse = topology.clusters.coarse
    for prefix, state in hosts.items():
        key = state, prefix[: prefix.rfind("." if "." in prefix else ":")] if coarse else prefix
        try:
            groups[key].append(prefix)
        except KeyError:
            groups[key] = [prefix]
    return [(state, members) for (state, _), members in groups.items()]


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


def _names(topology: Topology, tables: Tables, facts: Inventory) -> None:
    """Names from pods, owner marks and annotations; then from the port of local legs (``rtos-<node>``)."""
    for node in topology.nodes:
        if node.name:
            topology.by_name.setdefault(node.name, node)
    named = {}
    for prefix, name in facts.subnets.items():
        if prefix in tables.nets and (hops := majority(tables.nets[prefix])):
            named[hops[0]] = name
    named |= facts.transits
    for zone in topology.by_zone:
        named.update(topology.zones[zone].marks.nodes)
    for address, name in sorted(named.items()):
        if is_address(address):
            _name(topology, address, name)
    for zone, name in _ports(tables.hosts).items():
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
        for legs, zones in state.zones.items():
            for row in legs.rows:
                if row.local and row.port.startswith("rtos-"):
                    for zone in bits(zones):
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
        mine = [prefix for prefix in masked if (":" in prefix) == (family == 6)]
        subnets = [prefix for prefix in topology.owner if (":" in prefix) == (family == 6)]
        ended = 0
        for prefix in mine:
            for legs, zones in masked[prefix].zones.items():
                ended |= zones if any(row.policy == "src-ip" for row in legs.rows) else 0
        have: Counter[int] = Counter()
        for prefix in set(subnets).intersection(mine):
            for zones in masked[prefix].zones.values():
                have.update(bits(zones & ~ended))
        for zone, node in topology.by_zone.items():
            own = sum((":" in prefix) == (family == 6) for prefix in node.subnets)
            if not ended >> zone & 1 and have[zone] < len(subnets) - (own or 1):
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
