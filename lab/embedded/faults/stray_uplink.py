"""Node: a NIC was plugged into an OVS bridge by hand, so that what no policy provides passes on this one worker.

A wrong configuration then seems right until the next worker, or until the next restart of the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults.site import Runner, Site, cable, one_of
from lab.embedded.host.command import CommandFailed


class StrayUplink:
    """`ovs-vsctl add-port BRIDGE NIC`, and spanning tree off, as whoever wants packets to pass at once does it."""

    name = "stray-uplink"
    layer = "node"
    summary = "a NIC of a worker was plugged into an OVS bridge by hand"
    parameters: Mapping[str, str] = {
        "node": "the worker", "bridge": "the OVS bridge, e.g. ovs-br1", "nic": "a NIC that nobody uses, e.g. enp8s0f0",
    }  # fmt: skip

    async def inject(self, site: Site, arguments: Mapping[str, str]) -> dict[str, Any]:
        node, bridge, nic = one_of("a worker", arguments["node"], site.nodes), arguments["bridge"], arguments["nic"]
        await cable(site, node, nic)
        run = site.node(node)
        one_of(f"an OVS bridge of {node}", bridge, (await run(["ovs-vsctl", "list-br"])).split())
        if holder := await self._holder(run, nic):
            raise UsageError(f"wanted a NIC of {node} that no bridge has", f"{nic} is a port of {holder}")
        stp = (await run(["ovs-vsctl", "get", "Bridge", bridge, "stp_enable"])).strip()
        await run(["ip", "link", "set", nic, "up"])
        # Two steps: Open vSwitch before its commit 332ca1dad does not flood to a port that joins while the tree is on.
        await run(["ovs-vsctl", "set", "Bridge", bridge, "stp_enable=false"])
        await run(["ovs-vsctl", "add-port", bridge, nic])
        if (found := await self._holder(run, nic)) != bridge:
            raise FaultError(f"wanted {nic} of {node} in {bridge}", f"it is in {found or 'no bridge'}")
        return {"stp": stp}

    async def heal(self, site: Site, arguments: Mapping[str, str], saved: Mapping[str, Any]) -> None:
        run, bridge, nic = site.node(arguments["node"]), arguments["bridge"], arguments["nic"]
        await run(["ovs-vsctl", "--if-exists", "del-port", nic])
        if found := await self._holder(run, nic):
            raise FaultError(f"wanted {nic} of {arguments['node']} in no bridge", f"it is in {found}")
        await run(["ovs-vsctl", "--if-exists", "set", "Bridge", bridge, f"stp_enable={saved['stp']}"])

    async def _holder(self, run: Runner, nic: str) -> str:
        try:
            return (await run(["ovs-vsctl", "iface-to-br", nic])).strip()
        except CommandFailed:
            return ""
