"""What a VirtualMachine says about itself, as a pure function of the VM, its VMI and the last sync error.

Rules: upstream pkg/virt-controller/watch/vm/vm.go (setPrintableStatus, syncConditions, syncStartFailureStatus). Zero
values are left out of the status, for Go's omitempty does so and clients rely on it (`ready` absent = not ready).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lab.embedded.operators.names import VM_GENERATION
from lab.embedded.operators.objects import (
    Obj,
    age,
    annotations_of,
    clone,
    conditions_of,
    deleting,
    dig,
    drop_empty,
    has_condition,
    now,
    parse_time,
    phase_of,
    remove_condition,
    set_condition,
    uid_of,
)
from lab.embedded.reading import whole

FINAL = ("Succeeded", "Failed")
OWN_CONDITIONS = ("Ready", "Failure", "RestartRequired", "Initialized", "ManualRecoveryRequired")
MAX_BACKOFF_SECONDS = 300
# Parts of the template that take effect on a running VMI, or at its next migration, without a restart.
LIVE_FIELDS = ("nodeSelector", "affinity", "tolerations")
RESTART_REQUIRED = "a non-live-updatable field was changed in the template spec"


@dataclass(frozen=True)
class SyncError:
    """Why the wanted state could not be approached: `reason` FailedCreate or FailedDelete."""

    reason: str
    message: str


def run_strategy(vm: Obj) -> str:
    """spec.runStrategy, or what the deprecated spec.running stands for."""
    spec = vm.get("spec") or {}
    if spec.get("runStrategy"):
        return str(spec["runStrategy"])
    return "Always" if spec.get("running") else "Halted"


def stop_requested(vm: Obj, vmi: Obj | None) -> bool:
    """The first state change request asks for this very VMI to stop."""
    request = dig(vm, "status", "stateChangeRequests", 0, default={})
    return vmi is not None and request.get("action") == "Stop" and request.get("uid") == uid_of(vmi)


def start_requested(vm: Obj) -> bool:
    return bool(dig(vm, "status", "stateChangeRequests", 0, "action") == "Start")


def wants_start(vm: Obj) -> bool:
    """Whether a VMI is expected although there is none."""
    strategy = run_strategy(vm)
    if strategy in ("Always", "WaitAsReceiver"):
        return True
    if strategy == "Halted":
        return False
    first_time = dig(vm, "status", "runStrategy") != strategy and strategy in ("RerunOnFailure", "Once")
    return first_time or start_requested(vm)


def backoff_left(vm: Obj) -> float:
    """Seconds until a VM whose starts failed may be started again; 0 when it may now."""
    stamp = dig(vm, "status", "startFailure", "retryAfterTimestamp")
    return max(0.0, -age(stamp)) if stamp else 0.0


def migrating(vmi: Obj | None) -> bool:
    state = dig(vmi, "status", "migrationState", default={})
    return bool(state.get("startTimestamp")) and not state.get("endTimestamp")


def covers(actual: Any, wanted: Any) -> bool:
    """True when all that `wanted` says is so in `actual`; defaults that admission added do not matter."""
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(covers(actual.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not wanted:
            return not actual
        return (
            isinstance(actual, list)
            and len(actual) >= len(wanted)
            and all(covers(have, want) for have, want in zip(actual, wanted, strict=False))
        )
    return bool(actual == wanted)


def restart_required(vm: Obj, vmi: Obj | None) -> bool:
    if vmi is None or phase_of(vmi) in FINAL or deleting(vmi):
        return False
    if annotations_of(vmi).get(VM_GENERATION) == str(vm["metadata"].get("generation")):
        return False
    template = dig(vm, "spec", "template", "spec", default={})
    return not covers(vmi["spec"], {key: value for key, value in template.items() if key not in LIVE_FIELDS})


def printable_status(vm: Obj, vmi: Obj | None) -> str:
    """The first match in upstream's order; `vm` with the new status already in place."""
    phase = phase_of(vmi)
    alive = vmi is not None and phase not in FINAL
    starts_failed = bool(dig(vm, "status", "startFailure", "consecutiveFailCount"))
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("Terminating", lambda: deleting(vm)),
        ("Stopping", lambda: vmi is not None and alive and (deleting(vmi) or stop_requested(vm, vmi))),
        ("Migrating", lambda: migrating(vmi)),
        ("Paused", lambda: has_condition(vmi, "Paused")),
        ("Running", lambda: phase == "Running"),
        ("ErrorPvcNotFound", lambda: has_condition(vmi, "Synchronized", "False", "FailedPvcNotFound")),
        ("ErrorUnschedulable", lambda: has_condition(vmi, "PodScheduled", "False", "Unschedulable")),
        ("ErrImagePull", lambda: has_condition(vmi, "Synchronized", "False", "ErrImagePull")),
        ("ImagePullBackOff", lambda: has_condition(vmi, "Synchronized", "False", "ImagePullBackOff")),
        ("Starting", lambda: vmi is not None and phase in ("", "Pending", "Scheduling", "Scheduled")),
        ("CrashLoopBackOff", lambda: not alive and wants_start(vm) and starts_failed),
        ("Stopped", lambda: phase in FINAL if vmi is not None else not wants_start(vm)),
        ("WaitingForReceiver", lambda: phase == "WaitingForSync"),
    )
    return next((name for name, check in checks if check()), "Unknown")


