"""The columns of `kubectl get pods`. Upstream: `printPod` in kubernetes `pkg/printers/internalversion/printers.go`."""

from __future__ import annotations

from typing import Any

from lab.embedded.apiserver.resources import Column
from lab.embedded.apiserver.tables import age, since

Obj = dict[str, Any]


def _condition(obj: Obj, kind: str) -> str:
    for condition in obj.get("status", {}).get("conditions") or ():
        if condition.get("type") == kind:
            return str(condition.get("status", ""))
    return ""


def _terminated_word(terminated: Obj) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _init_word(obj: Obj) -> str:
    """The word for a pod that is held up by an init container; empty when none is."""
    statuses = obj.get("status", {}).get("initContainerStatuses") or ()
    total = len(obj.get("spec", {}).get("initContainers") or ())
    for index, status in enumerate(statuses):
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if status.get("started") and state.get("running") is not None:
            continue
        if terminated is not None:
            return f"Init:{_terminated_word(terminated)}"
        if waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return ""


def pod_status(obj: Obj) -> str:
    """The STATUS column."""
    status = obj.get("status", {})
    word = str(status.get("reason") or status.get("phase") or "")
    if any(c.get("reason") == "SchedulingGated" for c in status.get("conditions") or ()):
        word = "SchedulingGated"
    initializing = _init_word(obj)
    if initializing:
        word = initializing
    else:
        running = False
        for container in reversed(status.get("containerStatuses") or ()):
            state = container.get("state") or {}
            if (state.get("waiting") or {}).get("reason"):
                word = state["waiting"]["reason"]
            elif state.get("terminated") is not None:
                word = _terminated_word(state["terminated"])
            elif container.get("ready") and state.get("running") is not None:
                running = True
        if word == "Completed" and running:
            word = "Running" if _condition(obj, "Ready") == "True" else "NotReady"
    if obj["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return word


def _ready(obj: Obj) -> str:
    statuses = obj.get("status", {}).get("containerStatuses") or ()
    ready = sum(1 for s in statuses if s.get("ready") and (s.get("state") or {}).get("running") is not None)
    return f"{ready}/{len(obj.get('spec', {}).get('containers') or ())}"


def _restarts(obj: Obj) -> str:
    statuses = obj.get("status", {}).get("containerStatuses") or ()
    count = sum(int(s.get("restartCount", 0)) for s in statuses)
    ends = [((s.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or "" for s in statuses]
    last = max(ends, default="")
    return f"{count} ({since(last)} ago)" if count and last else str(count)


def _pod_ip(obj: Obj) -> str:
    status = obj.get("status", {})
    ips = [entry.get("ip") for entry in status.get("podIPs") or ()]
    return str((ips and ips[0]) or status.get("podIP") or "<none>")


def _gates(obj: Obj) -> str:
    gates = obj.get("spec", {}).get("readinessGates") or ()
    if not gates:
        return "<none>"
    passed = sum(1 for gate in gates if _condition(obj, gate.get("conditionType", "")) == "True")
    return f"{passed}/{len(gates)}"


PODS = (
    Column("Ready", _ready),
    Column("Status", pod_status),
    Column("Restarts", _restarts),
    Column("Age", age),
    Column("IP", _pod_ip, priority=1),
    Column("Node", lambda obj: obj.get("spec", {}).get("nodeName") or "<none>", priority=1),
    Column("Nominated Node", lambda o: o.get("status", {}).get("nominatedNodeName") or "<none>", priority=1),
    Column("Readiness Gates", _gates, priority=1),
)
