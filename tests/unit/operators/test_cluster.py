"""The operators against the real API server: whole lives of VMs and migrations, with pretended nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cluster import AGENT_TOKEN, Cluster, client_tls, cluster
from operator_samples import VMI_SPEC, Obj, nad, vm

from lab.embedded.kube import KubeError
from lab.embedded.model.kinds import APISERVICE, EVENT, KUBEVIRT, NAD, NAMESPACE, NODE, POD, VM, VMI, VMIM
from lab.embedded.operators.objects import clone, condition, dig, has_condition, labels_of, phase_of

Scene = Callable[[Cluster], Awaitable[None]]
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/demo"


def play(folder: Path, scene: Scene, **options: Any) -> None:
    async def whole() -> None:
        async with cluster(folder, **options) as lab:
            await lab.kube.create(NAMESPACE, {"metadata": {"name": "demo"}})
            await lab.kube.create(NAD, nad())
            for kind in (VM, VMI, VMIM, NODE):
                lab.informers.get(kind)
            await scene(lab)

    asyncio.run(whole())


def manifest(name: str = "vm", strategy: str = "Always", **spec: Any) -> Obj:
    found = vm(name, strategy)
    for field in ("uid", "generation"):
        del found["metadata"][field]
    found["spec"]["template"]["spec"].update(spec)
    return found


async def running(lab: Cluster, name: str = "vm", **spec: Any) -> Obj:
    await lab.kube.create(VM, manifest(name, **spec))
    return await lab.until(VMI, f"demo/{name}", lambda vmi: phase_of(vmi) == "Running")


async def migrate(lab: Cluster, name: str = "m", vmi: str = "vm") -> Obj:
    body = {"metadata": {"name": name, "namespace": "demo"}, "spec": {"vmiName": vmi}}
    return await lab.kube.create(VMIM, body)


async def launchers(lab: Cluster) -> list[Obj]:
    return await lab.kube.list(POD, "demo", labels="kubevirt.io=virt-launcher")


async def reasons(lab: Cluster, kind: str) -> set[str]:
    return {event["reason"] for event in await lab.kube.list(EVENT, "demo") if event["involvedObject"]["kind"] == kind}


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


async def _console(request: web.Request) -> web.StreamResponse:
    assert request.headers["Authorization"] == f"Bearer {AGENT_TOKEN}"
    stream = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
    await stream.prepare(request)
    async for message in stream:
        if message.data == b"cut\n":
            assert request.transport is not None
            request.transport.abort()
            break
        await stream.send_bytes(b"echo " + message.data)
    return stream


async def _dial(request: web.Request) -> web.StreamResponse:
    if request.query["port"] == "23":
        return web.json_response({"message": "dialing VM: dial tcp 10.128.0.9:23: connection refused"}, status=500)
    assert request.query["host"] == "10.128.0.9"
    stream = web.WebSocketResponse()
    await stream.prepare(request)
    await stream.send_bytes(b"SSH-2.0")
    async for message in stream:
        await stream.send_bytes(message.data)
    return stream


def test_console_and_portforward_are_relayed(tmp_path: Path) -> None:
    routes = [web.get("/console/{ns}/{vmi}", _console), web.get("/dial/{ns}/{pod}", _dial)]

    async def scene(lab: Cluster) -> None:
        headers = {"Authorization": "Bearer admin"}
        base = f"{lab.server}{SUB}/virtualmachineinstances"
        async with aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(ssl=client_tls(lab.ca))
        ) as session:
            async with session.get(f"{base}/vm/console") as answer:
                assert (answer.status, (await answer.json())["reason"]) == (404, "NotFound")
            await lab.kube.create(VM, manifest("later", nodeSelector={"zone": "no"}))
            await lab.until(VMI, "demo/later", phase_of)
            async with session.get(f"{base}/later/console") as answer:
                assert (answer.status, (await answer.json())["message"]) == (400, "VMI is not running")
            await running(lab)
            async with session.ws_connect(f"{base}/vm/console", protocols=("plain.kubevirt.io",)) as console:
                assert console.protocol == "plain.kubevirt.io"
                await console.send_bytes(b"\n")
                assert await console.receive_bytes() == b"echo \n"
            service = await lab.kube.get(APISERVICE, "v1.subresources.kubevirt.io")
            direct = service["metadata"]["annotations"]["virtlab.dev/url"] + SUB + "/virtualmachineinstances"
            async with session.ws_connect(f"{direct}/vm/console") as console:
                await console.send_bytes(b"cut\n")
                end = await console.receive()
                # Cut without a close frame, as an evicted console is; aiohttp calls that CLOSED or ERROR.
                assert end.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            await lab.informers.get(POD).wait_for(
                lambda items: any(
                    labels_of(p).get("kubevirt.io") == "virt-api" and phase_of(p) == "Running" for p in items.values()
                ),
                5.0,
            )
            await lab.nodes.edit("demo/vm", _with_address)
            async with session.ws_connect(f"{base}/vm/portforward/22") as stream:
                assert await stream.receive_bytes() == b"SSH-2.0"
                await stream.send_bytes(b"hello")
                assert await stream.receive_bytes() == b"hello"
            async with session.get(f"{base}/vm/portforward/23") as answer:
                body = await answer.json()
                assert answer.status == 500
                text = "Internal error occurred: dialing VM: dial tcp 10.128.0.9:23: connection refused"
                assert body["message"] == text

    play(tmp_path, scene, routes=routes)


def _with_address(vmi: Obj) -> None:
    vmi["status"]["interfaces"] = [{"name": "default", "ipAddress": "10.128.0.9", "podInterfaceName": "eth0"}]
