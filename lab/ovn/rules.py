"""All rules over all prefixes: cases of VM addresses made and judged, faults put into words as findings."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network

from lab.ovn import remedies
from lab.ovn.findings import CRITICAL, INFO, MAJOR, SEVERITIES, Finding
from lab.ovn.hosts import Case, Fault, judge
from lab.ovn.inventory import Inventory
from lab.ovn.prefixes import Lpm
from lab.ovn.subnets import infrastructure
from lab.ovn.tables import SELF, Leg, State, Tables
from lab.ovn.topology import NodeInfo, Topology
from lab.ovn.walker import Walk

SHOWN = 12
"""Zones spelled out in a sentence; more are counted."""
EACH = 200
"""So many addresses with the same fault are findings of their own; more are one finding."""
LISTED = 10_000
"""Addresses that a finding for many names."""
SPELLED = 20
"""Addresses of such a finding whose commands and lines are given."""
_FOUR, _SIX = (partial(socket.inet_pton, family) for family in (socket.AF_INET, socket.AF_INET6))
_Key = tuple[State, int, NodeInfo | None, str, str, str]


def audit(tables: Tables, topology: Topology, facts: Inventory) -> list[Finding]:
    """Every finding, worst first, whatever the order of zones, rows and files was."""
    findings = [*infrastructure(tables, topology), *_Hosts(tables, topology, facts).findings()]
    return sorted(findings, key=lambda finding: finding.key)


class _Hosts:
    """Cases made from prefixes, verdicts shared between prefixes alike."""

    def __init__(self, tables: Tables, topology: Topology, facts: Inventory) -> None:
        self.topology = topology
        self.facts = facts
        self.live = sorted(topology.by_zone, key=topology.label)
        self.all = sum(1 << zone for zone in self.live)
        self.sources = Lpm()
        self.covering = _egress(tables, topology)
        for prefix in self.covering:
            self.sources.add(prefix)
        self.complete = all(node.subnets for node in topology.by_zone.values())
        self.shapes: dict[str, tuple[str, bool]] = {}
        self.absent: set[str] = set()

    def findings(self) -> Iterator[Finding]:
        """Every finding on VM addresses."""
        inferred: list[list[str]] = []
        members: dict[_Key, list[str]] = {}
        known = self.facts.by_address
        for state, group in self.topology.groups:
            some = group if self.facts.everything else [p for p in group if p in known] if known else []
            if rest := group if not some else [] if len(some) == len(group) else [p for p in group if p not in known]:
                members.setdefault(self._key(state, rest[0], "", ""), []).extend(rest)
                inferred.append(rest)
            for prefix in some:
                given, orphan = self._known(prefix)
                if given == "?":
                    text = "the VM is migrating just now: not judged, capture again afterwards"
                    yield Finding("MIGRATING", INFO, prefix, [], text, self.facts.vm(prefix))
                else:
                    members.setdefault(self._key(state, prefix, given, orphan), []).append(prefix)
        for key, prefixes in members.items():
            yield from self._judged(key, prefixes)
        yield from self._absent()
        yield from self._families()
        if inferred:
            yield _unverified(inferred)

    def _key(self, state: State, prefix: str, given: str, orphan: str) -> _Key:
        """What decides on an address; *prefix* stands for all that share its state."""
        owner = self.topology.owner.get(self.topology.subnets.around(prefix))
        return state, id(owner), owner, given, orphan, self.sources.around(prefix)

    def _judged(self, key: _Key, prefixes: list[str]) -> Iterator[Finding]:
        """The faults of addresses that are alike: one finding for each, or one for all where they are many."""
        if (there := self._as_it_should_be(key)) is not None:
            if key[3]:
                self.shapes.update((prefix, (there.label, True)) for prefix in prefixes)
            return
        case, faults = self._judge(key)
        for fault in faults:
            if len(prefixes) > (EACH if fault.severity != INFO else 1):
                yield self._folded(case, fault, _ordered(prefixes))
            else:
                for prefix in prefixes:
                    yield self._finding(prefix, case, fault)
        if key[3]:
            label = case.runner.label if case.runner else ""
            self.shapes.update((prefix, (label, bool(case.rows))) for prefix in prefixes)

    def _folded(self, case: Case, fault: Fault, prefixes: list[str]) -> Finding:
        """One finding that stands for many addresses: commands and lines are those of the first few."""
        finding = self._finding(prefixes[0], case, fault)
        finding.subject = f"{len(prefixes)} addresses"
        finding.subjects, finding.count = prefixes[:LISTED], len(prefixes)
        finding.vm = ""
        for prefix in prefixes[1:SPELLED] if finding.remedies else []:
            finding.remedies += [r for r in self._finding(prefix, case, fault).remedies if r not in finding.remedies]
        if finding.remedies and len(prefixes) > SPELLED:
            finding.remedies.append(f"# and so on for {len(prefixes) - SPELLED} more addresses")
        return finding

    def _known(self, prefix: str) -> tuple[str, str]:
        """The runner's name, ``?`` while it moves, and why the address is an orphan."""
        alive = self.facts.alive(prefix)
        if self.facts.moving(prefix):
            return "?", ""
        if runner := self.facts.runner(prefix):
            return runner, ""
        if alive:
            return "", f"the address belongs to pod {alive[0].name} on {alive[0].node} now, which is no VM"
        vm = self.facts.vm(prefix)
        return "", f"VM {vm} has no live launcher any more" if vm else "no live VM has this address"

    def _as_it_should_be(self, key: _Key) -> NodeInfo | None:
        """The runner, when every zone has exactly the leg it should have, which a few comparisons tell; else None.

        Most VMs of most clusters are in order, and to walk every zone's routes for them would take zones x nodes steps.
        """
        state, _, owner, given, orphan, source = key
        legs = {rows.rows: zones for rows, zones in state.zones.items()}
        remote = {rows[0].nexthop: zones for rows, zones in legs.items() if rows == (Leg(rows[0].nexthop),)}
        if orphan or len(remote) != 1 or len(legs) > 2 or (owner is None and self.complete):
            return None
        hop, zones = remote.popitem()
        node = self.topology.by_transit.get(hop)
        if node is None or node is owner or given not in ("", node.name) or hop == SELF:
            return None
        if node.zone is None:
            return node if len(legs) == 1 and zones == self.all and bool(node.name or not given) else None
        local = legs.get((Leg(SELF, port=f"rtos-{node.name}"),))
        right = local == 1 << node.zone and zones == self.all & ~(1 << node.zone)
        return node if right and len(legs) == 2 and self._covered(source, node.zone) else None

    def _covered(self, source: str, zone: int) -> bool:
        """Whether a zone has a src-ip route around what *source* stands for."""
        return any(zone in zones for prefix, zones in self.covering.items() if _within(source, prefix))

    def _judge(self, key: _Key) -> tuple[Case, list[Fault]]:
        state, _, owner, given, orphan, source = key
        runner = self.topology.by_name.get(given) if given else None
        if given and runner is None:
            runner = self.topology.by_name[given] = NodeInfo(given)

        covered = partial(self._covered, source)
        case = Case(self.topology, self.live, state, owner, self.complete, runner, covered, orphan)
        faults = judge(case)
        case.worst = min(faults, key=lambda f: SEVERITIES.index(f.severity), default=None)
        return case, faults

    def _finding(self, prefix: str, case: Case, fault: Fault) -> Finding:
        label = self.topology.label
        zones = sorted(fault.zones, key=label)
        finding = Finding(
            fault.kind,
            fault.severity,
            prefix,
            [label(z) for z in zones],
            fault.summary,
            self.facts.vm(prefix),
            case.owner.label if case.owner else "",
            case.runner.label if case.runner else "",
            case.given is not None,
        )
        if fault.severity == INFO:
            return finding
        if not case.orphan:
            finding.broken = {label(z): case.walks[z].percent for z in self.live if case.walks[z].broken}
            finding.effects = _effects(case, self.live if fault is case.worst else zones)
        finding.legs = [
            (
                z,
                "stale" if (z, h.leg) in fault.stale else "good" if case.good(z, h) else "seen",
                h.leg.nexthop,
                h.leg.port,
            )
            for z in (zones if fault.kind != "HOST_ROUTE_MISSING" else sorted(case.hops))
            for h in case.hops.get(z, ())
        ]
        finding.remedies = self._remedies(prefix, case, fault, zones)
        return finding

    def _remedies(self, prefix: str, case: Case, fault: Fault, zones: list[int]) -> list[str]:
        label, at = self.topology.label, self.topology.zones
        home = remedies.go_home(self.facts.vm(prefix), case.owner if case.owner is not case.runner else None)
        if fault.duplicate:
            return [line for z in zones for line in remedies.delete_duplicate(at[z], label(z), prefix)]
        first = case.runner.zone if case.runner else None
        stale = sorted(fault.stale, key=lambda leg: (leg[0] != first, label(leg[0]), leg[1]))
        deletes = [remedies.delete_leg(at[z], label(z), prefix, leg) for z, leg in stale]
        if fault.kind in ("HOST_ROUTE_MISSING", "WRONG_RUNNER", "EGRESS_DEFAULT_MISSING", "OWNER_DISAGREE"):
            rebuilt = [remedies.rebuild(at[z], label(z)) for z in zones]
            return (rebuilt if case.runner else [remedies.find_vm(prefix), *rebuilt]) + home
        return (deletes or [remedies.find_vm(prefix)]) + home

    def _absent(self) -> Iterator[Finding]:
        """R14 at its worst: a VM runs off its subnet's node and no zone has a route for it."""
        whole = [z for z in self.live if not self.topology.zones[z].cut]
        nowhere = State({})
        for prefix in self.facts.by_address if whole else ():
            given = self.facts.runner(prefix)
            owner = self.topology.node_of(prefix)
            if given and owner is not None and owner.name not in ("", given) and not self.topology.routed(prefix):
                case, _ = self._judge(self._key(nowhere, prefix, given, ""))
                text = f"the VM runs on {given}, off its subnet's node, and no zone has a route for it"
                fault = Fault("HOST_ROUTE_MISSING", whole, text, CRITICAL)
                case.worst = fault
                self.absent.add(prefix)
                yield self._finding(prefix, case, fault)

    def _families(self) -> Iterator[Finding]:
        """R21: a VM's addresses of both families must be routed alike."""
        vms: dict[str, dict[str, tuple[str, bool]]] = {}
        for prefix, seen in self.facts.by_address.items():
            for sighting in seen:
                if sighting.vm and sighting.alive and prefix not in self.topology.others:
                    away = self.topology.routed(prefix)
                    vms.setdefault(sighting.name, {})[prefix] = self.shapes.get(prefix, ("", away))
        for shapes in vms.values():
            families = {":" in prefix for prefix in shapes}
            if len(families) == 2 and len({away for _, away in shapes.values()}) == 2:
                bare = [p for p in sorted(shapes) if not shapes[p][1]]
                routed = [p for p in sorted(shapes) if shapes[p][1]]
                if not self.absent.isdisjoint(bare) or all(self.topology.node_of(p) is None for p in bare):
                    continue
                text = f"{', '.join(routed)} has host routes and {', '.join(bare)} of the same VM has none"
                yield Finding("HALF_FAMILY", MAJOR, routed[0], [], text, self.facts.vm(routed[0]))


