"""The default pod network of this node's zone, made real: own routers and switches, neighbours, management port.

What is to be there is said by `podnetwork`, in upstream's words; here it is brought into the zone's databases and
onto the node, again and again to the same end.  Rows that nobody here wrote are left alone: people and faults put
routes there, and a zone controller that tidied them away would hide what an audit is to find.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lab.embedded.host.command import run
from lab.embedded.host.link import ip, ip_json, tx_checksum_off
from lab.embedded.host.ovs import Row
from lab.embedded.kube import Obj
from lab.embedded.model.kinds import NODE
from lab.embedded.node import podnetwork as net
from lab.embedded.node.context import NodeContext
from lab.embedded.node.podnetwork import Member, Route, is_route
from lab.embedded.node.zone import INTEGRATION_BRIDGE

log = logging.getLogger(__name__)
MANAGEMENT = "ovn-k8s-mp0"
REGISTRATION_SECONDS = 60.0
GREETING_SECONDS = 3
NEIGHBOUR = "ic-node"
ROUTE_COLUMNS = ("_uuid", "ip_prefix", "nexthop", "policy", "output_port", "external_ids")


def _notes(node: Obj) -> dict[str, str]:
    return node["metadata"].get("annotations") or {}


class ZoneBuilder:
    """Builds this node's part of the pod network and follows the other nodes."""

    def __init__(self, ctx: NodeContext, mark: Callable[[str], None]) -> None:
        """``mark`` is called with the name of a node that changed: `neighbour` is due for it."""
        self.ctx, self.me = ctx, net.member(ctx.node)
        self.nodes = ctx.informers.get(NODE)
        self.built = False
        self._mark = mark
        self._neighbours: dict[str, Member] = {}
        self._greetings: set[asyncio.Task[None]] = set()
        self._answered = False

    async def build(self) -> None:
        """The zone without neighbours and the management port; then say on the Node what it is."""
        await self.own()
        await self._management()
        # The most it takes; a tunnel's end that was forgotten costs a packet.
        await self.ctx.ovs.appctl("tnl/neigh/aging", "3600")
        name = self.me.name
        await self.nodes.wait_for(lambda items: name in items, REGISTRATION_SECONDS)
        await self._introduce()
        self.built = True
        self.nodes.subscribe(self._seen)
        for gone in await self._left_behind():
            self._mark(gone)

    async def own(self) -> None:
        """The zone's own routers, switches and routes, in the database."""
        routes = await self._route_words(net.routes(self.me, []))
        await self.ctx.northbound.ctl(*net.own_zone(self.me), *routes)

    def member(self, name: str) -> Member | None:
        """A node as it describes itself in the pod network; None when it is gone or has not done so."""
        node = self.nodes.items.get(name)
        return self.me if name == self.me.name else net.from_annotations(name, _notes(node)) if node else None

    async def answers(self) -> bool:
        """Whether OVN carries this node's own port, and its addresses and the Node's annotations are there.

        The first time also the neighbours known by then must have answered, or not have answered in time.
        """
        node = self.nodes.items.get(self.me.name)
        if not self.built or node is None or net.SUBNETS not in _notes(node):
            return False
        rows = await self.ctx.ovs.table("Interface", ["external_ids"], where=f"name={MANAGEMENT}")
        if not rows or rows[0]["external_ids"].get("ovn-installed") != "true":
            return False
        if not self._answered and (self._greetings or self._strangers()):
            return False
        found = await ip_json(["-4", "addr", "show", "dev", MANAGEMENT, "up"])
        local = [entry.get("local") for link in found for entry in link["addr_info"]]
        self._answered = self._answered or str(self.me.management.ip) in local
        return str(self.me.management.ip) in local

    def _strangers(self) -> set[str]:
        """Nodes that described themselves and are not brought in yet."""
        described = {name for name, node in self.nodes.items.items() if net.from_annotations(name, _notes(node))}
        return described - self._neighbours.keys() - {self.me.name}

    async def _introduce(self) -> None:
        """Write on the own Node what the other zones must know."""
        notes = net.node_annotations(self.me)
        await self.ctx.kube.patch(NODE, self.me.name, None, {"metadata": {"annotations": notes}})

    async def neighbour(self, name: str) -> None:
        """Bring one other node in, or out when its Node is gone; the own one (registered anew) is described again."""
        node = self.nodes.items.get(name)
        if name == self.me.name:
            if node is not None:
                await self._introduce()
            return
        other = net.from_annotations(name, _notes(node)) if node else None
        if other is None:
            if node is None:
                await self._remove(name)
            return
        if self._neighbours.get(name) == other:
            return
        routes = await self._route_words(net.routes_to(other), neighbour=name)
        await self.ctx.northbound.ctl("--wait=sb", *net.remote_port(other), *routes)
        await self._bind(other)
        self._neighbours[name] = other
        self._greet(other)
        log.info("neighbour %s with %s behind %s", name, other.subnet, other.encap)

    async def _bind(self, other: Member) -> None:
        """The other zone's chassis and where its port is: OVN before 23.09 does not bind remote ports itself."""
        await self.ctx.southbound.ctl(
            "--may-exist", "chassis-add", other.chassis, "geneve", other.encap,
            "--", "set", "Chassis", other.chassis, "other_config:is-remote=true", f"hostname={other.name}",
            "--", "--may-exist", "lsp-bind", f"tstor-{other.name}", other.chassis,
        )  # fmt: skip

    def _greet(self, other: Member) -> None:
        task = asyncio.create_task(self._first_packets(other), name=f"greet {other.name}")
        self._greetings.add(task)
        task.add_done_callback(self._greetings.discard)

    async def _first_packets(self, other: Member) -> None:
        """Go the way to the other node's management port and back once, so that the datapaths know it.

        A tunnel in userspace drops the packet for which it must first ask the other end's MAC: a guest's first ping
        would be lost.
        """
        argv = ["ping", "-c", "1", "-i", "0.2", "-W", "1", "-w", str(GREETING_SECONDS), str(other.management.ip)]
        answer = await run(argv, check=False)
        if answer.returncode:
            log.warning("no answer yet from %s, the management port of %s", other.management.ip, other.name)
        else:
            log.info("%s answers after %.1f s", other.name, answer.seconds)

    async def _remove(self, name: str) -> None:
        routes = await self._route_words([], neighbour=name)
        await self.ctx.northbound.ctl("--if-exists", "lsp-del", f"tstor-{name}", *routes)
        for row in await self.ctx.southbound.table("Chassis", ["name"], where=f"hostname={name}"):
            await self.ctx.southbound.ctl("--if-exists", "chassis-del", row["name"])
        self._neighbours.pop(name, None)

    def _seen(self, change: str, node: Obj) -> None:
        name = node["metadata"]["name"]
        known = self.me if name == self.me.name else self._neighbours.get(name)
        if change == "DELETED" or known != net.from_annotations(name, _notes(node)):
            self._mark(name)

    async def _left_behind(self) -> set[str]:
        """Nodes that an earlier agent brought in and that went while nobody looked."""
        rows = await self.ctx.northbound.table("Logical_Router_Static_Route", ["external_ids"])
        return {row["external_ids"][NEIGHBOUR] for row in rows if NEIGHBOUR in row["external_ids"]} - set(
            self.nodes.items
        )

    async def _route_words(self, wanted: list[Route], neighbour: str = "") -> list[str]:
        """What adds the missing ones; of a neighbour's routes those that are no longer wanted go."""
        words: list[str] = []
        present: list[tuple[str, Row]] = []
        for router in dict.fromkeys([net.ROUTER, *(route.router for route in wanted)]):
            present += [(router, row) for row in await self.rows(router)]
        for number, route in enumerate(wanted):
            if not any(router == route.router and is_route(row, route) for router, row in present):
                words += route.words(f"r{number}")
        for router, row in present:
            theirs = neighbour and row["external_ids"].get(NEIGHBOUR) == neighbour
            if theirs and not any(is_route(row, route) for route in wanted):
                words += ["--", "remove", "Logical_Router", router, "static_routes", row["_uuid"]]
        return words

    async def rows(self, router: str) -> list[Row]:
        """The static routes of a router."""
        owner = await self.ctx.northbound.table("Logical_Router", ["static_routes"], where=f"name={router}")
        mine = owner[0]["static_routes"] if owner else []
        uuids = {mine} if isinstance(mine, str) else set(mine)
        rows = await self.ctx.northbound.table("Logical_Router_Static_Route", ROUTE_COLUMNS)
        return [row for row in rows if row["_uuid"] in uuids]

    async def _management(self) -> None:
        """The node's own leg in its subnet, through which it reaches every pod of the cluster."""
        me, mac = self.me, net.mac_of(self.me.management.ip)
        await self.ctx.ovs.vsctl(
            "--may-exist", "add-port", INTEGRATION_BRIDGE, MANAGEMENT,
            "--", "set", "Interface", MANAGEMENT, "type=internal", f"mtu_request={net.MTU}",
            f'mac="{mac}"', f"external_ids:iface-id=k8s-{me.name}",
        )  # fmt: skip
        await ip([
            f"addr replace {me.management} dev {MANAGEMENT}",
            f"link set {MANAGEMENT} up",
            # As upstream does; asking for it before OVN answers would cost a second.
            f"neigh replace {me.gateway.ip} lladdr {net.GATEWAY_MAC} dev {MANAGEMENT} nud permanent",
            f"route replace {net.CLUSTER} via {me.gateway.ip} dev {MANAGEMENT}",
        ])  # fmt: skip
        await tx_checksum_off(MANAGEMENT)
