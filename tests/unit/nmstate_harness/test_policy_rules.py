"""Judging enactments, inverting policies, and telling a port that leads nowhere: pure rules of the nmstate room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.core.errors import UsageError
from lab.nmstate import manifest
from lab.nmstate.policy import enactment_state, hopeless, judge
from lab.nmstate.state import missing_nics, read_state, uplink_findings

MANIFESTS = Path(__file__).parents[3] / "features" / "localnet" / "manifests"
NAME = "ovs-br1-vlan-trunk"


def policy(suffix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / f"nncp-{NAME}{suffix}.yaml").read_text())
    return found


def enactment(node: str, generation: int = 2, **conditions: str) -> dict[str, Any]:
    listed = [{"type": t, "status": s, "reason": "R", "message": f"{t} of {node}"} for t, s in conditions.items()]
    return {
        "metadata": {"name": f"{node}.{NAME}"},
        "status": {"policyGeneration": generation, "conditions": listed},
    }


def test_available_everywhere_is_met() -> None:
    seen = judge([enactment("w1", Available="True"), enactment("w2", Available="True")], NAME, 2, ["w1", "w2"])
    assert seen.met
    assert seen.text == "w1 Available, w2 Available"


def test_an_enactment_of_an_older_generation_is_stale_not_available() -> None:
    seen = judge([enactment("w1", 1, Available="True")], NAME, 2, ["w1", "w2"])
    assert not seen.met
    assert seen.text == "w1 stale, w2 none"
    assert not seen.hopeless


def test_failing_while_progressing_is_a_retry_and_not_hopeless() -> None:
    found = enactment("w1", Failing="True", Progressing="True")
    assert enactment_state(found, 2) == "Retrying"
    assert hopeless(found, 2) == ""


def test_failing_and_no_longer_progressing_is_hopeless_with_node_and_message() -> None:
    found = enactment("w1", Failing="True", Progressing="False")
    assert judge([found], NAME, 2, ["w1"]).hopeless == "on w1: R: Failing of w1"
    assert "Aborted" in hopeless(enactment("w1", Aborted="True"), 2)


def test_a_target_gives_the_bond_its_nics_and_the_policy_its_nodes() -> None:
    made = manifest.adapted(policy(), ports={"bond2": ("eno1", "eno2")}, node_selector={"role": "lab"})
    assert made["spec"]["nodeSelector"] == {"role": "lab"}
    assert made["spec"]["desiredState"]["interfaces"][0]["link-aggregation"]["port"] == ["eno1", "eno2"]
    assert policy()["spec"]["desiredState"]["interfaces"][1] == made["spec"]["desiredState"]["interfaces"][1]


BRIDGE_ON_MAIN: dict[str, Any] = {
    "apiVersion": "nmstate.io/v1",
    "kind": "NodeNetworkConfigurationPolicy",
    "metadata": {"name": "br1-policy", "labels": {"virtlab.dev/run": "r1"}},
    "spec": {
        "nodeSelector": {"role": "lab"},
        "desiredState": {
            "interfaces": [
                {
                    "name": "br1",
                    "type": "linux-bridge",
                    "state": "up",
                    "bridge": {"port": [{"name": "ens3", "stp-priority": 7}]},
                }
            ]
        },
    },
}


def test_a_target_gives_a_bridge_its_nic_and_the_port_keeps_its_settings() -> None:
    made = manifest.adapted(BRIDGE_ON_MAIN, ports={"br1": ("eno1",)})
    assert manifest.interfaces(made)[0]["bridge"]["port"] == [{"name": "eno1", "stp-priority": 7}]
    with pytest.raises(UsageError, match=r"wanted: 1 NICs for br1(.|\n)*eno1, eno2(.|\n)*correct nics.bridges.br1"):
        manifest.adapted(BRIDGE_ON_MAIN, ports={"br1": ("eno1", "eno2")})


def test_the_inverse_takes_back_bridge_before_bond_and_every_mapping() -> None:
    state = manifest.inverse(policy())["spec"]["desiredState"]
    assert [(i["name"], i["state"]) for i in state["interfaces"]] == [("ovs-br1", "absent"), ("bond2", "absent")]
    assert state["ovn"]["bridge-mappings"] == [
        {"localnet": "vlan-2024", "state": "absent"},
        {"localnet": "vlan-1993", "state": "absent"},
    ]


def test_the_inverse_of_an_inverse_still_takes_everything_back() -> None:
    once = manifest.inverse(policy())
    names = {i["name"] for i in manifest.inverse(once)["spec"]["desiredState"]["interfaces"]}
    assert names == {"ovs-br1", "bond2"}
    assert manifest.inverse(once)["spec"]["desiredState"]["ovn"] == once["spec"]["desiredState"]["ovn"]


def test_giving_a_phantom_port_up_keeps_the_bridge() -> None:
    changed = manifest.without_ports(policy("-without-bond"), {"bond2": "ovs-interface"})
    interfaces = changed["spec"]["desiredState"]["interfaces"]
    assert interfaces[0] == {"name": "bond2", "type": "ovs-interface", "state": "absent"}
    assert interfaces[1]["bridge"]["port"] == []
    assert interfaces[1]["bridge"]["options"] == {"stp": True}


def nns(*interfaces: dict[str, Any]) -> dict[str, Any]:
    mappings = [{"localnet": "vlan-2024", "bridge": "ovs-br1"}]
    current = {"interfaces": list(interfaces), "ovn": {"bridge-mappings": mappings}}
    return {"metadata": {"name": "worker-2"}, "status": {"currentState": current}}


BRIDGE = {
    "name": "ovs-br1",
    "type": "ovs-bridge",
    "state": "up",
    "bridge": {"port": [{"name": "bond2"}, {"name": "patch-vlan.2024_ovn_localnet_port-to-br-int"}]},
}


def test_an_internal_port_is_no_uplink_and_is_named_with_its_worker() -> None:
    state = read_state(nns(BRIDGE, {"name": "bond2", "type": "ovs-interface", "state": "up"}))
    [found] = uplink_findings(state, "ovs-br1")
    assert str(found).startswith("bond2 on worker-2 is no uplink: ")
    assert state.mappings == {"vlan-2024": "ovs-br1"}


def test_a_bond_with_ports_is_an_uplink_even_beside_an_internal_port_of_its_name() -> None:
    bond = {"name": "bond2", "type": "bond", "state": "up", "link-aggregation": {"port": ["a", "b"]}}
    assert uplink_findings(read_state(nns(BRIDGE, bond)), "ovs-br1") == []
    also = {"name": "bond2", "type": "ovs-interface", "state": "up"}
    assert uplink_findings(read_state(nns(BRIDGE, bond, also)), "ovs-br1") == []


@pytest.mark.parametrize(
    ("interfaces", "why"),
    [
        ([], "the node has no bridge of that name"),
        ([{**BRIDGE, "bridge": {"port": []}}], "no port but those of OVN"),
        ([BRIDGE], "the node has no such interface"),
        ([BRIDGE, {"name": "bond2", "type": "bond", "state": "down"}], "the bond is down"),
        ([BRIDGE, {"name": "bond2", "type": "bond", "state": "up"}], "the bond has no port"),
    ],
)
def test_each_way_to_lead_nowhere_is_told(interfaces: list[dict[str, Any]], why: str) -> None:
    assert why in str(uplink_findings(read_state(nns(*interfaces)), "ovs-br1")[0])


def test_a_node_without_the_nics_of_the_target_is_named_with_what_it_has() -> None:
    nics = [{"name": name, "type": "ethernet", "state": "up"} for name in ("ens3", "enp7s0f0")]
    state = read_state(nns(BRIDGE, *nics))
    assert missing_nics([state], ["enp7s0f0"]) == {}
    assert missing_nics([state], ["enp7s0f0", "enp99s0f1"]) == {"worker-2": (("enp99s0f1",), ("enp7s0f0", "ens3"))}