def _egress(tables: Tables, topology: Topology) -> dict[str, set[int]]:
    """src-ip prefix -> zones that send it out by their own gateway or management port."""
    found: dict[str, set[int]] = {}
    for prefix, state in tables.nets.items():
        for zone, rows in state.per_zone():
            for row in rows:
                own = topology.by_zone[zone].join.values()
                if row.policy == "src-ip" and (row.nexthop in own or not own or topology.node_of_hop(row, zone)):
                    found.setdefault(prefix, set()).add(zone)
    return found


def _within(inner: str, outer: str) -> bool:
    """Whether network *outer* holds *inner*; both hold the same address, so their lengths say it."""
    if not inner or (":" in inner) != (":" in outer):
        return False
    if int(outer.partition("/")[2] or 128) > int(inner.partition("/")[2] or 128):
        return False
    nets = Lpm()
    nets.add(outer)
    return bool(nets.around(inner.partition("/")[0]))


def _effects(case: Case, live: list[int]) -> list[str]:
    """What a client sees, zones with the same fate together."""
    groups: dict[str, list[str]] = {}
    for zone in live:
        groups.setdefault(_fate(case.walks[zone]), []).append(case.topology.label(zone))
    texts = []
    for fate, names in sorted(groups.items(), key=lambda entry: (entry[0], entry[1])):
        if fate:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            texts.append(f"a client in {', '.join(names[:SHOWN])}{more}: {fate}")
    at = case.runner.zone if case.runner else None
    if at in live and at is not None and case.walks[at].broken:
        texts.append(f"replies to the VM from outside of the cluster: {_fate(case.walks[at])}")
    return texts


