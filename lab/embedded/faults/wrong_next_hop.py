"""OVN: a zone sends what is for one worker to another; via the zone's own worker it goes nowhere at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults import ovnzone
from lab.embedded.faults.site import Runner, Site


class WrongNextHop:
    """The next hop of the zone's route is another worker's transit address."""

    name = "wrong-next-hop"
    layer = "ovn"
    summary = "a zone's route to an address or a worker's subnet has another worker's next hop"
    parameters: Mapping[str, str] = {"node": "the worker of the zone", "to": ovnzone.TO, "via": ovnzone.VIA}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        zone, via = ovnzone.member(site, arguments), ovnzone.member(site, arguments, "via")
        prefix, run = ovnzone.prefix(site, arguments), site.node(zone.name)
        found = await ovnzone.routes(run, prefix)
        if not found:
            raise ovnzone.no_route(zone, prefix)
        row, wrong = found[0], str(via.transit)
        if row["nexthop"] == wrong:
            raise FaultError(f"wanted another next hop than {wrong} for {prefix} in {zone.name}'s zone", "it is it")
        await self._point(run, row["_uuid"], wrong)
        return {"row": row["_uuid"], "nexthop": row["nexthop"], "wrong": wrong}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run, prefix = site.node(arguments["node"]), ovnzone.prefix(site, arguments)
        # A row that is gone or points elsewhere was put right by the zone's controller.
        for row in await ovnzone.routes(run, prefix):
            if (row["_uuid"], row["nexthop"]) == (saved["row"], saved["wrong"]):
                await self._point(run, saved["row"], saved["nexthop"])

    async def _point(self, run: Runner, row: str, nexthop: str) -> None:
        await ovnzone.change(run, "set", ovnzone.ROUTES, row, f'nexthop="{nexthop}"')
        now = (await run(["ovn-nbctl", "get", ovnzone.ROUTES, row, "nexthop"])).strip().strip('"')
        if now != nexthop:
            raise FaultError(f"wanted the next hop {nexthop} in route {row}", f"it is {now}")
