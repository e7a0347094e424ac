"""What a policy takes from nodes is remembered with it, and its inverse gives it back."""

from __future__ import annotations

from typing import Any

import pytest

from lab.core.errors import EnvironmentBroken
from lab.nmstate import manifest, restore
from tests.unit.nmstate_harness.test_policy_rules import BRIDGE_ON_MAIN

LEASED = {
    "name": "ens3",
    "type": "ethernet",
    "state": "up",
    "mtu": 1500,
    "mac-address": "02:00:00:00:00:01",
    "ipv4": {"enabled": True, "dhcp": True, "address": [{"ip": "192.168.52.11", "prefix-length": 24}]},
    "ipv6": {"enabled": True, "autoconf": False, "address": [{"ip": "fe80::1", "prefix-length": 64}]},
}


def fixed(address: str) -> dict[str, Any]:
    return LEASED | {"ipv4": {"enabled": True, "dhcp": False, "address": [{"ip": address, "prefix-length": 24}]}}


def given_back(policies: list[dict[str, Any]]) -> list[tuple[str, dict[str, str], Any]]:
    """(name, node selector, ipv4 of ens3) of each inverse."""
    found = []
    for one in policies:
        links = {i["name"]: i for i in manifest.interfaces(one)}
        assert links["br1"]["state"] == "absent"
        found.append((one["metadata"]["name"], one["spec"]["nodeSelector"], links["ens3"]["ipv4"]))
    return found


def test_a_leased_address_is_asked_for_again_and_not_written_down() -> None:
    entries = restore.former(BRIDGE_ON_MAIN, {"w1": {"interfaces": [LEASED]}, "w2": {"interfaces": [LEASED]}})
    assert entries == {
        "*": [
            {
                "name": "ens3",
                "type": "ethernet",
                "state": "up",
                "mtu": 1500,
                "ipv4": {"enabled": True, "dhcp": True},
                "ipv6": {"enabled": True, "autoconf": False},
            }
        ]
    }


def test_nodes_that_were_alike_get_one_inverse() -> None:
    policy = restore.written(BRIDGE_ON_MAIN, restore.former(BRIDGE_ON_MAIN, {"w1": {"interfaces": [LEASED]}}))
    assert given_back(restore.inverses(policy, {})) == [
        ("br1-policy", {"role": "lab"}, {"enabled": True, "dhcp": True})
    ]


def test_nodes_with_addresses_of_their_own_get_an_inverse_each_which_knows_only_its_node() -> None:
    states = {n: {"interfaces": [fixed(f"192.168.52.1{n[-1]}")]} for n in ("w1", "w2")}
    policy = restore.written(BRIDGE_ON_MAIN, restore.former(BRIDGE_ON_MAIN, states))
    inverses = restore.inverses(policy, {"w2": "w2.example"})
    found = given_back(inverses)
    assert [(name, selector) for name, selector, _ in found] == [
        ("br1-policy.w1", {"kubernetes.io/hostname": "w1"}),
        ("br1-policy.w2", {"kubernetes.io/hostname": "w2.example"}),
    ]
    assert [ip["address"] for *_, ip in found] == [
        [{"ip": "192.168.52.11", "prefix-length": 24}],
        [{"ip": "192.168.52.12", "prefix-length": 24}],
    ]
    # Taken back once more, after a run was killed in the middle: the same policy again, under the same name.
    (again,) = restore.inverses(inverses[1], {})
    assert again["metadata"]["name"] == "br1-policy.w2"
    assert again["spec"] == inverses[1]["spec"]


def test_a_link_that_was_there_before_is_not_taken_over() -> None:
    there = {"interfaces": [LEASED, {"name": "br1", "type": "linux-bridge", "state": "up"}]}
    with pytest.raises(EnvironmentBroken, match="no br1 on w1 before the policy br1-policy makes it"):
        restore.former(BRIDGE_ON_MAIN, {"w1": there})


def test_a_policy_in_another_form_keeps_what_its_former_took() -> None:
    first = restore.written(BRIDGE_ON_MAIN, restore.former(BRIDGE_ON_MAIN, {"w1": {"interfaces": [LEASED]}}))
    second = manifest.adapted(BRIDGE_ON_MAIN, ports={"br1": ["eno2"]})
    eno2 = {"name": "eno2", "type": "ethernet", "state": "down"}
    now = {"interfaces": [LEASED | {"ipv4": {"enabled": False}}, {"name": "br1", "type": "linux-bridge"}, eno2]}
    (entries,) = restore.former(second, {"w1": now}, first).values()
    assert [(e["name"], e["state"]) for e in entries] == [("ens3", "up"), ("eno2", "down")]
    assert entries[0]["ipv4"] == {"enabled": True, "dhcp": True}


@pytest.mark.parametrize("node", ["w1", "ip-10-0-131-201.eu-central-1.compute.internal.example.test"])
def test_the_name_of_a_policy_for_one_node_is_a_label_value(node: str) -> None:
    assert len(restore.own_name("x" * 60, node)) <= 63
