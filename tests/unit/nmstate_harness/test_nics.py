"""What a node's NICs are used for, and which are free, from the reported state alone."""

from __future__ import annotations

from typing import Any

from lab.nmstate.nics import discover


def ethernet(name: str, state: str = "up", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "ethernet", "state": state, "mac-address": "02:00:00:00:00:AA", **more}


NNS: dict[str, Any] = {
    "metadata": {"name": "w1"},
    "status": {
        "currentState": {
            "interfaces": [
                ethernet("ens3", ipv4={"address": [{"ip": "192.0.2.11", "prefix-length": 24}]}),
                ethernet("eno5"),
                ethernet("eno1", controller="bond2"),
                ethernet("eno2"),
                ethernet("eno3", state="down"),
                ethernet("eno4", ipv6={"address": [{"ip": "fe80::1", "prefix-length": 64}]}),
                {"name": "bond2", "type": "bond", "link-aggregation": {"port": ["eno1"]}},
                {"name": "br1", "type": "linux-bridge", "bridge": {"port": [{"name": "eno2"}]}},
                {"name": "eno5.7", "type": "vlan", "vlan": {"base-iface": "eno5", "id": 7}},
            ],
            "routes": {"running": [{"destination": "0.0.0.0/0", "next-hop-interface": "ens3"}]},
        }
    },
}


def test_what_uses_a_nic_is_told_and_a_free_one_has_a_carrier() -> None:
    found = {nic.name: nic for nic in discover(NNS)}
    assert found["ens3"].users == ("address 192.0.2.11", "default route")
    assert found["eno1"].users == ("port of bond bond2",)
    assert found["eno2"].users == ("port of linux-bridge br1",)
    assert found["eno5"].users == ("base of eno5.7",)
    assert not found["eno3"].free
    assert [nic.name for nic in found.values() if nic.free] == ["eno4"]
    assert found["eno4"].mac == "02:00:00:00:00:aa"


def test_a_state_that_says_nothing_has_no_nics() -> None:
    assert discover({"metadata": {"name": "w1"}}) == []


def test_a_node_that_is_a_container_has_veths_for_nics() -> None:
    link = {**ethernet("eth1"), "type": "veth"}
    (found,) = discover({"metadata": {"name": "w1"}, "status": {"currentState": {"interfaces": [link]}}})
    assert (found.name, found.free) == ("eth1", True)
