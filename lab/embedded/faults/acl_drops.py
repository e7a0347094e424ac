"""Fabric: an access list of the switch drops TCP or UDP to a range of ports in a VLAN. Pings and ARP pass.

It is on the trunks, so that what two workers say to each other meets it, and what one of them keeps to itself does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.embedded.faults.flows import SwitchFlows
from lab.embedded.faults.port_filtered import ports_of
from lab.embedded.faults.site import Site, gateway, one_of, vlan_of


class AclDrops(SwitchFlows):
    """A flow for each block of ports that a mask can name."""

    name = "acl-drops"
    layer = "fabric"
    summary = "the switch drops a range of TCP or UDP ports in a VLAN"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id", "proto": "tcp or udp", "ports": "from-to, e.g. 22-22"}

    async def flows(self, site: Site, arguments: Mapping[str, str]) -> Sequence[str]:
        gateway(site, arguments)
        proto, (first, last) = one_of("a protocol", arguments["proto"], ("tcp", "udp")), ports_of(arguments)
        here = f"priority=300,dl_vlan={vlan_of(arguments)},{proto}"
        return [f"{here},tp_dst={start:#x}/{mask:#x},actions=drop" for start, mask in blocks(first, last)]


def blocks(first: int, last: int) -> list[tuple[int, int]]:
    """A range of ports as (value, mask) of the largest aligned blocks that cover exactly it."""
    found = []
    while first <= last:
        size = first & -first or 1 << 16
        while first + size - 1 > last:
            size >>= 1
        found.append((first, 0xFFFF & ~(size - 1)))
        first += size
    return found
