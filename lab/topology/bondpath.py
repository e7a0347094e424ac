"""A bond on every worker, and the traffic over it: residents of a segment whose bridge has it as its only uplink.

Every resident pings the segment's gateway all the time, and fetches data from one on the next worker in many flows when
asked to; the packets of each NIC are counted around that. Observing and breaking only; judging is for others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lab.core.deadline import Deadline
from lab.core.wait import Periodic, Seen, wait_until
from lab.ovn.bonds import Bond
from lab.probes import toolbox
from lab.probes.continuous import ContinuousPing
from lab.probes.flows import Flows, flows
from lab.probes.series import Series
from lab.target.inventory import Segment
from lab.topology.faults import ScenarioFaults
from lab.topology.pods import PodShell, Resident
from lab.topology.site import Site

LOOK_S = 20.0
NOTICE_S = 15.0
"""For a bond to notice a loss or a return; LACP's slow timeout is longer, and then it is a failure to say so."""
PING_MS = 50
BOTH = (0, 1)


@dataclass(frozen=True)
class Exchange:
    """Flows between two workers, both ways of a pair, and the packets (rx, tx) that each NIC carried meanwhile."""

    flows: tuple[tuple[Resident, Resident, Flows], ...]
    packets: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    """Worker -> NIC -> packets received, sent."""

    def share(self, node: str, nic: str) -> float:
        """The smaller of a NIC's shares of what its bond received and sent on that worker, 0 to 1."""
        mine = self.packets.get(node, {})
        sums = [sum(counts[way] for counts in mine.values()) for way in (0, 1)]
        return min((mine[nic][way] / sums[way] if sums[way] else 0.0) for way in (0, 1))


class WorkersBond:
    """The bond of one name on each worker."""

    def __init__(self, site: Site, bond: str) -> None:
        self.site = site
        self.bond = bond
        self.lost: dict[str, tuple[int, ...]] = {}
        """Worker -> the NICs that a fault of the scenario took from it (0 the first)."""

    @property
    def members(self) -> dict[str, tuple[str, ...]]:
        """Worker -> the NICs that the target names for the bond, in its order."""
        nics = self.site.target.nics
        return {node: nics.ports(self.bond, "bond", node) for node in self.site.workers}

    def bonds(self) -> dict[str, Bond]:
        """Worker -> the bond as the node has it now; a bond without members where there is none."""
        members = self.members
        seen = self.site.reader.links_of(self.site.workers, deadline=Deadline.after(LOOK_S))
        return {
            node: links.bond(self.bond, members[node]) or Bond(node, self.bond, lacp=False)
            for node, links in seen.items()
        }

    @property
    def left(self) -> dict[str, tuple[str, ...]]:
        """Worker -> the NICs that nobody broke."""
        return {
            node: tuple(nic for number, nic in enumerate(nics) if number not in self.lost.get(node, ()))
            for node, nics in self.members.items()
        }

    def wait_working(self) -> None:
        """Wait until just those NICs that are left can carry packets, on every worker.

        Raises WaitTimeout with what can on each.
        """
        wanted = self.left

        def observe() -> Seen[None]:
            now = {node: [m.name for m in bond.working] for node, bond in self.bonds().items()}
            wrong = [said for node, nics in wanted.items() for said in _differing(node, nics, now[node])]
            return Seen("; ".join(wrong) or "as wanted", not wrong)

        wait_until(
            f"{self.bond} on {', '.join(wanted)}",
            "; ".join(f"{', '.join(nics) or 'no NIC'} working on {node}" for node, nics in wanted.items()),
            observe,
            deadline=Deadline.after(NOTICE_S),
            changes=Periodic(0.2, "a bond announces nothing to the API"),
            advice="ip -d link, or ovs-appctl bond/show and lacp/show, on the node; and the switch's side",
        )


