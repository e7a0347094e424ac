"""VLANs on Linux bridges where the kernel filters them: a policy's ports and a pod's `vlan`, proven by packets.

What lies behind the node's NIC takes untagged frames and those of VLAN 2024 on two interfaces, so that an answer tells
which tag the question had.  The node's kernel is the guests' own, in QEMU: see `otherkernel`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from otherkernel import Kernel, booted, place

from lab.embedded.host.link import bridges_filter
from lab.embedded.host.ovs import Ovs
from lab.embedded.host.tools import find_tools
from lab.embedded.lifecycle.layout import cache_dir
from lab.embedded.node import bridgeplugin, cable
from lab.embedded.node.cnierror import CniError
from lab.embedded.node.nad import Network, Request
from lab.embedded.node.nmstate.apply import Node
from lab.embedded.node.nmstate.desired import with_default_vlans
from lab.embedded.node.nmstate.errors import ApplyError

pytestmark = [pytest.mark.lab, pytest.mark.slow]
NIC, BEHIND, VLAN = "enp6s0f0", "behind", 2024
UNTAGGED, TAGGED = "10.9.1.{}", "10.9.2.{}"
PATIENCE = 8
EMPTY = json.dumps({"headings": [], "data": []})


class NoOvs:
    """A node without Open vSwitch's bridges: each of its tables is empty."""

    async def vsctl(self, *words: str) -> str:
        return "\n".join([EMPTY] * words.count("list"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    with booted(find_tools(cache_dir(), progress=print), cache_dir(), folder) as found:
        for line in (
            f"netns add {BEHIND}",
            f"link add {NIC} type veth peer name far netns {BEHIND}",
            f"-n {BEHIND} link add link far name far.{VLAN} type vlan id {VLAN}",
            f"-n {BEHIND} addr add {UNTAGGED.format(254)}/24 dev far",
            f"-n {BEHIND} addr add {TAGGED.format(254)}/24 dev far.{VLAN}",
            f"-n {BEHIND} link set far up",
            f"-n {BEHIND} link set far.{VLAN} up",
        ):
            found.must("ip", *line.split())
        # Linux answers for an address of one interface on another as well, and that would hide which tag was there.
        strict = ("net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.rp_filter=1")
        found.must("nsenter", f"--net=/run/netns/{BEHIND}", "--", "sysctl", "-w", *strict)
        yield found


@pytest.fixture
def there(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """Whatever the lab runs, runs on that kernel."""

    async def no_offload(ifname: str, netns: str | None = None) -> None:
        """Frames here pass Linux bridges alone, where checksums may be left out."""

    with place(kernel, tmp_path) as shims:
        monkeypatch.setenv("PATH", f"{shims}:{os.environ['PATH']}")
        monkeypatch.setattr(cable, "tx_checksum_off", no_offload)
        yield kernel
        kernel.run(("ip", "link", "del", "br9"))


def node(folder: Path) -> Node:
    return Node(cast(Ovs, NoOvs()), [NIC], folder)


def policy(bridge: str, state: str = "up", **port: Any) -> dict[str, Any]:
    ports = {"bridge": {"port": [{"name": NIC, **port}]}} if state == "up" else {}
    document = {"interfaces": [{"name": bridge, "type": "linux-bridge", "state": state, **ports}]}
    return with_default_vlans(document)


def vlans(kernel: Kernel, port: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kernel.must("bridge", "-compressvlans", "-j", "vlan", "show", "dev", port))
    return found[0]["vlans"] if found else []


async def plug(kernel: Kernel, number: int, bridge: str, **conf: Any) -> None:
    """A pod on the bridge, with an address in either network."""
    name, uid = f"pod-{number}", f"{number:08x}-0000-4000-8000-000000000000"
    kernel.must("ip", "netns", "add", name)
    network = Network("net", "bridge", ({"type": "bridge", "bridge": bridge, **conf},))
    await bridgeplugin.add({"metadata": {"uid": uid}}, name, Request("default", "net", "net1"), network, 0)
    for addresses in (UNTAGGED, TAGGED):
        kernel.must("ip", "-n", name, "addr", "add", f"{addresses.format(number)}/24", "dev", "net1")


def answers(kernel: Kernel, **expected: tuple[bool, bool]) -> dict[str, tuple[bool, bool]]:
    """Whether each pod (`pod_2`) is answered untagged, and in the VLAN.

    An answer that is wanted may take its time on a busy machine; silence is what is left when it came.
    """

    def one(pod: str, addresses: str, wanted: bool) -> bool:
        ping = ("ping", "-c", "4", "-i", "0.3", "-W", "1", addresses.format(254))
        argv = ("nsenter", f"--net=/run/netns/{pod.replace('_', '-')}", "--", *ping)
        return any(kernel.run(argv)[0] == 0 for _ in range(PATIENCE if wanted else 1))

    def both(pod: str) -> tuple[bool, bool]:
        seen = {
            network: one(pod, network, wanted)
            for wanted, network in sorted(zip(expected[pod], (UNTAGGED, TAGGED), strict=True), reverse=True)
        }
        return seen[UNTAGGED], seen[TAGGED]

    with ThreadPoolExecutor() as pool:
        return dict(zip(expected, pool.map(both, expected), strict=True))


def test_a_policy_filters_and_an_attachment_tags(there: Kernel, tmp_path: Path) -> None:
    async def story() -> None:
        assert await bridges_filter()
        here = node(tmp_path)
        before = await here.show()
        assert (await here.apply(policy("br9"))).not_set == ()
        found = next(item for item in (await here.show())["interfaces"] if item["name"] == "br9")
        trunk = {"mode": "trunk", "enable-native": False, "trunk-tags": [{"id-range": {"min": 2, "max": 4094}}]}
        assert found["bridge"]["port"] == [{"name": NIC, "vlan": trunk}]
        assert [(entry["vlan"], entry.get("vlanEnd")) for entry in vlans(there, NIC)] == [(1, None), (2, 4094)]
        assert (await here.apply(policy("br9"))).changes == ()
        await plug(there, 1, "br9")
        await plug(there, 2, "br9", vlan=VLAN)
        await plug(there, 3, "br9", vlanTrunk=[{"minID": 2, "maxID": 4}, {"id": 7}], preserveDefaultVlan=True)
        assert vlans(there, "000000020000_0") == [{"vlan": VLAN, "flags": ["PVID", "Egress Untagged"]}]
        assert [entry["vlan"] for entry in vlans(there, "000000030000_0")] == [1, 2, 7], "2-4 is one entry"
        # Without `vlan` frames go out untagged, with it they go out with the tag.
        wanted = {"pod_1": (True, False), "pod_2": (False, True), "pod_3": (True, False)}
        assert answers(there, **wanted) == wanted
        # The port's filter is real as well: without the VLAN on it nothing of the VLAN gets out.
        await here.apply(policy("br9", vlan={"mode": "trunk", "trunk-tags": [{"id": 7}]}))
        assert answers(there, pod_2=(False, False)) == {"pod_2": (False, False)}
        # And an access port takes the tag off.
        await here.apply(policy("br9", vlan={"mode": "access", "tag": VLAN}))
        assert answers(there, pod_2=(True, False)) == {"pod_2": (True, False)}
        await here.apply(policy("br9", state="absent"))
        assert await here.show() == {**before, "interfaces": [
            {**item, "state": "down"} if item["name"] == NIC else item for item in before["interfaces"]
        ]}  # fmt: skip

    asyncio.run(story())


def test_a_port_that_does_not_carry_its_vlans_fails_the_policy_and_is_rolled_back(
    there: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(lines: list[str]) -> None:
        """As a `bridge` that succeeds and does nothing."""

    monkeypatch.setattr("lab.embedded.node.nmstate.apply.bridge", nothing)
    monkeypatch.setattr("lab.embedded.node.nmstate.apply.VERIFY_ATTEMPTS", 1)

    async def story() -> None:
        here = node(tmp_path)
        before = await here.show()
        with pytest.raises(ApplyError, match=r"br9\.interface\.bridge\.port\[0\]\.vlan desire .* current 'null'"):
            await here.apply(policy("br9"))
        assert await here.show() == before

    asyncio.run(story())


def test_a_vlan_on_a_bridge_made_by_hand_is_refused_and_a_bridge_of_its_own_filters(there: Kernel) -> None:
    async def story() -> None:
        there.must("ip", "link", "add", "hand", "type", "bridge")
        with pytest.raises(CniError) as refusal:
            await plug(there, 8, "hand", vlan=VLAN)
        assert "vlan_filtering of hand is off, so that frames would pass untagged" in str(refusal.value)
        await plug(there, 9, "own", vlan=VLAN)
        assert '"vlan_filtering":1' in there.must("ip", "-j", "-d", "link", "show", "own")

    asyncio.run(story())
