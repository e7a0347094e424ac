"""The top-of-rack switch and the cables to it.

One Open vSwitch in a namespace of its own: access ports for the machine and the external network,
trunks with LACP for two NIC pairs, trunks without for the third.  It knows ports and VLANs, not what
runs on the nodes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from lab.embedded.host import netns
from lab.embedded.host.link import veth
from lab.embedded.host.ovs import Ovs
from lab.embedded.model.spec import EXTERNAL_VLAN, LAGS, MACHINE_VLAN, TRUNKS, NodeSpec

BRIDGE = "tor"


def port(node: NodeSpec, nic: str) -> str:
    """The switch's name for the port that ``nic`` of ``node`` is plugged into (at most 15 characters)."""
    return f"w{node.index}.{nic}"


def lag(node: NodeSpec, pair: int) -> str:
    """The switch's name for the aggregate of a node's NIC pair (0 or 1)."""
    return f"w{node.index}.lag{pair}"


class Switch:
    """The switch; ``ovs`` is for whoever must look or break something."""

    def __init__(self) -> None:
        self.ovs = Ovs(Path("/run/tor"), netns=netns.path("tor"))

    async def start(self) -> None:
        await netns.create("tor")
        await self.ovs.start()
        await self.ovs.vsctl("add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=netdev",
                             "other_config:mac-table-size=4096")  # fmt: skip

    async def plug_host(self, name: str, vlan: int, host_ns: str, ifname: str = "eth0") -> None:
        """Cable a host's interface into an access port of ``vlan``."""
        await veth(name, netns.path("tor"), ifname, host_ns)
        await self.ovs.vsctl("add-port", BRIDGE, name, f"tag={vlan}")

    async def plug_node(self, node: NodeSpec, node_ns: str) -> None:
        """Cable all NICs of a node; all but the first two are on trunks that carry every VLAN."""
        tor = netns.path("tor")
        await asyncio.gather(*(veth(port(node, nic), tor, nic, node_ns, mac=node.mac(nic)) for nic in node.nics))
        await self.ovs.vsctl(*self._node_ports(node))

    def _node_ports(self, node: NodeSpec) -> list[str]:
        words = ["add-port", BRIDGE, port(node, "ens3"), f"tag={MACHINE_VLAN}",
                 "--", "add-port", BRIDGE, port(node, "enp1s0"), f"tag={EXTERNAL_VLAN}"]  # fmt: skip
        for number, pair in enumerate(LAGS):
            members = [port(node, nic) for nic in pair]
            # Open vSwitch moves flows to a member that came back only at a rebalance; other switches do at once.
            words += ["--", "add-bond", BRIDGE, lag(node, number), *members, "lacp=active",
                      "bond_mode=balance-tcp", "other_config:lacp-time=fast",
                      "other_config:bond-rebalance-interval=1000"]  # fmt: skip
            for member in members:
                # By default the key is that of the first member, and changes with it; a channel-group keeps its own.
                words += ["--", "set", "Interface", member, f"other_config:lacp-aggregation-key={number + 1}"]
        for nic in TRUNKS:
            words += ["--", "add-port", BRIDGE, port(node, nic)]
        return words
