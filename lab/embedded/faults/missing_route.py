"""OVN: a zone has no route to another worker's subnet, or to a VM that moved; what goes there leaves the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults import ovnzone
from lab.embedded.faults.site import Site
from lab.embedded.node.podnetwork import ROUTER


class MissingRoute:
    """Every route of the prefix is taken out of the zone's cluster router."""

    name = "missing-route"
    layer = "ovn"
    summary = "a zone has no route to an address or a worker's subnet"
    parameters: Mapping[str, str] = {"node": "the worker of the zone", "to": ovnzone.TO}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        zone, prefix = ovnzone.member(site, arguments), ovnzone.prefix(site, arguments)
        run = site.node(zone.name)
        found = await ovnzone.routes(run, prefix)
        if not found:
            raise ovnzone.no_route(zone, prefix)
        words = [["--", "remove", "Logical_Router", ROUTER, "static_routes", row["_uuid"]] for row in found]
        await ovnzone.change(run, *[word for one in words for word in one][1:])
        if await ovnzone.routes(run, prefix):
            raise FaultError(f"wanted no route to {prefix} in the zone of {zone.name}", "it still has one")
        return {"routes": [ovnzone.kept(row) for row in found]}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run, prefix = site.node(arguments["node"]), ovnzone.prefix(site, arguments)
        for row in saved["routes"]:
            # A route to a VM that moved on meanwhile is another by now, made by the zone's controller.
            if not await ovnzone.routes(run, prefix):
                await ovnzone.again(run, row)
        if not await ovnzone.routes(run, prefix):
            raise FaultError(f"wanted the route to {prefix} back in the zone of {arguments['node']}", "it is not there")
