"""What many faults share: flows of the switch, a guest's shell, words to the API server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.embedded.apiserver.trouble import FILE, TAKEN
from lab.embedded.errors import FaultError, UsageError
from lab.embedded.faults import waiting
from tests.unit.faults.fakelab import OnePlace

NODES = ("worker-1", "worker-2")


class Place:
    """The switch and every node and host in one; ``deaf`` does nothing of what it is told."""

    def __init__(self) -> None:
        self.flows: list[str] = []
        self.files: dict[str, str] = {}
        self.scripts: list[str] = []
        self.broken = False
        self.deaf = False
        self.vm = "default_vm-a"
        self.dying = -1
        """How often QEMU is still seen once it was killed; below 0 it was not killed."""

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["ovs-ofctl", "add-flow", "tor", flow]:
                self.flows += [] if self.deaf else [flow]
            case ["ovs-ofctl", "del-flows", "tor", _]:
                self.flows = [] if not self.deaf else self.flows
            case ["ovs-ofctl", "dump-flows", "tor", _]:
                return "".join(f" {flow}\n" for flow in self.flows)
            case ["ip", "-o", "-4", "addr", "show", "dev", "eth0"]:
                return "2: eth0    inet 192.168.24.1/24 scope global eth0\n"
            case ["ip", "-j", "link", "show", "eth0"]:
                return '[{"ifname": "eth0", "address": "c6:d0:5e:ae:bb:72"}]'
            case ["sh", "-c", script, "sh", text, file, _] if "kill -HUP" in script:
                self.files[file] = text
                self.files |= {} if self.deaf else {str(TAKEN): text}
            case ["sh", "-c", script, "sh", file] if script.startswith("cat"):
                return self.files.get(file, "{}")
            case ["sh", "-c", script, "sh", name] if "qemu.pid" in script:
                if self.dying == 0:
                    self.vm = ""
                self.dying -= 1
                return "77 /run/virtlab/guests/u\n" if name == self.vm else ""
            case ["kill", "-KILL", "77"]:
                self.dying = -1 if self.deaf else 2
            case [_, "-I", "-c", _, socket, script]:
                assert socket == "/run/virtlab/guests/u/agent.sock"
                return self._guest(script)
            case _:
                raise AssertionError(argv)
        return ""

    def _guest(self, script: str) -> str:
        self.scripts.append(script)
        if "|| echo 'no address'" in script:
            return "no address\n" if self.broken else ""
        if script.endswith("; done") and "ip addr add" in script:
            self.broken = self.broken and self.deaf
        elif script.endswith("addr flush dev $nic"):
            self.broken = not self.deaf
        return "192.168.24.20/24\n"


Lab = OnePlace[Place]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return OnePlace(tmp_path, Place(), NODES, ("machine", "gateway-2024"))


def test_announcements_are_dropped_in_one_vlan(lab: Lab) -> None:
    lab.set("no-garp", "vlan=2024")
    assert [flow.partition(",")[2] for flow in lab.place.flows] == [
        "priority=300,dl_vlan=2024,dl_type=0x8035,actions=drop",
        "priority=300,dl_vlan=2024,arp,arp_op=2,dl_dst=ff:ff:ff:ff:ff:ff,actions=drop",
    ]
    lab.heal()
    assert lab.place.flows == []


def test_the_wrong_arp_answer_names_the_gateways_address_and_spares_the_gateway_itself(lab: Lab) -> None:
    lab.set("gateway-arp-wrong", "vlan=2024")
    own, answer = lab.place.flows
    assert "in_port=p.2024" in own
    assert own.endswith("actions=NORMAL")
    assert "dl_vlan=2024,arp,arp_op=1,arp_tpa=192.168.24.1" in answer
    assert answer.endswith("set_field:192.168.24.1->arp_spa,IN_PORT")
    lab.heal()
    assert lab.place.flows == []


def test_what_goes_to_the_wrong_neighbour_is_handed_on_to_the_gateways_own_nic(lab: Lab) -> None:
    lab.set("nd-spoofed", "vlan=2024")
    answers, asks, through = lab.place.flows
    assert "in_port=p.2024,icmp6,icmp_type=136,actions=set_field:02:00:00:00:de:ad->nd_tll,NORMAL" in answers
    assert "in_port=p.2024,icmp6,icmp_type=135,actions=set_field:02:00:00:00:de:ad->nd_sll,NORMAL" in asks
    assert "dl_dst=02:00:00:00:de:ad,actions=set_field:c6:d0:5e:ae:bb:72->eth_dst,NORMAL" in through
    lab.heal()
    assert lab.place.flows == []


def test_a_switch_that_takes_no_flows_is_said(lab: Lab) -> None:
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted 1 flows of duplicate on the switch: it has 0"):
        lab.set("duplicate", "vlan=2024")
    assert lab.active.entries() == []


def test_a_guest_loses_its_address_and_gets_the_very_one_back(lab: Lab) -> None:
    lab.set("no-address", "vm=default/vm-a")
    assert lab.place.broken
    lab.heal()
    assert not lab.place.broken
    assert any(script.startswith('saved="192.168.24.20/24"') for script in lab.place.scripts)


def test_a_guest_that_is_killed_may_take_a_while_to_be_gone(lab: Lab) -> None:
    lab.set("launcher-killed", "vm=default/vm-a")
    assert lab.place.vm == ""


def test_a_guest_that_outlives_its_death_is_said(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting.comes_true, "__defaults__", (0.0,))
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted QEMU of default/vm-a gone: process 77 on worker-1 goes on"):
        lab.set("launcher-killed", "vm=default/vm-a")


def test_a_guest_that_shows_nothing_of_a_fault_is_said(lab: Lab) -> None:
    lab.place.deaf = True
    with pytest.raises(FaultError, match="wanted default/vm-a with no-address: the guest shows nothing of it"):
        lab.set("no-address", "vm=default/vm-a")


def test_a_fault_of_a_guest_that_went_is_healed_with_it(lab: Lab) -> None:
    lab.set("no-address", "vm=default/vm-a")
    lab.place.vm = "none"
    lab.heal()
    assert lab.active.entries() == []


def test_a_vm_that_does_not_run_and_one_that_is_none(lab: Lab) -> None:
    with pytest.raises(FaultError, match="wanted the VM default/vm-x running: no node has its QEMU"):
        lab.set("no-address", "vm=default/vm-x")
    with pytest.raises(UsageError, match="wanted a VM as namespace/name: 'vm-a'"):
        lab.set("no-address", "vm=vm-a")


def test_the_api_server_is_told_of_each_trouble_beside_the_others(lab: Lab) -> None:
    lab.set("api-429", "share=30")
    lab.set("api-latency", "ms=100")
    assert json.loads(lab.place.files[str(FILE)]) == {"api-429": 30, "api-latency": 100}
    lab.heal()
    assert lab.place.files[str(FILE)] == "{}"


def test_numbers_of_the_api_have_bounds(lab: Lab) -> None:
    with pytest.raises(UsageError, match="wanted share from 1 to 100: '101'"):
        lab.set("api-500", "share=101")