def vm_status(vm: Obj, vmi: Obj | None, error: SyncError | None) -> Obj:
    """The VM's whole new status. `vmi` is the VM's own VMI or None."""
    fresh = clone(vm)
    status = fresh.setdefault("status", {})
    status["created"] = vmi is not None
    status["ready"] = has_condition(vmi, "Ready") and phase_of(vmi) not in FINAL
    status["stateChangeRequests"] = _pending_requests(fresh, vmi)
    _start_failure(status, vmi)
    _conditions(fresh, vmi, error)
    status["printableStatus"] = printable_status(fresh, vmi)
    # Noted only after a sync that worked: "first time" strategies start once, and a failed start was none.
    if error is None:
        status["runStrategy"] = run_strategy(vm)
    _generations(fresh, vmi)
    status["volumeSnapshotStatuses"] = _snapshot_statuses(vm)
    drop_empty(status, "created", "ready", "stateChangeRequests", "startFailure", "volumeSnapshotStatuses")
    return dict(status)


def _pending_requests(vm: Obj, vmi: Obj | None) -> list[Obj]:
    requests: list[Obj] = list(dig(vm, "status", "stateChangeRequests", default=[]))
    if requests:
        first = requests[0]
        served = vmi is not None if first.get("action") == "Start" else vmi is None or first.get("uid") != uid_of(vmi)
        if served:
            del requests[0]
    return requests


def _start_failure(status: Obj, vmi: Obj | None) -> None:
    if vmi is None:
        return
    phase = phase_of(vmi)
    ran = any(entry.get("phase") == "Running" for entry in dig(vmi, "status", "phaseTransitionTimestamps", default=[]))
    if phase == "Running" or (phase in FINAL and ran):
        status.pop("startFailure", None)
    elif phase == "Failed" and dig(status, "startFailure", "lastFailedVMIUID") != uid_of(vmi):
        count = int(dig(status, "startFailure", "consecutiveFailCount", default=0)) + 1
        status["startFailure"] = {
            "consecutiveFailCount": count,
            "lastFailedVMIUID": uid_of(vmi),
            "retryAfterTimestamp": _retry_after(count),
        }


def _retry_after(count: int) -> str:
    interval = max(10, MAX_BACKOFF_SECONDS // 30)
    delay = min(MAX_BACKOFF_SECONDS, interval * count**2 + random.randint(0, interval))  # noqa: S311
    return (parse_time(now()) + timedelta(seconds=delay)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _conditions(vm: Obj, vmi: Obj | None, error: SyncError | None) -> None:
    copied = [entry for entry in conditions_of(vmi) if entry.get("type") not in OWN_CONDITIONS[1:]]
    kept = [entry for entry in conditions_of(vm) if entry.get("type") in OWN_CONDITIONS]
    if any(entry.get("type") == "Ready" for entry in copied):
        kept = [entry for entry in kept if entry.get("type") != "Ready"]
    vm["status"]["conditions"] = clone({"": sorted(copied, key=lambda entry: entry.get("type") != "Ready") + kept})[""]
    if not any(entry.get("type") == "Ready" for entry in copied):
        set_condition(vm, "Ready", "False", "VMINotExists", "VMI does not exist")
    if error is None:
        remove_condition(vm, "Failure")
    else:
        set_condition(vm, "Failure", "True", error.reason, error.message)
    if restart_required(vm, vmi):
        set_condition(vm, "RestartRequired", "True", "RestartRequired", RESTART_REQUIRED)
    else:
        remove_condition(vm, "RestartRequired")


def _generations(vm: Obj, vmi: Obj | None) -> None:
    generation = int(vm["metadata"].get("generation") or 1)
    observed = whole(annotations_of(vmi).get(VM_GENERATION, "")) if vmi is not None else None
    pending = vmi is not None and restart_required(vm, vmi) and observed is not None
    vm["status"]["desiredGeneration"] = generation
    vm["status"]["observedGeneration"] = observed if pending else generation


def _snapshot_statuses(vm: Obj) -> list[Obj]:
    text = "Snapshot is not supported for this volumeSource type"
    volumes = dig(vm, "spec", "template", "spec", "volumes", default=[])
    return [{"enabled": False, "name": volume.get("name", ""), "reason": text} for volume in volumes]
