"""A small OVN-Kubernetes: clusters generated, VMs migrated with and without the bug, dumps as ovn-nbctl prints."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from lab.ovn.routes import Route, number, print_routes

NETS = (
    ("100.88.0.", "100.64.0.", "fd97::", "fd98::"),
    ("168.254.0.", "100.64.0.", "fd97::", "fd98::"),
    ("10.200.7.", "192.168.255.", "fd77:1::", "fd77:2::"),
)
"""Transit and join networks: all are configurable, and transit was another one before 2023-10."""


@dataclass
class World:
    """Nodes numbered from 0; IPv4, or IPv4 and IPv6, or IPv6 alone.

    `net` chooses among join and transit networks, `local` is the gateway mode in which nodes route what leaves, `late`
    a release that keeps the subnet's own src-ip row beside the cluster's.
    """

    size: int
    dual: bool = False
    bug: bool = False
    six: bool = False
    net: int = 0
    local: bool = False
    late: bool = False
    vms: dict[str, tuple[int, int]] = field(default_factory=dict)
    """address -> (owner, runner)."""
    host_routes: dict[int, dict[str, list[Route]]] = field(default_factory=dict)
    foreign: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.host_routes = {z: {} for z in range(self.size)}

    def name(self, node: int) -> str:
        return f"worker-{node}"

    def transit(self, node: int, family: int) -> str:
        return f"{NETS[self.net][0]}{node + 2}" if family == 4 else f"{NETS[self.net][2]}{node + 2:x}"

    def join(self, node: int, family: int) -> str:
        return f"{NETS[self.net][1]}{node + 20}" if family == 4 else f"{NETS[self.net][3]}{node + 20:x}"

    def subnet(self, node: int, family: int) -> str:
        return f"10.{128 + node // 32}.{8 * node % 256}.0/21" if family == 4 else f"fd01:0:0:{node + 1:x}::/64"

    def cluster(self, family: int) -> str:
        return "10.128.0.0/14" if family == 4 else "fd01::/48"

    def families(self) -> tuple[int, ...]:
        return (6,) if self.six else (4, 6) if self.dual else (4,)

    def start(self, owner: int, index: int) -> list[str]:
        """A VM on its home node; its addresses."""
        addresses = [] if self.six else [f"10.{128 + owner // 32}.{8 * owner % 256}.{index + 10}"]
        addresses += [f"fd01:0:0:{owner + 1:x}::{index + 10:x}"] if 6 in self.families() else []
        for address in addresses:
            self.vms[address] = (owner, owner)
        return addresses

    def migrate(self, address: str, target: int) -> None:
        """What each zone's controller does once the target is ready (the buggy one matches next hops as well)."""
        owner, _ = self.vms[address]
        family = 6 if ":" in address else 4
        self.vms[address] = (owner, target)
        for zone, table in self.host_routes.items():
            rows = table.setdefault(address, [])
            if target == owner:
                rows.clear()
                continue
            if zone == target:
                self.foreign.add((zone, family))
                want = Route(address, address, "dst-ip", f"rtos-{self.name(target)}")
            else:
                rows[:] = [r for r in rows if not r.port]
                want = Route(address, self.transit(target, family))
            same = [r for r in rows if not self.bug or r.nexthop == want.nexthop]
            if same:
                rows[:] = [want if r is same[0] else r for r in rows if r is same[0] or r not in same]
            else:
                rows.append(want)

    def sources(self, zone: int, family: int) -> list[Route]:
        """src-ip rows: of the subnet, by the gateway router or the management port, and of the cluster."""
        subnet, join = self.subnet(zone, family), self.join(zone, family)
        management = subnet.partition("/")[0][: -1 if family == 4 else None] + "2"
        foreign = (zone, family) in self.foreign
        rows = [Route(self.cluster(family), join, "src-ip")] if foreign else []
        if self.local or self.late or not foreign:
            rows.append(Route(subnet, management if self.local else join, "src-ip"))
        return rows

    def routes(self, zone: int) -> list[Route]:
        rows: list[Route] = []
        for family in self.families():
            for node in range(self.size):
                mine = self.join(node, family)
                rows.append(Route(mine, mine if node == zone else self.transit(node, family)))
                if node != zone:
                    rows.append(Route(self.subnet(node, family), self.transit(node, family)))
            rows += self.sources(zone, family)
        return rows + [row for found in self.host_routes[zone].values() for row in found]

    def dump(self, zone: int, routes: list[Route] | None = None) -> str:
        rows = self.routes(zone) if routes is None else routes
        return f"$ oc exec -n ns -c nbdb ovnkube-node-{zone:05d} -- ovn-nbctl lr-route-list ovn_cluster_router\n" + (
            print_routes(sorted(rows, key=order))
        )

    def inventory(self) -> str:
        lines = ["NAME   READY   STATUS   RESTARTS   AGE   IP   NODE   NOMINATED NODE   READINESS GATES"]
        for index, (address, (_, runner)) in enumerate(self.vms.items()):
            pod = f"virt-launcher-vm{index}-{index:05d}"
            lines.append(f"{pod}  1/1  Running  0  1d  {address}  {self.name(runner)}  <none>  1/1")
        for zone in range(self.size):
            lines.append(
                f"ovnkube-node-{zone:05d}  8/8  Running  9 (2d ago)  2d  1.2.3.4  {self.name(zone)}  <none>  <none>"
            )
        return "\n".join([*lines, ""])

    def subnets(self) -> str:
        lines = []
        for node in range(self.size):
            value = json.dumps({"default": [self.subnet(node, family) for family in self.families()]})
            lines.append(f"{self.name(node)}  {value}\n")
        return "".join(lines)


def order(route: Route) -> tuple[int, int, str]:
    """ovn-nbctl's order within a family: narrow first, then by address, then by the text of the next hop."""
    address, _, length = route.prefix.partition("/")
    return -(2 * int(length or 128) + (route.policy == "dst-ip")), number(address), route.nexthop
