"""OVN: a zone's southbound database is stale: northd runs, and is paused, as all of a cluster without a leader are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Runner, Site, one_of


class SbStale:
    """``ovn-appctl -t ovn-northd pause``: nothing of the northbound database gets into the southbound one."""

    name = "sb-stale"
    layer = "ovn"
    summary = "a zone's southbound database no longer follows the northbound one"
    parameters: Mapping[str, str] = {"node": "the worker of the zone"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node = one_of("a worker", arguments["node"], site.nodes)
        await self._have(site.node(node), node, "pause", "true")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await self._have(site.node(arguments["node"]), arguments["node"], "resume", "false")

    async def _have(self, run: Runner, node: str, command: str, paused: str) -> None:
        await run(["ovn-appctl", "-t", "ovn-northd", command])
        said = (await run(["ovn-appctl", "-t", "ovn-northd", "is-paused"])).strip()
        if said != paused:
            raise FaultError(f"wanted ovn-northd of {node} to {command}", f"is-paused says {said!r}")
