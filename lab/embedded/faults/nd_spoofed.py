"""Fabric: by IPv6 neighbour discovery the gateway of a VLAN is said to have another MAC address, and all is answered.

So a host in the middle does it: it passes on what it gets, and whoever only pings notices nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from lab.embedded.faults.arp_wrong import NOBODY
from lab.embedded.faults.flows import SwitchFlows
from lab.embedded.faults.site import Site, gateway, host_port, vlan_of


class NdSpoofed(SwitchFlows):
    """The switch puts the wrong address into what the gateway answers and asks, and hands on to it what goes there."""

    name = "nd-spoofed"
    layer = "fabric"
    summary = "who asks by IPv6 for the gateway of a VLAN is told a wrong MAC address, behind which it answers"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id"}

    async def flows(self, site: Site, arguments: Mapping[str, str]) -> Sequence[str]:
        host, vlan = gateway(site, arguments), vlan_of(arguments)
        # /sys of an outside host is the machine's: its eth0 is another one.
        own = json.loads(await site.outside(host)(["ip", "-j", "link", "show", "eth0"]))[0]["address"]
        return (
            f"priority=300,in_port={host_port(vlan)},icmp6,icmp_type=136,actions=set_field:{NOBODY}->nd_tll,NORMAL",
            # Who is asked learns from the question, too.
            f"priority=300,in_port={host_port(vlan)},icmp6,icmp_type=135,actions=set_field:{NOBODY}->nd_sll,NORMAL",
            f"priority=300,dl_vlan={vlan},dl_dst={NOBODY},actions=set_field:{own}->eth_dst,NORMAL",
        )
