"""Faults on a switch, nodes and hosts that are played by small fakes with the tools' own words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.embedded.errors import FaultError, LabError, UsageError
from lab.embedded.faults import waiting
from lab.embedded.faults.catalogue import FAULTS, find, parse, several
from lab.embedded.faults.site import Site
from lab.embedded.faults.vlan_missing import EVERY
from lab.embedded.host.command import CommandFailed, Completed
from tests.unit.faults.fakelab import Faults


class Switch:
    """``ovs-vsctl`` and ``ip`` of a switch with two lags a worker; ``deaf`` answers and changes nothing."""

    def __init__(self) -> None:
        names = [f"w{n}.{port}" for n in (1, 2) for port in ("lag0", "lag1", "enp8s0f0", "enp8s0f1")]
        self.trunks: dict[str, list[int]] = {name: [] for name in names}
        self.up = {f"w{n}.{nic}": True for n in (1, 2) for nic in ("ens3", "enp6s0f0", "enp6s0f1", "enp8s0f0")}
        self.lag0 = {"w1.enp6s0f0": "1", "w1.enp6s0f1": "1"}
        """Interface -> key of the first worker's first aggregate."""
        self.deaf = False

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["ip", "-j", "link", "show", "type", "veth"]:
                return json.dumps([{"ifname": name} for name in self.up])
            case ["ip", "link", "set", port, state]:
                self.up[port] = self.up[port] if self.deaf else state == "up"
                return ""
            case ["ip", "-j", "link", "show", "dev", port]:
                return json.dumps([{"ifname": port, "flags": ["BROADCAST", *["UP"] * self.up[port]]}])
            case ["ovs-vsctl", "list-ifaces", "tor"]:
                return "\n".join([*self.lag0, "w1.ens3"]) + "\n"
            case ["ovs-vsctl", "get", "Interface", port, "other_config:lacp-aggregation-key"]:
                return f'"{self.lag0[port]}"\n'
            case ["ovs-vsctl", "get", "Interface", port, "_uuid"]:
                return f"uuid-of-{port}\n"
            case ["ovs-vsctl", "--id=@new", "create", "Interface", name, more, *rest]:
                assert rest[:5] == ["--", "remove", "Port", "w1.lag0", "interfaces"]
                assert rest[6:] == ["--", "add", "Port", "w1.lag0", "interfaces", "@new"]
                if not self.deaf:
                    del self.lag0[rest[5].removeprefix("uuid-of-")]
                    self.lag0[name.removeprefix("name=")] = more
                return ""
            case ["ovs-vsctl", "list-ports", "tor"]:
                return "\n".join([*self.trunks, "gateway-2024"]) + "\n"
            case ["ovs-vsctl", "get", "Port", port, "trunks"]:
                return json.dumps(self.trunks[port]) + "\n"
            case ["ovs-vsctl", "set", "Port", port, word] if word.startswith("trunks="):
                if not self.deaf:
                    self.trunks[port] = json.loads(word.removeprefix("trunks="))
                return ""
        raise AssertionError(argv)

    def carries(self, port: str) -> frozenset[int]:
        return frozenset(self.trunks[port]) or EVERY


