"""Run inside private namespaces: one node with real links and a real Open vSwitch, policies applied for real.

Started by test_nmstate_lab.py; every assertion that fails ends it with a traceback, which the test shows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import nmstate_seed as seed
import yaml
from nmstate_states import NICS

from lab.embedded.host.command import run, spawn
from lab.embedded.host.link import ip, ip_json, veth
from lab.embedded.host.netns import create
from lab.embedded.host.ovs import Ovs
from lab.embedded.model.spec import NodeSpec
from lab.embedded.node.nmstate.apply import Node
from lab.embedded.node.nmstate.desired import with_default_vlans
from lab.embedded.node.nmstate.errors import ApplyError
from lab.embedded.node.nmstate.model import Host


class BrokenOnce:
    """A probe that fails after the change and passes after the rollback."""

    def __init__(self) -> None:
        self.answers = ["failed runnig probe 'api-server'", ""]
        self.calls: list[str] = []

    async def select(self, host: Host) -> Sequence[str]:
        self.calls.append("select")
        return ["api-server"]

    async def run(self, names: Sequence[str], read: Callable[[], Awaitable[Host]]) -> str:
        self.calls.append("run")
        return self.answers.pop(0)

    async def reconnect(self) -> None:
        self.calls.append("reconnect")


async def refused(node: Node, document: dict[str, Any], probes: BrokenOnce | None = None) -> str:
    try:
        await node.apply(document, probes)
    except ApplyError as failure:
        return str(failure)
    raise AssertionError(f"was not refused: {document}")


def policy(text: str) -> dict[str, Any]:
    return with_default_vlans(yaml.safe_load(text))


async def settled(nics: Sequence[str]) -> None:
    """Wait for the link-local addresses, which the kernel adds a second after a link is up."""
    async with asyncio.timeout(10):
        while True:
            links = await ip_json(["-6", "addr", "show", "-tentative"])
            if {link.get("ifname") for link in links if link.get("addr_info")} >= set(nics):
                return
            await asyncio.sleep(0.1)


async def trunk(node: Node, ovs: Ovs) -> None:
    """The documented trunk: with the bond missing, with it, applied twice, rolled back, removed."""
    fresh = await node.show()
    await node.apply(policy(seed.OVS_BR1))
    kinds = {r["name"]: r["type"] for r in await ovs.table("Interface", ["name", "type"])}
    assert kinds["bond2"] == "internal", "an unknown port becomes an internal interface, and the policy is fine"
    await node.apply(policy(seed.BOND2))
    assert "enp7s0f0" in await ovs.appctl("lacp/show", "bond2")
    both = {
        **policy(seed.OVS_BR1),
        "interfaces": [*policy(seed.BOND2)["interfaces"], *policy(seed.OVS_BR1)["interfaces"]],
    }
    assert (await node.apply(both)).changes == ()
    before = await node.show()
    gone = {
        "interfaces": [
            {"name": n, "type": t, "state": "absent"} for n, t in (("ovs-br1", "ovs-bridge"), ("bond2", "bond"))
        ],
        "ovn": {"bridge-mappings": [{"localnet": n, "state": "absent"} for n in ("vlan-2024", "vlan-1993")]},
    }
    assert "failed runnig probe 'api-server'" in await refused(node, gone, BrokenOnce())
    assert await node.show() == before, "a failed probe must leave the node as it was"
    broken = {"interfaces": [*policy(seed.BONDING_POLICY)["interfaces"], {"name": "eth9", "type": "ethernet"}]}
    assert "Failed to find desired interface eth9 Ethernet" in await refused(node, broken)
    assert await node.show() == before, "a failed verification must leave the node as it was"
    await node.apply(gone)
    after = await node.show()
    assert after["ovn"] == fresh["ovn"]
    assert {i["name"] for i in after["interfaces"]} == {i["name"] for i in fresh["interfaces"]}
    # A link that was down has its link-local address up to a second after it is up.
    ipv6 = {"enabled": True, "dhcp": False}
    nics = [{"name": name, "type": "ethernet", "state": "up", "ipv6": ipv6} for name in ("enp7s0f0", "enp7s0f1")]
    await node.apply({"interfaces": nics})


def interface(state: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(i for i in state["interfaces"] if i["name"] == name)
    return found


async def main_nic(node: Node, server: int) -> None:
    """The main NIC under a Linux bridge with DHCP: rolled back with and without a server, applied, the inverse."""
    assert await node.dhcp.start("ens3", 5.0) == "192.168.52.11/24"
    before = await node.show()
    assert interface(before, "ens3")["ipv4"]["dhcp"] is True
    probes = BrokenOnce()
    await refused(node, policy(seed.BR1_ENS3), probes)
    assert probes.calls == ["select", "run", "reconnect", "run"]
    assert await node.show() == before
    os.kill(server, signal.SIGSTOP)
    try:
        await refused(node, policy(seed.BR1_ENS3), BrokenOnce())
        assert await node.show() == before, "the lease goes on, though no server answers"
    finally:
        os.kill(server, signal.SIGCONT)
    outcome = await node.apply(policy(seed.BR1_ENS3))
    assert any("VLAN filtering of ens3" in text for text in outcome.not_set)
    await run(["ping", "-c", "1", "-W", "2", "192.168.52.1"])
    under = await node.show()
    bridge, port = interface(under, "br1"), interface(under, "ens3")
    assert (bridge["mac-address"], bridge["ipv4"]) == (port["mac-address"], interface(before, "ens3")["ipv4"])
    assert (port["controller"], port["ipv4"]) == ("br1", {"enabled": False})
    assert bridge["bridge"]["options"]["stp"]["enabled"] is False
    assert node.dhcp.running() == {"br1"}
    inverse = {"interfaces": [
        {"name": "br1", "type": "linux-bridge", "state": "absent"},
        {"name": "ens3", "type": "ethernet", "state": "up", "ipv4": {"enabled": True, "dhcp": True}},
    ]}  # fmt: skip
    await node.apply(inverse)
    assert await node.show() == before
    assert node.dhcp.running() == {"ens3"}


async def main(folder: Path) -> None:
    await run(["mount", "-t", "tmpfs", "tmpfs", "/run"])
    Path("/run/netns").mkdir()
    tor = await create("tor")
    spec = NodeSpec("worker-1", 1)
    for nic in NICS:
        await veth(f"p-{nic}", tor, nic, f"/proc/{os.getpid()}/ns/net", mac=spec.mac(nic))
    await ip(["link set lo up"])
    await settled(NICS)
    await ip(["addr add 192.168.52.1/24 dev p-ens3"], netns=tor)
    dhcp = ["dnsmasq", "--no-daemon", "--no-ping", "--port=0", "--interface=p-ens3", "--conf-file=/dev/null",
            "--user=root", "--pid-file=", "--dhcp-range=192.168.52.100,192.168.52.120,600",
            "--dhcp-option=3", f"--dhcp-leasefile={folder / 'leases'}", "--dhcp-authoritative",
            f"--dhcp-host={spec.mac('ens3')},192.168.52.11"]  # fmt: skip
    server = await spawn(dhcp, netns=tor)
    ovs = Ovs(folder / "openvswitch")
    await ovs.start()
    await ovs.vsctl("add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=netdev", "--", "set",
                    "Open_vSwitch", ".", "external_ids:ovn-bridge-mappings=physnet:br-ex")  # fmt: skip
    node = Node(ovs, NICS, folder / "nmstate")
    await trunk(node, ovs)
    await main_nic(node, server.pid)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
