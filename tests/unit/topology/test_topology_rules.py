"""Residents, forwarding, the lease: the pure rules of the topology room."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from lab.core.deadline import Deadline
from lab.core.errors import ApiDown, EnvironmentBroken, LabError, UsageError, WaitTimeout
from lab.core.names import ownership
from lab.nmstate import manifest
from lab.ovn.reader import SwitchReader
from lab.ovn.switch import NodeSwitch
from lab.probes.flows import SERVE
from lab.target.inventory import Segment, load
from lab.topology import forwarding, lease, pods
from lab.topology.ground import namespace
from lab.topology.guard import leave_alone
from lab.topology.manifests import Manifests

FOLDER = Path(__file__).parents[3] / "features" / "localnet" / "manifests"
VLAN = Segment("VLAN 2024", "192.168.24.1", "192.168.24.0/24", ("192.168.24.20", "192.168.24.99"), vlan=2024)


def test_residents_take_the_end_of_the_pool() -> None:
    assert [pods.address_for(VLAN, i) for i in range(2)] == ["192.168.24.99/24", "192.168.24.98/24"]


def test_a_resident_is_the_literal_pod_with_its_place() -> None:
    resident = pods.Resident("resident-2024-w1", "ns", "w1", VLAN.name, "192.168.24.99")
    pod = pods.manifest(
        Manifests(FOLDER)["resident"], resident, nad="vlan-2024", hostname="w1.example", prefix=24, image="i", run="r1"
    )
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "w1.example"}
    assert pod["spec"]["containers"][0]["command"][-1] == "192.168.24.99/24"
    assert pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == "vlan-2024"
    assert pod["metadata"]["labels"]["virtlab.dev/run"] == "r1"


def test_residents_that_share_a_worker_differ_in_the_last_bit_of_their_mac_address() -> None:
    template = Manifests(FOLDER.parents[1] / "bonding" / "manifests")["resident"]
    assert (pods.per_worker(template), pods.per_worker(Manifests(FOLDER)["resident"])) == (2, 1)
    macs = []
    for number in (0, 1):
        resident = pods.Resident("resident-2024-w1", "ns", "w1", VLAN.name, "192.168.24.99", number)
        pod = pods.manifest(template, resident, nad="vlan-1993", hostname="w1", prefix=24, image="i", run="r1")
        [network] = json.loads(pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"])
        assert network["name"] == "vlan-1993"
        macs.append(network["mac"])
    assert macs == ["02:76:6c:b0:00:00", "02:76:6c:b0:00:01"]


def test_residents_serve_as_the_probe_of_flows_expects() -> None:
    command = Manifests(FOLDER.parents[1] / "bonding" / "manifests")["resident"]["spec"]["containers"][0]["command"]
    assert " ".join(SERVE) in command[2]


def pod(name: str, phase: str, waiting: str = "") -> dict[str, Any]:
    containers = [{"state": {"waiting": {"reason": waiting, "message": "no such image"}}}] if waiting else []
    return {"metadata": {"name": name}, "status": {"phase": phase, "containerStatuses": containers}}


def test_residents_are_waited_for_with_their_warning() -> None:
    event = {"type": "Warning", "involvedObject": {"name": "b"}, "reason": "FailedCreatePodSandBox", "message": "why"}
    seen = pods.judge(["a", "b"], [pod("a", "Running"), pod("b", "Pending")], [event])
    assert not seen.met
    assert seen.text == "1 of 2 Running, b Pending FailedCreatePodSandBox: why"
    assert pods.judge(["a"], [pod("a", "Running")], []).met


def test_a_pod_that_ended_is_not_waited_for() -> None:
    seen = pods.judge(["a", "b"], [pod("a", "Running"), pod("b", "Failed")], [])
    assert (seen.text, seen.hopeless) == ("1 of 2 Running, b Failed", "b is Failed: it will not run again")
    assert not pods.judge(["a"], [pod("a", "Pending"), pod("b", "Failed")], []).hopeless


def test_an_image_that_cannot_be_pulled_is_the_environments_fault() -> None:
    with pytest.raises(EnvironmentBroken, match="no such image"):
        pods.judge(["a"], [pod("a", "Pending", "ErrImagePull")], [])


def test_forwarding_names_each_worker_that_is_dark() -> None:
    switches: dict[str, NodeSwitch | LabError] = {"w1": NodeSwitch("w1"), "w2": LabError("x", "exec refused")}
    seen = forwarding.judge(switches, {"vlan-2024": "vlan-2024"})
    assert seen.text == "w1: vlan-2024 is mapped to no bridge; w2: wanted x; found exec refused"


class Switches:
    """A reader whose nodes answer in turn what is told, the last for ever."""

    def __init__(self, *answers: dict[str, NodeSwitch | LabError]) -> None:
        self.answers = list(answers)

    def read_all(self, nodes: Sequence[str], *, deadline: Deadline) -> dict[str, NodeSwitch | LabError]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_an_api_server_that_is_gone_ends_the_wait_for_forwarding() -> None:
    dark, down = NodeSwitch("w1"), ApiDown("an answer of the API server", "refused")
    for answers in ([{"w1": down, "w2": down}], [{"w1": dark, "w2": dark}, {"w1": down, "w2": down}]):
        reader = cast(SwitchReader, Switches(*answers))
        with pytest.raises(ApiDown, match="refused"):
            forwarding.wait_forwarding(reader, ["w1", "w2"], {"vlan-2024": "x"}, deadline=Deadline.after(3))


def test_one_worker_that_does_not_answer_is_told_beside_the_others() -> None:
    dark = NodeSwitch("w1")
    reader = cast(SwitchReader, Switches({"w1": dark, "w2": dark}, {"w1": dark, "w2": ApiDown("x", "refused")}))
    with pytest.raises(WaitTimeout, match="w1: vlan-2024 is mapped to no bridge; w2: wanted x; found refused"):
        forwarding.wait_forwarding(reader, ["w1", "w2"], {"vlan-2024": "x"}, deadline=Deadline.after(1))


def spec(holder: str, age: float) -> dict[str, Any]:
    renewed = lease.stamp(datetime.now(UTC) - timedelta(seconds=age))
    return {"holderIdentity": holder, "renewTime": renewed, "acquireTime": renewed, "leaseDurationSeconds": 40}


def test_a_living_holder_keeps_the_cluster_and_is_named() -> None:
    assert lease.busy(spec("r0 elsewhere 1", 5), datetime.now(UTC)).startswith("r0 elsewhere 1 holds it since")
    assert lease.busy(spec(f"r0 {socket.gethostname()} {os.getpid()}", 5), datetime.now(UTC))


def test_a_holder_that_is_gone_does_not() -> None:
    assert lease.busy(spec("r0 elsewhere 1", 60), datetime.now(UTC)) == ""
    assert lease.busy(spec(f"r0 {socket.gethostname()} {2**22 + 5}", 5), datetime.now(UTC)) == ""
    assert lease.busy({}, datetime.now(UTC)) == ""


def test_a_manifest_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="nad-vlan-2024"):
        Manifests(FOLDER)["vm-z"]


@pytest.mark.parametrize("nic", ["ens3", "enp1s0"])
def test_a_policy_that_names_a_protected_nic_is_refused(nic: str) -> None:
    target = load(FOLDER.parents[2] / "targets" / "embedded.yaml")
    trunk = Manifests(FOLDER)["nncp-ovs-br1-vlan-trunk"]
    leave_alone(manifest.adapted(trunk, ports={"bond2": ["enp7s0f0", "enp7s0f1"]}), target)
    with pytest.raises(UsageError, match=f"names {nic}, which the target protects") as refusal:
        leave_alone(manifest.adapted(trunk, ports={"bond2": ["enp7s0f0", nic]}), target)
    assert "correct nics.bonds" in str(refusal.value)


def test_namespaces_ask_for_the_privileges_of_residents_and_launchers() -> None:
    labels = namespace("a", "r1")["metadata"]["labels"]
    levels = {key: value for key, value in labels.items() if key.startswith("pod-security.kubernetes.io/")}
    assert levels == {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    assert labels["security.openshift.io/scc.podSecurityLabelSync"] == "false"
    assert labels.items() >= ownership("r1").items()