class Node:
    """``ovs-vsctl`` of a node with bridge mappings, and ``ip`` of its NICs, which are plugged into the switch.

    Its zone controller reads its setting when it starts, and says what it has; ``mute`` starts and says nothing.
    """

    def __init__(self, number: int, switch: Switch) -> None:
        self.mappings = "physnet:br-ex,vlan-2024:ovs-br1,vlan-1993:ovs-br1"
        self.number, self.switch = number, switch
        self.setting, self.says, self.mute = "", 'external_ids:ovnkube-bugs=""', False
        self.rules: dict[str, str] = {}
        """Chain -> rule of the packet filter."""

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["ip", "-j", "link", "show", "dev", nic]:
                carrier = self.switch.up[f"w{self.number}.{nic}"]
                return json.dumps([{"ifname": nic, "flags": ["UP", *["LOWER_UP"] * carrier]}])
            case ["nft", "list", "ruleset"]:
                return "".join(f"chain {name} {{\n" for name in self.rules)
            case ["nft", words]:
                return self._filter(words.split(" ", 5))
            case ["ovs-vsctl", "--if-exists", "get", "Open_vSwitch", ".", "external_ids:ovn-bridge-mappings"]:
                return f'"{self.mappings}"\n'
            case ["ovs-vsctl", "set", "Open_vSwitch", ".", word] if "bugs" in word:
                self.setting = word
                return ""
            case ["ovs-vsctl", "set", "Open_vSwitch", ".", word]:
                self.mappings = word.partition("=")[2]
                return ""
            case ["cat", "/run/ovn/ovnkube-controller.pid"]:
                return "42\n"
            case ["kill", "-HUP", "42"]:
                self.says = "" if self.mute else self.setting
                return ""
            case ["ovn-nbctl", "remove", "NB_Global", ".", "external_ids", "ovnkube-bugs"]:
                self.says = ""
                return ""
            case ["ovn-nbctl", timeout, "wait-until", "NB_Global", ".", word]:
                assert timeout == "--timeout=25"
                if self.says != word:
                    raise CommandFailed(Completed(tuple(argv), 142, "", "", 25.0))
                return ""
        raise AssertionError(argv)

    def _filter(self, words: list[str]) -> str:
        match words:
            case ["add", "table", "inet", "virtlab-fault"]:
                return ""
            case ["add", "chain", "inet", "virtlab-fault", name, "{ type filter hook input priority 0; }"]:
                self.rules[name] = ""
                return ""
            case ["add", "rule", "inet", "virtlab-fault", name, rule]:
                self.rules[name] = "" if self.mute else rule
                return ""
            case ["list", "chain", "inet", "virtlab-fault", name]:
                return self.rules[name]
            case ["delete", "chain", "inet", "virtlab-fault", name]:
                del self.rules[name]
                return ""
        raise AssertionError(words)


class Host:
    """``ip`` of a gateway with one interface, and its DHCP server's process; ``deaf`` to signals when told.

    ``busy`` are the looks at the process before it takes a signal.
    """

    def __init__(self, name: str) -> None:
        self.name, self.up, self.state, self.deaf, self.busy, self.signalled = name, True, "S", False, 0, ""
        self.command = "dnsmasq\0--no-daemon\0"
        self.cuts: list[float] = []
        self.lost = False
        self.tc = "qdisc blackhole 8001: root refcnt 3\n Sent 0 bytes 0 pkt (dropped 12, overlimits 0 requeues 0)\n"

    async def __call__(self, argv: Sequence[str]) -> str:
        match list(argv):
            case ["ip", "link", "set", "eth0", state]:
                self.up = state == "up"
                return ""
            case ["ip", "-j", "link", "show", "eth0"]:
                return json.dumps([{"ifname": "eth0", "flags": ["BROADCAST", *["UP"] * self.up]}])
            case ["cat", file] if file == f"/run/{self.name}.pid":
                return "77\n"
            case ["cat", "/proc/77/cmdline"]:
                return self.command
            case ["cat", "/proc/77/stat"]:
                self.busy -= 1
                if self.signalled and self.busy < 0:
                    self.state, self.signalled = {"-STOP": "T", "-CONT": "S"}[self.signalled], ""
                return f"77 (a) b) {self.state} 1 77 0"
            case ["sh", "-c", _, "sh", seconds] if "blackhole" in argv[2]:
                self.cuts.append(float(seconds))
                return self.tc
            case ["tc", "qdisc", "show", "dev", "eth0"]:
                return "qdisc blackhole 8001: root\n" if self.lost else "qdisc noqueue 0: root\n"
            case ["tc", "qdisc", "del", "dev", "eth0", "root"]:
                self.lost = self.deaf
                return ""
            case ["busybox", "kill", "-STOP" | "-CONT" as signal, "77"]:
                if not self.deaf:
                    self.signalled = signal
                return ""
        raise AssertionError(argv)


