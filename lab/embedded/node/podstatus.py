"""Pod.status from what is known of a pod's sandbox and containers: pure, as the kubelet computes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.embedded.node.names import now

Obj = dict[str, Any]


@dataclass
class ContainerState:
    """One container; ``exit`` is None while it runs. Times are RFC 3339 strings."""

    name: str
    image: str
    started: str = ""
    exit: int | None = None
    finished: str = ""
    restarts: int = 0
    waiting: str = "ContainerCreating"
    message: str = ""
    id: str = ""
    last: Obj = field(default_factory=dict)

    def begin(self, id: str) -> None:
        """It runs now."""
        self.started, self.exit, self.finished, self.waiting, self.id = now(), None, "", "", id

    def end(self, status: int) -> None:
        """It ended with ``status``."""
        self.exit, self.finished = status, now()

    @property
    def running(self) -> bool:
        return bool(self.started) and self.exit is None and not self.waiting

    def terminated(self) -> Obj:
        """state.terminated of its last end."""
        reason = "Completed" if self.exit == 0 else "Error"
        times = {"startedAt": self.started, "finishedAt": self.finished}
        return {"exitCode": self.exit, "reason": reason, **times, "containerID": self.id}

    def entry(self) -> Obj:
        """Its element of status.containerStatuses."""
        if self.running:
            state: Obj = {"running": {"startedAt": self.started}}
        elif self.waiting:
            state = {"waiting": {"reason": self.waiting, **({"message": self.message} if self.message else {})}}
        else:
            state = {"terminated": self.terminated()}
        found: Obj = {
            "name": self.name,
            "image": self.image,
            "imageID": f"virtlab://{self.image}" if self.started else "",
            "ready": self.running,
            "started": self.running,
            "restartCount": self.restarts,
            "state": state,
            "lastState": {"terminated": self.last} if self.last else {},
        }
        if self.id:
            found["containerID"] = self.id
        return found


def phase_of(containers: list[ContainerState], *, restarting: bool) -> str:
    """Pending until something started; Succeeded or Failed once all ended and none is started again."""
    if not any(container.started for container in containers):
        return "Pending"
    if restarting or any(container.running or container.exit is None for container in containers):
        return "Running"
    return "Succeeded" if all(container.exit == 0 for container in containers) else "Failed"


def conditions(
    pod: Obj, phase: str, containers: list[ContainerState], *, sandbox: bool, initialized: bool, trouble: str = ""
) -> list[Obj]:
    """The kubelet's own conditions; gates set by others are read from the pod, and decide Ready with the containers.

    ``trouble`` is why there is no sandbox yet: a message where upstream's kubelet leaves one out."""
    known = {entry["type"]: entry for entry in pod.get("status", {}).get("conditions") or []}
    waiting = [container.name for container in containers if not container.running]
    done = phase in ("Succeeded", "Failed")
    found = [_entry("PodReadyToStartContainers", sandbox and not done, message="" if sandbox else trouble)]
    found.append(_entry("Initialized", initialized, "PodCompleted" if phase == "Succeeded" else ""))
    text = f"containers with unready status: [{' '.join(waiting)}]" if waiting else ""
    reason = "PodCompleted" if phase == "Succeeded" else "PodFailed" if phase == "Failed" else "ContainersNotReady"
    ready = not waiting and not done
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []]
    closed = [gate for gate in gates if known.get(gate, {}).get("status") != "True"]
    if ready and closed:
        gate_text = "; ".join(f'corresponding condition of pod readiness gate "{gate}" does not exist.'
                              if gate not in known else f'the status of pod readiness gate "{gate}" is not "True", '
                              f'but {known[gate].get("status")}' for gate in closed)  # fmt: skip
        found.append(_entry("Ready", False, "ReadinessGatesNotReady", gate_text))
    else:
        found.append(_entry("Ready", ready, "" if ready else reason, "" if done else text))
    found.append(_entry("ContainersReady", ready, "" if ready else reason, "" if done else text))
    for entry in found:
        old = known.get(entry["type"])
        if old and old.get("status") == entry["status"] and old.get("lastTransitionTime"):
            entry["lastTransitionTime"] = old["lastTransitionTime"]
    return found


def _entry(type: str, status: bool, reason: str = "", message: str = "") -> Obj:
    found: Obj = {"type": type, "status": "True" if status else "False", "lastProbeTime": None}
    found["lastTransitionTime"] = now()
    # An empty string, not a missing key: a strategic merge would keep the old words.
    found["reason"], found["message"] = reason or None, message or None
    return found
