"""Fabric: the switch suspends one port of an aggregate. Its light stays on, and nothing passes.

Only the absence of LACPDUs tells the node: the case that LACP exists for, and that a look at the carrier misses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.fabric.switch import BRIDGE
from lab.embedded.faults.site import Site, aggregate, cable, one_of

KEY = "other_config:lacp-aggregation-key"


class LacpOff:
    """The port is taken out of its aggregate, and an unplugged one put in its place.

    With one port left an aggregate would no longer call itself one (Open vSwitch then clears LACP's aggregation flag),
    and the node would drop the good member too.
    """

    name = "lacp-off"
    layer = "fabric"
    summary = "the switch suspends a port of an aggregate: no LACPDUs, no packets, the light is on"
    parameters: Mapping[str, str] = {"node": "the worker", "nic": "a NIC of an LACP pair, e.g. enp6s0f0"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node, nic = one_of("a worker", arguments["node"], site.nodes), arguments["nic"]
        port, lag = await cable(site, node, nic), aggregate(node, nic)
        key = json.loads(await site.switch(["ovs-vsctl", "get", "Interface", port, KEY]))
        await self._swap(site, lag, out=port, put=[f"name={_unplugged(port)}", "type=internal"])
        if port in await _members(site):
            raise FaultError(f"wanted {port} out of {lag}", "the switch still has it there")
        said = json.loads(await site.node(node)(["ip", "-j", "link", "show", "dev", nic]))
        if "LOWER_UP" not in said[0]["flags"]:
            raise FaultError(f"wanted {nic} of {node} with its light on", f"its flags are {said[0]['flags']}")
        return {"key": str(key)}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        node, nic = arguments["node"], arguments["nic"]
        port, lag = await cable(site, node, nic), aggregate(node, nic)
        await self._swap(site, lag, out=_unplugged(port), put=[f"name={port}", f"{KEY}={saved['key']}"])
        if port not in await _members(site):
            raise FaultError(f"wanted {port} back in {lag}", "the switch has it not")

    async def _swap(self, site: Site, lag: str, *, out: str, put: list[str]) -> None:
        """One transaction, so that the aggregate never has one port."""
        row = (await site.switch(["ovs-vsctl", "get", "Interface", out, "_uuid"])).strip()
        await site.switch([
            "ovs-vsctl", "--id=@new", "create", "Interface", *put,
            "--", "remove", "Port", lag, "interfaces", row,
            "--", "add", "Port", lag, "interfaces", "@new",
        ])  # fmt: skip


def _unplugged(port: str) -> str:
    return f"{port}.off"


async def _members(site: Site) -> list[str]:
    return (await site.switch(["ovs-vsctl", "list-ifaces", BRIDGE])).split()
