"""A virtual machine from its manifest to Running, and what keeps it from getting there.

A VM whose network is missing is not refused: it stays in Pending (no such NAD) or Scheduling (no bridge mapping on the
node, seen only when its pod is plugged in), and says why in a condition or an event. So the wait shows both, and ends
early when nothing can heal it any more. The guest's own start is not judged here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from lab.access.client import Client
from lab.access.kinds import EVENT, VM, VMI, Obj, condition
from lab.access.watch import Watch
from lab.core.deadline import Deadline
from lab.core.errors import EnvironmentBroken
from lab.core.wait import Seen, Signal, wait_until
from lab.kubevirt.interfaces import VmiState, read_vmi

PATIENCE_S = 20.0
"""So long a refused network may still heal: a mapping takes effect some seconds after its policy."""
REFUSALS = (
    "bridge mapping validation",
    "failed to find plugin",
    "failed to create bridge",
    "failed to setup vlan tag",
    "failed to setup spoof-check",
)
"""What network plugins say when the node, not the moment, is why a pod gets no network."""
UNBOUND, UNBOUND_S = "timed out waiting for OVS port binding", 90.0
"""OVN-Kubernetes' plugin, when ovn-controller does not take a pod's port in (go-controller/pkg/cni/helper_linux.go): a
node with much to do may be late more than once, and each try takes 20 s."""
UNSEEN_S = 5.0
"""So long a controller may not have seen an attachment that was made a moment before."""
FINAL = ("Failed", "Succeeded")
SURROUNDINGS = {
    "Failed to pull image": "correct the image in the target file, or name a mirror: registry-mirrors",
    "ImagePullBackOff": "correct the image in the target file, or name a mirror: registry-mirrors",
    "ErrImagePull": "correct the image in the target file, or name a mirror: registry-mirrors",
    "InvalidImageName": "correct the image in the target file",
    "exceeded quota:": "raise the quota, or free what uses it (kubectl describe quota)",
    "failed calling webhook": "the component that owns the webhook is down: look at its pods",
}
"""What kubelet and API server say when a pod cannot be had and the product is not why; what to try."""


def start(client: Client, vm: Obj, *, deadline: Deadline | None = None) -> Obj:
    """Create the VM. Raises AlreadyExists, Rejected (by schema or webhook), BadRequest (unknown field)."""
    return client.create(vm, strict=True, deadline=deadline)


def wait_running(client: Client, namespace: str, name: str, *, deadline: Deadline) -> VmiState:
    """Wait until the VM's instance is Running.

    Raises:
        WaitHopeless: the instance failed, its network attachment does not exist, or its node could not give it the
            network and went on so for 20 s (no bridge mapping, no such plugin); the reason is the platform's own text.
        EnvironmentBroken: its image cannot be pulled, a quota is used up, a webhook is down.
        WaitTimeout: with phase, node and the last warning of its pod.
    """
    signal = Signal()
    began = time.monotonic()
    with (
        client.watch(VMI, name, namespace, signal=signal) as vmis,
        client.watch(EVENT, "", namespace, signal=signal) as events,
    ):

        def observe() -> Seen[VmiState]:
            vmi = latest(vmis)
            while events.take(0):
                pass
            warning = last_warning(events.items.values(), name)
            return judge(vmi, warning, time.monotonic() - began)

        state = wait_until(
            f"VM {namespace}/{name}",
            "Running",
            observe,
            deadline=deadline,
            changes=signal,
            advice=f"kubectl -n {namespace} describe vmi,pod; kubectl -n {namespace} get events",
        )
    assert state is not None
    return state


def latest(watch: Watch) -> Obj | None:
    """The object after every event that has arrived; a deleted one is None."""
    while watch.take(0):
        pass
    return watch.one()


def last_warning(events: Iterable[Obj], name: str, since: str = "") -> str:
    """The newest warning about a VM's instance or one of its launcher pods, with the node that gave it.

    ``since`` (RFC 3339) leaves out what was said before.
    """
    mine = [
        e
        for e in events
        if e.get("type") == "Warning" and _is_about(str((e.get("involvedObject") or {}).get("name", "")), name)
    ]
    mine = sorted((e for e in mine if _when(e) >= since), key=_when)
    if not mine:
        return ""
    host = (mine[-1].get("source") or {}).get("host") or ""
    return f"{f'on {host}: ' if host else ''}{mine[-1].get('reason')}: {mine[-1].get('message')}"


def _when(event: Obj) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def refused(warning: str, elapsed: float) -> str:
    """The warning when it means that a pod's network will not come any more; pure. ``elapsed`` in seconds."""
    final = any(text in warning for text in REFUSALS) and elapsed > PATIENCE_S
    return warning if final or (UNBOUND in warning and elapsed > UNBOUND_S) else ""


def _is_about(subject: str, name: str) -> bool:
    return subject == name or subject.startswith(f"virt-launcher-{name}-")


def judge(vmi: Obj | None, warning: str, elapsed: float) -> Seen[VmiState]:
    """What a VMI and its last warning say; pure. ``elapsed`` in seconds since the wait began.

    Raises EnvironmentBroken for what is no fault of the product.
    """
    if vmi is None:
        return Seen("no instance yet")
    state = read_vmi(vmi)
    if state.phase == "Running":
        return Seen(f"Running on {state.node}", True, state)
    text = f"phase {state.phase}" + (f" on {state.node}" if state.node else "")
    sync, scheduled = condition(vmi, "Synchronized"), condition(vmi, "PodScheduled")
    for said in (sync, scheduled):
        if said.get("status") == "False":
            text += f", {said.get('reason')}: {said.get('message')}"
    if warning:
        text += f", {warning}"
    for trouble, advice in SURROUNDINGS.items():
        if trouble in text:
            raise EnvironmentBroken(f"VM {vmi['metadata']['name']} Running", text, advice=advice)
    return Seen(text, hopeless=_hopeless(state, sync, warning, elapsed))


def _hopeless(state: VmiState, sync: Obj, warning: str, elapsed: float) -> str:
    if state.phase in FINAL:
        return f"the instance is {state.phase}"
    message = str(sync.get("message", ""))
    if sync.get("reason") == "FailedCreate" and "network attachment definition" in message and elapsed > UNSEEN_S:
        return message
    # A pod that runs has its network by now, whatever was said before.
    return "" if state.phase == "Scheduled" else refused(warning, elapsed)


def current(client: Client, namespace: str, name: str) -> VmiState:
    """The instance as it is now. Raises NotFound."""
    return read_vmi(client.get(VMI, name, namespace))


def remove(client: Client, namespace: str, name: str, *, wait: Deadline | None = None) -> None:
    """Delete the VM; what it made goes with it."""
    client.delete(VM, name, namespace, wait=wait)