class Lab(Faults):
    def __init__(self, folder: Path) -> None:
        self.switch = Switch()
        self.nodes = {f"worker-{n}": Node(n, self.switch) for n in (1, 2)}
        self.hosts = {name: Host(name) for name in ("outside", "machine", "gateway-2024", "gateway-1993")}
        nodes, hosts = self.nodes, self.hosts
        super().__init__(folder, Site(self.switch, lambda n: nodes[n], lambda n: hosts[n], tuple(nodes), tuple(hosts)))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_missing_vlan_is_off_all_trunks_of_one_worker_and_no_other(lab: Lab) -> None:
    lab.set("vlan-missing", "node=worker-1", "vlan=2024")
    cut = {port for port in lab.switch.trunks if lab.switch.carries(port) == EVERY - {2024}}
    assert cut == {"w1.lag0", "w1.lag1", "w1.enp8s0f0", "w1.enp8s0f1"}
    assert all(lab.switch.carries(port) == EVERY for port in lab.switch.trunks if port not in cut)
    assert [entry["arguments"] for entry in lab.active.entries()] == [{"node": "worker-1", "vlan": "2024"}]
    lab.heal("vlan-missing")
    assert lab.switch.trunks["w1.lag1"] == []
    assert lab.active.entries() == []


def test_two_missing_vlans_add_up_and_heal_one_by_one(lab: Lab) -> None:
    lab.set("vlan-missing", "node=worker-1", "vlan=2024")
    lab.set("vlan-missing", "node=worker-1", "vlan=1993")
    assert lab.switch.carries("w1.lag1") == EVERY - {2024, 1993}
    healed = lab.heal("vlan-missing", "vlan=2024")
    assert [entry["arguments"]["vlan"] for entry in healed] == ["2024"]
    assert lab.switch.carries("w1.lag1") == EVERY - {1993}
    lab.heal()
    assert lab.switch.carries("w1.lag1") == EVERY


def test_a_bridge_mapping_goes_and_comes_back_with_the_others_left_alone(lab: Lab) -> None:
    lab.set("bridge-mapping-missing", "node=worker-2", "localnet=vlan-2024")
    assert lab.nodes["worker-2"].mappings == "physnet:br-ex,vlan-1993:ovs-br1"
    lab.heal("bridge-mapping-missing", "node=worker-2")
    assert lab.nodes["worker-2"].mappings.split(",") == ["physnet:br-ex", "vlan-1993:ovs-br1", "vlan-2024:ovs-br1"]


def test_healing_keeps_a_mapping_that_is_back_already(lab: Lab) -> None:
    lab.set("bridge-mapping-missing", "node=worker-2", "localnet=vlan-2024")
    lab.nodes["worker-2"].mappings = "vlan-2024:ovs-br1"
    lab.heal()
    assert lab.nodes["worker-2"].mappings == "vlan-2024:ovs-br1"


def test_a_gateway_goes_down_and_up(lab: Lab) -> None:
    lab.set("gateway-down", "vlan=2024")
    assert [name for name, host in lab.hosts.items() if not host.up] == ["gateway-2024"]
    lab.heal("gateway-down")
    assert all(host.up for host in lab.hosts.values())


def test_one_dhcp_server_falls_silent_and_answers_again(lab: Lab) -> None:
    lab.set("dhcp-silent", "host=machine")
    assert [name for name, host in lab.hosts.items() if host.state == "T"] == ["machine"]
    lab.heal("dhcp-silent")
    assert all(host.state == "S" for host in lab.hosts.values())


def test_a_dhcp_server_that_gets_no_processor_stops_and_goes_on_later(lab: Lab) -> None:
    lab.hosts["machine"].busy = 2
    lab.set("dhcp-silent", "host=machine")
    assert lab.hosts["machine"].state == "T"
    lab.hosts["machine"].busy = 2
    lab.heal("dhcp-silent")
    assert lab.hosts["machine"].state == "S"


def test_a_dhcp_server_that_takes_the_signal_too_late_is_not_left_stopped(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting.comes_true, "__defaults__", (0.0,))
    lab.hosts["machine"].busy = 3
    with pytest.raises(FaultError, match="wanted the DHCP server of machine stopped"):
        lab.set("dhcp-silent", "host=machine")
    assert lab.hosts["machine"].signalled == "-CONT"


def test_a_dhcp_server_that_does_not_stop_or_go_on_is_said(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting.comes_true, "__defaults__", (0.0,))
    machine = lab.hosts["machine"]
    machine.deaf = True
    with pytest.raises(FaultError, match="wanted the DHCP server of machine stopped: process 77 goes on"):
        lab.set("dhcp-silent", "host=machine")
    assert lab.active.entries() == []
    machine.deaf = False
    lab.set("dhcp-silent", "host=machine")
    machine.deaf = True
    with pytest.raises(FaultError, match="wanted the DHCP server of machine to go on: process 77 is stopped"):
        lab.heal()
    assert len(lab.active.entries()) == 1


