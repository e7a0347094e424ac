"""From readings to one sentence: each fault has its own, naming worker and VLAN."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.diagnosis.cause import Said, Scope, WorkerView, cause
from lab.diagnosis.gather import with_bonds
from lab.nmstate.state import Interface, NodeState
from lab.ovn.bonds import Bond, Links, Member

SCOPE = Scope("VLAN 2024", "vlan-2024", "192.168.24.1", ("w2",))


def views(**gateway: bool | None) -> list[WorkerView]:
    return [WorkerView(node, ok, bridge="ovs-br1", patch=True) for node, ok in gateway.items()]


def test_a_vlan_cut_on_one_trunk_names_the_worker_and_who_still_has_it() -> None:
    assert cause(SCOPE, views(w1=True, w2=False, w3=True)) == (
        "the resident pod on w2 has none either, residents on w1, w3 do: "
        "VLAN 2024 does not pass between w2 and the switch"
    )


def test_a_worker_that_reaches_the_others_is_not_cut_off_only_because_they_know_the_gateway_from_before() -> None:
    """ARP alone is broken: who has an entry still has answers."""
    seen = views(w1=True, w2=False, w3=True)
    seen[1] = replace(seen[1], peers={"w1": True, "w3": True})
    found = cause(SCOPE, seen)
    assert found == (
        "the resident pod on w2 has none either, residents on w1, w3 do; yet it reaches those on w1, w3, so that "
        "VLAN 2024 passes w2: only the gateway 192.168.24.1 is cut off from it"
    )
    assert isinstance(found, Said)
    assert found.part == "gateway"
    seen[1] = replace(seen[1], peers={"w1": True, "w3": False})
    assert "does not pass between w2 and the switch" in cause(SCOPE, seen)


def test_a_cut_on_the_peers_worker_is_found_too() -> None:
    scope = Scope("VLAN 2024", "vlan-2024", "192.168.24.1", ("w1", "w2"))
    assert "between w2 and the switch" in cause(scope, views(w1=True, w2=False, w3=True))


def test_a_missing_mapping_is_told_before_packets_are_asked_and_against_nmstates_word() -> None:
    seen = [WorkerView("w2", False, bridge="", reported="ovs-br1"), WorkerView("w1", True, bridge="ovs-br1")]
    found = cause(SCOPE, seen)
    assert "w2 has no OVN bridge mapping for vlan-2024 (VLAN 2024)" in found
    assert "though nmstate still reports ovs-br1" in found


def test_a_gateway_that_is_down_is_told_from_a_dead_vlan() -> None:
    meet = [
        WorkerView(n, False, {m: True for m in ("w1", "w2") if m != n}, "ovs-br1", patch=True) for n in ("w1", "w2")
    ]
    assert "the gateway 192.168.24.1 is down or cut off" in cause(SCOPE, meet)
    dead = [
        WorkerView(n, False, {m: False for m in ("w1", "w2") if m != n}, "ovs-br1", patch=True) for n in ("w1", "w2")
    ]
    assert "VLAN 2024 does not pass between w1, w2 and the switch" in cause(SCOPE, dead)


def test_an_answer_to_the_own_resident_points_at_the_vm() -> None:
    assert "the fault is in the VM or its port" in cause(SCOPE, views(w1=True, w2=True))


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (WorkerView("w2", False, uplink=("bond2 on w2 is no uplink: why",)), "bond2 on w2 is no uplink: why"),
        (WorkerView("w2", False, bridge="ovs-br1", patch=False), "OVN has made no patch port"),
        (WorkerView("w2", False, bridge="ovs-br1", patch=True, dark=("x: listening",)), "spanning tree on w2"),
        (WorkerView("w2", None, trouble="exec refused"), "the cause is unknown (w2: exec refused)"),
    ],
)
def test_what_the_worker_itself_says_comes_first(view: WorkerView, said: str) -> None:
    assert said in cause(SCOPE, [view])


def test_nics_that_a_bond_lost_are_told_beside_what_the_packets_say() -> None:
    seen = [
        WorkerView("w1", True, bridge="ovs-br1", patch=True),
        WorkerView("w2", True, bridge="ovs-br1", patch=True, weak=("bond2 on w2 works without a part of its NICs: x",)),
    ]
    said = cause(SCOPE, seen)
    assert isinstance(said, Said)
    assert (said.node, said.part) == ("w2", "vm")
    assert "the fault is in the VM or its port" in said
    assert said.endswith("; bond2 on w2 works without a part of its NICs: x")


def test_what_is_left_to_blame_is_the_askers() -> None:
    scope = replace(SCOPE, own="its DHCP server is silent")
    assert cause(scope, views(w1=True, w2=True)).endswith("VLAN 2024 passes w2, its DHCP server is silent")


def below(*members: Member, lacp: bool = True) -> WorkerView:
    """A worker whose bridge ovs-br1 has bond2 as its uplink, with these members."""
    state = NodeState(
        "w2",
        {
            ("ovs-br1", "ovs-bridge"): Interface("ovs-br1", "ovs-bridge", ports=("bond2", "patch-x")),
            ("bond2", "bond"): Interface("bond2", "bond", ports=("a", "b")),
        },
    )
    links = Links("w2", (Bond("w2", "bond2-members", lacp, members),))
    return with_bonds(WorkerView("w2", False, bridge="ovs-br1", patch=True), state, links)


def test_a_bond_without_a_nic_that_works_is_no_uplink_and_that_is_the_cause() -> None:
    found = below(Member("a"), Member("b", link=True))
    why = "bond2 on w2 is no uplink: a has no link; b has a link, and LACP has no partner on it"
    assert found.uplink == (why,)
    assert cause(SCOPE, [found]) == why


def test_a_bond_that_works_is_no_finding_and_one_that_lost_a_nic_is_a_hint() -> None:
    good = Member("a", link=True, partner="x")
    assert below(good, Member("b", link=True, partner="x")).weak == ()
    found = below(good, Member("b"))
    assert found.uplink == ()
    assert found.weak == ("bond2 on w2 works without a part of its NICs: b has no link",)


def test_bonds_that_could_not_be_read_say_nothing() -> None:
    view = WorkerView("w2", False, bridge="ovs-br1", patch=True)
    assert with_bonds(view, None, Links("w2")) is view
    assert with_bonds(view, NodeState("w2"), None) is view
