"""Adapting a VM, judging its start and its migration: pure rules of the KubeVirt room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.core.errors import UsageError
from lab.kubevirt import migration, vm
from lab.kubevirt.manifest import Changes, adapted, addresses_of, mac_of

MANIFESTS = Path(__file__).parents[3] / "features" / "localnet" / "manifests"
VM: dict[str, Any] = yaml.safe_load((MANIFESTS / "vm-a.yaml").read_text())
CHANGES = Changes(
    namespace="demo",
    labels={"virtlab.dev/run": "r1"},
    image="img",
    addresses=["10.0.0.5/24"],
    mac="02:00:00:00:00:05",
    user="fedora",
    password="secret",
    public_key="ssh-ed25519 AAAA",
    memory_mib=256,
    spread="demo",
)


def test_a_target_changes_what_it_names_and_nothing_else() -> None:
    made = adapted(VM, CHANGES)
    spec = made["spec"]["template"]["spec"]
    assert made["metadata"]["namespace"] == "demo"
    assert spec["volumes"][0]["containerDisk"]["image"] == "img"
    assert spec["domain"]["memory"]["guest"] == "256Mi"
    assert mac_of(made) == "02:00:00:00:00:05"
    assert addresses_of(made) == ("10.0.0.5",)
    assert "02:00:00:00:00:05" in spec["volumes"][1]["cloudInitNoCloud"]["networkData"]
    user_data = spec["volumes"][1]["cloudInitNoCloud"]["userData"]
    assert user_data.startswith("#cloud-config\n")
    assert yaml.safe_load(user_data)["users"][0]["ssh_authorized_keys"] == ["ssh-ed25519 AAAA"]
    assert len(user_data) < 2048
    term = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
    assert made["spec"]["template"]["metadata"]["labels"].items() >= term["labelSelector"]["matchLabels"].items()
    assert spec["networks"] == VM["spec"]["template"]["spec"]["networks"]


def test_a_vm_without_a_fixed_mac_is_refused_with_the_reason() -> None:
    bare = yaml.safe_load((MANIFESTS / "vm-a.yaml").read_text())
    del bare["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][0]["macAddress"]
    with pytest.raises(UsageError, match="a migration makes a new port"):
        adapted(bare, Changes(namespace="demo", labels={}))


def test_a_vm_on_the_pod_network_keeps_the_pods_mac() -> None:
    folder = MANIFESTS.parents[1] / "pod_network" / "manifests"
    plain = yaml.safe_load((folder / "vm-p.yaml").read_text())
    made = adapted(plain, Changes(namespace="demo", labels={}, image="img", public_key="ssh-ed25519 AAAA"))
    spec = made["spec"]["template"]["spec"]
    assert spec["domain"]["devices"]["interfaces"] == [{"name": "default", "bridge": {}}]
    assert spec["networks"] == [{"name": "default", "pod": {}}]
    assert "networkData" not in spec["volumes"][1]["cloudInitNoCloud"]
    notes = made["spec"]["template"]["metadata"]["annotations"]
    assert notes == {"kubevirt.io/allow-pod-bridge-network-live-migration": ""}


def vmi(phase: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": "demo", "uid": "u"}, "status": {"phase": phase, **status}}


def test_running_is_met_with_its_node() -> None:
    seen = vm.judge(vmi("Running", nodeName="w1"), "", 1)
    assert seen.met
    assert seen.value is not None
    assert seen.value.node == "w1"


def test_an_attachment_may_be_unseen_for_a_moment_and_is_then_hopeless_with_the_platforms_text() -> None:
    text = "failed to render launch manifest: failed to locate network attachment definition demo/x"
    condition = {"type": "Synchronized", "status": "False", "reason": "FailedCreate", "message": text}
    assert not vm.judge(vmi("Pending", conditions=[condition]), "", 1).hopeless
    assert vm.judge(vmi("Pending", conditions=[condition]), "", 6).hopeless == text


@pytest.mark.parametrize(
    "said",
    [
        "failed bridge mapping validation: failed to find OVN bridge-mapping",
        'failed to find plugin "cnv-bridge" in path [/opt/cni/bin]',
        'failed to setup vlan tag on interface "x" (vlan 2024): operation not supported',
    ],
)
def test_what_a_node_refuses_may_heal_for_a_while_and_is_then_hopeless(said: str) -> None:
    warning = f"FailedCreatePodSandBox: {said}"
    assert not vm.judge(vmi("Scheduling"), warning, 5).hopeless
    assert vm.judge(vmi("Scheduling"), warning, 5).text.endswith(warning)
    assert vm.judge(vmi("Scheduling"), warning, 60).hopeless == warning


def test_the_newest_warning_of_its_own_pods_is_taken() -> None:
    def event(name: str, at: str, type_: str = "Warning") -> dict[str, Any]:
        return {"type": type_, "involvedObject": {"name": name}, "lastTimestamp": at, "reason": "R", "message": at}

    events = [event("virt-launcher-a-1", "1"), event("virt-launcher-a-2", "2"), event("virt-launcher-b-1", "3")]
    assert vm.last_warning([*events, event("a", "9", "Normal")], "a") == "R: 2"


DONE = {
    "migrationUid": "m",
    "targetNode": "w2",
    "startTimestamp": "1",
    "endTimestamp": "2",
    "targetNodeDomainReadyTimestamp": "2",
    "targetNodeAddress": "10.0.0.2",
    "completed": True,
}
VMIM = {"metadata": {"name": "m1", "uid": "m"}}


def test_a_migration_that_is_all_it_must_be_has_no_problem() -> None:
    assert migration.problems(vmi("Running", nodeName="w2", migrationState=DONE), VMIM, "w1") == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"completed": False}, "not completed"),
        ({"failed": True, "failureReason": "oops"}, "oops"),
        ({"migrationUid": "other"}, "another one"),
        ({"targetNode": "w3"}, "but the instance is on w2"),
        ({"targetNodeDomainReadyTimestamp": None}, "never seen on the target"),
    ],
)
def test_succeeded_is_not_believed_without_its_marks(change: dict[str, Any], why: str) -> None:
    found = migration.problems(vmi("Running", nodeName="w2", migrationState=DONE | change), VMIM, "w1")
    assert why in "; ".join(found)


def test_a_migration_that_did_not_move_is_a_problem() -> None:
    state = vmi("Running", nodeName="w1", migrationState=DONE | {"targetNode": "w1"})
    assert "source w1" in "; ".join(migration.problems(state, VMIM, "w1"))


def test_a_port_that_ovn_never_takes_in_is_hopeless_after_a_while_and_not_while_its_pod_runs() -> None:
    late = "on w2: FailedCreatePodSandBox: timed out waiting for OVS port binding (ovn-installed) for 02:00:00:20:24:10"
    assert [vm.refused(late, elapsed) for elapsed in (21, 89, 91)] == ["", "", late]
    assert migration.judge({"status": {"phase": "Scheduling"}}, late, 91).hopeless == late
    assert vm.judge(vmi("Scheduling"), late, 91).hopeless == late
    assert vm.judge(vmi("Scheduled"), late, 91).hopeless == ""


def test_a_failed_migration_is_hopeless_with_its_reason_and_a_deleted_one_too() -> None:
    failed: dict[str, Any] = {"status": {"phase": "Failed", "migrationState": {"failureReason": "Target pod is down"}}}
    assert migration.judge(failed).hopeless == "Target pod is down"
    failed["status"]["migrationState"] |= {"sourceNode": "w1", "targetNode": "w2"}
    assert migration.judge(failed).hopeless == "Target pod is down (from w1 to w2)"
    waiting = {"status": {"phase": "Scheduling"}}
    refusal = 'on w2: FailedCreatePodSandBox: failed bridge mapping validation: no mapping for "vlan-2024"'
    assert migration.judge(waiting, refusal, 5).text.endswith(refusal)
    assert not migration.judge(waiting, refusal, 5).hopeless
    assert migration.judge(waiting, refusal, 60).hopeless == refusal
    assert not migration.judge({"status": {"phase": "Running"}}, refusal, 60).hopeless
    assert "cancels" in migration.judge(None).hopeless
    assert migration.judge({"status": {"phase": "Succeeded"}}).met


def test_the_request_names_its_target_only_when_there_is_one() -> None:
    assert migration.request("demo", "a", {}, "")["spec"] == {"vmiName": "a"}
    assert migration.request("demo", "a", {}, "w2")["spec"]["addedNodeSelector"] == {"kubernetes.io/hostname": "w2"}
