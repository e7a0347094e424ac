"""What becomes of a flow to a VM, zone by zone, as the routes stand: the share delivered, looping, lost, unknown.

A zone divides flows evenly among equal legs and always the same way for one flow, so a flow that comes back to a zone
goes round for ever. Measured on real OVN: about half of the TCP flows die of one stale leg beside a good one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from lab.ovn.tables import Leg
from lab.ovn.topology import NodeInfo, Topology, could_be

LOCAL, REMOTE, FOREIGN, OWN_TRANSIT, UNKNOWN, UNREACHABLE = (
    "local",
    "remote",
    "foreign",
    "own transit",
    "unknown",
    "unreachable",
)


@dataclass(frozen=True)
class Hop:
    """A leg understood: its kind, and the node it leads to where it leads to one."""

    kind: str
    leg: Leg
    node: NodeInfo | None = None


def understand(leg: Leg, zone: int, topology: Topology) -> Hop:
    """What a host leg does in a zone."""
    me = topology.by_zone[zone]
    if leg.port:
        port = leg.port.removeprefix("rtos-")
        good = leg.local and leg.port.startswith("rtos-") and port == (me.name or port)
        return Hop(LOCAL if good else FOREIGN, leg, me if good else None)
    if leg.local:
        return Hop(UNREACHABLE, leg)
    if leg.nexthop in me.transit.values():
        return Hop(OWN_TRANSIT, leg, me)
    node = topology.by_transit.get(leg.nexthop)
    if node is not None:
        return Hop(REMOTE, leg, node)
    return Hop(UNKNOWN if topology.in_transit(leg.nexthop) else UNREACHABLE, leg)


@dataclass
class Walk:
    """Shares of the flows from one zone; they add up to 1. `path` is one way that ends badly, for people."""

    delivered: Fraction = Fraction(0)
    loop: Fraction = Fraction(0)
    lost: Fraction = Fraction(0)
    unknown: Fraction = Fraction(0)
    path: tuple[str, ...] = ()
    hairpin: bool = False
    """Some flows take more zones than needed."""

    @property
    def broken(self) -> Fraction:
        """The share that never arrives."""
        return self.loop + self.lost

    @property
    def percent(self) -> int:
        """Of flows broken, rounded."""
        return round(self.broken * 100)


@dataclass
class Walker:
    """For one address: its host legs per zone, the node owning its subnet, the node it runs on (None: not known)."""

    topology: Topology
    hops: Mapping[int, tuple[Hop, ...]]
    owner: NodeInfo | None
    runner: NodeInfo | None
    _found: dict[int, Walk] = field(default_factory=dict)

    def walk(self, zone: int) -> Walk:
        """The fate of flows that start in *zone*."""
        if zone not in self._found:
            walk = Walk()
            self._step(walk, zone, Fraction(1), ())
            self._found[zone] = walk
        return self._found[zone]

    def _step(self, walk: Walk, zone: int, share: Fraction, path: tuple[int, ...]) -> None:
        if zone in path:
            walk.loop += share
            self._say(walk, (*path, zone), "")
            return
        path = (*path, zone)
        hops = [h for h in self.hops.get(zone, ()) if h.kind != UNREACHABLE]
        if not hops:
            self._by_subnet(walk, zone, share, path)
            return
        for hop in hops:
            self._hop(walk, hop, share / len(hops), path)

    def _hop(self, walk: Walk, hop: Hop, share: Fraction, path: tuple[int, ...]) -> None:
        if hop.kind == LOCAL:
            self._arrive(walk, self.topology.by_zone[path[-1]], share, path)
        elif hop.kind == REMOTE and hop.node is not None:
            self._enter(walk, hop.node, share, path)
        else:
            walk.lost += share
            self._say(walk, path, f"lost at {hop.leg.nexthop if not hop.leg.local else hop.leg.port}")

    def _enter(self, walk: Walk, node: NodeInfo, share: Fraction, path: tuple[int, ...]) -> None:
        if node.zone is not None:
            self._step(walk, node.zone, share, path)
        elif could_be(node, self.runner):
            self._arrive(walk, node, share, path)
        else:
            walk.unknown += share

    def _by_subnet(self, walk: Walk, zone: int, share: Fraction, path: tuple[int, ...]) -> None:
        """No host route: the owner's subnet route, or out of the cluster by the gateway router."""
        me = self.topology.by_zone[zone]
        if self.owner is me:
            self._arrive(walk, me, share, path)
        elif self.owner is not None:
            self._enter(walk, self.owner, share, path)
        elif not me.subnets or self.topology.zones[zone].cut:
            walk.unknown += share
        else:
            walk.lost += share
            self._say(walk, path, "out of the cluster by the gateway router")

    def _arrive(self, walk: Walk, node: NodeInfo, share: Fraction, path: tuple[int, ...]) -> None:
        if self.runner is None:
            walk.unknown += share
        elif could_be(node, self.runner):
            walk.delivered += share
            direct = 1 if path[0] == node.zone else 2 - (node.zone is None)
            walk.hairpin |= len(path) > direct
        else:
            walk.lost += share
            self._say(walk, path, "no such VM there")

    def _say(self, walk: Walk, path: tuple[int, ...], end: str) -> None:
        names = tuple(self.topology.label(zone) for zone in path) + ((end,) if end else ())
        if not walk.path or (len(names), names) < (len(walk.path), walk.path):
            walk.path = names
