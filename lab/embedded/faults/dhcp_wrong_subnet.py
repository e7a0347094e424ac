"""Fabric: leases of a VLAN come from a server that knows another subnet; its own server is silent.

Every client gets an address at once, and reaches nobody with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface
from typing import Any

from lab.embedded.faults import stranger
from lab.embedded.faults.dhcp_silent import DhcpSilent
from lab.embedded.faults.site import Site

ADDRESS = IPv4Interface("10.66.0.1/24")
RANGE = "--dhcp-range=10.66.0.100,10.66.0.199,255.255.255.0,1h"


class DhcpWrongSubnet:
    """The server of the network is stopped, and a stranger's serves in its place."""

    name = "dhcp-wrong-subnet"
    layer = "fabric"
    summary = "the leases of a network come from a stranger's server, of another subnet"
    parameters: Mapping[str, str] = DhcpSilent.parameters

    def __init__(self) -> None:
        self._own = DhcpSilent()

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        await self._own.inject(site, arguments)
        await stranger.serve(site, arguments["host"], ADDRESS, [RANGE])
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await stranger.leave(site)
        await self._own.heal(site, arguments, saved)
