"""OVN: a daemon of one zone is dead. What it wrote stays in force, and nothing new is.

Killed without a word, as the kernel's out-of-memory killer does: a daemon that ends in order takes its flows along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.faults import ovnzone
from lab.embedded.faults.site import Site, one_of


class DaemonDead:
    """One daemon of one zone."""

    layer = "ovn"
    parameters: Mapping[str, str] = {"node": "the worker of the zone"}

    def __init__(self, name: str, daemon: str, summary: str) -> None:
        self.name, self.daemon, self.summary = name, daemon, summary

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node = one_of("a worker", arguments["node"], site.nodes)
        return {"words": await ovnzone.kill(site.node(node), node, self.daemon)}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        node = arguments["node"]
        await ovnzone.start(site.node(node), node, self.daemon, saved["words"])


NORTHD_DEAD = DaemonDead("northd-dead", "ovn-northd", "a zone's ovn-northd is dead: new routes and ports stay on paper")
CONTROLLER_DEAD = DaemonDead(
    "controller-dead", "ovn-controller", "a zone's ovn-controller is dead: its switch learns nothing new"
)
