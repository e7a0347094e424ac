"""Fabric: the switch sends everything from a VLAN's gateway twice, as a mirror port that leads back in does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.embedded.faults.flows import SwitchFlows
from lab.embedded.faults.site import Site, gateway, host_port, vlan_of


class Duplicate(SwitchFlows):
    """Two outputs for each packet."""

    name = "duplicate"
    layer = "fabric"
    summary = "all that the gateway of a VLAN sends arrives twice"
    parameters: Mapping[str, str] = {"vlan": "the VLAN id"}

    async def flows(self, site: Site, arguments: Mapping[str, str]) -> Sequence[str]:
        gateway(site, arguments)
        return [f"in_port={host_port(vlan_of(arguments))},priority=100,actions=NORMAL,NORMAL"]
