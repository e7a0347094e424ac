"""One live migration: asked for, waited for, and checked against what a finished one must look like.

``Succeeded`` alone is not believed: the rule is that of KubeVirt's own tests (tests/libmigration/migration.go,
ConfirmVMIPostMigration). Fast migrations skip observable phases, so none but the last is waited for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lab.access.client import Client
from lab.access.kinds import EVENT, NODE, VMI, VMIM, Obj
from lab.core import clock, trace
from lab.core.deadline import Deadline
from lab.core.errors import Inconclusive, ProductFailure, WaitTimeout
from lab.core.wait import Seen, Signal, wait_until
from lab.kubevirt.jobinfo import JobInfo
from lab.kubevirt.timeline import Recorder, Timeline, phase
from lab.kubevirt.vm import last_warning, latest, refused

REPORT_S = 5.0
HOSTNAME = "kubernetes.io/hostname"
FAILED = "Failed"
WAITING = ("no phase yet", "Pending", "Scheduling")
"""Phases in which a migration waits for its target pod."""
CHECKS = (
    ("startTimestamp", "it has no start"),
    ("endTimestamp", "it has no end"),
    ("targetNodeDomainReadyTimestamp", "the guest was never seen on the target"),
    ("targetNodeAddress", "the target never had an address"),
    ("completed", "it is not completed"),
)


@dataclass(frozen=True)
class Migration:
    """A migration that succeeded; ``seconds`` from the request to the platform's word that it is over.

    ``state`` is the instance's account of it (VMI.status.migrationState), ``job`` QEMU's, where it was read."""

    name: str
    source: str
    target: str
    seconds: float
    timeline: Timeline
    state: Obj = field(default_factory=dict)
    job: JobInfo | None = None


def migrate(
    client: Client, namespace: str, name: str, *, to: str = "", labels: dict[str, str], deadline: Deadline
) -> Migration:
    """Migrate a VM, to a named node or to one that the scheduler chooses.

    A node is named by ``addedNodeSelector`` (KubeVirt >= 1.6); where the cluster does not know that field the scheduler
    chooses, and a guest that arrives elsewhere makes the result inconclusive.

    Raises:
        WaitHopeless: the migration Failed, or its target pod got no network for 20 s; the reason is the platform's.
        WaitTimeout: with the phase it stayed in.
        ProductFailure: it is reported as Succeeded and is not what a finished migration looks like.
        Inconclusive: the guest moved, but to another node than the one wanted.
    """
    body = request(namespace, name, labels, _hostname(client, to))
    directed = bool(to) and bool(client.create(body, dry_run=True)["spec"].get("addedNodeSelector"))
    if to and not directed:
        trace.note(f"VM {namespace}/{name}", "this KubeVirt takes no target node: the scheduler chooses")
        body = request(namespace, name, labels, "")
    before, began = client.get(VMI, name, namespace), time.monotonic()
    phases = Recorder(clock.now())
    made = client.create(body, deadline=deadline)
    vmim = wait_over(client, made, name, phases, deadline)
    source = str(before["status"].get("nodeName"))
    vmi = arrived(client, vmim, name, source)
    target = str(vmi["status"].get("nodeName"))
    if to and target != to:
        kind = ProductFailure if directed else Inconclusive
        raise kind(f"VM {namespace}/{name} on {to}", f"it went from {source} to {target}")
    return ended(vmim, vmi, source, time.monotonic() - began, phases)


def arrived(client: Client, vmim: Obj, name: str, source: str) -> Obj:
    """The instance of VM *name* as a migration that Succeeded left it.

    The two are written apart, and what is read may be from before: so much time has the instance to be as it must.
    Raises ProductFailure with what it then still lacks.
    """
    namespace, signal = str(vmim["metadata"]["namespace"]), Signal()
    wanted = f"the migration of VM {namespace}/{name} from {source} to have moved it, as it is reported"
    where = f"VirtualMachineInstanceMigration {namespace}/{vmim['metadata']['name']}"
    with client.watch(VMI, name, namespace, signal=signal) as instances:

        def observe() -> Seen[Obj]:
            vmi = latest(instances)
            wrong = problems(vmi, vmim, source) if vmi else ["the instance is gone"]
            return Seen("; ".join(wrong) or "it has moved", not wrong, vmi)

        try:
            found = wait_until(where, wanted, observe, deadline=Deadline.after(REPORT_S), changes=signal)
        except WaitTimeout as error:
            raise ProductFailure(wanted, error.last, where) from error
    assert found is not None
    return found


def ended(vmim: Obj, vmi: Obj, source: str, seconds: float, phases: Recorder) -> Migration:
    """What a migration that moved its guest came to; pure."""
    status = vmi["status"]
    name, target = str(vmim["metadata"]["name"]), str(status.get("nodeName"))
    return Migration(name, source, target, seconds, phases.timeline(), status.get("migrationState") or {})


def request(namespace: str, name: str, labels: dict[str, str], hostname: str) -> Obj:
    """The migration object; pure."""
    spec: Obj = {"vmiName": name}
    if hostname:
        spec["addedNodeSelector"] = {HOSTNAME: hostname}
    return {
        "apiVersion": VMIM.api_version,
        "kind": VMIM.kind,
        "metadata": {"generateName": f"{name}-", "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def _hostname(client: Client, node: str) -> str:
    """A node's hostname label, which need not be its name."""
    if not node:
        return ""
    labels = client.get(NODE, node)["metadata"].get("labels") or {}
    return str(labels.get(HOSTNAME, node))


