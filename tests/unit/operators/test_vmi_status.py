"""A VMI's phases and conditions from its pods."""

from __future__ import annotations

import json

from operator_samples import IMAGE, Obj, pod, vmi

from lab.embedded.operators import vmi_status
from lab.embedded.operators.objects import clone, condition


def updated(subject: Obj, pods: list[Obj], error: tuple[str, str] | None = None, owner: bool = True) -> Obj:
    fresh = clone(subject)
    vmi_status.update(fresh, pods, error, owner_vm_exists=owner, image=IMAGE)
    return fresh


def launcher(name: str = "p", node: str = "", phase: str = "Pending", ready: bool = False) -> Obj:
    found = pod(name, node, phase, ready, readinessGates=[{"conditionType": "kubevirt.io/virtual-machine-unpaused"}])
    found["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return found


def test_pending_without_pod() -> None:
    fresh = updated(vmi(phase="", node=""), [])
    assert fresh["status"]["phase"] == "Pending"
    assert (condition(fresh, "Ready") or {})["reason"] == "PodNotExists"
    assert fresh["status"]["guestOSInfo"] == {}
    assert fresh["status"]["runtimeUser"] == 107


def test_a_render_error_shows_and_heals() -> None:
    text = "failed to render launch manifest: failed to locate network attachment definition demo/x"
    fresh = updated(vmi(phase="Pending", node=""), [], ("FailedCreate", text))
    entry = condition(fresh, "Synchronized") or {}
    assert (entry["status"], entry["reason"], entry["message"]) == ("False", "FailedCreate", text)
    assert condition(updated(fresh, [launcher()]), "Synchronized") is None


def test_virt_handlers_synchronized_is_left_alone() -> None:
    entry = {"type": "Synchronized", "status": "False", "reason": "Synchronizing with the Domain failed."}
    assert condition(updated(vmi(conditions=[entry]), [launcher(node="worker-1")]), "Synchronized") == entry


def test_scheduling_and_unschedulable() -> None:
    waiting = launcher()
    waiting["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    ]
    fresh = updated(updated(vmi(phase="Pending", node=""), [waiting]), [waiting])
    assert fresh["status"]["phase"] == "Scheduling"
    assert (condition(fresh, "PodScheduled") or {})["message"] == "0/3 nodes"
    assert condition(updated(fresh, [launcher(node="worker-1")]), "PodScheduled") is None


def test_a_pod_without_network_tells_why_and_forgets_it_when_it_has_one() -> None:
    def pending(status: str, **more: str) -> Obj:
        waiting = launcher(node="worker-1")
        waiting["status"]["conditions"] = [{"type": "PodReadyToStartContainers", "status": status, **more}]
        return updated(vmi(phase="Scheduling", node=""), [waiting])

    entry = condition(pending("False", message="failed to setup vlan tag"), "Ready") or {}
    assert entry["reason"] == "GuestNotRunning"
    assert entry["message"] == "Guest VM is not reported as running: failed to setup vlan tag"
    for fresh in (pending("True"), pending("False")):
        assert (condition(fresh, "Ready") or {})["message"] == "Guest VM is not reported as running"


def test_scheduled_when_the_pod_is_ready() -> None:
    ready = launcher(node="worker-1", phase="Running", ready=True)
    status = [
        {"name": "ovn-kubernetes", "interface": "eth0", "ips": ["10.128.2.14"], "default": True, "dns": {}},
        {"name": "default/vlan-2024", "interface": "podcc4dd54e40a", "mac": "02:00:00:20:24:11", "dns": {}},
    ]
    ready["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/network-status": json.dumps(status)}
    ready["status"]["qosClass"] = "Burstable"
    fresh = updated(vmi(phase="Scheduling", node=""), [ready])
    assert fresh["status"]["phase"] == "Scheduled"
    assert fresh["status"]["nodeName"] == fresh["metadata"]["labels"]["kubevirt.io/nodeName"] == "worker-1"
    assert fresh["status"]["activePods"] == {"uid-p": "worker-1"}
    assert fresh["status"]["interfaces"] == [
        {"name": "default", "podInterfaceName": "eth0"},
        {"name": "vlan2024", "podInterfaceName": "podcc4dd54e40a", "infoSource": "multus-status"},
    ]
    assert (condition(fresh, "Ready") or {})["reason"] == "GuestNotRunning"
    assert updated(fresh, [ready]) == fresh


def test_ready_follows_the_pod_once_the_guest_runs() -> None:
    ready = launcher(node="worker-1", phase="Running", ready=True)
    ready["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    assert (condition(updated(vmi(), [ready]), "Ready") or {})["status"] == "True"


def test_readiness_gate() -> None:
    ready = launcher(node="worker-1", phase="Running", ready=True)
    assert (vmi_status.gate_condition(vmi(), ready) or {})["reason"] == "NotPaused"
    ready["status"]["conditions"] = [{"type": "kubevirt.io/virtual-machine-unpaused", "status": "True"}]
    assert vmi_status.gate_condition(vmi(), ready) is None
    paused = vmi(conditions=[{"type": "Paused", "status": "True"}])
    assert (vmi_status.gate_condition(paused, ready) or {})["status"] == "False"


def test_only_the_target_of_an_open_migration_gets_its_gate_early() -> None:
    pods = [launcher("a", "worker-1", "Running", True), launcher("b", "worker-2", "Running", True)]
    state = {"migrationUid": "u", "targetPod": "b"}
    assert (vmi_status.target_pod(vmi(migrationState=state), pods) or {})["metadata"]["name"] == "b"
    assert vmi_status.target_pod(vmi(migrationState={**state, "completed": True}), pods) is None
    assert vmi_status.target_pod(vmi(migrationState=state), [launcher("b", "worker-2", "Failed")]) is None
    assert vmi_status.target_pod(vmi(), pods) is None


def test_the_pod_on_the_vmis_node_counts() -> None:
    source, target = launcher("a", "worker-1", "Running", True), launcher("b", "worker-2", "Running", True)
    assert (vmi_status.current_pod(vmi(node="worker-1"), [source, target]) or {})["metadata"]["name"] == "a"
    assert (vmi_status.current_pod(vmi(node="worker-2"), [source, target]) or {})["metadata"]["name"] == "b"
    done = launcher("c", "worker-1", "Succeeded")
    assert (vmi_status.current_pod(vmi(node="worker-1"), [done, source]) or {})["metadata"]["name"] == "a"


def test_endings() -> None:
    assert updated(vmi(phase="Running"), [])["status"]["phase"] == "Failed"
    assert updated(vmi(phase="Scheduling", node=""), [])["status"]["phase"] == "Failed"
    dead = launcher(node="worker-1", phase="Succeeded")
    assert updated(vmi(phase="Running"), [dead])["status"]["phase"] == "Succeeded"
    moving = vmi(phase="Running", migrationState={"migrationUid": "u"})
    assert updated(moving, [dead])["status"]["phase"] == "Running"


def test_finalizers_of_a_final_vmi() -> None:
    subject = vmi(phase="Succeeded")
    both = ["kubevirt.io/foregroundDeleteVirtualMachine", "kubevirt.io/virtualMachineControllerFinalize"]
    subject["metadata"]["finalizers"] = list(both)
    dead = launcher(node="worker-1", phase="Succeeded")
    assert updated(subject, [dead])["metadata"]["finalizers"] == both
    assert updated(subject, [])["metadata"]["finalizers"] == both[1:]
    assert "finalizers" not in updated(subject, [], owner=False)["metadata"]
