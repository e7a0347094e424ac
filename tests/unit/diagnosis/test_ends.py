"""What both ends of a silent path say, and which cause follows; each read from the tools' own words."""

from __future__ import annotations

import pytest

from lab.diagnosis.cause import Said, Scope, WorkerView, cause
from lab.diagnosis.ends import MARK, End, of_guest, of_route, read_end, refined
from lab.probes.observation import Outcome
from lab.probes.ping import PingObservation
from lab.target.segments import Segment
from lab.topology.scene import Check, GuestVm

VLAN = Segment("VLAN 2024", "192.168.24.1", "192.168.24.0/24", ("192.168.24.20", "192.168.24.99"), "gateway-2024", 2024)
MAC, GATEWAY, WRONG = "02:00:00:20:24:10", "8e:9d:a0:c3:02:0c", "02:00:00:00:de:ad"
SEEN = PingObservation("ping", "vm-a", "192.168.24.1", Outcome.NOT_REACHED, "no answer", None)
VM = GuestVm("vm-a", "demo", VLAN, MAC, ("192.168.24.20",), ["worker-2"])
CHECK = Check(VM, "gateway 192.168.24.1", VLAN, ("worker-2",), SEEN)
IN_VM = Said("the fault is in the VM or its port", "worker-2", "vm")


def guest(
    flags: str = "BROADCAST,MULTICAST,UP,LOWER_UP",
    address: str = "192.168.24.20/24",
    neighbour: str = "",
    route: str = "",
) -> End | None:
    inet = f"2: enp1s0    inet {address} scope global enp1s0\\       valid_lft forever\n" if address else ""
    return read_end(
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue \\    link/loopback 00:00:00:00:00:00 brd 00\n"
        f"2: enp1s0: <{flags}> mtu 1500 qdisc pfifo_fast qlen 1000\\    link/ether {MAC} brd ff:ff:ff:ff:ff:ff\n"
        f"{MARK}\n1: lo    inet 127.0.0.1/8 scope host lo\n{inet}{MARK}\n{neighbour}{MARK}\n{route}"
    )


def gateway(neighbour: str = "", flags: str = "BROADCAST,MULTICAST,UP,LOWER_UP") -> End | None:
    return read_end(
        f"2: eth0@if31: <{flags}> mtu 1500 state UP \\    link/ether {GATEWAY} brd ff:ff:ff:ff:ff:ff link-netns tor\n"
        f"{MARK}\n2: eth0    inet 192.168.24.1/24 scope global eth0\n{MARK}\n{neighbour}{MARK}\n"
    )


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (guest(flags="BROADCAST,MULTICAST"), "in the guest vm-a its NIC enp1s0 is down"),
        (guest(flags="NO-CARRIER,BROADCAST,UP"), "has no carrier: the port on worker-2 is unplugged"),
        (guest(address=""), "its NIC enp1s0 has no IPv4 address (it was given 192.168.24.20)"),
        (guest(address="192.168.24.20"), "has 192.168.24.20, so that 192.168.24.0/24 is not its network"),
        (guest(address="192.168.24.20/32"), "has 192.168.24.20/32, so that 192.168.24.0/24 is not its network"),
        (guest(address="10.66.0.103/24"), "has 10.66.0.103/24, which is not of 192.168.24.0/24 (VLAN 2024)"),
    ],
)
def test_a_guest_that_is_wrong_itself_is_named(seen: End | None, words: str) -> None:
    said = of_guest(VM, VLAN, seen)
    assert said is not None
    assert words in said
    assert (said.node, said.part) == ("worker-2", "vm")


@pytest.mark.parametrize("seen", [guest(), None, read_end("what?"), End()])
def test_a_guest_that_is_well_or_says_nothing_is_not_blamed(seen: End | None) -> None:
    assert of_guest(VM, VLAN, seen) is None


def test_a_guest_without_a_lease_is_not_the_cause_of_it() -> None:
    assert of_guest(VM, VLAN, guest(address=""), unleased=True) is None
    said = of_guest(VM, VLAN, guest(address="10.66.0.103/24"), unleased=True)
    assert said is not None
    assert "has 10.66.0.103/24, which is not of 192.168.24.0/24" in said


