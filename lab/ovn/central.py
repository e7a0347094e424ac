"""The older central mode: one database for all nodes; a VM that moved has one route to its node's switch and a policy.

No zones, no transit addresses, and no OCPBUGS-27215, whose duplicates differ in next hop: here each next hop is the
address itself. What can go wrong is a leg to the wrong node, a leftover, or a route or policy that is not there
(go-controller/pkg/kubevirt/router.go before interconnect; removed upstream in 2026-05).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network

from lab.ovn import remedies
from lab.ovn.findings import CLASSES, CRITICAL, MAJOR, Finding
from lab.ovn.inventory import Inventory
from lab.ovn.prefixes import Lpm
from lab.ovn.tables import Leg, Tables
from lab.ovn.zone import Zone

CENTRAL_PODS = ("ovnkube-master-", "ovnkube-db-")


def is_central(zone: Zone, tables: Tables) -> bool:
    """By its pod, by several node switches on the router, or by src-ip routes of subnets side by side."""
    if zone.pod.startswith(CENTRAL_PODS) or zone.marks.ports > 1:
        return True
    bit = 1 << zone.index
    sources = [
        ip_network(prefix)
        for prefix, state in tables.nets.items()
        for legs, zones in state.zones.items()
        if zones & bit and any(row.policy == "src-ip" for row in legs.rows)
    ]
    return any(one.version == two.version and not one.overlaps(two) for one in sources for two in sources)


@dataclass
class Central:
    """A central database: its rows, and who is who."""

    zone: Zone
    rows: dict[str, tuple[Leg, ...]]
    facts: Inventory
    owners: dict[str, str] = field(default_factory=dict)
    """Node subnet -> node."""
    gateways: dict[str, set[str]] = field(default_factory=dict)
    """Node -> where what its subnet sends goes."""
    _subnets: Lpm = field(default_factory=Lpm)

    def __post_init__(self) -> None:
        self.zone.place(self.facts)
        for prefix in {*self.facts.subnets, *(p for p in self.rows if "/" in p)}:
            hops = {leg.nexthop for leg in self.rows.get(prefix, ()) if leg.policy == "src-ip"}
            node = self.facts.subnets.get(prefix, "") or (f"the node of {prefix}" if hops else "")
            if node:
                self.owners[prefix] = node
                self.gateways.setdefault(node, set()).update(hops)
                self._subnets.add(prefix)

    def owner(self, address: str) -> str:
        """The node whose subnet an address is in, or empty."""
        return self.owners.get(self._subnets.around(address), "")

    def findings(self) -> Iterator[Finding]:
        """Every finding, in no order."""
        for prefix, legs in self.rows.items():
            mine = tuple(leg for leg in legs if leg.policy == "dst-ip")
            if "/" not in prefix and any(leg.port or not leg.local for leg in mine):
                yield from self._address(prefix, mine)
        for prefix in self.facts.by_address:
            runner, owner = self.facts.runner(prefix), self.owner(prefix)
            if prefix not in self.rows and runner and owner in self.gateways and owner != runner:
                text = f"the VM runs on {runner}, off its subnet's node, and no route says so"
                yield self._made(
                    "HOST_ROUTE_MISSING", prefix, text, [], "every client: 100 % of its flows never arrive"
                )

    def _address(self, prefix: str, legs: tuple[Leg, ...]) -> Iterator[Finding]:
        if self.facts.moving(prefix):
            text = "the VM is migrating just now: not judged, capture again afterwards"
            yield Finding("MIGRATING", "INFO", prefix, [], text, self.facts.vm(prefix))
            return
        distinct = list(dict.fromkeys(leg._replace(loose=False) for leg in legs))
        known = bool(self.facts.by_address.get(prefix)) or self.facts.everything
        alive = self.facts.alive(prefix)
        if known and not self.facts.runner(prefix):
            yield self._orphan(prefix, distinct, bool(alive))
            return
        if len(distinct) < len(legs):
            yield self._made("EXACT_DUP", prefix, "the same route twice; traffic does not suffer", [], "")
        yield from self._legs(prefix, distinct)
        yield from self._policy(prefix, distinct)

    def _orphan(self, prefix: str, legs: list[Leg], taken: bool) -> Finding:
        text = "the address belongs to a pod that is no VM's" if taken else "no live VM has this address"
        found = self._made("ORPHAN_ROUTE", prefix, text, legs, "")
        found.severity = CRITICAL if taken else MAJOR
        return found

    def _legs(self, prefix: str, legs: list[Leg]) -> Iterator[Finding]:
        nodes = set(self.facts.subnets.values()) if self.zone.marks.ports else set()
        good = [leg for leg in legs if leg.local and leg.port.startswith("rtos-")]
        odd = [leg for leg in legs if leg not in good or (nodes and _node(leg) not in nodes)]
        if odd:
            text = "the next hop or output port is none that OVN-Kubernetes gives a VM"
            yield self._made("FOREIGN_PORT", prefix, text, odd, "every client: what takes this route never arrives")
        runner, owner = self.facts.runner(prefix), self.owner(prefix)
        places = [_node(leg) for leg in good]
        stale = [leg for leg in good if runner and _node(leg) != runner]
        share = f"every client: {round(100 * len(stale) / len(legs))} % of its flows never arrive" if stale else ""
        if len(good) > 1:
            text = f"routes to several nodes share the traffic: {', '.join(sorted(places))}"
            yield self._made("SPLIT_LOCAL", prefix, text, stale, share)
        elif stale:
            yield self._made("WRONG_RUNNER", prefix, f"the route leads to {places[0]}", stale, share)
        elif good and owner and places[0] == owner:
            kind = "STALE_AFTER_RETURN" if runner else "REDUNDANT_HOST_ROUTE"
            yield self._made(kind, prefix, "the VM is on its subnet's node, where no route is needed", good, "")

    def _policy(self, prefix: str, legs: list[Leg]) -> Iterator[Finding]:
        """Known from a database only: what the VM sends must leave by the gateway of the node it runs on."""
        read = self.zone.database
        runner = self.facts.runner(prefix)
        if read is None or not runner or runner == self.owner(prefix) or not any(_node(leg) == runner for leg in legs):
            return
        wanted = self.gateways.get(runner, set())
        hops = set(read.sources.get(prefix, ()))
        if not hops or (wanted and not hops & wanted):
            text = f"no policy sends what the VM sends out by {runner}'s gateway" + (
                f", but by {', '.join(sorted(hops))}" if hops else ""
            )
            yield self._made(
                "EGRESS_DEFAULT_MISSING", prefix, text, [], "the VM cannot reach the outside of the cluster"
            )

    def _made(self, kind: str, prefix: str, text: str, stale: list[Leg], effect: str) -> Finding:
        runner = self.facts.runner(prefix)
        found = Finding(kind, CLASSES[kind][1], prefix, [self.zone.label], text, self.facts.vm(prefix))
        found.owner, found.runner, found.verified = self.owner(prefix), runner, bool(runner)
        found.effects = [effect] if effect else []
        for leg in dict.fromkeys(leg._replace(loose=False) for leg in self.rows.get(prefix, ())):
            found.legs.append((self.zone.index, "stale" if leg in stale else "seen", leg.nexthop, leg.port))
        label = self.zone.label
        if kind == "EXACT_DUP":
            found.remedies = remedies.delete_duplicate(self.zone, label, prefix)
        elif stale:
            found.remedies = [remedies.delete_leg(self.zone, label, prefix, leg) for leg in stale]
        else:
            found.remedies = [remedies.rebuild(self.zone, label)]
        return found


def _node(leg: Leg) -> str:
    return leg.port.removeprefix("rtos-")