def wait_over(client: Client, vmim: Obj, name: str, phases: Recorder, deadline: Deadline) -> Obj:
    """Follow the migration of VM *name* and what is said about its target pod: one without network never gets ready.

    Raises WaitHopeless, WaitTimeout."""
    meta, signal, began = vmim["metadata"], Signal(), time.monotonic()
    namespace, since = str(meta["namespace"]), str(meta.get("creationTimestamp", ""))
    with (
        client.watch(VMIM, str(meta["name"]), namespace, signal=signal) as migrations,
        client.watch(VMI, name, namespace, signal=signal) as instances,
        client.watch(EVENT, "", namespace, signal=signal) as events,
    ):

        def observe() -> Seen[Obj]:
            found, instance = latest(migrations), latest(instances)
            phases.saw(phase(found, instance), clock.now())
            while events.take(0):
                pass
            warning = last_warning(events.items.values(), name, since)
            return judge(found, warning, time.monotonic() - began)

        over = wait_until(
            f"{VMIM.kind} {namespace}/{meta['name']}",
            f"the migration of {name} to be over",
            observe,
            deadline=deadline,
            changes=signal,
            advice=f"kubectl -n {namespace} describe vmim {meta['name']}; kubectl -n {namespace} get events",
        )
    assert over is not None
    return over


def judge(vmim: Obj | None, warning: str = "", elapsed: float = 0.0) -> Seen[Obj]:
    """What a migration object and the last warning about the VM say; pure. ``elapsed`` in seconds."""
    if vmim is None:
        return Seen("gone", hopeless="the migration was deleted, which cancels it")
    status = vmim.get("status") or {}
    phase = str(status.get("phase") or "no phase yet")
    state = status.get("migrationState") or {}
    text = f"phase {phase}" + (f", target {state['targetNode']}" if state.get("targetNode") else "")
    if phase == FAILED:
        return Seen(text, hopeless=hopeless(vmim))
    if phase in WAITING and warning:
        return Seen(f"{text}, {warning}", hopeless=refused(warning, elapsed))
    return Seen(text, phase == "Succeeded", vmim)


def hopeless(vmim: Obj) -> str:
    """Why a migration that Failed did, and between which workers; pure."""
    state = (vmim.get("status") or {}).get("migrationState") or {}
    return str(state.get("failureReason") or "it failed without a reason") + _way(state)


def _way(state: Obj) -> str:
    """The two workers of a migration, as far as they are known."""
    ends = [f"{word} {state[key]}" for word, key in (("from", "sourceNode"), ("to", "targetNode")) if state.get(key)]
    return f" ({' '.join(ends)})" if ends else ""


def problems(vmi: Obj, vmim: Obj, source: str) -> list[str]:
    """What keeps a migration that is reported as Succeeded from being one; pure."""
    status = vmi.get("status") or {}
    state = status.get("migrationState") or {}
    wrong = [why for key, why in CHECKS if not state.get(key)]
    if state.get("failed"):
        wrong.append(f"the instance says it failed: {state.get('failureReason', 'without a reason')}")
    if state.get("migrationUid") != vmim["metadata"].get("uid"):
        wrong.append(f"the instance's last migration is another one ({state.get('migrationUid')})")
    node = status.get("nodeName")
    if not state.get("targetNode") == node != source:
        wrong.append(f"source {source}, target {state.get('targetNode')}, but the instance is on {node}")
    if status.get("phase") != "Running":
        wrong.append(f"the instance is {status.get('phase')}")
    return wrong
