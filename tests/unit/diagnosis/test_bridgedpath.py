"""A VM on a Linux bridge: which of its stations is wrong, and why a foreign MAC address passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.diagnosis.bridgedpath import bridged, unchecked
from lab.diagnosis.stations import Station, Walk, judged
from lab.multus.bridgeports import BridgePort, LinuxBridge, read_bridge

OWN, FOREIGN = "02:00:00:00:52:11", "02:00:00:66:66:0b"
READ = read_bridge("br1", (Path(__file__).parents[1] / "multus" / "bridge.txt").read_text())
assert READ is not None
BRIDGE: LinuxBridge = READ
CABLE = Station("net1-nic of the pod", "w1", "tap", 3, 3)


def walked(after: LinuxBridge, mac: str = OWN, nics: tuple[str, ...] = ("ens3",)) -> Walk:
    path = bridged(("vm-b", mac, OWN), "w1", "br1", nics, (BRIDGE, after))
    return judged(Walk("VM vm-b", "gateway", (CABLE, *path)))


def changed(port: str, **change: object) -> LinuxBridge:
    made: BridgePort = replace(BRIDGE.ports[port], **change)  # type: ignore[arg-type]
    return replace(BRIDGE, ports={**BRIDGE.ports, port: made})


PASSED = changed("veth1", rx=9, tx=28)


def test_a_bridge_that_passes_is_not_blamed() -> None:
    assert walked(PASSED).found == ""


@pytest.mark.parametrize(
    ("after", "words", "part"),
    [
        (BRIDGE, "lost between net1-nic of the pod and veth1 on br1: 3 came out of the one, none into", "bridge"),
        (replace(PASSED, heard={}), "br1 has learned 02:00:00:00:52:11 on none of its ports", "bridge"),
        (changed("veth1", state="listening"), "spanning tree on w1 does not forward yet: veth1 of br1", "bridge"),
        (changed("ens3", link=False), "w1: ens3 below br1 has no link", "uplink"),
        (changed("ens3", state="blocking"), "spanning tree on w1 does not forward yet: ens3 of br1", "bridge"),
        (replace(BRIDGE, ports={"veth1": PASSED.ports["veth1"]}), "ens3 is no port of br1", "uplink"),
    ],
)
def test_what_is_wrong_is_named(after: LinuxBridge, words: str, part: str) -> None:
    if after.ports.get("veth1") == BRIDGE.ports["veth1"] and after is not BRIDGE:
        after = replace(after, ports={**after.ports, "veth1": PASSED.ports["veth1"]})
    found = walked(after).found
    assert words in found
    assert getattr(found, "part", "") == part


def test_a_spoof_check_that_stops_a_foreign_address_says_which_it_lets_in() -> None:
    assert walked(PASSED, FOREIGN).found == (
        f"w1: macspoofchk lets only {OWN} in by veth1, and vm-b sends from {FOREIGN}"
    )


def test_a_foreign_address_that_passes_is_explained_by_the_rule_that_is_gone() -> None:
    heard = {**BRIDGE.heard, FOREIGN: ("veth1", 0)}
    assert unchecked("br1", FOREIGN, replace(BRIDGE, heard=heard)) == "", "the rule is there"
    assert unchecked("br1", FOREIGN, replace(BRIDGE, heard=heard, allowed={})) == (
        "its packet filter has no rule of macspoofchk for veth1, veth1 on br1 takes any address in"
    )
    assert "no table bridge nat" in unchecked("br1", FOREIGN, replace(BRIDGE, heard=heard, allowed=None))
    assert unchecked("br1", FOREIGN, BRIDGE) == "", "nobody heard it"
