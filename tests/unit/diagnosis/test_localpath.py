"""From recorded readings to the station that loses the frames; and each tool's real output, read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.diagnosis.guestside import by_tcp, read_asked, tap_and_cable
from lab.diagnosis.localpath import Far, Readings, Subject, beside, dropped, stations
from lab.diagnosis.stations import Walk, judged
from lab.ovn.frames import Flow, echo, read_flows, read_look, read_trace, since
from tests.unit.diagnosis.walkworld import ACL, TAP, UNPLUGGED, inner, text, whole

PORT = f"virtlab.vm.on.vlan.2024.reaches.th.b2qt6.vlan.2024_{ACL.namespace}_{ACL.pod}"
GATEWAY_MAC = "52:02:1a:ad:12:be"


def walked(who: Subject, seen: Readings) -> Walk:
    return judged(Walk("VM vm-a", "gateway 192.168.24.1", stations(who, seen)))


def answered(seen: Readings) -> Readings:
    """The same, and the guest heard something while it asked."""
    assert seen.guest is not None
    before, after = seen.guest
    received, sent = after[seen.nic]
    return replace(seen, guest=(before, {**after, seen.nic: (received + 2, sent)}))


def test_an_acl_that_drops_is_named_with_its_stage_and_match() -> None:
    found = walked(ACL, whole("acl", ACL))
    assert found.found == (
        "worker-2: OVN drops frames of vm-a on VLAN 2024 in ls_in_acl (priority 2001: inport == the port of vm-a)"
    )
    assert getattr(found.found, "part", "") == "ovn"
    counts = [(s.there, s.back) for s in found.stations]
    assert counts == [(2, 0), (3, 2), (3, 2), (3, 1), (None, None), (0, None), (0, 0)]
    assert "frames came in over bond2 (enp7s0f0, enp7s0f1); heard: nobody of VLAN 2024" in found.lines()[-2]


def test_the_same_frames_seen_on_the_uplink_would_clear_ovn_of_it() -> None:
    seen = answered(whole("acl", ACL))
    out = Flow("e950758963ec_1", ACL.mac, "ff:ff:ff:ff:ff:ff", 0, 2, "push_vlan(vid=2024,pcp=0),enp7s0f0")
    back = Flow("enp7s0f1", GATEWAY_MAC, ACL.mac, 2024, 2, "pop_vlan,e950758963ec_1")
    assert walked(ACL, replace(seen, flows=(out, back))).lost == -1
    assert walked(ACL, replace(seen, flows=(out,))).beyond


def test_other_vlans_over_the_same_uplink_tell_what_the_switch_does() -> None:
    seen = whole("acl", ACL)
    assert seen.after is not None
    bond = tuple(p for p in seen.after.switch.ports if p.name == "bond2")
    nic = (replace(bond[0], name="enp7s0f0", interfaces=("enp7s0f0",)),)
    assert beside("VLAN 2024", {"VLAN 1993": True}, nic) == (
        "over the same uplink enp7s0f0 VLAN 1993 has answers: the switch's trunk there lacks VLAN 2024"
    )
    assert beside("VLAN 2024", {"VLAN 1993": True}, bond).endswith("lacks VLAN 2024, or one NIC of it is dead")
    assert "VLAN 1993 has no answer either: the switch's ports there are shut" in beside(
        "v", {"VLAN 1993": False}, bond
    )
    assert beside("VLAN 2024", {}, bond) == "", "nobody could be asked"
    path = stations(ACL, replace(seen, beside={"VLAN 1993": True}))
    assert "VLAN 1993 has answers" in path[-1].hint


def test_a_mac_table_alone_proves_no_loss() -> None:
    seen = replace(whole("acl", ACL), flows=None, trace=None)
    assert walked(ACL, seen).lost == -1


def test_a_port_that_lost_its_logical_port_is_named_in_ovns_words() -> None:
    found = walked(UNPLUGGED, whole("unplugged", UNPLUGGED)).found
    assert found.startswith("worker-3: the logical port virtlab.vm.on.vlan.2024.reaches.th.sct37.vlan.2024_virtlab-vm")
    assert "of VM vm-a is bound nowhere: no interface of Open vSwitch there has it as its iface-id" in found


def test_a_tap_that_is_no_port_of_its_bridge_loses_them_before_the_node_has_them() -> None:
    found = walked(TAP, inner("tap", TAP))
    assert found.found == (
        "worker-2: frames of VM vm-a are lost between tap tap387414c1999 and 387414c1999-nic of the pod: "
        "3 came out of the one, none into the other"
    )
    assert getattr(found.found, "part", "") == "tap"


def test_a_bridge_without_mapping_patch_or_uplink_says_so() -> None:
    seen = whole("acl", ACL)
    assert seen.after is not None
    switch = seen.after.switch
    without = replace(switch, mappings={})
    bare = replace(switch, ports=tuple(p for p in switch.ports if "patch" not in p.types))
    lone = replace(switch, ports=tuple(p for p in switch.ports if p.name != "bond2"))
    held = replace(switch, ports=tuple(replace(p, stp="listening") if "patch" in p.types else p for p in switch.ports))
    for changed, words in (
        (without, "has no OVN bridge mapping for vlan-2024"),
        (bare, "OVN has made no patch port between them"),
        (lone, "ovs-br1 has no uplink"),
        (held, "is listening"),
    ):
        path = stations(ACL, replace(seen, after=replace(seen.after, switch=changed)))
        assert any(words in station.wrong for station in path), words


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("acl/trace", "OVN drops frames of vm-a on VLAN 2024 in ls_in_acl (priority 2001: inport == the port of vm-a)"),
        ("disabled/trace", f"the logical port of VM vm-a on VLAN 2024 is disabled, OVN drops what it sends ({PORT})"),
        ("security/trace", f"may send from 02:00:00:00:00:99, and sends from {ACL.mac}"),
        (
            "trace-nowhere",
            "br-int sends frames of vm-a on VLAN 2024 nowhere: the network has no port there to leave by",
        ),
    ],
)
def test_a_trace_that_drops_says_why(case: str, words: str) -> None:
    trace = read_trace(text(case))
    assert trace.dropped
    assert words in dropped(ACL, trace, PORT)


def test_a_trace_that_passes_names_what_it_does() -> None:
    trace = read_trace(text("trace-passes"))
    assert not trace.dropped
    assert (trace.actions, trace.bridge) == ("push_vlan(vid=2024,pcp=0),hash(l4(0)),recirc(0x1)", "ovs-br1")
    with pytest.raises(ValueError, match="wanted the verdict of ofproto/trace, found 'Bad openflow flow"):
        read_trace("Bad openflow flow syntax\novs-appctl: ovs-vswitchd: server returned an error\n")


def test_flows_say_whose_frames_went_where() -> None:
    flows = {(f.port, f.actions): f for f in read_flows(text("flows-passing"))}
    assert flows["c15ab5a1a68d_1", "enp7s0f1"].packets == 7, "the last look counts"
    back = flows["enp7s0f1", "pop_vlan,c15ab5a1a68d_1"]
    assert (back.source, back.target, back.vlan, back.outputs) == (GATEWAY_MAC, ACL.mac, 2024, ("c15ab5a1a68d_1",))
    (lost,) = read_flows(text("flows-back-lost"))
    assert lost.outputs == ("ovs-br1",), "the bridge itself: nobody behind br-int has the address"
    (drop,) = read_flows(text("acl/flows"))
    assert drop.dropped


def test_a_flow_of_an_earlier_check_says_nothing() -> None:
    assert read_flows(text("flows-passing").replace("used:0.", "used:9.")) == ()


def test_a_switch_that_does_not_tell_its_flows_is_an_error_with_its_words() -> None:
    with pytest.raises(ValueError, match="ovs-appctl: cannot connect"):
        read_flows("ovs-appctl: cannot connect to /run/openvswitch/ovs-vswitchd.42.ctl\n")


def test_ports_are_found_by_number_or_by_name() -> None:
    before, after = (read_look("worker-2", text(f"acl/{name}")) for name in ("before", "after"))
    port = ACL.port(after.switch)
    assert port is not None
    assert (port.name, port.numbers, port.mac, port.logical) == ("e950758963ec_1", (12,), ACL.mac, PORT)
    assert [a - b for a, b in zip(after.count(port), before.count(port), strict=True)] == [3, 1]
    named = text("acl/after").replace("  port 12: rx", '  port  "e950758963ec_1": rx')
    assert read_look("worker-2", named).count(port) == after.count(port)


def test_the_peers_node_is_walked_too() -> None:
    seen = replace(answered(whole("acl", ACL)), trace=None, target_mac=TAP.mac)
    looked = seen.after
    assert looked is not None
    uplink = Flow("x", ACL.mac, TAP.mac, 0, 2, "push_vlan(vid=2024,pcp=0),enp7s0f0")
    back = Flow("enp7s0f0", TAP.mac, ACL.mac, 2024, 2, "pop_vlan,x")
    port = next(p for p in looked.switch.ports if p.mac == ACL.mac)
    peer = replace(port, name="peer", mac=TAP.mac)
    there = replace(looked, switch=replace(looked.switch, ports=(*looked.switch.ports, peer)))
    came = Flow("enp7s0f1", ACL.mac, TAP.mac, 2024, 1, "pop_vlan,peer")
    for flows, words in (
        ((), "worker-9: frames of VM vm-a are lost between uplink bond2 (enp7s0f0, enp7s0f1) of ovs-br1 and uplink"),
        ((replace(came, actions="drop"),), "and peer on br-int: 2 came out of the one, none into the other ("),
        ((came,), ""),
    ):
        found = walked(ACL, replace(seen, flows=(uplink, back), far=Far("worker-9", there, flows)))
        assert words in found.found
        assert bool(found.found) is bool(words)


def test_what_the_guest_says_while_it_asks() -> None:
    found = read_asked(text("acl/guest"), ACL.mac, "192.168.24.1")
    assert (found.nic, found.target_mac, found.received) == ("enp1s0", "", 0)
    assert found.counts[1]["enp1s0"][1] - found.counts[0]["enp1s0"][1] == 2
    with pytest.raises(ValueError, match="wanted a NIC 02:00:00:00:00:07 and its counts"):
        read_asked(text("acl/guest"), "02:00:00:00:00:07", "192.168.24.1")


def test_a_tap_is_found_by_its_networks_name() -> None:
    devices = {"lo": (0, 0), "tap0": (0, 0), "eth0-nic": (0, 0)}
    hashed = {"tap37a8eec1ce1": (0, 0), "37a8eec1ce1-nic": (0, 0), "tap0a1b2c3d4e5": (0, 0)}
    assert tap_and_cable(devices | hashed, "default") == ("tap37a8eec1ce1", "37a8eec1ce1-nic")
    assert tap_and_cable(devices | {"tap1": (0, 0), "net1-nic": (0, 0)}, "x") == ("tap1", "net1-nic")
    assert tap_and_cable(devices | hashed, "x") == ("", ""), "two could be meant"
    assert tap_and_cable(devices | hashed, "") == ("tap0", "eth0-nic")


def test_the_frame_that_is_traced_is_the_one_that_is_sent() -> None:
    assert echo(7, (ACL.mac, ACL.address), (GATEWAY_MAC, "192.168.24.1")) == (
        f"in_port=7,icmp,icmp_type=8,dl_src={ACL.mac},dl_dst={GATEWAY_MAC},nw_src=192.168.24.20,nw_dst=192.168.24.1,nw_ttl=64"
    )
    assert by_tcp("192.168.24.1", 22).frame == "tcp,tcp_dst=22"
    assert "in_port=7,tcp,tcp_dst=22,dl_src" in echo(
        7, (ACL.mac, ACL.address), (GATEWAY_MAC, "192.168.24.1"), by_tcp("192.168.24.1", 22).frame
    )
    assert "arp,dl_src=02:00:00:20:24:10,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1" in echo(
        7, (ACL.mac, ""), ("", "192.168.24.1")
    )


def test_flows_of_what_was_sent_before_do_not_count() -> None:
    ping, back = Flow("a", "m1", "m2", 0, 4, "b"), Flow("b", "m2", "m1", 0, 4, "a")
    new = Flow("a", "m1", "m2", 0, 7, "b")
    assert since((ping, back), (new, back)) == (replace(ping, packets=2),)
    assert since((), (ping,)) == (ping,)
    assert since((ping,), (replace(ping, packets=1),)) == (replace(ping, packets=1),)