def _differing(node: str, wanted: Collection[str], now: Collection[str]) -> Iterator[str]:
    """Which NICs of a worker's bond do not work, and which of those that should not do."""
    if missing := [nic for nic in wanted if nic not in now]:
        yield f"{', '.join(missing)} on {node} without use"
    if more := [nic for nic in now if nic not in wanted]:
        yield f"{', '.join(more)} on {node} in use"


class BondPath(WorkersBond):
    """Such a bond with the residents of *segment* over it."""

    def __init__(self, site: Site, bond: str, segment: Segment, faults: ScenarioFaults) -> None:
        super().__init__(site, bond)
        self.segment = segment
        self._faults = faults
        self._pings: list[ContinuousPing] = []

    def lose(self, fault: str, numbers: Mapping[str, tuple[int, ...]]) -> None:
        """Make a fault of NICs (worker -> which) in the words of the target's command; does not wait for the bond."""
        self.site.settle()
        members = self.members
        self._faults.set(*(f"{fault} node={node} nic={members[node][n]}" for node in numbers for n in numbers[node]))
        self.lost = {node: tuple(which) for node, which in numbers.items()}

    def heal(self) -> None:
        """Take all of them back and wait until the bond uses its NICs again. Raises as wait_working."""
        self._faults.heal()
        self.lost = {}
        self.wait_working()

    def everyone(self) -> list[Resident]:
        """All residents over the bond."""
        name = self.segment.name
        return [*self.site.residents.of.get(name, []), *self.site.residents.twins.get(name, [])]

    def _pairs(self) -> Iterator[tuple[Resident, Resident]]:
        for group in (self.site.residents.of, self.site.residents.twins):
            mine = group.get(self.segment.name, [])
            yield from zip(mine, [*mine[1:], *mine[:1]], strict=True)

    def exchange(self, count: int) -> Exchange:
        """*count* flows from every resident to its like on the next worker, at once. Raises as probes.flows.flows."""
        self.site.settle()
        before = self.bonds()
        pairs = list(self._pairs())
        with ThreadPoolExecutor(max(1, len(pairs))) as pool:
            seen = list(pool.map(lambda pair: self._flows(pair[0], pair[1], count), pairs))
        after = self.bonds()
        return Exchange(
            tuple((a, b, f) for (a, b), f in zip(pairs, seen, strict=True)),
            {node: _counted(before[node], bond, self.members[node]) for node, bond in after.items()},
        )

    def _flows(self, source: Resident, target: Resident, count: int) -> Flows:
        return flows(PodShell(self.site.client, source), target.address, count=count, deadline=Deadline.after(LOOK_S))

    def start_pings(self) -> None:
        """A ping from every resident to the gateway, until it is stopped.

        Raises ProbeNotStarted, ToolMissing; those that could be started go on.
        """
        self.site.settle()
        shells = [PodShell(self.site.client, resident) for resident in self.everyone()]
        tools = toolbox.look(shells[0], deadline=Deadline.after(LOOK_S))
        pings = [ContinuousPing(s, self.segment.gateway, tools, interval_ms=PING_MS) for s in shells]
        with ThreadPoolExecutor(len(shells)) as pool:
            started = [pool.submit(ping.start, Deadline.after(LOOK_S)) for ping in pings]
        self._pings = [ping for ping, future in zip(pings, started, strict=True) if future.exception() is None]
        for future in started:
            future.result()

    def stop_pings(self) -> list[Series]:
        """What each of the pings saw, by its pod's own clock; may be called when none runs. Raises Inconclusive."""
        running, self._pings = self._pings, []
        with ThreadPoolExecutor(max(1, len(running))) as pool:
            list(pool.map(lambda ping: ping.stop(Deadline.after(LOOK_S)), running))
        return [ping.read(()) for ping in running]


def _counted(before: Bond, after: Bond, nics: Sequence[str]) -> dict[str, tuple[int, int]]:
    was, now = ({m.name: m for m in bond.members} for bond in (before, after))
    return {n: (now[n].rx - was[n].rx, now[n].tx - was[n].tx) for n in nics if n in was and n in now}
