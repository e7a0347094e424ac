"""Where a node's own address is: each way in which it can be otherwise is told."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lab.nmstate.primary import on_bridge, on_nic

ADDRESS = "192.168.52.11"
LEASED = {"enabled": True, "dhcp": True, "address": [{"ip": ADDRESS, "prefix-length": 24}]}


def nic(**more: Any) -> dict[str, Any]:
    return {
        "name": "ens3",
        "type": "ethernet",
        "state": "up",
        "mac-address": "02:00:00:A8:34:0B",
        "ipv4": LEASED,
    } | more


def plain() -> dict[str, Any]:
    return {"interfaces": [nic()]}


def bridged() -> dict[str, Any]:
    bridge = {"options": {"stp": {"enabled": False}}, "port": [{"name": "ens3"}]}
    br1 = nic(name="br1", type="linux-bridge", bridge=bridge) | {"mac-address": "02:00:00:a8:34:0b"}
    return {"interfaces": [br1, nic(ipv4={"enabled": False}, controller="br1")]}


def test_nothing_is_said_of_what_is_as_wanted() -> None:
    assert on_nic(plain(), ADDRESS, "ens3") == []
    assert on_bridge(bridged(), ADDRESS, "br1", "ens3") == []


def test_one_is_not_the_other() -> None:
    assert on_bridge(plain(), ADDRESS, "br1", "ens3") == ["there is no Linux bridge br1"]
    assert on_nic(bridged(), ADDRESS, "ens3") == [
        "192.168.52.11 is on br1, not on ens3",
        "ens3 does not ask for its address by DHCP",
        "ens3 is a port of br1",
    ]
    assert on_nic({}, ADDRESS, "ens3") == ["there is no NIC ens3"]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ((0, "ipv4", "address"), [], "192.168.52.11 is on no interface, not on br1"),
        ((0, "ipv4", "dhcp"), False, "br1 does not ask for its address by DHCP"),
        ((0, "state"), "down", "br1 is down"),
        ((0, "bridge", "port"), [], "br1 has the ports none"),
        ((0, "bridge", "options", "stp", "enabled"), True, "spanning tree of br1 is True"),
        ((0, "bridge", "options"), {}, "spanning tree of br1 is not told"),
        ((0, "mac-address"), "02:00:00:00:00:01",
         "br1 has the MAC address 02:00:00:00:00:01, ens3 02:00:00:A8:34:0B"),
        ((1, "controller"), "", "ens3 is a port of nothing"),
        ((1, "ipv4"), {"enabled": True, "address": [{"ip": "10.0.0.1"}]}, "ens3 has 10.0.0.1 itself"),
    ],
)  # fmt: skip
def test_each_setting_of_the_bridge_counts(path: tuple[Any, ...], value: Any, told: str) -> None:
    state = copy.deepcopy(bridged())
    place: Any = state["interfaces"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert on_bridge(state, ADDRESS, "br1", "ens3") == [told]


def test_a_bridge_over_a_nic_that_is_not_there() -> None:
    state = bridged()
    del state["interfaces"][1]
    assert on_bridge(state, ADDRESS, "br1", "ens3") == ["there is no NIC ens3"]
