"""Node: a Linux bridge without uplink stands on one worker, left by somebody, under a name that others count on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Runner, Site, one_of


class StrayBridge:
    """`ip link add NAME type bridge`; the worker then offers it to whoever asks for it."""

    name = "stray-bridge"
    layer = "node"
    summary = "a worker has a Linux bridge of a name that should not be there, without uplink"
    parameters: Mapping[str, str] = {"node": "the worker", "bridge": "the bridge's name, e.g. br1"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node, bridge = one_of("a worker", arguments["node"], site.nodes), arguments["bridge"]
        run = site.node(node)
        if bridge in await self._links(run):
            raise UsageError(f"wanted a name that no link of {node} has", repr(bridge), advice="another bridge=")
        await run(["ip", "link", "add", bridge, "type", "bridge"])
        await run(["ip", "link", "set", bridge, "up"])
        if (await self._links(run)).get(bridge) != "bridge":
            raise FaultError(f"wanted a bridge {bridge} on {node}", f"its links are {sorted(await self._links(run))}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        bridge, run = arguments["bridge"], site.node(arguments["node"])
        if bridge in await self._links(run):
            await run(["ip", "link", "del", bridge])
        if bridge in await self._links(run):
            raise FaultError(f"wanted no link {bridge} on {arguments['node']}", "it is still there")

    async def _links(self, run: Runner) -> dict[str, str]:
        found = json.loads(await run(["ip", "-j", "-d", "link", "show"]))
        return {str(link["ifname"]): str(link.get("linkinfo", {}).get("info_kind", "")) for link in found}
