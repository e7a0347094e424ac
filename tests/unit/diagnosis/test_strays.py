"""Packets that pass and must not: the NIC by which they do is one that no policy names."""

from __future__ import annotations

from dataclasses import replace

from lab.diagnosis.strays import foreign, judge
from lab.ovn.switch import NodeSwitch, SwitchPort
from lab.probes.observation import Outcome
from lab.probes.ping import PingObservation
from lab.target.segments import Segment
from lab.topology.scene import Check, GuestVm

POLICY = {
    "spec": {
        "desiredState": {
            "interfaces": [{"name": "ovs-br1", "type": "ovs-bridge", "bridge": {"port": [{"name": "bond2"}]}}]
        }
    }
}
OWN = (
    SwitchPort("ovs-br1", "ovs-br1", types=("internal",)),
    SwitchPort("patch-v24-to-br-int", "ovs-br1", types=("patch",)),
    SwitchPort("bond2", "ovs-br1", types=("", "")),
    SwitchPort("enp1s0", "br-ex", types=("",)),
)


def test_a_nic_that_no_policy_names_is_told_with_worker_bridge_and_network() -> None:
    switch = NodeSwitch("w3", ports=(*OWN, SwitchPort("enp8s0f0", "ovs-br1", types=("system",))))
    said = judge(switch, "ovs-br1", "VLAN 2024", [POLICY])
    assert said == "w3 has enp8s0f0 on ovs-br1, which no policy gives it: VLAN 2024 passes there"
    assert (getattr(said, "node", ""), getattr(said, "part", "")) == ("w3", "bridge")


def test_what_policies_and_ovn_put_there_is_nothing_strange() -> None:
    assert judge(NodeSwitch("w3", ports=OWN), "ovs-br1", "VLAN 2024", [POLICY]) == ""


def test_an_answer_under_a_foreign_mac_address_blames_who_should_have_checked_it() -> None:
    segment = Segment("network machine", "192.168.52.254", "192.168.52.0/24", ("192.168.52.20", "192.168.52.99"))
    guest = GuestVm("vm-b", "demo", segment, "02:00:00:52:00:10", (), ["w3"])
    seen = PingObservation("ping", "vm-b", "192.168.52.254", Outcome.REACHED, "5 of 5 answered", None)
    check = Check(guest, "gateway 192.168.52.254", segment, ("w3",), seen)
    assert foreign(check) == ""
    said = foreign(replace(check, guest=replace(guest, worn="02:00:00:66:66:0b")))
    assert (
        said == "on w3 nothing checks what vm-b sends: it was answered under the foreign MAC address 02:00:00:66:66:0b"
    )