ROUTE = "default via 169.254.1.9 dev enp1s0 onlink\n192.168.24.0/24 dev enp1s0 scope link\n"
NOBODY = "169.254.1.9 dev enp1s0 FAILED\n"
SOMEBODY = "169.254.1.9 dev enp1s0 lladdr 0a:58:a9:fe:01:01 REACHABLE\n"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (guest(neighbour=NOBODY, route=ROUTE), "the default route leads to 169.254.1.9, where nobody answers ARP"),
        (guest(route=""), "there is no default route, and 10.128.2.4 is in no network of it"),
    ],
)
def test_a_guest_whose_way_out_leads_nowhere_is_named(seen: End | None, words: str) -> None:
    said = of_route(VM, seen, "10.128.2.4")
    assert said is not None
    assert f"in the guest vm-a {words}" == said
    assert (said.node, said.part) == ("worker-2", "vm")


@pytest.mark.parametrize("seen", [guest(neighbour=SOMEBODY, route=ROUTE), guest(route=ROUTE), None])
def test_a_way_out_that_leads_somewhere_or_is_not_known_is_not_blamed(seen: End | None) -> None:
    assert of_route(VM, seen, "10.128.2.4") is None


def test_what_is_in_the_guests_own_network_needs_no_route() -> None:
    assert of_route(VM, guest(neighbour=NOBODY, route=ROUTE), "192.168.24.1") is None


def test_a_wrong_answer_by_arp_is_told_with_both_addresses() -> None:
    seen = guest(neighbour=f"192.168.24.1 dev enp1s0 lladdr {WRONG} ref 1 used 0/0/0 probes 1 REACHABLE\n")
    found = refined(CHECK, IN_VM, seen, gateway())
    assert found == (
        f"ARP told vm-a that 192.168.24.1 on VLAN 2024 is at {WRONG}, but the gateway has {GATEWAY}: "
        "somebody else answers for it"
    )


def test_an_answer_that_is_lost_on_the_way_back_blames_the_switch_before_the_vms_worker() -> None:
    lost = guest(neighbour="192.168.24.1 dev enp1s0  used 0/0/0 probes 6 FAILED\n")
    found = refined(CHECK, IN_VM, lost, gateway(f"192.168.24.20 dev eth0 lladdr {MAC} STALE\n"))
    assert f"the switch does not send frames for {MAC} on VLAN 2024 to worker-2" in found
    assert getattr(found, "part", "") == "cable"


def test_requests_that_do_not_arrive_while_the_network_passes_are_broadcasts_that_are_not_flooded() -> None:
    lost = guest(neighbour="192.168.24.1 dev enp1s0  FAILED\n")
    assert "the switch does not flood broadcasts to it" in refined(CHECK, IN_VM, lost, gateway())


@pytest.mark.parametrize(
    ("found", "ours", "theirs"),
    [
        (Said("it has no mapping", "worker-2", "mapping"), guest(), gateway()),
        (IN_VM, guest(neighbour=f"192.168.24.1 dev enp1s0 lladdr {GATEWAY} REACHABLE\n"), gateway()),
        (IN_VM, guest(), gateway(flags="BROADCAST,MULTICAST")),
        (IN_VM, None, gateway()),
        (IN_VM, guest(), None),
        (Said("no resident reaches anybody", "", "network"), guest(), gateway()),
    ],
)
def test_what_the_ends_cannot_tell_better_stays(found: str, ours: End | None, theirs: End | None) -> None:
    assert refined(CHECK, found, ours, theirs) == found


def test_another_bridge_than_the_policys_is_named_with_both() -> None:
    scope = Scope("VLAN 2024", "vlan-2024", "192.168.24.1", ("worker-2",))
    found = cause(scope, [WorkerView("worker-2", False, bridge="br-ex", wanted="ovs-br1", patch=True)])
    assert found == (
        "worker-2 has vlan-2024 (VLAN 2024) mapped to br-ex in its Open vSwitch, and the policy says ovs-br1: the "
        "network leaves the node by the wrong NIC"
    )


def test_what_was_counted_is_told_with_the_place_where_packets_are_lost() -> None:
    scope = Scope("VLAN 2024", "vlan-2024", "192.168.24.1", ("worker-2",))
    views = [
        WorkerView("worker-1", True),
        WorkerView("worker-2", False, counted="enp7s0f0 sent 9 and received 0 packets"),
    ]
    assert cause(scope, views).endswith(
        "VLAN 2024 does not pass between worker-2 and the switch (meanwhile enp7s0f0 sent 9 and received 0 packets)"
    )
