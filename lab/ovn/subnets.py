"""The rules on what is not a VM's: node subnets, join addresses, and rows that OVN-Kubernetes would not make.

Also what limits the audit: nodes without a dump, dumps that are cut. These are said, for silence is not health.
"""

from __future__ import annotations

from collections.abc import Iterator

from lab.ovn import remedies
from lab.ovn.findings import CLASSES, INFO, MAJOR, Finding, Line
from lab.ovn.tables import Leg, State, Tables
from lab.ovn.topology import NodeInfo, Topology


def infrastructure(tables: Tables, topology: Topology) -> Iterator[Finding]:
    """R3, R7, R9 to R13 on subnets and join addresses; R23, R24 and cut dumps."""
    for prefix, node in topology.owner.items() if _overlay(tables, topology) else ():
        yield from _prefix(prefix, node, tables.get(prefix), topology, "SUBNET_ROUTE")
    for prefix, node in topology.join_owner.items():
        yield from _prefix(prefix, node, tables.get(prefix), topology, "JOIN_ROUTE")
    yield from _own_joins(topology)
    yield from _odd(topology, tables)
    yield from _limits(topology)


def _overlay(tables: Tables, topology: Topology) -> bool:
    """Whether zones have rows for node subnets at all: a default network without overlay (2026 and later) has none."""
    states = [tables.nets[prefix] for prefix in topology.owner if prefix in tables.nets]
    return any(row.policy == "dst-ip" for state in states for legs in state.zones for row in legs.rows)


def _prefix(prefix: str, node: NodeInfo, state: State | None, topology: Topology, what: str) -> Iterator[Finding]:
    """One subnet or join address in every zone but its own: exactly one row, to its node's transit address."""
    family = 6 if ":" in prefix else 4
    right = node.transit.get(family, "")
    if state is not None and right and _right_everywhere(node, state, right, topology):
        return
    rows = {z: [r for r in rows if r.policy == "dst-ip"] for z, rows in state.per_zone()} if state is not None else {}
    several: list[int] = []
    wrong: list[int] = []
    missing: list[int] = []
    own: list[int] = []
    dup: list[int] = []
    for zone in topology.by_zone:
        legs = rows.get(zone, [])
        hops = {leg.nexthop for leg in legs if not leg.local}
        if zone == node.zone:
            wrong += [zone] if hops else []
            continue
        if len(hops) > 1:
            several.append(zone)
        elif hops and hops & set(topology.by_zone[zone].transit.values()):
            own.append(zone)
        elif hops and right and right not in hops:
            wrong.append(zone)
        elif not legs and not topology.zones[zone].cut and not _maybe_own(topology, zone, prefix, what):
            missing.append(zone)
        if len(legs) > len({leg._replace(loose=False) for leg in legs}):
            dup.append(zone)
    thing = "node subnet" if what == "SUBNET_ROUTE" else "join address"
    to = f"{node.label}" + (f" ({right})" if right else "")
    yield from _made(
        "ECMP_SUBNET", prefix, several, f"several next hops share a {thing}'s traffic", rows, node, topology
    )
    yield from _made("SELF_TRANSIT", prefix, own, f"the zone sends a {thing}'s traffic to itself", rows, node, topology)
    yield from _made("SUBNET_ROUTE_WRONG", prefix, wrong, f"this {thing} belongs to {to}", rows, node, topology)
    yield from _made("EXACT_DUP", prefix, dup, "the same route twice; traffic does not suffer", rows, node, topology)
    text = f"no route to the {thing} of {to}"
    yield from _made(f"{what}_MISSING", prefix, missing, text, rows, node, topology)


def _right_everywhere(node: NodeInfo, state: State, right: str, topology: Topology) -> bool:
    """Whether every zone but the node's own has one plain row to it, and that one none but to itself."""
    own = 1 << node.zone if node.zone is not None else 0
    others = sum(1 << zone for zone in topology.by_zone) & ~own
    plain = 0
    for legs, zones in state.zones.items():
        if len(legs.rows) == 1 and legs.rows[0][:2] == (right, "dst-ip"):
            plain |= zones
        elif zones != own or any(row.policy == "dst-ip" and not row.local for row in legs.rows):
            return False
    return plain == others


