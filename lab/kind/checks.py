"""When is a part of the cluster ready? What the objects of the API say, in words and as met or not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from lab.access.kinds import Kind, Obj, condition
from lab.core.wait import Seen

DAEMONSET = Kind("apps/v1", "DaemonSet")
DEPLOYMENT = Kind("apps/v1", "Deployment")
Check = Callable[[Sequence[Obj]], Seen[None]]

FINAL = ("not found", "manifest unknown", "unauthorized", "denied", "no such host", "invalid reference")
"""In the kubelet's words on a pull: another try brings the same."""


def rolled_out(objects: Sequence[Obj]) -> Seen[None]:
    """A DaemonSet or Deployment has all its pods, of its newest template, ready."""
    if not objects:
        return Seen("not there yet")
    status: dict[str, Any] = objects[0].get("status") or {}
    meta, spec = objects[0]["metadata"], objects[0].get("spec") or {}
    wanted = int(status.get("desiredNumberScheduled", spec.get("replicas", 1)))
    updated = int(status.get("updatedNumberScheduled", status.get("updatedReplicas", 0)))
    ready = int(status.get("numberReady", status.get("readyReplicas", 0)))
    seen = int(status.get("observedGeneration", 0)) >= int(meta.get("generation", 0))
    return Seen(f"{ready} of {wanted} pods ready", met=seen and wanted > 0 and ready >= wanted and updated >= wanted)


def conditioned(type_: str) -> Check:
    """The object says so in a condition."""

    def check(objects: Sequence[Obj]) -> Seen[None]:
        if not objects:
            return Seen("not there yet")
        found = condition(objects[0], type_)
        said = " ".join(str(found[key]) for key in ("status", "reason", "message") if found.get(key))
        return Seen(f"{type_} {said or 'not said'}", met=found.get("status") == "True")

    return check


def all_of(names: Collection[str], type_: str = "") -> Check:
    """An object of each name is there and, with *type_*, has that condition."""

    def check(objects: Sequence[Obj]) -> Seen[None]:
        fine = {
            str(obj["metadata"]["name"])
            for obj in objects
            if not type_ or condition(obj, type_).get("status") == "True"
        }
        lacking = sorted(set(names) - fine)
        return Seen(f"lacking: {', '.join(lacking)}" if lacking else "all there", met=not lacking)

    return check


def held_up(pods: Sequence[Obj]) -> tuple[str, str]:
    """(what keeps pods from starting, why that is final); both may be empty."""
    said: dict[str, None] = {}
    final = ""
    for pod in pods:
        status = pod.get("status") or {}
        for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            waiting = (container.get("state") or {}).get("waiting") or {}
            reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
            if reason in ("", "ContainerCreating", "PodInitializing"):
                continue
            told = f"{pod['metadata']['name']}: {reason} {message}".strip()
            said[told] = None
            if "Image" in reason and any(word in message.lower() for word in FINAL):
                final = final or told
    return "; ".join(list(said)[:3]), final
