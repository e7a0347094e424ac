"""Fabric: a VLAN is the native one of a worker's trunks, so that the switch sends its frames without a tag.

The worker's bridge then knows them for no network of it; what the worker sends, tagged, still arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site, one_of, trunks, vlan_of


class WrongNativeVlan:
    """``switchport trunk native vlan N`` on every trunk of a node."""

    name = "wrong-native-vlan"
    layer = "fabric"
    summary = "the switch sends a VLAN untagged on one worker's trunks"
    parameters: Mapping[str, str] = {"node": "the worker whose trunks are changed", "vlan": "the VLAN id"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node, vlan = one_of("a worker", arguments["node"], site.nodes), vlan_of(arguments)
        ports = await trunks(site, node)
        for port in ports:
            await site.switch(["ovs-vsctl", "set", "Port", port, "vlan_mode=native-untagged", f"tag={vlan}"])
            if (found := await self._tag(site, port)) != str(vlan):
                raise FaultError(f"wanted {vlan} as the native VLAN of {port}", f"the switch says {found}")
        return {"ports": ports}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        for port in saved["ports"]:
            await site.switch(["ovs-vsctl", "clear", "Port", port, "vlan_mode", "tag"])
            if (found := await self._tag(site, port)) != "[]":
                raise FaultError(f"wanted no native VLAN on {port}", f"the switch says {found}")

    async def _tag(self, site: Site, port: str) -> str:
        return (await site.switch(["ovs-vsctl", "get", "Port", port, "tag"])).strip()
