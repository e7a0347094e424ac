"""Fabric: leases of a VLAN come from a server that knows another subnet; its own server is silent.

Every client gets an address at once, and reaches nobody with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError
from lab.embedded.faults.dhcp_silent import DhcpSilent
from lab.embedded.faults.impostor import address_of, plug, unplug
from lab.embedded.faults.site import Site

ADDRESS = "10.66.0.1/24"
START = """
dnsmasq --no-daemon --conf-file=/dev/null --port=0 --pid-file= --dhcp-leasefile=/run/rogue.leases \
    --log-facility=/run/rogue.log --interface="$1" --bind-interfaces --dhcp-authoritative --no-ping \
    --dhcp-range=10.66.0.100,10.66.0.199,255.255.255.0,1h </dev/null >/dev/null 2>&1 &
echo $! > /run/rogue.pid
"""
STOP = """
if [ -e /run/rogue.pid ]; then kill "$(cat /run/rogue.pid)" 2>/dev/null; rm /run/rogue.pid; fi
"""


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
        run = site.outside(arguments["host"])
        vlan = await self._vlan(site, arguments["host"])
        await plug(site, "rogue", vlan, address_of(ADDRESS))
        await site.switch(["sh", "-c", START, "sh", "rogue"])
        pid = (await run(["cat", "/run/rogue.pid"])).strip()
        if not (await run(["cat", f"/proc/{pid}/cmdline"])).startswith("dnsmasq\0"):
            raise FaultError("wanted a stranger's DHCP server", f"process {pid} is none", advice="cat /run/rogue.log")
        return {}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        await site.switch(["sh", "-c", STOP])
        await unplug(site, "rogue")
        await self._own.heal(site, arguments, saved)

    async def _vlan(self, site: Site, host: str) -> int:
        """The VLAN of the access port that the host is plugged into; their ends are one cable's."""
        peer = json.loads(await site.outside(host)(["ip", "-j", "link", "show", "dev", "eth0"]))[0]["link_index"]
        links = json.loads(await site.switch(["ip", "-j", "link", "show", "type", "veth"]))
        port = next(str(link["ifname"]) for link in links if link["ifindex"] == peer)
        return int(await site.switch(["ovs-vsctl", "get", "Port", port, "tag"]))
