"""A DHCP server that nobody asked for, in a network of the switch: shared by faults that bring one.

It is a dnsmasq of its own on an internal port of the switch; the network's own server is not touched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Interface

from lab.embedded.errors import FaultError
from lab.embedded.faults.impostor import plug, unplug
from lab.embedded.faults.site import Site

PORT = "rogue"
START = """
dnsmasq --no-daemon --conf-file=/dev/null --port=0 --pid-file= --dhcp-leasefile=/run/rogue.leases \
    --log-facility=/run/rogue.log --interface=rogue --bind-interfaces --dhcp-authoritative --no-ping \
    "$@" </dev/null >/dev/null 2>&1 &
echo $! > /run/rogue.pid
"""
STOP = """
if [ -e /run/rogue.pid ]; then kill "$(cat /run/rogue.pid)" 2>/dev/null; rm /run/rogue.pid; fi
"""


async def serve(site: Site, host: str, address: IPv4Interface, options: Sequence[str]) -> None:
    """Have it serve in the network of an outside host; *options* are dnsmasq's own. Raises FaultError."""
    await plug(site, PORT, await _vlan(site, host), address)
    await site.switch(["sh", "-c", START, "sh", *options])
    pid = (await site.switch(["cat", "/run/rogue.pid"])).strip()
    if not (await site.switch(["cat", f"/proc/{pid}/cmdline"])).startswith("dnsmasq\0"):
        raise FaultError("wanted a stranger's DHCP server", f"process {pid} is none", advice="cat /run/rogue.log")


async def leave(site: Site) -> None:
    """Take it away, if it is there. Raises FaultError."""
    await site.switch(["sh", "-c", STOP])
    await unplug(site, PORT)


async def _vlan(site: Site, host: str) -> int:
    """The VLAN of the access port that the host is plugged into; their ends are one cable's."""
    peer = json.loads(await site.outside(host)(["ip", "-j", "link", "show", "dev", "eth0"]))[0]["link_index"]
    links = json.loads(await site.switch(["ip", "-j", "link", "show", "type", "veth"]))
    port = next(str(link["ifname"]) for link in links if link["ifindex"] == peer)
    return int(await site.switch(["ovs-vsctl", "get", "Port", port, "tag"]))
