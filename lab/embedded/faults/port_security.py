"""Fabric: port security. The switch lets one MAC address in from a port, that of the NIC behind it.

The node is well, and whatever shares its NIC with another address is cut off: the classic of a Linux bridge over the
main interface (hypervisors call it "forged transmits", clouds "source check").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.fabric.switch import BRIDGE
from lab.embedded.faults.site import Site, cable, one_of, spec

COOKIE = "0x706f7274"


class PortSecurity:
    """Two flows on the switch: the NIC's own address passes as before, any other is dropped."""

    name = "port-security"
    layer = "fabric"
    summary = "the switch lets only a NIC's own MAC address in from it"
    parameters: Mapping[str, str] = {"node": "the worker", "nic": "its NIC, e.g. ens3"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node, nic = one_of("a worker", arguments["node"], site.nodes), arguments["nic"]
        port = await cable(site, node, nic)
        here = f"cookie={COOKIE},in_port={port}"
        own = f"{here},priority=200,dl_src={spec(node).mac(nic)},actions=NORMAL"
        for flow in (own, f"{here},priority=100,actions=drop"):
            await site.switch(["ovs-ofctl", "add-flow", BRIDGE, flow])
        if await self._flows(site, port) != 2:
            raise FaultError(f"wanted two flows for {port} on the switch", f"it has {await self._flows(site, port)}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        port = await cable(site, arguments["node"], arguments["nic"])
        await site.switch(["ovs-ofctl", "del-flows", BRIDGE, f"cookie={COOKIE}/-1,in_port={port}"])
        if left := await self._flows(site, port):
            raise FaultError(f"wanted no flows of port security for {port} on the switch", f"it has {left}")

    async def _flows(self, site: Site, port: str) -> int:
        said = await site.switch(["ovs-ofctl", "dump-flows", BRIDGE, f"cookie={COOKIE}/-1,in_port={port}"])
        return sum("actions=" in line for line in said.splitlines())