def _fate(walk: Walk) -> str:
    parts = []
    if walk.broken:
        way = f" ({' -> '.join(walk.path)})" if walk.path else ""
        parts.append(f"{walk.percent} % of its flows never arrive{way}")
        if walk.broken < 1:
            parts.append("ping all or nothing")
    if walk.hairpin:
        parts.append("some flows make a detour")
    if walk.unknown:
        parts.append(f"the fate of {round(walk.unknown * 100)} % cannot be told from these dumps")
    return "; ".join(parts)


def _unverified(groups: list[list[str]]) -> Finding:
    """One remark for all. The addresses of a group share all but their last part, so that only few need be sorted."""
    count = sum(map(len, groups))
    text = "where they run is inferred from the routes: no pod or VMI given has them; "
    text += "leftovers of a stopped VM look alike"
    listed: list[str] = []
    last = ""
    for group in sorted(groups, key=lambda members: _order(_head(members[0]))):
        if len(listed) >= LISTED and _head(group[0]) != last:
            break
        listed += group
        last = _head(group[0])
    subject = f"{count} address{'es' if count > 1 else ''}"
    return Finding("RUNNER_UNVERIFIED", INFO, subject, [], text, subjects=_ordered(listed)[:LISTED], count=count)


def _head(address: str) -> str:
    """The network that a group's addresses are in, /24 or /112, as its first address."""
    if "." in address:
        return address[: address.rfind(".")] + ".0"
    return str(ip_network(f"{address}/112", strict=False).network_address)


def _order(address: str) -> tuple[bool, bytes]:
    return ":" in address, _SIX(address) if ":" in address else _FOUR(address)


def _ordered(prefixes: list[str]) -> list[str]:
    """Addresses in their own order, IPv4 first."""
    four = [p for p in prefixes if ":" not in p]
    six = [p for p in prefixes if ":" in p] if len(four) < len(prefixes) else []
    return sorted(four, key=_FOUR) + sorted(six, key=_SIX)
