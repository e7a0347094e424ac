"""A reading of a real node (recorded) turned into its state and nmstate's words for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nmstate_states import NICS

from lab.embedded.node.nmstate.model import Host
from lab.embedded.node.nmstate.readback import build, mappings_of
from lab.embedded.node.nmstate.show import show


@pytest.fixture(scope="module")
def host() -> Host:
    reading = json.loads((Path(__file__).parent / "node-reading.json").read_text())
    return build(reading["links"], reading["routes"], reading["tables"], nics=NICS, dhcp={"br1"})


def by_name(host: Host) -> dict[tuple[str, str], dict[str, Any]]:
    return {(i["name"], i["type"]): i for i in show(host)["interfaces"]}


def test_only_what_belongs_to_the_node_is_shown(host: Host) -> None:
    names = [i["name"] for i in show(host)["interfaces"]]
    assert names == sorted(names)
    assert not {"vethpod", "vethpeer", "ovs-netdev"} & set(names)
    assert set(NICS) <= set(names)


def test_bonds_alone_and_in_a_bridge_are_of_type_bond(host: Host) -> None:
    shown = by_name(host)
    assert shown[("bond1", "bond")]["link-aggregation"] == {"mode": "active-backup", "port": ["enp6s0f0", "enp6s0f1"]}
    inside = shown[("bond2", "bond")]
    assert inside["controller"] == "ovs-br1"
    assert inside["link-aggregation"]["mode"] == "802.3ad"
    assert shown[("enp7s0f0", "ethernet")]["controller"] == "bond2"
    assert ("bond1", "ovs-bridge") not in shown, "the private bridge is no bridge of the node"


def test_port_made_internal_in_silence_is_an_ovs_interface(host: Host) -> None:
    shown = by_name(host)
    assert shown[("bogus", "ovs-interface")]["controller"] == "ovs-br1"
    assert {"name": "bogus", "vlan": {"mode": "access", "tag": 7}} in shown[("ovs-br1", "ovs-bridge")]["bridge"]["port"]


def test_bridges(host: Host) -> None:
    shown = by_name(host)
    assert shown[("ovs-br1", "ovs-bridge")]["bridge"]["options"]["stp"] == {"enabled": True}
    assert shown[("br1", "linux-bridge")]["bridge"]["port"] == [{"name": "ens3"}]
    assert shown[("br1", "linux-bridge")]["ipv4"]["dhcp"] is True
    assert shown[("patch-vlan.2024-to-br-int", "ovs-interface")]["patch"] == {"peer": "patch-br-int-to-vlan.2024"}


def test_mappings_and_routes(host: Host) -> None:
    document = show(host)
    assert document["ovn"] == {"bridge-mappings": [{"localnet": "vlan-2024", "bridge": "ovs-br1"}]}
    assert {"destination": "192.168.53.0/24", "next-hop-interface": "enp1s0", "next-hop-address": "0.0.0.0",
            "metric": 0, "table-id": 254} in document["routes"]["running"]  # fmt: skip
    assert document["routes"]["config"] == []


def test_mappings_are_read_as_ovn_controller_reads_them() -> None:
    assert mappings_of("b:br1,a:br2,,odd") == {"a": "br2", "b": "br1"}
    assert mappings_of("") == {}
