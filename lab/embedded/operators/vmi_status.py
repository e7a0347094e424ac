"""A VMI's status as far as the cluster side decides it: a pure function of the VMI, its pods and the sync error.

Phases up to Scheduled, and the endings that follow from pods, are decided here; Running and what the guest says is
virt-handler's. Rules: upstream pkg/virt-controller/watch/vmi/lifecycle.go and pkg/network/controllers/vmi.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.embedded.operators import names
from lab.embedded.operators.objects import (
    Obj,
    age,
    annotations_of,
    condition,
    controller_of,
    deleting,
    dig,
    enter_phase,
    has_condition,
    labels_of,
    name_of,
    newest_first,
    now,
    phase_of,
    remove_condition,
    remove_finalizer,
    set_condition,
    set_label,
    uid_of,
)
from lab.embedded.reading import json_of

FINAL = ("Succeeded", "Failed")
# virt-handler sees a guest's end itself and knows better why; only its silence leaves the verdict to the pod.
HANDLER_GRACE_SECONDS = 3.0


def current_pod(vmi: Obj, pods: Sequence[Obj]) -> Obj | None:
    """The pod the VMI lives in: the newest on its node; before it has one, the newest that is no migration's target."""
    node = dig(vmi, "status", "nodeName")
    here = [pod for pod in pods if not node or dig(pod, "spec", "nodeName") == node]
    if not node:
        here = [pod for pod in here if names.MIGRATION_JOB_UID not in labels_of(pod)]
    # A VMI that comes back to a node finds its own Completed pod there, perhaps of the same second.
    alive = [pod for pod in here if phase_of(pod) not in FINAL]
    ranked = newest_first(alive or here)
    return ranked[0] if ranked else None


def target_pod(vmi: Obj, pods: Sequence[Obj]) -> Obj | None:
    """The pod that an open migration takes the VMI to, while it may still become the VMI's own.

    Its readiness gate is opened ahead of the switch, or the VMI would not be Ready for as long as virt-controller and
    kubelet take after it. Upstream opens it only then: there, a moved VMI is not Ready for up to a second or so."""
    name = dig(vmi, "status", "migrationState", "targetPod") if migration_open(vmi) else None
    found = next((pod for pod in pods if name_of(pod) == name), None)
    return None if found is None or deleting(found) or is_pod_down(found) else found


def is_pod_ready(pod: Obj) -> bool:
    """Every container ready in a Running pod; readiness gates do not count (upstream isPodReady)."""
    statuses = dig(pod, "status", "containerStatuses", default=[])
    ready = bool(statuses) and all(entry.get("ready") for entry in statuses)
    return phase_of(pod) == "Running" and ready and not deleting(pod)


def is_pod_down(pod: Obj) -> bool:
    return phase_of(pod) in FINAL


def migration_open(vmi: Obj) -> bool:
    """A migration was handed over and has not ended."""
    state = dig(vmi, "status", "migrationState", default={})
    return bool(state.get("migrationUid")) and not state.get("completed")


def update(vmi: Obj, pods: Sequence[Obj], error: tuple[str, str] | None, *, owner_vm_exists: bool, image: str) -> None:
    """Bring `vmi` (a copy) up to date in place. `error` is (reason, message) of what kept its pod from being."""
    pod = current_pod(vmi, pods)
    status = vmi.setdefault("status", {})
    status.setdefault("runtimeUser", 107)
    status.setdefault("guestOSInfo", {})
    if pods or "activePods" in status:
        status["activePods"] = {uid_of(entry): dig(entry, "spec", "nodeName", default="") for entry in pods}
    phase = phase_of(vmi)
    if phase in ("", "Pending"):
        _unprocessed(vmi, pod)
    elif phase == "Scheduling":
        _scheduling(vmi, pod, image)
    elif phase in FINAL:
        _final(vmi, pods, owner_vm_exists)
    else:
        _alive(vmi, pod)
    ready_condition(vmi, pod)
    sync_condition(vmi, error, pod)


def _unprocessed(vmi: Obj, pod: Obj | None) -> None:
    if pod is not None:
        enter_phase(vmi, "Scheduling")
    elif deleting(vmi):
        enter_phase(vmi, "Failed")
    else:
        enter_phase(vmi, "Pending")


def _scheduling(vmi: Obj, pod: Obj | None, image: str) -> None:
    if pod is None or is_pod_down(pod):
        enter_phase(vmi, "Failed")
        return
    refused = condition(pod, "PodScheduled")
    if refused is not None and refused.get("status") == "False":
        set_condition(vmi, "PodScheduled", "False", refused.get("reason", ""), refused.get("message", ""))
    else:
        remove_condition(vmi, "PodScheduled")
    if dig(pod, "status", "qosClass"):
        vmi["status"]["qosClass"] = pod["status"]["qosClass"]
    if is_pod_ready(pod) and not deleting(vmi):
        node = str(pod["spec"]["nodeName"])
        vmi["status"]["nodeName"] = node
        vmi["status"]["migrationTransport"] = "Unix"
        vmi["status"]["launcherContainerImageVersion"] = dig(pod, "spec", "containers", 0, "image", default=image)
        seed_interfaces(vmi, pod)
        set_label(vmi, names.NODE_NAME, node)
        enter_phase(vmi, "Scheduled")


