"""Judging looks of other probes than a ping: an answer of somebody else is none, a wrong neighbour is named."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProductFailure
from lab.core.result import CommandResult
from lab.diagnosis import probed
from lab.diagnosis.byproto import Other
from lab.diagnosis.guestside import PINGED, Packets
from lab.probes.dns import DnsObservation
from lab.probes.observation import Observation, Outcome
from lab.probes.ping import PingObservation
from lab.target.segments import Segment
from lab.topology.probing import Known
from lab.topology.scene import Check, GuestVm
from lab.topology.site import Site

VLAN = Segment("VLAN 2024", "192.168.24.1", "192.168.24.0/24", ("", ""), vlan=2024)
GUEST = GuestVm("vm-a", "demo", VLAN, "02:00:00:20:24:10", ("192.168.24.20",), ["worker-2"])
SITE = cast(Site, SimpleNamespace(residents=SimpleNamespace(networks={})))
LED = "table ip portal {\n chain in {\n  tcp dport 80 redirect to :8503\n  udp dport 53 redirect to :8053\n }\n}\n"


class Host:
    """An outside host with a packet filter."""

    place = "outside host gw"

    def run(self, argv: Sequence[str], *, deadline: Deadline) -> CommandResult:
        return CommandResult(tuple(argv), self.place, 0, LED, "", 0.1)

    def close(self) -> None: ...


def other(sent: Packets = PINGED, address: str = "192.168.24.1") -> Other:
    seen = PingObservation("ping", "vm-a", "192.168.24.1", Outcome.REACHED, "5 of 5 answered", None)
    return Other("outside host gw", Host(), lambda: Check(GUEST, "gw", VLAN, ("worker-2",), seen), sent, address)


def look(outcome: Outcome, detail: str) -> Observation:
    return Observation("http", "guest a", "http://192.168.24.1/", outcome, detail, None)


def test_an_answer_of_the_server_that_was_started_is_one_and_another_is_not() -> None:
    probed.served(SITE, look(Outcome.REACHED, "status 200"), other(Packets("tcp", 80)))
    with pytest.raises(ProductFailure) as failed:
        probed.served(SITE, look(Outcome.REACHED, "status 503"), other(Packets("tcp", 80)))
    assert failed.value.found == (
        "status 503; what vm-a asks outside host gw by TCP to port 80 is answered by somebody else (status 503): its "
        "packet filter leads it away (`tcp dport 80 redirect to :8503` in chain in of table ip portal)"
    )


def test_a_name_that_somebody_else_answers_is_a_failure() -> None:
    def dns(*addresses: str) -> DnsObservation:
        detail = f"NOERROR {' '.join(addresses)}"
        return DnsObservation("dns", "guest a", "n", Outcome.REACHED, detail, None, "NOERROR", addresses)

    probed.named(SITE, dns("192.0.2.1"), other(Packets("udp", 53)))
    with pytest.raises(
        ProductFailure, match=r"by somebody else \(NOERROR 198.51.100.7\): its packet filter leads it away"
    ):
        probed.named(SITE, dns("198.51.100.7"), other(Packets("udp", 53)))


@pytest.mark.parametrize(("address", "by"), [("192.168.24.1", "ARP"), ("fe80::1", "neighbour discovery")])
def test_a_wrong_neighbour_is_named_with_both_addresses(address: str, by: str) -> None:
    right, wrong = "02:00:00:00:00:01", "02:00:00:00:de:ad"

    def known(mac: str) -> Known:
        return Known(Observation("arp", "guest a", address, Outcome.REACHED, f"{mac} REACHABLE", None), right)

    probed.known(SITE, known(right), other(address=address))
    with pytest.raises(
        ProductFailure, match=f"{by} told vm-a that {address} is at {wrong}, but outside host gw has {right}"
    ):
        probed.known(SITE, known(wrong), other(address=address))


def test_what_proves_nothing_stays_inconclusive() -> None:
    none: Any = other()
    with pytest.raises(Inconclusive):
        probed.reached(SITE, look(Outcome.INCONCLUSIVE, "no end of nc"), none)