def _maybe_own(topology: Topology, zone: int, prefix: str, what: str) -> bool:
    """A zone whose own subnet is not known may lack exactly the row of its own."""
    me = topology.by_zone[zone]
    family = ":" in prefix
    known = (
        [s for s in me.subnets if (":" in s) == family] if what == "SUBNET_ROUTE" else me.join.get(6 if family else 4)
    )
    return not known


def _made(
    kind: str,
    prefix: str,
    zones: list[int],
    summary: str,
    rows: dict[int, list[Leg]],
    node: NodeInfo,
    topology: Topology,
) -> Iterator[Finding]:
    if not zones:
        return
    zones = sorted(zones, key=topology.label)
    right = node.transit.get(6 if ":" in prefix else 4, "")
    finding = Finding(kind, CLASSES[kind][1], prefix, [topology.label(z) for z in zones], summary, owner=node.label)
    for zone in zones:
        for leg in dict.fromkeys(rows.get(zone, ())):
            good = leg.nexthop == right and zone != node.zone
            finding.legs.append((zone, "good" if good else "stale", leg.nexthop, leg.port))
            if kind == "EXACT_DUP":
                finding.remedies += remedies.delete_duplicate(topology.zones[zone], topology.label(zone), prefix)
            elif not good:
                finding.remedies.append(remedies.delete_leg(topology.zones[zone], topology.label(zone), prefix, leg))
        if not any(leg[1] == "good" for leg in finding.legs if leg[0] == zone):
            finding.remedies.append(remedies.rebuild(topology.zones[zone], topology.label(zone)))
        finding.effects.append(
            f"a client in {topology.label(zone)}: all or part of its traffic to {node.label} is lost"
            if kind not in ("EXACT_DUP",)
            else f"{topology.label(zone)}: none seen by clients"
        )
    yield finding


def _own_joins(topology: Topology) -> Iterator[Finding]:
    """R13: each zone has its own join address pointing at itself, in each family that any zone has."""
    families = {family for node in topology.by_zone.values() for family in node.join}
    for zone, node in topology.by_zone.items():
        for family in sorted(families - set(node.join)):
            if not topology.zones[zone].cut:
                label = topology.label(zone)
                text = f"no IPv{family} route of the zone's own join address to itself"
                effects = [f"replies through {label}'s gateway router break"]
                fix = [remedies.rebuild(topology.zones[zone], label)]
                yield Finding("JOIN_ROUTE_MISSING", MAJOR, label, [label], text, effects=effects, remedies=fix)


def _odd(topology: Topology, tables: Tables) -> Iterator[Finding]:
    """R23: rows OVN-Kubernetes does not make on this router."""
    for zone in topology.by_zone:
        for route, line in topology.zones[zone].odd:
            label = topology.label(zone)
            text = (
                f"a route that OVN-Kubernetes does not make here (table {route.table}, {' '.join(str(route).split())})"
            )
            finding = Finding("UNEXPECTED_ROUTE", CLASSES["UNEXPECTED_ROUTE"][1], route.prefix, [label], text)
            finding.lines = [Line(topology.zones[zone].source, line, label, "seen", " ".join(str(route).split()))]
            yield finding
    for prefix in topology.unexplained:
        whole = [z for z, _ in tables.hosts[prefix].per_zone() if not topology.zones[z].cut]
        if not whole:
            continue
        zones = sorted({topology.label(z) for z in whole})
        text = "a host route to an address that is neither in the cluster's network nor a join address"
        finding = Finding("UNEXPECTED_ROUTE", CLASSES["UNEXPECTED_ROUTE"][1], prefix, zones, text)
        finding.legs = [(z, "seen", "", "") for z in whole]
        yield finding


def _limits(topology: Topology) -> Iterator[Finding]:
    for node in topology.nodes:
        if node.zone is None and (node.transit or node.subnets or node.name):
            known = [*node.transit.values(), *node.join.values(), *node.subnets]
            text = f"no dump of this node ({', '.join(known)}): its own routes are not judged"
            yield Finding("ZONE_NOT_CAPTURED", INFO, node.name or known[0], [], text)
    for zone in topology.by_zone:
        if topology.zones[zone].cut:
            text = f"the dump is not whole ({topology.zones[zone].cut}): absent routes are not judged in it"
            yield Finding("ZONE_CUT", INFO, topology.label(zone), [topology.label(zone)], text)
