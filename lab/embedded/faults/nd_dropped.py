"""Fabric: the switch drops IPv6 neighbour discovery in a VLAN, as snooping with a wrong table does. IPv4 is well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.embedded.faults.flows import SwitchFlows
from lab.embedded.faults.site import Site, gateway, vlan_of

KINDS = (135, 136)
"""Neighbour solicitation and advertisement (RFC 4861)."""


class NdDropped(SwitchFlows):
    """Neither question nor answer passes from a worker."""

    name = "nd-dropped"
    layer = "fabric"
    summary = "the switch drops IPv6 neighbour discovery in a VLAN"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id"}

    async def flows(self, site: Site, arguments: Mapping[str, str]) -> Sequence[str]:
        gateway(site, arguments)
        here = f"priority=300,dl_vlan={vlan_of(arguments)},icmp6"
        return [f"{here},icmp_type={kind},actions=drop" for kind in KINDS]
