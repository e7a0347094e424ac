"""The rules on VM addresses: each zone's legs against where the VM runs, judged once per distinct state of the zones.

Where the inventory does not name the runner, it follows from the only zone with a local leg (even the buggy code
removes local legs on departure), else from what all zones agree on; the verdict then says that it is inferred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lab.ovn import walker as w
from lab.ovn.findings import CLASSES, CRITICAL, MAJOR
from lab.ovn.tables import Leg, State
from lab.ovn.topology import NodeInfo, Topology, could_be
from lab.ovn.walker import Hop, Walk, Walker, understand

TRANSIT = (w.REMOTE, w.OWN_TRANSIT, w.UNKNOWN)


@dataclass
class Fault:
    """A class of finding in some zones of a case, with the legs that are wrong there."""

    kind: str
    zones: list[int]
    summary: str
    severity: str = ""
    stale: list[tuple[int, Leg]] = field(default_factory=list)
    duplicate: bool = False

    def __post_init__(self) -> None:
        self.severity = self.severity or CLASSES[self.kind][1]


@dataclass
class Case:
    """All that is the same for addresses that share a state, a subnet owner, a runner and an egress route."""

    topology: Topology
    live: list[int]
    state: State
    owner: NodeInfo | None
    owner_known: bool
    given: NodeInfo | None
    """The runner by inventory."""
    covered: Callable[[int], bool]
    orphan: str = ""
    """Why no live VM has it, empty otherwise."""
    rows: dict[int, tuple[Leg, ...]] = field(default_factory=dict)
    hops: dict[int, tuple[Hop, ...]] = field(default_factory=dict)
    runner: NodeInfo | None = None
    walks: dict[int, Walk] = field(default_factory=dict)
    worst: Fault | None = None
    """The fault whose finding tells the effects in every zone; the others tell those in their own."""

    def __post_init__(self) -> None:
        for zone, rows in self.state.per_zone():
            legs = tuple(row for row in rows if row.policy == "dst-ip")
            if legs:
                self.rows[zone] = legs
                distinct = dict.fromkeys(leg._replace(loose=False) for leg in legs)
                self.hops[zone] = tuple(understand(leg, zone, self.topology) for leg in distinct)
        self.runner = self.given or self._inferred()
        walker = Walker(self.topology, self.hops, self.owner, self.runner)
        self.walks = {zone: walker.walk(zone) for zone in self.live}

    @property
    def locals(self) -> list[int]:
        """Zones with a local leg."""
        return [z for z, hops in self.hops.items() if any(h.kind == w.LOCAL for h in hops)]

    def _inferred(self) -> NodeInfo | None:
        found = self.locals
        if len(found) == 1:
            return self.topology.by_zone[found[0]]
        if found:
            return None
        views = [{id(h.node): h.node for h in hops if h.kind == w.REMOTE} for hops in self.hops.values()]
        views = [view for view in views if view]
        common = set(views[0]).intersection(*views[1:]) if views else set()
        return views[0][common.pop()] if len(common) == 1 else None

    def good(self, zone: int, hop: Hop) -> bool:
        """Whether a leg leads to the runner."""
        if self.runner is None:
            return False
        if zone == self.runner.zone:
            return hop.kind == w.LOCAL
        return hop.kind == w.REMOTE and could_be(hop.node, self.runner)

    def bad(self, zone: int) -> list[tuple[int, Leg]]:
        """The legs of a zone that do not lead to the runner; none when that is not known."""
        if self.runner is None:
            return []
        return [(zone, h.leg) for h in self.hops.get(zone, ()) if not self.good(zone, h)]


def judge(case: Case) -> list[Fault]:
    """Every fault of a case. An address nobody has needs one verdict only: all its legs are wrong."""
    if not case.rows:
        return []
    if case.orphan:
        severity = CRITICAL if "pod" in case.orphan else MAJOR
        every = [(z, h.leg) for z, hops in case.hops.items() for h in hops]
        return [Fault("ORPHAN_ROUTE", sorted(case.rows), case.orphan, severity, every)]
    faults = [*_shapes(case), *_single_legs(case), *_duplicates(case)]
    faults += _home(case) if case.owner is not None and case.runner is case.owner else _away(case)
    if case.owner is None and case.owner_known:
        faults.append(Fault("ORPHAN_SUBNET", [], "in no node's subnet: it needs a route in every zone"))
    return faults


def _shapes(case: Case) -> Iterator[Fault]:
    """R1, R2, R6: several legs."""
    mixed, remote = [], []
    for zone, hops in case.hops.items():
        transit = [h for h in hops if h.kind in TRANSIT]
        if any(h.kind == w.LOCAL for h in hops) and transit:
            mixed.append(zone)
        elif len([h for h in hops if h.kind == w.REMOTE]) > 1:
            remote.append(zone)
    if mixed:
        text = "a local route and a route to another zone share the traffic"
        yield Fault("ECMP_LOCAL_REMOTE", mixed, text, stale=[leg for z in mixed for leg in case.bad(z)])
    if remote:
        text = "routes to several zones share the traffic"
        yield Fault("ECMP_REMOTE", remote, text, stale=[leg for z in remote for leg in case.bad(z)])
    if len(case.locals) > 1:
        text = "more than one zone says that the VM runs there"
        stale = [leg for z in case.locals for leg in case.bad(z) if leg[1].local]
        yield Fault("SPLIT_LOCAL", case.locals, text, stale=stale)


def _single_legs(case: Case) -> Iterator[Fault]:
    """R7 to R10: legs that are wrong by themselves."""
    found: dict[str, list[tuple[int, Leg]]] = defaultdict(list)
    for zone, hops in case.hops.items():
        for hop in hops:
            found[hop.kind].append((zone, hop.leg))
    texts = {
        w.OWN_TRANSIT: ("SELF_TRANSIT", "the next hop is the zone's own transit address: it swallows every packet"),
        w.FOREIGN: ("FOREIGN_PORT", "the output port is not this node's, or does not fit the next hop"),
        w.UNKNOWN: ("UNKNOWN_NEXTHOP", "no known node has the next hop: a deleted node's, most likely"),
        w.UNREACHABLE: ("UNREACHABLE_NEXTHOP", "the next hop is in no network of the router: OVN ignores the route"),
    }
    for kind, (name, text) in texts.items():
        if legs := found.get(kind):
            zones = sorted({zone for zone, _ in legs})
            alone = kind == w.UNREACHABLE and any(len(case.hops[zone]) == 1 for zone in zones)
            yield Fault(name, zones, text, MAJOR if alone else "", legs)


def _duplicates(case: Case) -> Iterator[Fault]:
    """R4 and R22."""
    twice = [z for z, rows in case.rows.items() if len({r._replace(loose=False) for r in rows}) < len(rows)]
    if twice:
        yield Fault("EXACT_DUP", twice, "the same route twice; traffic does not suffer", duplicate=True)
    loose = [z for z, rows in case.rows.items() if any(r.loose for r in rows)]
    if loose:
        text = "a route without OVN-Kubernetes' marks or policy: it never cleans it, and will put another beside it"
        yield Fault("NO_OWNER_IDS", loose, text)


def _home(case: Case) -> Iterator[Fault]:
    """R16, R17: the VM runs where its subnet is and needs no host route at all."""
    zones = sorted(case.rows)
    every = [(z, h.leg) for z, hops in case.hops.items() for h in hops]
    if case.given is not None:
        text = "the VM is back on the node that owns its subnet; its routes should be gone in every zone"
        yield Fault("STALE_AFTER_RETURN", zones, text, stale=every)
        return
    text = "routes to the node that owns the subnet say what the subnet route says; they outlive the next move"
    wrong = [z for z in zones if not all(case.good(z, h) for h in case.hops[z])]
    yield Fault("REDUNDANT_HOST_ROUTE", zones, text, MAJOR if wrong else "", every)


def _away(case: Case) -> Iterator[Fault]:
    """R5, R14, R15, R20: the VM runs off its subnet's node, so that every zone needs exactly one right leg."""
    runner = case.runner
    single = [z for z, hops in case.hops.items() if len(hops) == 1 and hops[0].kind in (w.REMOTE, w.LOCAL)]
    wrong = [z for z in single if runner is not None and case.bad(z)]
    nobody = runner is not None and not any(case.good(z, h) for z, hops in case.hops.items() for h in hops)
    if nobody and case.given is not None:
        stale = [leg for z in case.hops for leg in case.bad(z)]
        yield Fault("WRONG_RUNNER", sorted(case.hops), "no zone routes to the node the VM runs on", stale=stale)
    elif wrong:
        text = "these zones route to another node than the one the VM runs on"
        yield Fault("OWNER_DISAGREE", wrong, text, stale=[leg for z in wrong for leg in case.bad(z)])
    elif runner is None and len({(h.kind, id(h.node)) for z in single for h in case.hops[z]}) > 1:
        yield Fault("OWNER_DISAGREE", single, "zones route to different nodes, and where the VM runs is not known")
    missing = [z for z in case.live if z not in case.rows and not case.topology.zones[z].cut]
    if missing:
        loses = any(case.walks[z].broken or runner is None for z in missing)
        text = "other zones have a host route for the VM, these have none"
        yield Fault("HOST_ROUTE_MISSING", missing, text, CRITICAL if loses else MAJOR)
    at = runner.zone if runner is not None else None
    if at is not None and at in case.locals and not case.covered(at) and not case.topology.zones[at].cut:
        text = "no src-ip route through the node's own join address covers the VM: it cannot reach the outside"
        yield Fault("EGRESS_DEFAULT_MISSING", [at], text)
