"""start, stop, restart and migrate: what each does to which object, and when it is refused. The decisions are pure.

Rules: upstream pkg/virt-api/rest/lifecycle.go. A run strategy that a person set is kept where the strategy allows it
(state change requests), and flipped where it does not (Always <-> Halted).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.embedded.operators.objects import Obj, dig, name_of, phase_of, uid_of
from lab.embedded.operators.virtapi.answers import bad_request, conflict, not_found
from lab.embedded.operators.vm_status import FINAL, run_strategy

VM, VMI = "virtualmachine", "virtualmachineinstance"
NOT_RUNNING = "VM is not running"


@dataclass(frozen=True)
class Change:
    """What an action writes: a merge patch of the VM's spec, new state change requests, a shorter grace on the VMI."""

    spec: Obj = field(default_factory=dict)
    requests: list[Obj] | None = None
    grace: int | None = None


def start(vm: Obj, vmi: Obj | None) -> Change:
    """Raises Refusal."""
    name, strategy = name_of(vm), run_strategy(vm)
    if vmi is not None and phase_of(vmi) not in (*FINAL, "", "Unknown"):
        raise conflict(VM, name, "VM is already running")
    if strategy in ("Always", "Once"):
        raise conflict(VM, name, f"{strategy} does not support manual start requests")
    if strategy == "Halted":
        return Change(spec=_running_patch(vm, running=True))
    requests: list[Obj] = [{"action": "Start"}]
    if vmi is not None:
        # RerunOnFailure and Manual keep a finished VMI, which has to go first.
        requests.insert(0, {"action": "Stop", "uid": uid_of(vmi)})
    return Change(requests=requests)


def stop(vm: Obj, vmi: Obj | None, body: Obj) -> Change:
    """Raises Refusal. `gracePeriod` in seconds shortens the VMI's own."""
    name, strategy, grace = name_of(vm), run_strategy(vm), body.get("gracePeriod")
    alive = vmi is not None and phase_of(vmi) not in FINAL
    if grace is not None and (not isinstance(grace, int) or grace < 0):
        raise bad_request(f"gracePeriod must be 0 or more seconds, got {grace!r}")
    if strategy == "Halted":
        if not alive:
            raise conflict(VM, name, NOT_RUNNING)
        own = dig(vmi, "spec", "terminationGracePeriodSeconds", default=30)
        if grace is None or grace >= own:
            raise conflict(VM, name, "Halted only supports manual stop requests with a shorter graceperiod")
        return Change(grace=grace)
    if strategy in ("Manual", "RerunOnFailure"):
        if vmi is None or not alive:
            raise conflict(VM, name, NOT_RUNNING)
        return Change(requests=[{"action": "Stop", "uid": uid_of(vmi)}], grace=grace)
    return Change(spec=_running_patch(vm, running=False), grace=grace if alive else None)


def restart(vm: Obj, vmi: Obj | None, body: Obj) -> Change:
    """Raises Refusal. `gracePeriodSeconds: 0` is the only value that upstream takes."""
    name, strategy, grace = name_of(vm), run_strategy(vm), body.get("gracePeriodSeconds")
    if grace is not None:
        if not isinstance(grace, int) or grace < 0:
            raise bad_request("gracePeriod has to be greater or equal to 0")
        if grace > 0:
            raise bad_request("For force restart, only gracePeriod=0 is supported for now")
    if strategy in ("Halted", "WaitAsReceiver"):
        raise conflict(VM, name, f"RunStategy {strategy} does not support manual restart requests")
    if vmi is None:
        raise conflict(VM, name, f"{NOT_RUNNING}: {strategy}")
    return Change(requests=[{"action": "Stop", "uid": uid_of(vmi)}, {"action": "Start"}], grace=grace)


def migrate(vm: Obj, vmi: Obj | None, body: Obj) -> Obj:
    """The migration's spec. Raises Refusal."""
    if vmi is None:
        raise not_found(VMI, name_of(vm))
    if phase_of(vmi) != "Running":
        raise conflict(VM, name_of(vm), NOT_RUNNING)
    spec: dict[str, Any] = {"vmiName": name_of(vmi)}
    if body.get("addedNodeSelector"):
        spec["addedNodeSelector"] = body["addedNodeSelector"]
    return spec


def _running_patch(vm: Obj, *, running: bool) -> Obj:
    """Upstream getRunningPatch: whichever of the two fields the VM uses."""
    if dig(vm, "spec", "running") is not None:
        return {"running": running}
    return {"runStrategy": "Always" if running else "Halted"}
