"""Why a host that answers pings does not answer something else: by rules, by the walk, by neighbour discovery."""

from __future__ import annotations

import pytest

from lab.diagnosis.byproto import Other, judge
from lab.diagnosis.cause import Said
from lab.diagnosis.guestside import PINGED, Packets, asking, by_dns, by_ping6, by_tcp, by_udp
from lab.diagnosis.stations import Station, Walk
from lab.probes.packetfilter import Rule
from lab.probes.toolbox import Toolbox

RULE = Rule("inet fw", "in", "tcp dport 22 drop", "drops")
LEFT = (Station("uplink bond2 of ovs-br1", "worker-2", "cable", 3, 0),)
NOTHING, GONE = Walk("", ""), Walk("", "", LEFT, beyond=True)
LOST = Walk("", "", lost=0, found=Said("worker-1: lost between a and b", "worker-1", "cable"))


def other(sent: Packets, node: str = "") -> Other:
    none: object = None
    return Other("outside host gw", none, none, sent, "192.168.24.1", node)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("walk", "rules", "unasked", "said", "place"),
    [
        (NOTHING, (RULE,), False, "TCP to port 22: its packet filter drops it (`tcp dport 22 drop` in chain in of",
         ("", "gateway")),
        (LOST, (), False, "worker-1: lost between a and b", ("worker-1", "cable")),
        (GONE, (), False, "it leaves worker-2 by uplink bond2 of ovs-br1 and nothing comes", ("worker-2", "network")),
        (GONE, (), True, "vm-a gets no answer to neighbour discovery for 192.168.24.1 of outside host gw, which",
         ("worker-2", "network")),
        (NOTHING, (), False, "none of what can be read between them loses it", ("", "gateway")),
    ],
)  # fmt: skip
def test_the_place_is_named(
    walk: Walk, rules: tuple[Rule, ...], unasked: bool, said: str, place: tuple[str, str]
) -> None:
    found = judge("vm-a", other(by_tcp("192.168.24.1", 22)), walk, rules, unasked)
    assert said in found
    assert (getattr(found, "node", "?"), getattr(found, "part", "?")) == place
    if not unasked:
        assert found.startswith("outside host gw answers pings of vm-a and not TCP to port 22")


def test_what_the_guest_sends_on_a_walk_is_what_the_look_sent() -> None:
    assert "nc -w 1 192.168.24.1 22 </dev/null" in asking("192.168.24.1", by_tcp("192.168.24.1", 22))[2]
    assert "ping -c 5 -W 1 -i 0.3 fe80::1%eth0" in asking("fe80::1", by_ping6("fe80::1%eth0"))[2]
    assert "timeout 3 nslookup" in asking("192.168.24.1", by_dns("192.168.24.1"))[2]
    box = Toolbox("guest a", ("sh",), "busybox", "", frozenset({"traceroute"}))
    assert "traceroute -n -q 3 -w 1" in asking("192.168.24.1", by_udp(box, "192.168.24.1"))[2]
    assert "ping -c 5 -W 1 -i 0.3 192.168.24.1" in asking("192.168.24.1")[2]


def test_packets_say_what_they_are() -> None:
    assert [str(p) for p in (PINGED, by_dns("a"), by_ping6("a"), Packets("udp"))] == [
        "a ping", "UDP to port 53", "IPv6", "UDP"
    ]  # fmt: skip
    assert by_ping6("a").frame == ""
