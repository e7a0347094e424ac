"""Fabric: the switch drops what announces that a guest has moved; it learns the new port only when the guest speaks.

Storm control, ARP inspection and rate limits do that. QEMU and OVN announce a port that has no IP address by RARP; a
guest by a gratuitous ARP answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.embedded.faults.flows import SwitchFlows
from lab.embedded.faults.site import Site, gateway, vlan_of


class NoGarp(SwitchFlows):
    """Neither RARP nor ARP answers to everybody pass in a VLAN, and nothing is learned from them."""

    name = "no-garp"
    layer = "fabric"
    summary = "the switch drops RARP and gratuitous ARP answers in a VLAN"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id"}

    async def flows(self, site: Site, arguments: Mapping[str, str]) -> Sequence[str]:
        gateway(site, arguments)
        here = f"priority=300,dl_vlan={vlan_of(arguments)}"
        return (
            f"{here},dl_type=0x8035,actions=drop",
            f"{here},arp,arp_op=2,dl_dst=ff:ff:ff:ff:ff:ff,actions=drop",
        )
