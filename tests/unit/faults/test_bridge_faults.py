"""Faults around Linux bridges, on a switch and a node that are played by small fakes with the tools' own words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.embedded.errors import FaultError, UsageError
from tests.unit.faults.fakelab import OnePlace


class Place:
    """The switch's flows and a node's links and rules; ``deaf`` answers and changes nothing."""

    def __init__(self) -> None:
        self.flows: list[str] = []
        self.links = {"lo": "", "ens3": "veth"}
        self.tables = True
        self.rules = [rule("a_1", "cni-br-iface-a-net1"), rule("b_1", "cni-br-iface-b-net1")]
        self.chains = ["PREROUTING", "cni-br-iface-a-net1", "cni-br-iface-b-net1"]
        self.mtu = 9000
        self.deaf = False

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["ovs-ofctl", "add-flow", "tor", flow]:
                self.flows += [] if self.deaf else [flow]
            case ["ovs-ofctl", "del-flows", "tor", mask]:
                mine = [flow for flow in self.flows if flow.startswith(mask.removesuffix("/-1"))]
                self.flows = self.flows if self.deaf else [flow for flow in self.flows if flow not in mine]
            case ["ovs-ofctl", "dump-flows", "tor", mask]:
                mine = [flow for flow in self.flows if flow.startswith(mask.removesuffix("/-1"))]
                return "NXST_FLOW reply (xid=0x4):\n" + "".join(f" {flow}\n" for flow in mine)
            case ["ip", "-j", "link", "show", "type", "veth"]:
                return json.dumps([{"ifname": "w1.ens3"}])
            case ["ip", "-j", "-d", "link", "show"]:
                return json.dumps([{"ifname": n, "linkinfo": {"info_kind": k}} for n, k in self.links.items()])
            case ["ip", "-j", "link", "show", "dev", "w1.ens3"]:
                return json.dumps([{"ifname": "w1.ens3", "mtu": self.mtu}])
            case ["ip", "link", "set", "w1.ens3", "mtu", mtu]:
                self.mtu = self.mtu if self.deaf else int(mtu)
            case ["ip", "link", "add", name, "type", "bridge"]:
                self.links |= {} if self.deaf else {name: "bridge"}
            case ["ip", "link", "del", name]:
                self.links = {n: k for n, k in self.links.items() if n != name or self.deaf}
            case ["ip", "link", "set", _, "up"]:
                pass
            case ["nft", *words]:
                return self.nft(words)
            case _:
                raise AssertionError(argv)
        return ""

    def nft(self, words: Sequence[str]) -> str:
        match words:
            case ["-j", "list", "tables", "bridge"]:
                return json.dumps({"nftables": [{"metainfo": {}}, *[{"table": {"name": "nat"}}] * self.tables]})
            case ["-j", "list", "chain", "bridge", "nat", "PREROUTING"]:
                return json.dumps({"nftables": [{"chain": {"name": "PREROUTING"}}, *({"rule": r} for r in self.rules)]})
            case ["-j", "list", "table", "bridge", "nat"]:
                return json.dumps({"nftables": [{"chain": {"name": name}} for name in self.chains]})
            case ["flush", "chain", "bridge", "nat", "PREROUTING"]:
                self.rules = self.rules if self.deaf else []
            case ["add", "rule", "bridge", "nat", "PREROUTING", "iifname", port, "jump", target, "comment", comment]:
                assert comment == json.dumps(f"macspoofchk-{target}")
                self.rules += [] if self.deaf else [rule(json.loads(port), target)]
            case _:
                raise AssertionError(words)
        return ""


def rule(port: str, target: str) -> dict[str, Any]:
    match = {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": port}
    return {"expr": [{"match": match}, {"jump": {"target": target}}], "comment": f"macspoofchk-{target}"}


Lab = OnePlace[Place]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return OnePlace(tmp_path, Place())


def test_port_security_lets_the_nics_own_address_in_and_no_other(lab: Lab) -> None:
    lab.set("port-security", "node=worker-1", "nic=ens3")
    assert [flow.partition(",")[2] for flow in lab.place.flows] == [
        "in_port=w1.ens3,priority=200,dl_src=02:00:00:a8:34:0b,actions=NORMAL",
        "in_port=w1.ens3,priority=100,actions=drop",
    ]
    lab.place.flows.append("cookie=0x1,another's,actions=drop")
    lab.heal()
    assert lab.place.flows == ["cookie=0x1,another's,actions=drop"]


def test_port_security_that_is_not_on_or_stays_is_said(lab: Lab) -> None:
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted 2 flows of port-security on the switch: it has 0"):
        lab.set("port-security", "node=worker-1", "nic=ens3")
    lab.place.deaf = False
    lab.set("port-security", "node=worker-1", "nic=ens3")
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted no flows of port-security on the switch: it has 2"):
        lab.heal()


def test_a_small_port_gets_its_size_back(lab: Lab) -> None:
    lab.set("mtu-small", "node=worker-1", "nic=ens3", "mtu=1400")
    assert lab.place.mtu == 1400
    lab.place.deaf = True
    with pytest.raises(FaultError, match=r"wanted an MTU of 9000 at the switch's port w1\.ens3: it is 1400"):
        lab.heal()
    lab.place.deaf = False
    lab.heal()
    assert lab.place.mtu == 9000
    for size in ("575", "1500", "-1", "x"):
        with pytest.raises(UsageError, match="wanted an MTU from 576 to 1499"):
            lab.set("mtu-small", "node=worker-1", "nic=ens3", f"mtu={size}")


def test_spoof_checks_go_and_come_back_for_the_pods_that_are_still_there(lab: Lab) -> None:
    lab.set("spoof-check-lost", "node=worker-1")
    assert lab.place.rules == []
    lab.place.chains.remove("cni-br-iface-b-net1")
    lab.heal()
    assert lab.place.rules == [rule("a_1", "cni-br-iface-a-net1")]


def test_a_node_that_never_had_a_spoof_check_loses_none(lab: Lab) -> None:
    lab.place.tables, lab.place.rules = False, []
    lab.set("spoof-check-lost", "node=worker-1")
    lab.heal()
    assert lab.place.rules == []


def test_spoof_checks_that_stay_or_do_not_come_back_are_said(lab: Lab) -> None:
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted no spoof check on worker-1: there are 2 rules"):
        lab.set("spoof-check-lost", "node=worker-1")
    lab.place.deaf = False
    lab.set("spoof-check-lost", "node=worker-1")
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted 2 spoof checks back on worker-1: there are 0"):
        lab.heal()


def test_a_stray_bridge_comes_and_goes(lab: Lab) -> None:
    lab.set("stray-bridge", "node=worker-1", "bridge=br1")
    assert lab.place.links["br1"] == "bridge"
    lab.heal()
    assert "br1" not in lab.place.links


def test_a_stray_bridge_takes_nobodys_name(lab: Lab) -> None:
    with pytest.raises(UsageError, match="wanted a name that no link of worker-1 has: 'ens3'"):
        lab.set("stray-bridge", "node=worker-1", "bridge=ens3")


def test_a_stray_bridge_that_is_not_there_or_stays_is_said(lab: Lab) -> None:
    lab.place.deaf = True
    with pytest.raises(FaultError, match=r"wanted a bridge br1 on worker-1: its links are \['ens3', 'lo'\]"):
        lab.set("stray-bridge", "node=worker-1", "bridge=br1")
    lab.place.deaf = False
    lab.set("stray-bridge", "node=worker-1", "bridge=br1")
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted no link br1 on worker-1: it is still there"):
        lab.heal()
