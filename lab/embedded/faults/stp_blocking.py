"""Node: spanning tree of a bridge begins anew, and holds all its ports for a minute, as after a topology change.

It ends by itself: what is left to heal are the bridge's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of

SLOW = "other_config:stp-forward-delay"
LONGEST_S = 30
"""IEEE 802.1D lets a bridge listen, and then learn, for so long each."""


class StpBlocking:
    """Spanning tree switched on (off before, if it was on), with the longest delay there is."""

    name = "stp-blocking"
    layer = "node"
    summary = "spanning tree of a worker's bridge holds its ports for a minute"
    parameters: Mapping[str, str] = {"node": "the worker", "bridge": "its Open vSwitch bridge, e.g. ovs-br1"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        run = site.node(one_of("a worker", arguments["node"], site.nodes))
        bridge = one_of("an Open vSwitch bridge", arguments["bridge"], (await run(["ovs-vsctl", "list-br"])).split())
        had = await self._enabled(run, bridge)
        await run(["ovs-vsctl", "set", "Bridge", bridge, "stp_enable=false"])
        await run(["ovs-vsctl", "set", "Bridge", bridge, "stp_enable=true", f"{SLOW}={LONGEST_S}"])
        said = await run(["ovs-vsctl", "--columns=status", "list", "Port"])
        if not await self._enabled(run, bridge) or "listening" not in said:
            raise FaultError(f"wanted ports of {bridge} that listen", "none does", advice="ovs-appctl stp/show")
        return {"had": had}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run, bridge = site.node(arguments["node"]), arguments["bridge"]
        await run(["ovs-vsctl", "remove", "Bridge", bridge, "other_config", SLOW.partition(":")[2]])
        await run(["ovs-vsctl", "set", "Bridge", bridge, f"stp_enable={str(saved['had']).lower()}"])
        if await self._enabled(run, bridge) is not saved["had"]:
            raise FaultError(f"wanted spanning tree of {bridge} as it was", "it is not")

    async def _enabled(self, run: Runner, bridge: str) -> bool:
        return (await run(["ovs-vsctl", "get", "Bridge", bridge, "stp_enable"])).strip() == "true"