def test_no_other_process_is_taken_for_the_dhcp_server(lab: Lab) -> None:
    lab.hosts["machine"].command = "sleep\0007\0"
    with pytest.raises(
        FaultError, match=r"wanted the DHCP server of machine: /run/machine\.pid says '77', which is none"
    ):
        lab.set("dhcp-silent", "host=machine")
    assert lab.hosts["machine"].state == "S"


def test_a_node_drops_what_arrives_over_one_bridge(lab: Lab) -> None:
    lab.set("bridge-filtered", "node=worker-2", "bridge=br1")
    assert lab.nodes["worker-2"].rules == {"br1": 'iifname "br1" drop'}
    assert lab.nodes["worker-1"].rules == {}
    lab.heal("bridge-filtered")
    assert lab.nodes["worker-2"].rules == {}


def test_a_rule_that_is_not_there_is_no_fault(lab: Lab) -> None:
    lab.nodes["worker-1"].mute = True
    with pytest.raises(FaultError, match="wanted the rule `iifname \"br1\" drop` on worker-1: it says ''"):
        lab.set("bridge-filtered", "node=worker-1", "bridge=br1")


def test_several_are_set_at_once_and_none_when_one_of_them_makes_no_sense(lab: Lab) -> None:
    async def act(*words: str) -> list[dict[str, Any]]:
        return [entry async for entry in lab.active.set_all(lab.site, several(words))]

    first = ["gateway-down", "vlan=2024", "+", "member-down", "node=worker-2", "nic=ens3"]
    with pytest.raises(UsageError, match="'frob'"):
        asyncio.run(act(*first, "+", "frob"))
    assert lab.active.entries() == []
    assert [entry["name"] for entry in asyncio.run(act(*first))] == ["gateway-down", "member-down"]
    with pytest.raises(FaultError, match="a bridge mapping of 'x'"):
        asyncio.run(act("bridge-mapping-missing", "node=worker-1", "localnet=x", "+", "gateway-down", "vlan=1993"))
    assert {entry["arguments"].get("vlan") for entry in lab.active.entries()} == {"2024", "1993", None}


def test_a_fault_that_is_set_is_left_as_it_is(lab: Lab) -> None:
    assert "already" not in lab.set("gateway-down", "vlan=2024")
    assert lab.set("gateway-down", "vlan=2024")["already"] is True
    assert len(lab.active.entries()) == 1


def test_healing_nothing_is_fine_and_healing_what_is_not_set_is_not(lab: Lab) -> None:
    assert lab.heal() == []
    with pytest.raises(FaultError) as raised:
        lab.heal("gateway-down", "vlan=2024")
    assert str(raised.value) == ("wanted the fault gateway-down vlan=2024: it is not set\n  try: virtlab fault list")
    assert raised.value.exit_code == 1


def test_a_fault_that_changed_nothing_is_no_fault(lab: Lab) -> None:
    lab.switch.deaf = True
    with pytest.raises(FaultError, match=r"wanted VLAN 2024 off the trunk w1\.lag0: the switch still allows it"):
        lab.set("vlan-missing", "node=worker-1", "vlan=2024")
    assert lab.active.entries() == []


def test_a_node_without_trunks_cannot_lose_a_vlan(lab: Lab) -> None:
    lab.switch.trunks = {"w2.lag1": []}
    with pytest.raises(FaultError, match="wanted the trunks of worker-1 on the switch: it has none of that node"):
        lab.set("vlan-missing", "node=worker-1", "vlan=2024")


def test_a_cut_cable_takes_the_carrier_of_one_nic(lab: Lab) -> None:
    lab.set("member-down", "node=worker-2", "nic=enp8s0f0")
    assert [port for port, up in lab.switch.up.items() if not up] == ["w2.enp8s0f0"]
    lab.heal("member-down")
    assert all(lab.switch.up.values())


