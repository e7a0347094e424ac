"""Fabric: ARP requests for a VLAN's gateway are answered with a MAC address that nobody has."""

from __future__ import annotations

from collections.abc import Mapping

from lab.embedded.faults.arp_wrong import ArpWrong
from lab.embedded.faults.site import Site, gateway


class GatewayArpWrong(ArpWrong):
    """The address is the gateway's, as it has it itself."""

    name = "gateway-arp-wrong"
    summary = "who asks by ARP for the gateway of a VLAN is told a wrong MAC address"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id"}

    async def address(self, site: Site, arguments: Mapping[str, str]) -> str:
        host = gateway(site, arguments)
        said = await site.outside(host)(["ip", "-o", "-4", "addr", "show", "dev", "eth0"])
        return said.split()[3].partition("/")[0]
