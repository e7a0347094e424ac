"""Fabric: ARP requests for an address of a VLAN are answered with a MAC address that nobody has.

What a proxy, a stale virtual router or a spoofer does. Who has the address is well, and never hears the question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.embedded.faults.flows import SwitchFlows
from lab.embedded.faults.impostor import address_of
from lab.embedded.faults.site import Site, gateway, host_port, vlan_of

NOBODY = "02:00:00:00:de:ad"


class ArpWrong(SwitchFlows):
    """The switch turns each such request into the wrong answer and sends it back where it came from."""

    name = "arp-wrong"
    layer = "fabric"
    summary = "who asks by ARP for an address of a VLAN is told a wrong MAC address"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id", "address": "whose: an IPv4 address"}

    async def address(self, site: Site, arguments: Mapping[str, str]) -> str:
        """Whose address it is. Raises UsageError."""
        return str(address_of(arguments["address"]).ip)

    async def flows(self, site: Site, arguments: Mapping[str, str]) -> Sequence[str]:
        gateway(site, arguments)
        vlan, address = vlan_of(arguments), await self.address(site, arguments)
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
