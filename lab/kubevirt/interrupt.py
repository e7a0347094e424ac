"""Two ways in which a guest's stay on its node ends otherwise than wished: a migration that is cancelled, and a drain.

A cancelled migration is one whose object is deleted while it runs: the guest must go on where it is. A drained node is
cordoned and its pods are evicted: KubeVirt refuses the eviction of a guest's pod and migrates the guest instead
(facts: pod-eviction-admitter.go, "Eviction triggered evacuation").
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab.access.client import Client
from lab.access.errors import ApiError
from lab.access.kinds import NODE, POD, VMI, VMIM, Obj
from lab.core import clock, trace
from lab.core.deadline import Deadline
from lab.core.errors import GuestEnded, Inconclusive, ProductFailure, WaitHopeless
from lab.core.wait import Seen, Signal, wait_until
from lab.kubevirt.migration import FAILED, Migration, arrived, ended, hopeless, request, wait_over
from lab.kubevirt.timeline import DONE, PRE_COPY, Recorder, Timeline, phase
from lab.kubevirt.vm import latest

CREATED_BY = "kubevirt.io/created-by"
EVACUATION = "kubevirt.io/evacuationMigration"
CORDONED = "virtlab.dev/cordoned-by"
"""An annotation: a change of a node's labels would have kubernetes-nmstate apply every policy again."""
_LATER = 429
_ASK_S = 1.0
"""A refusal is what is wanted here, and no cause to ask again for long."""


@dataclass(frozen=True)
class Cancelled:
    """A migration cancelled in `phase`; the guest is on `node`, where it was. `said` is the platform's reason."""

    name: str
    node: str
    phase: str
    said: str
    seconds: float
    timeline: Timeline


def cancel(client: Client, namespace: str, name: str, *, labels: dict[str, str], deadline: Deadline) -> Cancelled:
    """Begin a migration, delete it as soon as memory is sent, and wait until all is as before.

    Raises:
        ProductFailure: the guest is not Running where it was.
        Inconclusive: the migration was over before it could be cancelled.
        WaitHopeless: it failed before that, by itself.
        WaitTimeout: with what stayed.
    """
    before, began, phases = client.get(VMI, name, namespace), time.monotonic(), Recorder(clock.now())
    node = str(before["status"].get("nodeName"))
    made = client.create(request(namespace, name, labels, ""), deadline=deadline)
    said = _cancel_running(client, made, name, phases, deadline)
    vmi = client.get(VMI, name, namespace)
    status = vmi.get("status") or {}
    state = status.get("migrationState") or {}
    if state.get("migrationUid") == made["metadata"]["uid"] and state.get("completed") and not state.get("failed"):
        raise Inconclusive(
            f"the migration of VM {namespace}/{name} cancelled in the middle",
            "it had moved the guest before it could be cancelled",
            f"VirtualMachineInstance {namespace}/{name}",
            "limit its bandwidth, so that there is a middle",
        )
    if state.get("migrationUid") == made["metadata"]["uid"] and (why := _by_itself(state)):
        raise WaitHopeless(
            f"{VMIM.kind} {namespace}/{made['metadata']['name']}",
            f"the migration of {name} cancelled in {PRE_COPY}",
            reason=why,
            last=f"failed in {said[0]}",
            elapsed=time.monotonic() - began,
        )
    if status.get("phase") != "Running" or status.get("nodeName") != node:
        raise ProductFailure(
            f"VM {namespace}/{name} Running on {node} after its migration was cancelled",
            f"it is {status.get('phase')} on {status.get('nodeName')}",
        )
    seconds = time.monotonic() - began
    return Cancelled(str(made["metadata"]["name"]), node, said[0], said[1], seconds, phases.timeline())


def _by_itself(state: Obj) -> str:
    """Why a migration failed that was to be cancelled, where cancelling it was not why; pure."""
    aborted = state.get("abortStatus") == "Succeeded" or "abort" in str(state.get("failureReason", "")).lower()
    return "" if aborted or not state.get("failed") else hopeless({"status": {"migrationState": state}})


def _cancel_running(client: Client, vmim: Obj, name: str, phases: Recorder, deadline: Deadline) -> tuple[str, str]:
    """Delete the migration when it is in pre-copy and wait for its end: the phase it was in, and what is said of it."""
    meta, signal = vmim["metadata"], Signal()
    namespace, uid = str(meta["namespace"]), str(meta["uid"])
    deleted = ""
    with (
        client.watch(VMIM, str(meta["name"]), namespace, signal=signal) as migrations,
        client.watch(VMI, name, namespace, signal=signal) as instances,
    ):

        def observe() -> Seen[str]:
            nonlocal deleted
            found, instance = latest(migrations), latest(instances)
            now = phase(found, instance)
            phases.saw(now, clock.now())
            if not deleted and found is not None and (found.get("status") or {}).get("phase") == FAILED:
                return Seen("failed", hopeless=hopeless(found))
            if not deleted and now not in ("pending", "scheduling"):
                deleted = now
                trace.note(f"migration {meta['name']}", f"cancelled in {now}")
                client.delete(VMIM, str(meta["name"]), namespace)
            state = ((instance or {}).get("status") or {}).get("migrationState") or {}
            over = found is None or now == DONE
            settled = state.get("migrationUid") != uid or bool(state.get("completed"))
            text = f"migration {now}, instance {'settled' if settled else 'still migrating'}"
            return Seen(text, bool(deleted) and over and settled, str(state.get("failureReason") or "no reason given"))

        said = wait_until(
            f"{VMIM.kind} {namespace}/{meta['name']}",
            f"cancelled in {PRE_COPY}",
            observe,
            deadline=deadline,
            changes=signal,
            advice=f"kubectl -n {namespace} get vmi {name} -o jsonpath={{.status.migrationState}}",
        )
    return deleted, said or ""