def _alive(vmi: Obj, pod: Obj | None) -> None:
    """Scheduled, Running and Unknown: only the loss of the pod is decided here."""
    if pod is None:
        enter_phase(vmi, "Failed")
    elif is_pod_down(pod) and not migration_open(vmi) and down_for(pod) >= HANDLER_GRACE_SECONDS:
        enter_phase(vmi, "Succeeded" if phase_of(pod) == "Succeeded" else "Failed")


def _final(vmi: Obj, pods: Sequence[Obj], owner_vm_exists: bool) -> None:
    if not pods:
        remove_finalizer(vmi, names.VMI_FINALIZER)
    if not owner_vm_exists:
        remove_finalizer(vmi, names.VM_FINALIZER)


def down_for(pod: Obj) -> float:
    """Seconds since the pod's last container ended."""
    ends = [
        dig(entry, "state", "terminated", "finishedAt") for entry in dig(pod, "status", "containerStatuses", default=[])
    ]
    known = [age(stamp) for stamp in ends if stamp]
    return min(known) if known else HANDLER_GRACE_SECONDS


def ready_condition(vmi: Obj, pod: Obj | None) -> None:
    """Upstream syncReadyConditionFromPod."""
    if pod is None:
        text = "virt-launcher pod has not yet been scheduled"
        set_condition(vmi, "Ready", "False", "PodNotExists", text)
    elif is_pod_down(pod) or deleting(pod):
        set_condition(vmi, "Ready", "False", "PodTerminating", "virt-launcher pod is terminating")
    elif phase_of(vmi) != "Running":
        # Beyond upstream, where only the pod's events tell why a VM waits for its network for ever.
        network = condition(pod, "PodReadyToStartContainers") or {}
        why = f": {network['message']}" if network.get("status") == "False" and network.get("message") else ""
        set_condition(vmi, "Ready", "False", "GuestNotRunning", f"Guest VM is not reported as running{why}")
    elif (ready := condition(pod, "Ready")) is not None:
        set_condition(vmi, "Ready", ready.get("status", "Unknown"), ready.get("reason", ""), ready.get("message", ""))
    else:
        text = "virt-launcher pod is missing the Ready condition"
        set_condition(vmi, "Ready", "False", "PodConditionMissing", text)


def sync_condition(vmi: Obj, error: tuple[str, str] | None, pod: Obj | None) -> None:
    """Synchronized appears only as False; what virt-handler wrote there is left to virt-handler."""
    waiting = _image_error(pod) if error is None else None
    reason, message = error or waiting or ("", "")
    if reason:
        set_condition(vmi, "Synchronized", "False", reason, message)
    elif has_condition(vmi, "Synchronized", "False", "FailedCreate", "ErrImagePull", "ImagePullBackOff"):
        remove_condition(vmi, "Synchronized")


def _image_error(pod: Obj | None) -> tuple[str, str] | None:
    for entry in dig(pod, "status", "containerStatuses", default=[]):
        waiting = dig(entry, "state", "waiting", default={})
        if waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff"):
            return waiting["reason"], str(waiting.get("message", ""))
    return None


def seed_interfaces(vmi: Obj, pod: Obj) -> None:
    """status.interfaces before there is a domain: the primary, and the secondaries that Multus reported."""
    if dig(vmi, "status", "interfaces"):
        return
    reported = network_status(pod)
    primary = next((entry.get("interface", "eth0") for entry in reported if entry.get("default")), "eth0")
    attached = {entry.get("interface") for entry in reported if not entry.get("default")}
    first, rest = [], []
    present = {entry["name"] for entry in dig(vmi, "spec", "domain", "devices", "interfaces", default=[])}
    for network in vmi["spec"].get("networks") or []:
        if network["name"] not in present:
            continue
        if network.get("pod") is not None or dig(network, "multus", "default", default=False):
            first.append({"name": network["name"], "podInterfaceName": primary})
        elif names.pod_interface(network["name"]) in attached:
            interface = names.pod_interface(network["name"])
            rest.append({"name": network["name"], "podInterfaceName": interface, "infoSource": "multus-status"})
    if first or rest:
        vmi["status"]["interfaces"] = first + rest


def network_status(pod: Obj) -> list[Obj]:
    """The network-status annotation; empty while absent or unreadable (its writer is another program)."""
    try:
        entries = json_of(annotations_of(pod).get(names.NETWORK_STATUS, "[]"))
    except ValueError:
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def gate_condition(vmi: Obj, pod: Obj) -> Obj | None:
    """The readiness gate's condition that the pod should get, or None when it has it (upstream setLauncherUnpaused)."""
    if not any(
        gate.get("conditionType") == names.UNPAUSED_GATE for gate in dig(pod, "spec", "readinessGates", default=[])
    ):
        return None
    if has_condition(vmi, "Paused"):
        wanted = ("False", "Paused", "the virtual machine is paused")
    else:
        wanted = ("True", "NotPaused", "the virtual machine is not paused")
    if has_condition(pod, names.UNPAUSED_GATE, wanted[0]):
        return None
    status, reason, message = wanted
    return {
        "type": names.UNPAUSED_GATE,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": now(),
        "lastTransitionTime": now(),
    }


def owner_vm(vmi: Obj) -> str | None:
    """Name of the VirtualMachine that controls the VMI."""
    reference = controller_of(vmi)
    return str(reference["name"]) if reference and reference.get("kind") == "VirtualMachine" else None


def describe(vmi: Obj) -> str:
    return f"VMI {name_of(vmi)} in phase {phase_of(vmi) or 'unset'}"
