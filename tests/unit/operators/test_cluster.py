"""The operators against the real API server: whole lives of VMs, with pretended nodes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from lives import SUB, launchers, manifest, migrate, play, reasons, running
from operator_samples import VMI_SPEC

from lab.embedded.kube import KubeError
from lab.embedded.kube.informer import Informer
from lab.embedded.model.kinds import KUBEVIRT, NAD, NAMESPACE, NODE, POD, VM, VMI, VMIM
from lab.embedded.operators.objects import clone, condition, dig, labels_of, phase_of


def test_a_vm_lives_and_goes(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        begun = time.monotonic()
        await lab.kube.create(VM, manifest())
        pods = lab.informers.get(POD)
        await pods.wait_for(
            lambda items: any(
                k.startswith("demo/virt-launcher-vm-") and dig(p, "spec", "nodeName") for k, p in items.items()
            ),
            5.0,
        )
        print(f"VM created -> launcher bound: {(time.monotonic() - begun) * 1000:.0f} ms")
        vmi = await lab.until(VMI, "demo/vm", lambda vmi: phase_of(vmi) == "Running")
        assert [entry["phase"] for entry in vmi["status"]["phaseTransitionTimestamps"]] == [
            "Pending",
            "Scheduling",
            "Scheduled",
            "Running",
        ]
        owner = await lab.until(VM, "demo/vm", lambda vm: vm["status"].get("ready"))
        print(f"VM created -> ready: {(time.monotonic() - begun) * 1000:.0f} ms")
        assert owner["status"]["printableStatus"] == "Running"
        assert owner["metadata"]["finalizers"] == ["kubevirt.io/virtualMachineControllerFinalize"]
        pod = (await launchers(lab))[0]
        assert labels_of(pod)["kubevirt.io/created-by"] == vmi["metadata"]["uid"]
        assert (condition(pod, "kubevirt.io/virtual-machine-unpaused") or {})["status"] == "True"
        assert "SuccessfulCreate" in await reasons(lab, "VirtualMachine")
        await lab.kube.delete(VM, "vm", "demo")
        await lab.gone(VMI, "demo/vm")
        await lab.gone(VM, "demo/vm")
        assert await launchers(lab) == []

    play(tmp_path, scene)


def test_stop_start_restart_over_the_aggregated_api(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        first = await running(lab)
        base = f"{SUB}/virtualmachines/vm"
        with pytest.raises(KubeError) as caught:
            await lab.kube.raw("PUT", f"{base}/start")
        assert (caught.value.status, caught.value.message[-21:]) == (409, "VM is already running")
        await lab.kube.raw("PUT", f"{base}/stop")
        await lab.gone(VMI, "demo/vm")
        stopped = await lab.until(VM, "demo/vm", lambda vm: "created" not in vm["status"])
        assert stopped["status"]["printableStatus"] == "Stopped"
        assert stopped["spec"]["runStrategy"] == "Halted"
        assert "ready" not in stopped["status"]
        await lab.kube.raw("PUT", f"{base}/start")
        second = await lab.until(VMI, "demo/vm", lambda vmi: phase_of(vmi) == "Running")
        assert second["metadata"]["uid"] != first["metadata"]["uid"]
        await lab.kube.raw("PUT", f"{base}/restart")
        third = await lab.until(
            VMI,
            "demo/vm",
            lambda vmi: phase_of(vmi) == "Running" and vmi["metadata"]["uid"] != second["metadata"]["uid"],
        )
        assert third["metadata"]["uid"] != second["metadata"]["uid"]
        await lab.until(
            VM, "demo/vm", lambda vm: vm["status"].get("ready") and "stateChangeRequests" not in vm["status"]
        )
        listing = await lab.kube.raw("GET", "/apis/subresources.kubevirt.io/v1")
        assert {
            "name": "virtualmachines/start",
            "singularName": "",
            "namespaced": True,
            "kind": "",
            "verbs": None,
        } in listing["resources"]
        version = await lab.kube.raw("GET", "/apis/subresources.kubevirt.io/v1/version")
        assert version["gitVersion"] == "v1.8.0"
        cr = await lab.kube.get(KUBEVIRT, "kubevirt", "kubevirt")
        assert (cr["status"]["phase"], cr["status"]["observedKubeVirtVersion"]) == ("Deployed", "v1.8.0")

    play(tmp_path, scene)


def test_a_manual_vm_and_one_that_runs_once(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await lab.kube.create(VM, manifest("manual", "Manual"))
        await lab.until(VM, "demo/manual", lambda vm: dig(vm, "status", "printableStatus") == "Stopped")
        await lab.kube.raw("PUT", f"{SUB}/virtualmachines/manual/start")
        await lab.until(VMI, "demo/manual", lambda vmi: phase_of(vmi) == "Running")
        await lab.kube.raw("PUT", f"{SUB}/virtualmachines/manual/stop")
        await lab.gone(VMI, "demo/manual")
        await lab.until(VM, "demo/manual", lambda vm: "stateChangeRequests" not in vm["status"])
        await lab.kube.create(VM, manifest("once", "Once"))
        await lab.until(VMI, "demo/once", lambda vmi: phase_of(vmi) == "Running")
        await lab.nodes.edit("demo/once", lambda vmi: vmi["status"].update(phase="Succeeded"))
        done = await lab.until(VM, "demo/once", lambda vm: vm["status"]["printableStatus"] == "Stopped")
        assert done["status"]["created"]

    play(tmp_path, scene)


def test_a_failed_start_backs_off(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        lab.nodes.vmis._callbacks.clear()  # no guest is ever started
        await lab.kube.create(VM, manifest())
        await lab.until(VMI, "demo/vm", lambda vmi: phase_of(vmi) == "Scheduled")
        await lab.nodes.edit("demo/vm", lambda vmi: vmi["status"].update(phase="Failed"))
        failed = await lab.until(VM, "demo/vm", lambda vm: vm["status"]["printableStatus"] == "CrashLoopBackOff")
        assert failed["status"]["startFailure"]["consecutiveFailCount"] == 1
        await lab.gone(VMI, "demo/vm")

    play(tmp_path, scene)


def test_a_missing_attachment_heals(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        body = manifest()
        body["spec"]["template"]["spec"]["networks"][1]["multus"]["networkName"] = "late"
        await lab.kube.create(VM, body)
        vmi = await lab.until(VMI, "demo/vm", lambda vmi: condition(vmi, "Synchronized"))
        entry = condition(vmi, "Synchronized") or {}
        assert entry["reason"] == "FailedCreate"
        assert entry["message"] == (
            "failed to render launch manifest: failed to locate network attachment definition demo/late"
        )
        assert phase_of(vmi) == "Pending"
        await lab.kube.create(NAD, {"metadata": {"name": "late", "namespace": "demo"}, "spec": {"config": "{}"}})
        healed = await lab.until(VMI, "demo/vm", lambda vmi: phase_of(vmi) == "Running")
        assert condition(healed, "Synchronized") is None

    play(tmp_path, scene)


def test_a_watch_that_is_behind_has_no_say_in_whether_an_attachment_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when watches are answered with 410: what was made a moment ago is not among the things seen yet."""
    take = Informer._take

    def behind(self: Informer, change: str, obj: dict[str, Any]) -> None:
        if self.kind is not NAD:
            take(self, change, obj)

    monkeypatch.setattr(Informer, "_take", behind)

    async def scene(lab: Cluster) -> None:
        vmi = await running(lab)
        await migrate(lab, "m")
        await lab.until(VMIM, "demo/m", lambda vmim: phase_of(vmim) == "Succeeded")
        assert condition(vmi, "Synchronized") is None

    play(tmp_path, scene)


