"""Judging VMs on Linux bridges: each judgement seen red, with the words that a person reads."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.core.errors import Inconclusive, ProductFailure
from lab.diagnosis import expect
from lab.diagnosis.cause import Scope, cause
from lab.diagnosis.gather import bridged
from lab.kubevirt.fate import Fate
from lab.nmstate.state import NodeState, read_state
from lab.probes.observation import Outcome
from lab.probes.ping import PingObservation, PingStatistics
from lab.target.inventory import Segment
from lab.topology.scene import Check, GuestVm
from lab.topology.site import Site

REASON = "Insufficient bridge.network.kubevirt.io/br1"
GUEST = GuestVm("vm-a", "demo", cast(Segment, None), "02:00:00:52:01:0a", ())


class Place:
    """What the judgements use of a site."""

    def __init__(self, *states: NodeState) -> None:
        self.said: list[str] = []
        self.client = SimpleNamespace(server="https://lab")
        self.policies = SimpleNamespace(node_states=lambda: list(states))

    def say(self, texts: Iterable[str]) -> None:
        self.said += texts


def site(*states: NodeState) -> tuple[Site, Place]:
    place = Place(*states)
    return cast(Site, place), place


def state(node: str, *interfaces: dict[str, Any]) -> NodeState:
    current = {"interfaces": list(interfaces)}
    return read_state({"metadata": {"name": node}, "status": {"currentState": current}})


def br1(*ports: str) -> dict[str, Any]:
    return {"name": "br1", "type": "linux-bridge", "bridge": {"port": [{"name": port} for port in ports]}}


def nic(name: str, type_: str = "ethernet", state_: str = "up") -> dict[str, Any]:
    return {"name": name, "type": type_, "state": state_, "controller": "br1"}


def test_a_vm_waits_for_the_reason_that_was_named() -> None:
    here, place = site()
    expect.waits(here, GUEST, Fate(why=f"0/3 nodes are available: 3 {REASON}."), REASON)
    assert place.said == [f"vm-a: 0/3 nodes are available: 3 {REASON}."]
    with pytest.raises(ProductFailure) as ran:
        expect.waits(here, GUEST, Fate(node="w2"), REASON)
    assert f"VM vm-a to find no worker, since '{REASON}'" in str(ran.value)
    assert "it runs on w2" in str(ran.value)
    with pytest.raises(ProductFailure, match="it waits, but says: 0/3 nodes are available: 3 Too many pods"):
        expect.waits(here, GUEST, Fate(why="0/3 nodes are available: 3 Too many pods."), REASON)


def test_a_refusal_names_what_it_is_about() -> None:
    here, place = site()
    why = "failed to setup vlan tag on interface x (vlan 2024): operation not supported"
    expect.refused(here, GUEST, Fate(why=why), ["vlan", "2024"])
    assert place.said == [f"vm-a: {why}"]
    with pytest.raises(ProductFailure) as error:
        expect.refused(here, GUEST, Fate(why="Link not found"), ["vlan", "2024"])
    assert "a reason that names vlan, 2024 for VM vm-a being without network" in str(error.value)
    assert "Link not found" in str(error.value)


def test_the_absence_of_a_bridge_cannot_be_tried_where_there_is_one() -> None:
    here, _ = site(state("w1"), state("w2", {"name": "br1", "type": "ovs-bridge"}))
    expect.no_bridge(here, "br1")
    here, _ = site(state("w1"), state("w2", br1()))
    with pytest.raises(Inconclusive, match="w2 had one before this feature"):
        expect.no_bridge(here, "br1")


PACKETS = (False, {}, "")


@pytest.mark.parametrize(
    ("interfaces", "said"),
    [
        ((), "br1 on w2 is no uplink: the node has no bridge of that name"),
        ((br1(),), "br1 on w2 is no uplink: the bridge has no port but those of OVN and of pods"),
        (
            (br1("a_1"), nic("a_1", "veth")),
            "br1 on w2 is no uplink: the bridge has no port but those of OVN and of pods",
        ),
        ((br1("ens3", "a_1"), nic("ens3", state_="down"), nic("a_1", "veth")), "ens3 on w2 is no uplink: the ethernet"),
    ],
)
def test_a_bridge_that_leads_nowhere_is_told_before_packets_are_asked(interfaces: Any, said: str) -> None:
    scope = Scope("network machine", "", "192.168.52.254", ("w2",))
    assert cause(scope, [bridged("br1", "w2", PACKETS, state("w2", *interfaces))]).startswith(said)


def test_a_bridge_with_its_uplink_leaves_the_word_to_packets() -> None:
    scope = Scope("network machine", "", "192.168.52.254", ("w2",))
    whole = [br1("ens3", "a_1"), nic("ens3"), nic("a_1", "veth")]
    views = [
        bridged("br1", "w2", PACKETS, state("w2", *whole)),
        bridged("br1", "w3", (True, {}, ""), state("w3", *whole)),
    ]
    assert cause(scope, views) == (
        "the resident pod on w2 has none either, the resident on w3 does: network machine does not pass between w2 and "
        "the switch"
    )


def look(received: int) -> Check:
    outcome = Outcome.REACHED if received else Outcome.NOT_REACHED
    numbers = PingStatistics(5, received, (), (), 0)
    seen = PingObservation("ping", "w1", "192.168.52.254", outcome, f"{received} of 5 answered", None, numbers)
    segment = Segment("network machine", "192.168.52.254", "192.168.52.0/24", ("192.168.52.20", "192.168.52.99"))
    guest = GuestVm("vm-c", "demo", segment, "02:00:00:52:01:0a", (), ["w1"])
    return Check(guest, "gateway 192.168.52.254", segment, ("w1",), seen)


def test_a_vlan_that_tags_nothing_is_told_by_packets() -> None:
    expect.kept_from(look(0), 2024)
    with pytest.raises(ProductFailure) as heard:
        expect.kept_from(look(5), 2024)
    assert "VLAN 2024 of its attachment to keep VM vm-c" in str(heard.value)
    assert "5 of 5 answered: its frames go out untagged" in str(heard.value)
