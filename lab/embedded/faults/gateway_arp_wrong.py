"""Fabric: ARP requests for a VLAN's gateway are answered with a MAC address that nobody has.

What a proxy, a stale virtual router or a spoofer does. The gateway itself is well, and never hears the question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.embedded.faults.flows import SwitchFlows
from lab.embedded.faults.site import Site, gateway, host_port, vlan_of

NOBODY = "02:00:00:00:de:ad"


class GatewayArpWrong(SwitchFlows):
    """The switch turns each such request into the wrong answer and sends it back where it came from."""

    name = "gateway-arp-wrong"
    layer = "fabric"
    summary = "who asks by ARP for the gateway of a VLAN is told a wrong MAC address"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id"}

    async def flows(self, site: Site, arguments: Mapping[str, str]) -> Sequence[str]:
        host, vlan = gateway(site, arguments), vlan_of(arguments)
        said = await site.outside(host)(["ip", "-o", "-4", "addr", "show", "dev", "eth0"])
        address = said.split()[3].partition("/")[0]
        answer = (
            "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],"
            f"set_field:{NOBODY}->eth_src,set_field:2->arp_op,"
            "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],"
            f"set_field:{NOBODY}->arp_sha,set_field:{address}->arp_spa,IN_PORT"
        )
        asked = f"arp,arp_op=1,arp_tpa={address}"
        # The gateway itself asks for its own address when it looks for doubles.
        own = f"priority=310,in_port={host_port(vlan)},{asked},actions=NORMAL"
        return own, f"priority=300,dl_vlan={vlan},{asked},actions={answer}"