def test_a_cable_that_was_not_cut_is_no_fault(lab: Lab) -> None:
    lab.switch.deaf = True
    with pytest.raises(FaultError, match=r"wanted ens3 of worker-1 without carrier: its flags .*'LOWER_UP'"):
        lab.set("member-down", "node=worker-1", "nic=ens3")


def test_a_bug_is_in_every_zones_controller_until_it_is_healed(lab: Lab) -> None:
    lab.set("ovnk-bug", "bug=OCPBUGS-27215")
    assert [node.says for node in lab.nodes.values()] == ['external_ids:ovnkube-bugs="OCPBUGS-27215"'] * 2
    lab.heal("ovnk-bug")
    assert [node.says for node in lab.nodes.values()] == ['external_ids:ovnkube-bugs=""'] * 2


def test_a_controller_that_does_not_start_with_the_bug_is_said(lab: Lab) -> None:
    lab.nodes["worker-2"].mute = True
    with pytest.raises(FaultError) as raised:
        lab.set("ovnk-bug", "bug=OCPBUGS-27215")
    text = str(raised.value)
    assert "wanted the zone controller of worker-2 to start with OCPBUGS-27215: nothing of it in 25 s" in text
    assert "try: virtlab node exec worker-2 -- ovn-nbctl get NB_Global . external_ids" in text
    assert lab.nodes["worker-1"].says == 'external_ids:ovnkube-bugs=""'
    assert lab.active.entries() == []


def test_a_bug_that_is_unknown(lab: Lab) -> None:
    with pytest.raises(UsageError) as raised:
        lab.set("ovnk-bug", "bug=OCPBUGS-1")
    assert str(raised.value) == "wanted a bug of OVN-Kubernetes of this lab: 'OCPBUGS-1'\n  try: one of OCPBUGS-27215"


def test_a_cable_that_stays_cut_is_not_healed(lab: Lab) -> None:
    lab.set("member-down", "node=worker-1", "nic=ens3")
    lab.switch.deaf = True
    with pytest.raises(FaultError, match=r"wanted the switch's port w1\.ens3 up: its flags are \['BROADCAST'\]"):
        lab.heal("member-down")


def test_a_suspended_port_leaves_its_aggregate_and_comes_back_with_its_key(lab: Lab) -> None:
    lab.set("lacp-off", "node=worker-1", "nic=enp6s0f0")
    assert lab.switch.lag0 == {"w1.enp6s0f1": "1", "w1.enp6s0f0.off": "type=internal"}
    assert lab.switch.up["w1.enp6s0f0"]
    lab.heal("lacp-off")
    assert lab.switch.lag0 == {"w1.enp6s0f1": "1", "w1.enp6s0f0": "other_config:lacp-aggregation-key=1"}


def test_a_port_that_stays_in_its_aggregate_was_not_suspended(lab: Lab) -> None:
    lab.switch.deaf = True
    with pytest.raises(FaultError, match=r"wanted w1\.enp6s0f0 out of w1\.lag0: the switch still has it there"):
        lab.set("lacp-off", "node=worker-1", "nic=enp6s0f0")


def test_a_suspended_port_has_its_light_on(lab: Lab) -> None:
    lab.switch.up["w1.enp6s0f0"] = False
    with pytest.raises(FaultError, match=r"wanted enp6s0f0 of worker-1 with its light on: its flags are \['UP'\]"):
        lab.set("lacp-off", "node=worker-1", "nic=enp6s0f0")


