"""Fabric: a second DHCP server answers in a network, with the same leases as its own.

Nobody misses the network's own server while it is down: what was to happen then does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Interface
from typing import Any

from lab.embedded.faults import stranger
from lab.embedded.faults.dhcp_silent import DhcpSilent, server_of
from lab.embedded.faults.site import Site

LAST = -6
"""Counted from the end of the network: an address that nobody has."""
KEPT = ("--dhcp-range=", "--dhcp-host=", "--dhcp-option=")


class DhcpStray:
    """A copy of the network's own server, on another port of the switch."""

    name = "dhcp-stray"
    layer = "fabric"
    summary = "a second DHCP server answers in a network, with the same leases"
    parameters: Mapping[str, str] = DhcpSilent.parameters

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        host, run, pid = await server_of(site, arguments)
        own = json.loads(await run(["ip", "-j", "-4", "addr", "show", "dev", "eth0"]))[0]["addr_info"][0]
        network = IPv4Interface(f"{own['local']}/{own['prefixlen']}").network
        options = (await run(["cat", f"/proc/{pid}/cmdline"])).split("\0")
        address = IPv4Interface(f"{network[LAST]}/{network.prefixlen}")
        await stranger.serve(site, host, address, [one for one in options if one.startswith(KEPT)])
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await stranger.leave(site)
