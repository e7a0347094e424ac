"""What a plan says of a scenario: by the manifests that its sentences name, and the NICs that the target puts in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lab.target.inventory import load
from lab.topology.plan import changes

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "features" / "localnet" / "manifests"
TARGET = load(ROOT / "targets" / "embedded.yaml")


def test_policies_and_vms_that_are_named_are_told_with_the_targets_nics() -> None:
    found = changes(MANIFESTS, ["the documented policy ovs-br1-vlan-trunk", "a VM vm-a on VLAN 2024"], TARGET)
    assert found.vms == ("vm-a",)
    (policy,) = found.policies
    assert policy.startswith("ovs-br1-vlan-trunk: bond bond2 of enp7s0f0, enp7s0f1; ovs-bridge ovs-br1; localnet")
    assert found.vital == ()
    assert found.lines()[1] == "VMs vm-a in a namespace of their own"


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
