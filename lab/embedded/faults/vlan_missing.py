"""Fabric: a VLAN is not allowed on the trunks of one worker, the classic slip of a switch's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site, one_of, trunks, vlan_of

EVERY = frozenset(range(4096))


class VlanMissing:
    """``switchport trunk allowed vlan except N`` on every trunk of a node."""

    name = "vlan-missing"
    layer = "fabric"
    summary = "the switch does not carry a VLAN on one worker's trunks"
    parameters: Mapping[str, str] = {"node": "the worker whose trunks are changed", "vlan": "the VLAN id"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node, vlan = one_of("a worker", arguments["node"], site.nodes), vlan_of(arguments)
        ports = await trunks(site, node)
        for port in ports:
            await self._allow(site, port, await self._allowed(site, port) - {vlan})
            if vlan in await self._allowed(site, port):
                raise FaultError(f"wanted VLAN {vlan} off the trunk {port}", "the switch still allows it")
        return {"ports": ports}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        vlan = vlan_of(arguments)
        for port in saved["ports"]:
            await self._allow(site, port, await self._allowed(site, port) | {vlan})
            if vlan not in await self._allowed(site, port):
                raise FaultError(f"wanted VLAN {vlan} back on the trunk {port}", "the switch still filters it")

    async def _allowed(self, site: Site, port: str) -> frozenset[int]:
        # An empty list means all of them (ovs-vswitchd.conf.db(5), Port, trunks).
        said = await site.switch(["ovs-vsctl", "get", "Port", port, "trunks"])
        return frozenset(json.loads(said)) or EVERY

    async def _allow(self, site: Site, port: str, vlans: frozenset[int]) -> None:
        listed = "" if vlans == EVERY else ",".join(map(str, sorted(vlans)))
        await site.switch(["ovs-vsctl", "set", "Port", port, f"trunks=[{listed}]"])