def cordon(client: Client, node: str, run: str) -> bool:
    """Let nothing more be scheduled on a node, in the name of a run; False for one that is somebody else's already."""
    found = client.get(NODE, node)
    if (found.get("spec") or {}).get("unschedulable") and not cordoned_by(found):
        return False
    wanted = {"metadata": {"annotations": {CORDONED: run}}, "spec": {"unschedulable": True}}
    client.patch(NODE, node, None, wanted)
    return True


def uncordon(client: Client, node: str) -> None:
    """Allow it again."""
    client.patch(NODE, node, None, {"metadata": {"annotations": {CORDONED: None}}, "spec": {"unschedulable": None}})


def cordoned_by(node: Obj) -> str:
    """The run that cordoned a node and has not allowed it again; empty when none did."""
    return str((node["metadata"].get("annotations") or {}).get(CORDONED, ""))


def evict(client: Client, namespace: str, name: str, *, deadline: Deadline) -> Migration:
    """Evict a guest's pod as `kubectl drain` does, and follow the migration that this brings about.

    Raises:
        GuestEnded: the eviction was allowed, and so the guest is killed.
        ProductFailure: the guest is not where it should be.
        WaitHopeless, WaitTimeout: as a migration's.
    """
    before, began, phases = client.get(VMI, name, namespace), time.monotonic(), Recorder(clock.now())
    node = str(before["status"].get("nodeName"))
    pod = _pod(client, before, node)
    _ask(client, namespace, pod, name)
    made = _evacuation(client, namespace, name, deadline)
    vmim = wait_over(client, made, name, phases, deadline)
    return ended(vmim, arrived(client, vmim, name, node), node, time.monotonic() - began, phases)


def _pod(client: Client, vmi: Obj, node: str) -> str:
    namespace = vmi["metadata"]["namespace"]
    for pod in client.list(POD, namespace, labels=f"{CREATED_BY}={vmi['metadata']['uid']}"):
        if pod["spec"].get("nodeName") == node and (pod.get("status") or {}).get("phase") == "Running":
            return str(pod["metadata"]["name"])
    raise ProductFailure(f"the pod of VM {namespace}/{vmi['metadata']['name']} on {node}", "there is none that runs")


def eviction(namespace: str, pod: str) -> Obj:
    """The eviction of a pod; pure."""
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}


def _ask(client: Client, namespace: str, pod: str, name: str) -> None:
    """The eviction itself: KubeVirt answers 429 and says that it migrates."""
    path, body = client.path(POD, pod, namespace, "eviction"), eviction(namespace, pod)
    try:
        client.raw("POST", path, wanted=f"evict pod {namespace}/{pod}", body=body, deadline=Deadline.after(_ASK_S))
    except ApiError as refusal:
        if refusal.status != _LATER:
            raise
        trace.note(f"VM {name}", f"its eviction: {refusal.message}")
        return
    raise GuestEnded(
        f"the eviction of pod {namespace}/{pod} to be refused, and its guest migrated instead",
        "it was allowed",
        f"VM {namespace}/{name}",
        "is its evictionStrategy LiveMigrate?",
    )


def _evacuation(client: Client, namespace: str, name: str, deadline: Deadline) -> Obj:
    """The migration that KubeVirt makes for an evicted guest."""
    signal = Signal()
    with client.watch(VMIM, "", namespace, signal=signal) as migrations:

        def observe() -> Seen[Obj]:
            while migrations.take(0):
                pass
            for found in migrations.items.values():
                open_ = str((found.get("status") or {}).get("phase") or "") not in ("Succeeded", "Failed")
                evacuates = EVACUATION in (found["metadata"].get("annotations") or {})
                if found["spec"].get("vmiName") == name and open_ and evacuates:
                    return Seen(f"migration {found['metadata']['name']}", True, found)
            return Seen("no migration yet")

        made = wait_until(
            f"VM {namespace}/{name}",
            "a migration because of its eviction",
            observe,
            deadline=deadline,
            changes=signal,
            advice=f"kubectl -n {namespace} get vmi {name} -o jsonpath={{.status.evacuationNodeName}}",
        )
    assert made is not None
    return made
