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


UP = (100.0, 100.2)


def test_only_what_switches_learn_from_is_an_announcement() -> None:
    text = "100.1 up\n100.5 arp\n101.25 rarp\n101.3 rarp\n101.4 gratuitous-arp\n"
    seen = read_heard(text, "gateway-2024", MAC, UP)
    assert [round(frame.at, 6) for frame in seen.announcing] == [101.25, 101.3, 101.4]
    assert str(seen) == f"gateway-2024 heard from {MAC}: 1 arp, 1 gratuitous-arp, 2 rarp"
    probed.announced(seen, VM)


def test_what_was_announced_before_a_move_says_nothing_of_it() -> None:
    """A port that is new is announced at once, and again after one, two, four, eight and sixteen seconds."""
    seen = read_heard("100.1 up\n101.25 rarp\n105.3 arp\n", "gateway-2024", MAC, UP).since_move(102.0)
    with pytest.raises(ProductFailure, match=f"heard from {MAC} since it moved: 1 arp"):
        probed.announced(seen, VM)
    again = read_heard("100.1 up\n101.25 rarp\n105.3 rarp\n", "gateway-2024", MAC, UP).since_move(102.0)
    probed.announced(again, VM)


def test_the_listening_hosts_clock_is_held_against_the_harness() -> None:
    """It is 500 s ahead, as both ends of its log say, the second to 40 ms."""
    text = "600.1 up\n601.25 rarp\n609.02 end\n"
    seen = read_heard(text, "gateway-2024", MAC, UP, (109.0, 109.04))
    assert seen.frames[0].at == pytest.approx(101.25, abs=0.03)


@pytest.mark.parametrize(
    ("text", "said"),
    [("100.1 up\n", "nothing to everybody"), ("100.1 up\n100.5 arp\n100.6 86dd\n100.7 end\n", "1 86dd, 1 arp")],
)
def test_a_move_that_nobody_announced_is_a_failure(text: str, said: str) -> None:
    with pytest.raises(
        ProductFailure, match=rf"RARP or gratuitous ARP of VM vm-a on w2, to which it moved, on every switch[^$]*{said}"
    ):
        probed.announced(read_heard(text, "gateway-2024", MAC, UP, (100.5, 101.0)), VM)


def test_a_listener_that_never_listened_heard_nothing_of_worth() -> None:
    for text in ("", "PermissionError: [Errno 1]\n", "101.25 rarp\n"):
        with pytest.raises(Inconclusive, match="what gateway-2024 heard"):
            read_heard(text, "gateway-2024", MAC, UP)
