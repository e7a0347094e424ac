"""Where on the pod network a packet is lost: each place shown wrong, the first on the way blamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from lab.diagnosis.podpath import End, first_loss, lines
from lab.ovn.zonestate import Tunnel, ZoneState

POD = End("pod pod-worker-1", "10.128.0.3", "worker-1", "pods_pod-worker-1")
VM = End("VM vm-p", "10.128.2.4", "worker-2", "demo_virt-launcher-vm-p-abcde")
OUTSIDE = End("the outside host outside (192.168.53.1)", "192.168.53.1")


def zone(end: End, number: int, other: int, received: int = 0, sent: int = 0) -> ZoneState:
    return ZoneState(
        end.node,
        bound={end.port: True},
        plugged={end.port: f"veth{number}"},
        installed=frozenset({end.port}),
        snat=("10.128.0.0/14", "100.64.0.2"),
        tunnels=(Tunnel(f"ovn-{other}", f"192.168.53.1{other}", received, sent),),
        encaps=(f"192.168.53.1{number}",),
    )


ZONES = {"worker-1": zone(POD, 1, 2), "worker-2": zone(VM, 2, 1)}
PASSED = {"worker-1": zone(POD, 1, 2, 4, 4), "worker-2": zone(VM, 2, 1, 4, 4)}


def lost(source: End, target: End, after: Mapping[str, ZoneState], before: Mapping[str, ZoneState] = ZONES) -> str:
    return first_loss(source, target, before, after)


def test_nobody_is_blamed_where_nothing_is_wrong() -> None:
    assert lost(POD, VM, PASSED) == lost(VM, POD, PASSED) == lost(VM, OUTSIDE, PASSED) == ""
    assert lost(POD, VM, ZONES) == "", "who sent nothing has lost nothing"


@pytest.mark.parametrize(
    ("node", "change", "words"),
    [
        ("worker-1", {"northd": "it is paused"}, "worker-1: ovn-northd of the zone does not work (it is paused)"),
        ("worker-2", {"controller": "not connected"}, "worker-2: ovn-controller does not work (not connected)"),
        (
            "worker-2",
            {"plugged": {}},
            "worker-2: the logical port demo_virt-launcher-vm-p-abcde of VM vm-p is bound no",
        ),
        (
            "worker-2",
            {"bound": {}},
            "demo_virt-launcher-vm-p-abcde of VM vm-p is not in the zone's southbound database",
        ),
        ("worker-1", {"bound": {POD.port: False}}, "pods_pod-worker-1 of pod pod-worker-1 is bound to no chassis"),
        ("worker-1", {"installed": frozenset()}, "pods_pod-worker-1 of pod pod-worker-1 has no flows"),
        ("worker-1", {"tunnels": ()}, "worker-1: br-int has no tunnel to worker-2 (192.168.53.12)"),
    ],
)
def test_the_place_is_named_by_node_and_object(node: str, change: dict[str, object], words: str) -> None:
    after = {**PASSED, node: replace(PASSED[node], **change)}  # type: ignore[arg-type]
    assert words in lost(POD, VM, after)


def test_the_first_place_on_the_way_is_blamed() -> None:
    after = {name: replace(state, northd="it is paused") for name, state in PASSED.items()}
    assert lost(POD, VM, after).startswith("worker-1: ovn-northd")
    assert lost(VM, POD, after).startswith("worker-2: ovn-northd")


def test_a_tunnel_that_lets_nothing_out_is_blamed_in_its_direction() -> None:
    there = {"worker-1": zone(POD, 1, 2, 0, 4), "worker-2": zone(VM, 2, 1, 0, 0)}
    assert lost(POD, VM, there).startswith(
        "worker-1: tunnel ovn-2 to worker-2 (192.168.53.12) loses everything: 4 packets went into it on worker-1, none "
        "came out of ovn-1 on worker-2"
    )
    back = {"worker-1": zone(POD, 1, 2, 0, 4), "worker-2": zone(VM, 2, 1, 4, 4)}
    assert lost(POD, VM, back).startswith("worker-2: tunnel ovn-1 to worker-1 (192.168.53.11) loses everything")


def test_a_gateway_router_that_does_not_translate() -> None:
    after = {**PASSED, "worker-2": replace(PASSED["worker-2"], snat=("100.64.0.3",))}
    assert lost(VM, OUTSIDE, after).startswith(
        "worker-2: gateway router GR_worker-2 has no snat rule for 10.128.2.4 (100.64.0.3): its packets leave with"
    )
    assert lost(VM, POD, after) == "", "inside the cluster nothing is translated"


def test_a_place_that_is_blamed_is_one_that_reports_can_draw() -> None:
    for change, part in (({"plugged": {}}, "ovn"), ({"northd": "it is paused"}, "ovn"), ({"tunnels": ()}, "ovn")):
        found = lost(POD, VM, {**PASSED, "worker-1": replace(PASSED["worker-1"], **change)})  # type: ignore[arg-type]
        assert (getattr(found, "node", ""), getattr(found, "part", "")) == ("worker-1", part)
    there = {"worker-1": zone(POD, 1, 2, 0, 4), "worker-2": zone(VM, 2, 1, 0, 0)}
    assert getattr(lost(POD, VM, there), "part", "") == "cable"


def test_what_each_zone_said_is_told_with_the_tunnels_counts() -> None:
    there = {"worker-1": zone(POD, 1, 2, 0, 4), "worker-2": zone(VM, 2, 1, 0, 0)}
    assert lines(POD, VM, ZONES, there) == [
        "pod pod-worker-1 -> VM vm-p",
        "worker-1: pods_pod-worker-1 is bound, its flows are installed",
        "worker-1: tunnel to worker-2: 4 packets in, 0 out on worker-2",
        "worker-2: demo_virt-launcher-vm-p-abcde is bound, its flows are installed",
        "worker-2: tunnel to worker-1: 0 packets in, 0 out on worker-1",
    ]
    stale = {**there, "worker-2": replace(there["worker-2"], northd="it is paused", plugged={})}
    told = lines(VM, OUTSIDE, ZONES, stale)
    assert "bound nowhere" in told[1]
    assert "ovn-northd" in told[2]
    assert len(told) == 3, "an outside host has no zone"
