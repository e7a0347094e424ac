"""OVN: a zone has a second next hop for an address or a subnet, left from somewhere else: ECMP picks one per flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults import ovnzone
from lab.embedded.faults.site import Site
from lab.embedded.node.podnetwork import ROUTER


class StaleEcmpRoute:
    """``ovn-nbctl --ecmp lr-route-add`` in one zone, beside what is there."""

    name = "stale-ecmp-route"
    layer = "ovn"
    summary = "a zone has a second, wrong next hop for an address or a worker's subnet"
    parameters: Mapping[str, str] = {"node": "the worker of the zone", "to": ovnzone.TO, "via": ovnzone.VIA}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        zone, via = ovnzone.member(site, arguments), ovnzone.member(site, arguments, "via")
        prefix, run = ovnzone.prefix(site, arguments), site.node(zone.name)
        leg = {"prefix": prefix, "nexthop": str(via.transit)}
        if await self._there(site, zone.name, leg):
            raise FaultError(f"wanted no next hop {via.transit} yet for {prefix} in {zone.name}'s zone", "it has it")
        await ovnzone.change(run, "--ecmp", "--policy=dst-ip", "lr-route-add", ROUTER, prefix, leg["nexthop"])
        if not await self._there(site, zone.name, leg):
            raise FaultError(f"wanted a route of {prefix} to {via.transit} in the zone of {zone.name}", "it has none")
        return leg

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        leg = [saved["prefix"], saved["nexthop"]]
        run = site.node(arguments["node"])
        await ovnzone.change(run, "--if-exists", "--policy=dst-ip", "lr-route-del", ROUTER, *leg)
        if await self._there(site, arguments["node"], saved):
            raise FaultError(f"wanted no route of {leg[0]} to {leg[1]}", f"the zone of {arguments['node']} has it")

    async def _there(self, site: Site, node: str, leg: Mapping[str, Any]) -> bool:
        return any(row["nexthop"] == leg["nexthop"] for row in await ovnzone.routes(site.node(node), leg["prefix"]))
