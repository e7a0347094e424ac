"""One node's Open vSwitch and its OVN zone, as OVN-Kubernetes in interconnect mode runs them.

Everything listens at the default socket paths of the node's own /run, so that ``ovn-nbctl`` and
``ovs-vsctl`` need no options there.  This room starts the daemons and the external bridge; what is
written into the northbound database is `ovnkube`'s business.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from lab.embedded.host.link import ip, tx_checksum_off
from lab.embedded.host.ovs import Northbound, Ovs, Southbound, daemon, start_database
from lab.embedded.model.spec import NodeSpec

OVN_RUN = Path("/run/ovn")
EXTERNAL_BRIDGE = "br-ex"
INTEGRATION_BRIDGE = "br-int"
PHYSNET = "physnet"


class Zone:
    """The parts of one OVN zone; sockets as upstream names them."""

    def __init__(self, node: NodeSpec) -> None:
        self.node = node
        self.ovs = Ovs()
        self.northbound = Northbound(OVN_RUN / "ovnnb_db.sock")
        self.southbound = Southbound(OVN_RUN / "ovnsb_db.sock")

    async def start(self) -> None:
        """Start every daemon; the node's NICs need not be there yet."""
        OVN_RUN.mkdir(parents=True, exist_ok=True)
        await asyncio.gather(self.ovs.start(), self._databases())
        # Left to northd, the row may come after ovn-controller's first look, and 23.03's ends on a null pointer there
        # (controller/ovn-controller.c, init_physical_ctx).
        await self.southbound.ctl("init")
        await self._describe()
        await asyncio.gather(
            daemon(
                "ovn-northd",
                [f"--ovnnb-db=unix:{self.northbound.socket}", f"--ovnsb-db=unix:{self.southbound.socket}"],
                OVN_RUN / "ovn-northd",
                netns=None,
            ),
            daemon(
                "ovn-controller", [f"unix:{self.ovs.socket}"], OVN_RUN / "ovn-controller", netns=None, unixctl=False
            ),
        )

    async def _databases(self) -> None:
        pairs = (("ovn-nb", self.northbound.socket), ("ovn-sb", self.southbound.socket))
        await asyncio.gather(
            *(
                start_database(
                    OVN_RUN / f"{kind.replace('-', '')}_db.db",
                    socket,
                    kind,
                    OVN_RUN / f"{kind.replace('-', '')}_db",
                    netns=None,
                )
                for kind, socket in pairs
            )
        )

    async def _describe(self) -> None:
        await self.ovs.vsctl(
            "--no-wait", "--may-exist", "add-br", EXTERNAL_BRIDGE,
            "--", "set", "Bridge", EXTERNAL_BRIDGE, "datapath_type=netdev",
            "--", "--may-exist", "add-br", INTEGRATION_BRIDGE,
            "--", "set", "Bridge", INTEGRATION_BRIDGE, "datapath_type=netdev", "fail_mode=secure",
            "other_config:disable-in-band=true",
            "--", "set", "Open_vSwitch", ".",
            f"external_ids:system-id={self.node.chassis}",
            f"external_ids:hostname={self.node.name}",
            f"external_ids:ovn-remote=unix:{self.southbound.socket}",
            "external_ids:ovn-encap-type=geneve",
            f"external_ids:ovn-encap-ip={self.node.external.ip}",
            "external_ids:ovn-bridge-datapath-type=netdev",
            "external_ids:ovn-is-interconn=true",
            "external_ids:ovn-monitor-all=true",
            "external_ids:ovn-set-local-ip=true",
            f"external_ids:ovn-bridge-mappings={PHYSNET}:{EXTERNAL_BRIDGE}",
        )  # fmt: skip
        await self.northbound.ctl("set", "NB_Global", ".", f"name={self.node.name}", f"options:name={self.node.name}")

    async def wire(self) -> None:
        """Give the external bridge its NIC and address, once the NICs are there."""
        for nic in self.node.nics:
            await tx_checksum_off(nic)
        await self.ovs.vsctl("--may-exist", "add-port", EXTERNAL_BRIDGE, "enp1s0")
        await ip([
            # As on any machine; NetworkManager sees to it too, and the node must look the same before and after it.
            "link set lo up",
            f"addr replace {self.node.external} dev {EXTERNAL_BRIDGE}",
            *(f"link set {nic} up" for nic in self.node.nics),
            f"link set {EXTERNAL_BRIDGE} up",
        ])  # fmt: skip
        await tx_checksum_off(EXTERNAL_BRIDGE)

    async def settled(self) -> None:
        """Wait until ovn-controller has acted on the northbound database."""
        await self.northbound.ctl("--timeout=10", "--wait=hv", "sync", timeout=12)

    async def ovs_answers(self) -> bool:
        """Whether ovs-vswitchd itself answers, and has made the integration bridge."""
        return "br-int" in await self.ovs.appctl("dpif/show")

    async def ovn_answers(self) -> bool:
        """Whether ovn-controller has registered this chassis in the zone's southbound database."""
        return self.node.chassis in await self.southbound.ctl("--bare", "--columns=name", "list", "Chassis")
