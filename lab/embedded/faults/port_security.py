"""Fabric: port security. The switch lets one MAC address in from a port, that of the NIC behind it.

The node is well, and whatever shares its NIC with another address is cut off: the classic of a Linux bridge over the
main interface (hypervisors call it "forged transmits", clouds "source check").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.embedded.faults.flows import SwitchFlows
from lab.embedded.faults.site import Site, cable, one_of, spec


class PortSecurity(SwitchFlows):
    """Two flows on the switch: the NIC's own address passes as before, any other is dropped."""

    name = "port-security"
    layer = "fabric"
    summary = "the switch lets only a NIC's own MAC address in from it"
    parameters: Mapping[str, str] = {"node": "the worker", "nic": "its NIC, e.g. ens3"}

    async def flows(self, site: Site, arguments: Mapping[str, str]) -> Sequence[str]:
        node, nic = one_of("a worker", arguments["node"], site.nodes), arguments["nic"]
        here = f"in_port={await cable(site, node, nic)}"
        own = f"{here},priority=200,dl_src={spec(node).mac(nic)},actions=NORMAL"
        return own, f"{here},priority=100,actions=drop"
