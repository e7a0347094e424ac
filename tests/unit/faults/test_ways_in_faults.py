"""Faults on the ways to a guest, on a node and a gateway that are played by a small fake with the tools' own words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.embedded.errors import FaultError, UsageError
from lab.embedded.host.command import CommandFailed, Completed
from tests.unit.faults.fakelab import OnePlace


class Place:
    """One OVS bridge with spanning tree, and a firewall; ``deaf`` answers and changes nothing."""

    def __init__(self) -> None:
        self.ports = {"bond2": "ovs-br1"}
        self.stp = "true"
        self.table: list[str] = []
        self.deaf = False

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["ip", "-j", "link", "show", "type", "veth"]:
                return json.dumps([{"ifname": f"w1.{nic}"} for nic in ("enp8s0f0", "bond2")])
            case ["ip", "link", "set", _, "up"]:
                pass
            case ["ovs-vsctl", "list-br"]:
                return "br-int\novs-br1\n"
            case ["ovs-vsctl", "iface-to-br", nic]:
                if nic not in self.ports:
                    raise CommandFailed(Completed(tuple(argv), 1, "", f"no interface named {nic}", 0.0))
                return f"{self.ports[nic]}\n"
            case ["ovs-vsctl", "get", "Bridge", "ovs-br1", "stp_enable"]:
                return f"{self.stp}\n"
            case ["ovs-vsctl", *_, "set", "Bridge", "ovs-br1", word]:
                self.stp = word.removeprefix("stp_enable=")
            case ["ovs-vsctl", "add-port", bridge, nic]:
                assert self.stp == "false", "it would not be flooded to"
                self.ports |= {} if self.deaf else {nic: bridge}
            case ["ovs-vsctl", "--if-exists", "del-port", nic]:
                self.ports = {name: bridge for name, bridge in self.ports.items() if name != nic or self.deaf}
            case ["nft", command]:
                return self.nft(command)
            case _:
                raise AssertionError(argv)
        return ""

    def nft(self, command: str) -> str:
        if command.startswith("list"):
            return "\n".join(self.table)
        if not self.deaf:
            self.table = [] if command.startswith("delete") else [*self.table, command]
        return ""


Lab = OnePlace[Place]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return OnePlace(tmp_path, Place(), hosts=("gateway-2024", "machine"))


STRAY = ("stray-uplink", "node=worker-1", "bridge=ovs-br1")


def test_a_stray_uplink_comes_without_spanning_tree_and_goes(lab: Lab) -> None:
    lab.set(*STRAY, "nic=enp8s0f0")
    assert lab.place.ports["enp8s0f0"] == "ovs-br1"
    assert lab.place.stp == "false"
    lab.heal()
    assert "enp8s0f0" not in lab.place.ports
    assert lab.place.stp == "true"


def test_a_stray_uplink_takes_nobodys_nic_and_no_bridge_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(UsageError, match="wanted a NIC of worker-1 that no bridge has: bond2 is a port of ovs-br1"):
        lab.set(*STRAY, "nic=bond2")
    with pytest.raises(UsageError, match="wanted a NIC of worker-1 of this lab: 'eth9'"):
        lab.set(*STRAY, "nic=eth9")
    with pytest.raises(UsageError, match="wanted an OVS bridge of worker-1 of this lab: 'br9'"):
        lab.set("stray-uplink", "node=worker-1", "bridge=br9", "nic=enp8s0f0")


def test_a_stray_uplink_that_is_not_there_or_stays_is_said(lab: Lab) -> None:
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted enp8s0f0 of worker-1 in ovs-br1: it is in no bridge"):
        lab.set(*STRAY, "nic=enp8s0f0")
    lab.place.deaf, lab.place.stp = False, "true"
    lab.set(*STRAY, "nic=enp8s0f0")
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted enp8s0f0 of worker-1 in no bridge: it is in ovs-br1"):
        lab.heal()


def test_a_gateway_refuses_ssh_until_it_is_healed(lab: Lab) -> None:
    lab.set("ssh-refused", "vlan=2024")
    assert lab.place.table[-1] == "add rule inet virtlab-ssh out tcp dport 22 reject with tcp reset"
    lab.heal()
    assert lab.place.table == []


def test_a_gateway_that_there_is_not_or_that_does_not_obey_is_said(lab: Lab) -> None:
    with pytest.raises(UsageError, match="wanted the gateway of a VLAN of this lab: 'gateway-7'"):
        lab.set("ssh-refused", "vlan=7")
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted gateway-2024 to refuse SSH"):
        lab.set("ssh-refused", "vlan=2024")
    lab.place.deaf = False
    lab.set("ssh-refused", "vlan=2024")
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted gateway-2024 without a rule on SSH"):
        lab.heal()
