"""What is heard of a guest that moved: frames to everybody, told apart; silence is a failure, nonsense inconclusive."""

from __future__ import annotations

import pytest

from lab.core.errors import Inconclusive, ProductFailure
from lab.diagnosis import probed
from lab.probes.announcements import read_heard
from lab.target.segments import Segment
from lab.topology.scene import GuestVm

MAC = "02:00:00:20:24:10"
VLAN = Segment("VLAN 2024", "192.168.24.1", "192.168.24.0/24", ("192.168.24.20", "192.168.24.99"), "", 2024)
VM = GuestVm("vm-a", "demo", VLAN, MAC, ("192.168.24.20",), ["w1", "w2"])


def test_only_what_switches_learn_from_is_an_announcement() -> None:
    seen = read_heard("up\n100.5 arp\n101.25 rarp\n101.3 rarp\n101.4 gratuitous-arp\n", "gateway-2024", MAC)
    assert [frame.at for frame in seen.announcing] == [101.25, 101.3, 101.4]
    assert str(seen) == f"gateway-2024 heard from {MAC}: 1 arp, 1 gratuitous-arp, 2 rarp"
    probed.announced(seen, VM)


@pytest.mark.parametrize(
    ("text", "said"), [("up\n", "nothing to everybody"), ("up\n100.5 arp\n100.6 86dd\n", "1 86dd, 1 arp")]
)
def test_a_move_that_nobody_announced_is_a_failure(text: str, said: str) -> None:
    with pytest.raises(
        ProductFailure, match=rf"RARP or gratuitous ARP of VM vm-a on w2, to which it moved, on every switch[^$]*{said}"
    ):
        probed.announced(read_heard(text, "gateway-2024", MAC), VM)


def test_a_listener_that_never_listened_heard_nothing_of_worth() -> None:
    for text in ("", "PermissionError: [Errno 1]\n", "101.25 rarp\n"):
        with pytest.raises(Inconclusive, match="what gateway-2024 heard"):
            read_heard(text, "gateway-2024", MAC)
