"""Fabric: the cable of one NIC is cut. The switch's end goes down, so that the node sees no carrier."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site, cable, one_of


class MemberDown:
    """The switch's port goes down, as when the cable is pulled."""

    name = "member-down"
    layer = "fabric"
    summary = "a NIC of a worker has no carrier: its cable is cut"
    parameters: Mapping[str, str] = {"node": "the worker", "nic": "its NIC, e.g. enp6s0f0"}

    def nics(self, node: str, arguments: Mapping[str, str]) -> Sequence[str]:
        """The NICs of a worker whose cables are cut."""
        return [arguments["nic"]]

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node = one_of("a worker", arguments["node"], site.nodes)
        for nic in self.nics(node, arguments):
            await site.switch(["ip", "link", "set", await cable(site, node, nic), "down"])
            said = json.loads(await site.node(node)(["ip", "-j", "link", "show", "dev", nic]))
            if "LOWER_UP" in said[0]["flags"]:
                raise FaultError(f"wanted {nic} of {node} without carrier", f"its flags are {said[0]['flags']}")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        for nic in self.nics(arguments["node"], arguments):
            port = await cable(site, arguments["node"], nic)
            await site.switch(["ip", "link", "set", port, "up"])
            said = json.loads(await site.switch(["ip", "-j", "link", "show", "dev", port]))
            if "UP" not in said[0]["flags"]:
                raise FaultError(f"wanted the switch's port {port} up", f"its flags are {said[0]['flags']}")
