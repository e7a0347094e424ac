"""OVN: the network between the nodes drops geneve of one of them, as a firewall that was never told of UDP 6081.

The node is reached in every other way: its own address, its API, its VLANs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.fabric.switch import BRIDGE
from lab.embedded.faults.site import Site, cable, one_of

COOKIE = "0x67656e76"
NIC = "enp1s0"
"""The NIC of br-ex, over which tunnels go."""


class GeneveBlocked:
    """A flow on the switch: tunnels from the node are dropped, so that none gets an answer."""

    name = "geneve-blocked"
    layer = "ovn"
    summary = "no tunnel from a worker passes the network between the nodes"
    parameters: Mapping[str, str] = {"node": "the worker"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node = one_of("a worker", arguments["node"], site.nodes)
        port = await cable(site, node, NIC)
        flow = f"cookie={COOKIE},priority=300,in_port={port},udp,tp_dst=6081,actions=drop"
        await site.switch(["ovs-ofctl", "add-flow", BRIDGE, flow])
        if await self._flows(site, port) != 1:
            raise FaultError(f"wanted geneve from {port} dropped by the switch", "it has no such flow")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        port = await cable(site, arguments["node"], NIC)
        await site.switch(["ovs-ofctl", "del-flows", BRIDGE, f"cookie={COOKIE}/-1,in_port={port}"])
        if left := await self._flows(site, port):
            raise FaultError(f"wanted geneve from {port} to pass the switch", f"it has {left} flows that drop it")

    async def _flows(self, site: Site, port: str) -> int:
        said = await site.switch(["ovs-ofctl", "dump-flows", BRIDGE, f"cookie={COOKIE}/-1,in_port={port}"])
        return sum("actions=" in line for line in said.splitlines())
