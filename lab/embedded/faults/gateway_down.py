"""Fabric: the gateway of a VLAN is down, and with it whatever it answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.site import Site, gateway


class GatewayDown:
    """The gateway's interface goes down."""

    name = "gateway-down"
    layer = "fabric"
    summary = "the gateway of a VLAN has its interface down"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id"}

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        await self._set(site, arguments, "down")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await self._set(site, arguments, "up")

    async def _set(self, site: Site, arguments: Mapping[str, str], state: str) -> None:
        host = gateway(site, arguments)
        await site.outside(host)(["ip", "link", "set", "eth0", state])
        said = json.loads(await site.outside(host)(["ip", "-j", "link", "show", "eth0"]))
        if ("UP" in said[0]["flags"]) is not (state == "up"):
            raise FaultError(f"wanted eth0 of {host} {state}", f"its flags are {said[0]['flags']}")