def test_a_port_that_does_not_come_back_is_not_healed(lab: Lab) -> None:
    lab.set("lacp-off", "node=worker-1", "nic=enp6s0f0")
    lab.switch.deaf = True
    with pytest.raises(FaultError, match=r"wanted w1\.enp6s0f0 back in w1\.lag0: the switch has it not"):
        lab.heal("lacp-off")


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (["frob"], 2, ["a fault of the catalogue: 'frob'", "one of vlan-missing, bridge-mapping-missing"]),
        (["vlan-missing"], 2, ["missing: node, vlan", "try: virtlab fault set vlan-missing node=... vlan=..."]),
        (["vlan-missing", "worker-1", "2024"], 2, ["missing: node, vlan; unknown: worker-1, 2024"]),
        (["vlan-missing", "node=worker-1", "vlan=2024", "x=1"], 2, ["unknown: x"]),
        (["vlan-missing", "node=worker-9", "vlan=2024"], 2, ["a worker of this lab: 'worker-9'", "worker-1, worker-2"]),
        (["vlan-missing", "node=worker-1", "vlan=5000"], 2, ["a VLAN id from 1 to 4094: '5000'", "try: vlan=2024"]),
        (["vlan-missing", "node=worker-1", "vlan=abc"], 2, ["a VLAN id from 1 to 4094: 'abc'"]),
        (["vlan-missing", "node=worker-1", "vlan=²"], 2, ["a VLAN id from 1 to 4094: '²'"]),
        (["dhcp-silent"], 2, ["missing: host", "try: virtlab fault set dhcp-silent host=..."]),
        (["dhcp-silent", "host=../x"], 2, ["an outside host of this lab: '../x'", "one of outside, machine, gateway-"]),
        (["bridge-filtered", "node=worker-1", 'bridge=br1" accept'], 2, ["the name of a bridge", "try: bridge=br1"]),
        (["gateway-down", "vlan=7"], 2, ["'gateway-7'", "try: one of gateway-2024, gateway-1993"]),
        (["member-down", "node=worker-1", "nic=x"], 2, ["a NIC of worker-1 of this lab: 'x'", "ens3, enp6s0f0"]),
        (["lacp-off", "node=worker-1", "nic=enp8s0f0"], 2, ["in an LACP aggregate: 'enp8s0f0'", "one of enp6s0f0"]),
        (
            ["bridge-mapping-missing", "node=worker-1", "localnet=../x"],
            1,
            ["a bridge mapping of '../x' on worker-1", "it has physnet:br-ex, vlan-2024", "apply the policy first"],
        ),
    ],
)
def test_what_cannot_be_set_is_said_and_leaves_nothing(lab: Lab, words: list[str], code: int, parts: list[str]) -> None:
    with pytest.raises(LabError) as raised:
        lab.set(*words)
    assert raised.value.exit_code == code
    assert not [part for part in parts if part not in str(raised.value)], str(raised.value)
    assert lab.active.entries() == []
    assert all(lab.switch.carries(port) == EVERY for port in lab.switch.trunks)


def test_every_fault_has_a_name_a_layer_and_parameters_with_meanings() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert fault.layer in {"fabric", "node", "kubevirt", "guest", "api", "ovn", "access"}
        assert fault.summary
        assert all(fault.parameters.values())
        assert find(fault.name) is fault
        assert parse(fault, [f"{key}=x" for key in fault.parameters]) == dict.fromkeys(fault.parameters, "x")


def test_the_unknown_fault_is_wrong_use() -> None:
    with pytest.raises(UsageError):
        find("")


def test_loss_lasts_for_its_time_and_is_over_when_it_is_set(lab: Lab) -> None:
    host = lab.hosts["gateway-2024"]
    assert lab.set("loss", "vlan=2024", "ms=100")["saved"] == {"dropped": 12}
    assert host.cuts == [0.1]
    lab.heal("loss")
    host.lost = True
    lab.set("loss", "vlan=1993", "ms=20000")
    with pytest.raises(FaultError, match="wanted the loss to be over"):
        lab.set("loss", "vlan=2024", "ms=1")


def test_loss_that_a_killed_run_left_is_taken_away_and_one_that_stays_is_said(lab: Lab) -> None:
    host = lab.hosts["gateway-2024"]
    lab.set("loss", "vlan=2024", "ms=100")
    host.lost = True
    lab.heal("loss")
    assert not host.lost
    lab.set("loss", "vlan=2024", "ms=100")
    host.lost = host.deaf = True
    with pytest.raises(FaultError, match="heal it again"):
        lab.heal("loss")


def test_loss_without_a_cut_is_no_loss_and_its_time_must_be_one(lab: Lab) -> None:
    lab.hosts["gateway-2024"].tc = "Error: Specified qdisc kind is unknown.\n"
    with pytest.raises(FaultError, match=r"wanted loss for 0\.1 s: tc says 'Error"):
        lab.set("loss", "vlan=2024", "ms=100")
    for wrong in ("0", "20001", "-1", "1.5", "x"):
        with pytest.raises(UsageError, match="wanted milliseconds from 1 to 20000"):
            lab.set("loss", "vlan=2024", f"ms={wrong}")