def test_unschedulable_and_then_schedulable(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await lab.kube.create(VM, manifest(nodeSelector={"zone": "b"}))
        waiting = await lab.until(
            VM, "demo/vm", lambda vm: dig(vm, "status", "printableStatus") == "ErrorUnschedulable"
        )
        text = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
        assert (condition(waiting, "PodScheduled") or {})["message"] == text
        await lab.kube.patch(NODE, "worker-2", None, {"metadata": {"labels": {"zone": "b"}}})
        vmi = await lab.until(VMI, "demo/vm", lambda vmi: phase_of(vmi) == "Running")
        assert vmi["status"]["nodeName"] == "worker-2"

    play(tmp_path, scene)


def test_admission_over_the_wire(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        body = manifest()
        body["spec"]["template"]["spec"]["networks"].append({"name": "foo", "multus": {"networkName": "x"}})
        with pytest.raises(KubeError) as caught:
            await lab.kube.create(VM, body)
        refusal = caught.value
        path = "spec.template.spec.networks[2].name"
        prefix = 'admission webhook "virtualmachine-validator.kubevirt.io" denied the request: '
        assert (refusal.status, refusal.reason) == (422, "Invalid")
        assert refusal.message == f"{prefix}{path} 'foo' not found."
        assert refusal.body["details"]["causes"] == [
            {"reason": "FieldValueRequired", "message": f"{path} 'foo' not found.", "field": path}
        ]
        with pytest.raises(KubeError) as caught:
            await migrate(lab, vmi="nobody")
        assert (caught.value.status, caught.value.message) == (
            400,
            'admission webhook "migration-create-validator.kubevirt.io" denied the request: '
            'the VMI "demo/nobody" does not exist',
        )
        bare = manifest("bare")
        del bare["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][1]["macAddress"]
        made = await lab.kube.create(VM, bare)
        mac = made["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][1]["macAddress"]
        assert mac.startswith("02:")
        vmi = await lab.until(VMI, "demo/bare", lambda vmi: phase_of(vmi) == "Running")
        assert vmi["spec"]["domain"]["devices"]["interfaces"][1]["macAddress"] == mac
        with pytest.raises(KubeError, match="update of VMI object is restricted"):
            await lab.kube.patch(VMI, "bare", "demo", {"spec": {"hostname": "x"}})
        unchanged = await lab.kube.patch(VMI, "bare", "demo", {"status": {"phase": "Failed"}})
        assert phase_of(unchanged) == "Running"

    play(tmp_path, scene)


def test_applying_twice_changes_nothing(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        body = manifest(strategy="Halted")
        del body["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][1]["macAddress"]
        first = await lab.kube.patch(VM, "vm", "demo", body, type="apply", field_manager="a")
        again = await lab.kube.patch(VM, "vm", "demo", body, type="apply", field_manager="a")
        assert again["spec"] == first["spec"]
        assert again["metadata"]["generation"] == first["metadata"]["generation"]
        await lab.until(VM, "demo/vm", lambda vm: dig(vm, "status", "printableStatus") == "Stopped")
        body["spec"]["runStrategy"] = "Always"
        third = await lab.kube.patch(VM, "vm", "demo", body, type="apply", field_manager="a")
        assert third["spec"]["template"] == first["spec"]["template"]
        owner = await lab.until(VM, "demo/vm", lambda vm: vm["status"].get("ready"))
        assert owner["metadata"]["finalizers"]

    play(tmp_path, scene)


def test_a_vm_without_memory_is_admitted_and_fails_to_start(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        body = manifest()
        del body["spec"]["template"]["spec"]["domain"]["memory"]
        await lab.kube.create(VM, body)
        owner = await lab.until(VM, "demo/vm", lambda vm: condition(vm, "Failure"))
        failure = condition(owner, "Failure") or {}
        assert failure["reason"] == "FailedCreate"
        assert failure["message"].startswith(
            "Failure while starting VMI: admission webhook "
            '"virtualmachineinstances-create-validator.kubevirt.io" denied the request: no memory requested'
        )
        await lab.kube.delete(VM, "vm", "demo")
        await lab.gone(VM, "demo/vm")

    play(tmp_path, scene)


def test_a_silent_node(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await running(lab, nodeSelector={"kubernetes.io/hostname": "worker-3"})
        await lab.nodes.beat("worker-3", "2020-01-01T00:00:00.000000Z")
        await lab.kube.patch(NODE, "worker-3", None, {"metadata": {"labels": {"poke": "1"}}})
        silent = await lab.until(NODE, "worker-3", lambda node: dig(node, "spec", "taints"))
        assert (condition(silent, "Ready") or {})["status"] == "Unknown"
        assert labels_of(silent)["kubevirt.io/schedulable"] == "false"
        await lab.until(VM, "demo/vm", lambda vm: not vm["status"].get("ready"))
        await lab.nodes.beat("worker-3")
        back = await lab.until(NODE, "worker-3", lambda node: not dig(node, "spec", "taints"))
        assert (condition(back, "Ready") or {})["reason"] == "KubeletReady"
        assert labels_of(back)["kubevirt.io/schedulable"] == "true"
        await lab.until(VM, "demo/vm", lambda vm: vm["status"].get("ready"))

    play(tmp_path, scene)


def test_a_vmi_of_its_own(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await lab.kube.create(VMI, {"metadata": {"name": "own", "namespace": "demo"}, "spec": clone(VMI_SPEC)})
        await lab.until(VMI, "demo/own", lambda vmi: phase_of(vmi) == "Running")
        await migrate(lab, vmi="own")
        await lab.until(VMIM, "demo/m", lambda entry: phase_of(entry) == "Succeeded")
        await lab.kube.delete(VMI, "own", "demo")
        await lab.gone(VMI, "demo/own")
        await lab.gone(VMIM, "demo/m")
        assert await launchers(lab) == []

    play(tmp_path, scene)


def test_a_namespace_goes_with_all_that_runs_in_it(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await running(lab)
        await migrate(lab)
        await lab.until(VMIM, "demo/m", lambda entry: phase_of(entry) == "Succeeded")
        await lab.kube.delete(NAMESPACE, "demo")
        await lab.gone(NAMESPACE, "demo", 15.0)

    play(tmp_path, scene)


def test_a_restart_of_the_operators_changes_nothing(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await running(lab)
        await lab.until(VM, "demo/vm", lambda vm: vm["status"].get("ready"))
        await lab.stop_operators()
        lab.nodes.hold_target = True
        before = {kind: {e["metadata"]["uid"] for e in await lab.kube.list(kind)} for kind in (VM, VMI, POD)}
        await lab.start_operators()
        await running(lab, "second")
        after = {kind: {e["metadata"]["uid"] for e in await lab.kube.list(kind)} for kind in (VM, VMI, POD)}
        assert all(before[kind] <= after[kind] for kind in before)
        assert {kind.kind: len(after[kind] - before[kind]) for kind in before} == {
            "VirtualMachine": 1,
            "VirtualMachineInstance": 1,
            "Pod": 1,
        }

    play(tmp_path, scene)
