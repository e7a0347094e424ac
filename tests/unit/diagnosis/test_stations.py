"""The judge of a walk: the first station that loses frames, packets before tables, and what of it outdoes witnesses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.diagnosis.cause import Said
from lab.diagnosis.stations import Station, Walk, judged, nearer

PATH = (
    Station("NIC enp1s0 of the guest", "w1", "vm", 4, 4),
    Station("tap tap0", "w1", "tap", 4, 4),
    Station("veth on br-int", "w1", "ovn", 4, 4),
    Station("OVN", "w1", "ovn"),
    Station("patch port on ovs-br1", "w1", "patch", 1),
    Station("uplink bond2 of ovs-br1", "w1", "cable", 4, 4, hint="nothing at all comes in over bond2"),
)


def walked(*changes: tuple[int, dict[str, object]]) -> Walk:
    path = list(PATH)
    for index, change in changes:
        path[index] = replace(path[index], **change)  # type: ignore[arg-type]
    return judged(Walk("VM vm-a", "gateway 192.168.24.1", tuple(path)))


def none_from(index: int) -> list[tuple[int, dict[str, object]]]:
    return [(i, {"there": 0, "back": 0}) for i in range(index, len(PATH)) if PATH[i].there is not None]


def test_a_path_that_passes_has_no_place_to_blame() -> None:
    found = walked()
    assert (found.lost, found.found, found.beyond) == (-1, "", False)
    assert found.lines()[-1] == "none of these loses them"


@pytest.mark.parametrize(
    ("index", "words", "part"),
    [
        (0, "VM vm-a sent nothing: NIC enp1s0 of the guest counted no frame", "vm"),
        (1, "lost between NIC enp1s0 of the guest and tap tap0: 4 came out of the one, none into the other", "tap"),
        (2, "lost between tap tap0 and veth on br-int: 4 came out", "ovn"),
        (4, "lost between veth on br-int and patch port on ovs-br1", "patch"),
        (5, "lost between patch port on ovs-br1 and uplink bond2 of ovs-br1", "cable"),
    ],
)
def test_the_first_station_without_frames_is_named_with_the_one_before(index: int, words: str, part: str) -> None:
    found = walked(*none_from(index))
    assert words in found.found
    assert found.found.startswith("w1: ")
    assert (getattr(found.found, "node", ""), getattr(found.found, "part", "")) == ("w1", part)
    assert found.lines()[1 + index].startswith("LOST")


def test_a_stations_own_word_counts_until_frames_are_seen_behind_it() -> None:
    wrong = (3, {"wrong": "w1: OVN drops them"})
    assert walked(wrong, *none_from(4)).found == "w1: OVN drops them"
    assert walked(wrong).found == "", "packets are more certain than tables"


def test_frames_lost_on_the_way_back_are_looked_for_from_the_far_end() -> None:
    found = walked((2, {"back": 0}), (1, {"back": 0}), (0, {"back": 0}))
    assert "answers to VM vm-a are lost between uplink bond2 of ovs-br1 and veth on br-int: 4 came" in found.found


def test_without_an_uplinks_count_broadcasts_are_not_taken_for_answers() -> None:
    unread = {"there": None, "back": None}
    assert walked((0, {"back": 0}), (4, unread), (5, unread)).found == ""


def test_nothing_that_comes_back_over_the_uplink_lies_beyond_it() -> None:
    found = walked((5, {"back": 0}))
    assert (found.lost, found.beyond) == (-1, True), "broadcasts of others come back all the same"
    assert found.lines()[-1] == "nothing came back: uplink bond2 of ovs-br1 is the last that can be read"


def test_a_walk_whose_packets_come_back_says_that_the_loss_is_over() -> None:
    over = judged(replace(walked(*none_from(2)), lost=-1, found="", received=5))
    assert over.answered
    assert over.found == "", "counters may be of another moment"
    assert not walked().answered, "broadcasts of others come back all the same"
    assert not Walk("VM vm-a", "gateway", unread=("exec refused",)).answered


def test_what_was_not_read_blames_nobody() -> None:
    blind = {"there": None, "back": None}
    assert walked(*((i, blind) for i in range(6))).lost == -1
    found = walked((1, blind), *none_from(2))
    assert "between NIC enp1s0 of the guest and veth on br-int" in found.found


INSIDE = walked(*none_from(4))
BEYOND = walked((5, {"back": 0}))


@pytest.mark.parametrize("part", ["vm", "cable", "network", "gateway"])
def test_a_loss_inside_the_node_outdoes_what_the_witnesses_say(part: str) -> None:
    assert nearer(Said("the fault is elsewhere", "w1", part), INSIDE) == INSIDE.found


@pytest.mark.parametrize("part", ["mapping", "patch", "bridge", "uplink"])
def test_what_a_worker_says_of_its_own_network_stands(part: str) -> None:
    said = Said("w1 has no OVN bridge mapping", "w1", part)
    assert nearer(said, INSIDE) is said


def test_what_lies_beyond_the_uplink_adds_what_was_heard_there_to_a_cut_cable() -> None:
    said = Said("VLAN 2024 does not pass between w1 and the switch", "w1", "cable")
    found = nearer(said, BEYOND)
    assert found == f"{said}; nothing at all comes in over bond2"
    assert (getattr(found, "node", ""), getattr(found, "part", "")) == ("w1", "cable")
    gateway = Said("the gateway is down", "", "gateway")
    assert nearer(gateway, BEYOND) == gateway


def test_a_vm_whose_frames_leave_its_node_is_not_to_blame_itself() -> None:
    found = nearer(Said("the fault is in the VM or its port", "w1", "vm"), BEYOND)
    assert "frames of VM vm-a leave the node (uplink bond2 of ovs-br1), and nothing comes back for it" in found
    assert getattr(found, "part", "") == "cable"


def test_what_arrives_at_the_peers_node_is_lost_on_the_way_back_to_the_own() -> None:
    path = (*PATH[:-1], replace(PATH[-1], back=0), Station("uplink bond2", "w2", "cable", 4))
    found = nearer(Said("the VM", "w1", "vm"), judged(Walk("VM vm-a", "VM vm-b", path)))
    assert found.startswith("w1: frames of VM vm-a leave the node (uplink bond2 of ovs-br1)")
    assert getattr(found, "node", "") == "w1"


def test_a_walk_that_could_not_be_made_changes_nothing() -> None:
    said = Said("the fault is in the VM or its port", "w1", "vm")
    assert nearer(said, Walk("VM vm-a", "gateway", unread=("exec refused",))) is said
