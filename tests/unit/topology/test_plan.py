"""What a plan says of a scenario: by the manifests that its sentences name, and the NICs that the target puts in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lab.nmstate.state import Interface, NodeState
from lab.target.inventory import load
from lab.topology.plan import changes
from steps.plan import Known, nics

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "features" / "localnet" / "manifests"
TARGET = load(ROOT / "targets" / "embedded.yaml")


def test_policies_and_vms_that_are_named_are_told_with_the_targets_nics() -> None:
    found = changes(MANIFESTS, ["the documented policy ovs-br1-vlan-trunk", "a VM vm-a on VLAN 2024"], TARGET)
    assert found.vms == ("vm-a",)
    (policy,) = found.policies
    assert policy.startswith("ovs-br1-vlan-trunk: bond bond2 of enp7s0f0, enp7s0f1; ovs-bridge ovs-br1; localnet")
    assert found.vital == ()
    assert found.lines()[1] == "VMs vm-a, attachments vlan-2024 in a namespace of their own"


def test_a_name_inside_of_a_longer_one_does_not_count() -> None:
    assert changes(MANIFESTS, ["the documented policy ovs-br1-vlan-trunk-of-old", "a VM vm-ab"], TARGET).lines() == []


def test_the_nodes_own_network_is_named(tmp_path: Path) -> None:
    link = {"name": "br1", "type": "linux-bridge", "state": "up", "bridge": {"port": [{"name": "eth9"}]}}
    policy = {"kind": "NodeNetworkConfigurationPolicy", "metadata": {"name": "br1"}}
    policy["spec"] = {"desiredState": {"interfaces": [link]}}  # type: ignore[assignment]
    (tmp_path / "nncp-br1.yaml").write_text(yaml.safe_dump(policy))
    found = changes(tmp_path, ["the documented policy br1"], TARGET)
    assert found.vital == ("ens3",)
    assert "touches the nodes' own network: ens3" in found.lines()


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_manifest_that_cannot_be_read_is_left_to_the_scenario(tmp_path: Path, text: str) -> None:
    (tmp_path / "nncp-x.yaml").write_text(text)
    assert changes(tmp_path, ["the policy x"], TARGET).policies == ()


def test_sentences_that_mean_another_manifest_are_understood() -> None:
    bonding = ROOT / "features" / "bonding" / "manifests"
    said = ["the policy bonding-policy is applied with fast LACP", "VLAN 1993 is carried over bond3 on every worker"]
    found = changes(bonding, said, TARGET)
    assert [text.partition(":")[0] for text in found.policies] == ["bonding-policy", "vlan-1993-over-bond3"]
    assert found.nics == ("enp6s0f0", "enp6s0f1", "enp8s0f0", "enp8s0f1")
    without = changes(MANIFESTS, ["the policy ovs-br1-vlan-trunk is applied without its bond"], TARGET)
    assert "bond bond2" not in without.policies[0]


def test_objects_are_told_by_kind_and_migrations_are_counted() -> None:
    found = changes(
        MANIFESTS,
        ["the documented policy ovs-br1-vlan-trunk", "a VM vm-a on VLAN 2024", "vm-a migrates to another worker"],
        TARGET,
    )
    assert (found.attachments, found.pods, found.migrations) == (("vlan-2024",), ("resident",), 1)
    worker = changes(ROOT / "features" / "linux_bridge" / "manifests", ["the address of every worker"], TARGET)
    assert worker.vms == ()


def test_nics_are_told_as_they_are_on_each_worker() -> None:
    seen = Interface("enp7s0f0", "ethernet", "up", controller="bond9")
    free = Interface("enp7s0f0", "ethernet", "up")
    own = Interface("ens3", "ethernet", "up")
    states = (
        NodeState("w1", {("enp7s0f0", "ethernet"): free, ("ens3", "ethernet"): own}),
        NodeState("w2", {("enp7s0f0", "ethernet"): seen}),
    )
    assert nics(Known("", None, states), ["enp7s0f0", "ens3"], TARGET) == [
        "enp7s0f0: free on w1; part of bond9 on w2",
        "ens3: the node's own on w1; not there on w2",
    ]
    assert nics(Known(""), ["enp7s0f0"], TARGET) == ["enp7s0f0: not known"]
