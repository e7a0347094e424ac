"""Fabric: the switch floods nothing to a VLAN's gateway: no broadcast, so no ARP request, reaches it.

Whoever knows its MAC address still gets answers, until the address is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.fabric.switch import BRIDGE
from lab.embedded.faults.site import Site, gateway, host_port, vlan_of


class FloodingOff:
    """The port's OpenFlow configuration NO_FLOOD."""

    name = "flooding-off"
    layer = "fabric"
    summary = "the switch floods no broadcasts to the gateway of a VLAN"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        gateway(site, arguments)
        await self._set(site, arguments, "no-flood")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await self._set(site, arguments, "flood")

    async def _set(self, site: Site, arguments: Mapping[str, str], how: str) -> None:
        port = host_port(vlan_of(arguments))
        await site.switch(["ovs-ofctl", "mod-port", BRIDGE, port, how])
        said = await site.switch(["ovs-ofctl", "dump-ports-desc", BRIDGE, port])
        if ("NO_FLOOD" in said) is not (how == "no-flood"):
            raise FaultError(f"wanted {port} of the switch {how}", f"it says {said.strip()!r}")
