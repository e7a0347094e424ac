"""Migrations and evictions by the operators against the real API server, with pretended nodes."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from cluster import Cluster
from lives import launchers, migrate, play, reasons, running
from operator_samples import Obj

from lab.embedded.kube import KubeError
from lab.embedded.model.kinds import POD, VM, VMI, VMIM
from lab.embedded.operators.objects import condition, dig, has_condition, labels_of, phase_of


def test_migrations_over_all_workers_and_back(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        before = await running(lab)
        where = [before["status"]["nodeName"]]
        for number in range(7):
            begun = time.monotonic()
            await migrate(lab, f"m{number}")
            done = await lab.until(VMIM, f"demo/m{number}", lambda entry: phase_of(entry) in ("Succeeded", "Failed"))
            print(f"migration: {(time.monotonic() - begun) * 1000:.0f} ms")
            assert phase_of(done) == "Succeeded"
            vmi = await lab.until(
                VMI, "demo/vm", lambda vmi: "kubevirt.io/migrationTargetNodeName" not in labels_of(vmi)
            )
            state = vmi["status"]["migrationState"]
            assert (state["sourceNode"], state["targetNode"]) == (where[-1], vmi["status"]["nodeName"])
            assert state["migrationConfiguration"]["completionTimeoutPerGiB"] == 150
            assert done["status"]["migrationState"]["completed"]
            target = lab.informers.get(POD).items[f"demo/{state['targetPod']}"]
            stamp = target["metadata"]["annotations"]["kubevirt.io/migration-target-ready-timestamp"]
            assert stamp.endswith(" +0000 UTC")
            where.append(vmi["status"]["nodeName"])
        assert all(here != there for here, there in pairwise(where))
        await lab.informers.get(VMIM).wait_for(lambda items: len(items) == 5, 5.0)
        owner = await lab.until(VM, "demo/vm", lambda vm: vm["status"]["printableStatus"] == "Running")
        assert owner["status"]["ready"]
        assert {"SuccessfulCreate", "SuccessfulHandOver", "SuccessfulMigration"} <= await reasons(
            lab, "VirtualMachineInstanceMigration"
        )
        pods = await launchers(lab)
        assert [phase_of(pod) for pod in pods].count("Running") == 1
        assert set(lab.informers.get(VMI).items["demo/vm"]["status"]["activePods"]) >= {
            pod["metadata"]["uid"] for pod in pods
        }

    play(tmp_path, scene)


def test_a_vmi_stays_ready_through_the_switch(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await running(lab)
        await lab.until(VMI, "demo/vm", lambda vmi: has_condition(vmi, "Ready"))
        seen: list[str] = []
        lab.informers.get(VMI).subscribe(
            lambda _change, vmi: seen.append((condition(vmi, "Ready") or {}).get("status", "missing"))
        )
        for number in range(3):
            await migrate(lab, f"m{number}")
            await lab.until(VMIM, f"demo/m{number}", lambda entry: phase_of(entry) == "Succeeded")
        assert len(seen) > 3
        assert set(seen) == {"True"}

    play(tmp_path, scene)


def test_the_ready_stamp_comes_at_once(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await running(lab)
        seen: dict[str, float] = {}

        def vmi_event(_change: str, vmi: Obj) -> None:
            if dig(vmi, "status", "migrationState", "targetNodeDomainReadyTimestamp"):
                seen.setdefault("vmi", time.monotonic())

        def pod_event(_change: str, pod: Obj) -> None:
            if "kubevirt.io/migration-target-ready-timestamp" in (pod["metadata"].get("annotations") or {}):
                seen.setdefault("pod", time.monotonic())

        lab.informers.get(VMI).subscribe(vmi_event)
        lab.informers.get(POD).subscribe(pod_event)
        await migrate(lab)
        await lab.until(VMIM, "demo/m", lambda entry: phase_of(entry) == "Succeeded")
        print(f"ready timestamp -> annotation: {(seen['pod'] - seen['vmi']) * 1000:.1f} ms")

    play(tmp_path, scene)


def test_a_failed_migration_leaves_the_vm_where_it_is(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        before = await running(lab)
        lab.nodes.fail_migration = "connection reset"
        await migrate(lab)
        failed = await lab.until(VMIM, "demo/m", lambda entry: phase_of(entry) == "Failed")
        assert failed["status"]["migrationState"]["failureReason"] == "connection reset"
        vmi = await lab.until(VMI, "demo/vm", lambda vmi: "kubevirt.io/migrationTargetNodeName" not in labels_of(vmi))
        assert (phase_of(vmi), vmi["status"]["nodeName"]) == ("Running", before["status"]["nodeName"])

    play(tmp_path, scene)


def test_cancel_before_and_after_the_handover(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await running(lab)
        lab.nodes.hold_target = True
        await migrate(lab, "early")
        await lab.until(VMIM, "demo/early", lambda entry: phase_of(entry) == "Scheduling")
        await lab.kube.delete(VMIM, "early", "demo")
        await lab.gone(VMIM, "demo/early")
        await lab.informers.get(POD).wait_for(
            lambda items: sum(key.startswith("demo/virt-launcher") for key in items) == 1, 5.0
        )
        lab.nodes.hold_target = False
        lab.nodes.hold_migration = True
        await migrate(lab, "late")
        await lab.until(VMIM, "demo/late", lambda entry: phase_of(entry) == "PreparingTarget")
        await lab.kube.delete(VMIM, "late", "demo")
        await lab.gone(VMIM, "demo/late")
        vmi = lab.informers.get(VMI).items["demo/vm"]
        state = vmi["status"]["migrationState"]
        assert (state["abortStatus"], state["failureReason"]) == ("Succeeded", "Live migration has been aborted")
        assert phase_of(vmi) == "Running"

    play(tmp_path, scene)


def test_a_migration_without_anywhere_to_go(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        await running(lab)
        body = {
            "metadata": {
                "name": "m",
                "namespace": "demo",
                "annotations": {"kubevirt.io/migrationUnschedulablePodTimeoutSeconds": "1"},
            },
            "spec": {"vmiName": "vm"},
        }
        await lab.kube.create(VMIM, body)
        await lab.until(VMIM, "demo/m", lambda entry: phase_of(entry) == "Failed")
        target = [pod for pod in await launchers(lab) if "kubevirt.io/migrationJobUID" in labels_of(pod)]
        assert target == []
        assert "migrationTargetPodUnschedulable" in await reasons(lab, "VirtualMachineInstanceMigration")

    play(tmp_path, scene, workers=1)


def test_limits_hold_migrations_back(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        pinned = {"nodeSelector": {"kubernetes.io/hostname": "worker-1"}}
        for name in ("a", "b", "c"):
            await running(lab, name, **pinned)
            await lab.kube.patch(VM, name, "demo", {"spec": {"template": {"spec": {"nodeSelector": None}}}})
            await lab.until(VMI, f"demo/{name}", lambda vmi: not vmi["spec"].get("nodeSelector"))
        lab.nodes.hold_target = True
        for name in ("a", "b", "c"):
            await migrate(lab, f"m-{name}", name)
        await lab.until(VMIM, "demo/m-b", lambda entry: phase_of(entry) == "Scheduling")
        third = await lab.until(VMIM, "demo/m-c", phase_of)
        assert phase_of(third) == "Pending"

    play(tmp_path, scene)


def test_eviction_moves_the_vm(tmp_path: Path) -> None:
    async def scene(lab: Cluster) -> None:
        before = await running(lab)
        pod = (await launchers(lab))[0]["metadata"]["name"]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": "demo"},
        }
        with pytest.raises(KubeError) as caught:
            await lab.kube.raw("POST", POD.path("demo", pod, "eviction"), body=eviction)
        assert caught.value.status == 429
        assert caught.value.message.endswith('denied the request: Eviction triggered evacuation of VMI "demo/vm"')
        await lab.until(VMI, "demo/vm", lambda vmi: vmi["status"]["nodeName"] != before["status"]["nodeName"])
        moved = [key for key in lab.informers.get(VMIM).items if key.startswith("demo/kubevirt-evacuation-")]
        assert len(moved) == 1

    play(tmp_path, scene)
