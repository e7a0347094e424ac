"""Two readings of a node's network: what must count as equal, and that any real difference is told with its place."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lab.topology.snapshot import canonical, differences

STATE: dict[str, Any] = {
    "interfaces": [
        {
            "name": "ens3",
            "type": "ethernet",
            "state": "up",
            "ipv4": {
                "enabled": True,
                "address": [{"ip": "192.0.2.11", "prefix-length": 24, "valid-life-time": "9sec"}],
            },
        },
        {
            "name": "ovs-br1",
            "type": "ovs-bridge",
            "bridge": {"port": [{"name": "bond2"}, {"name": "patch-x-to-br-int"}], "options": {"stp": True}},
        },
        {"name": "br-int", "type": "ovs-bridge", "bridge": {"port": [{"name": "a1b2c3"}]}},
        {"name": "a1b2c3", "type": "veth"},
    ],
    "ovn": {"bridge-mappings": [{"localnet": "physnet", "bridge": "br-ex"}]},
}


def changed(state: dict[str, Any]) -> list[str]:
    return differences({"w1": canonical(STATE)}, {"w1": canonical(state)})


def test_order_lease_times_and_cables_of_pods_are_no_difference() -> None:
    other = copy.deepcopy(STATE)
    other["interfaces"].reverse()
    other["interfaces"][3]["ipv4"]["address"][0]["valid-life-time"] = "3600sec"
    other["interfaces"] = [i for i in other["interfaces"] if i["name"] != "a1b2c3"]
    other["interfaces"][0]["bridge"]["port"] = []
    other["interfaces"][1]["bridge"]["port"].pop()
    assert changed(other) == []


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("interfaces", 0, "state"), "down", 'w1: interfaces[ens3 ethernet].state was "up", is "down"'),
        (("interfaces", 1, "bridge", "options", "stp"), False, "options.stp was true, is false"),
        (("ovn", "bridge-mappings"), [], "w1: ovn.bridge-mappings[{"),
    ],
)
def test_a_difference_names_node_path_and_both_values(path: tuple[Any, ...], value: object, told: str) -> None:
    other = copy.deepcopy(STATE)
    place: Any = other
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (line,) = changed(other)
    assert told in line


def test_a_link_that_is_left_and_a_node_that_is_gone_are_told() -> None:
    other = copy.deepcopy(STATE)
    other["interfaces"].append({"name": "bond1", "type": "bond"})
    assert changed(other) == ['w1: interfaces[bond1 bond] was null, is {"name": "bond1", "type": "bond"}']
    assert differences({"w1": canonical(STATE)}, {}) == ["w1: its NodeNetworkState is gone"]
